"""The page as an ASGI application."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.control.client import NotPermitted, NotRunning, Refused
from gateway.web import api
from gateway.web.assets import PREFIX
from gateway.web.failures import Failures
from gateway.web.guard import Shield, route
from gateway.web.pages import (
    account,
    changes,
    delivery,
    devices,
    diagnostics,
    namespace,
    overview,
    provisioning,
    signin,
    system,
    tags,
    writes,
)
from gateway.web.services import Services
from gateway.web.turns import Crowded
from gateway.web.visit import Page, Section

SECTIONS: tuple[Section, ...] = (
    overview.SECTION,
    devices.SECTION,
    tags.SECTION,
    namespace.SECTION,
    delivery.SECTION,
    diagnostics.SECTION,
    changes.SECTION,
    system.SECTION,
)
"""The menu, in its order: Overview, Devices, Tags, Namespace, Delivery, Diagnostics, Changes, System."""
PAGES: tuple[Page, ...] = (
    *(page for section in SECTIONS for page in section.pages),
    *writes.PAGES,
    *signin.PAGES,
    *account.PAGES,
    *provisioning.PAGES,
    *api.PAGES,
)
"""Every path there is, but for the files under /static/."""


def create_app(services: Services, pages: Sequence[Page] = PAGES) -> ASGIApp:
    """The whole page for one gateway."""
    failures = Failures(services)
    routed = Starlette(
        routes=[Route(PREFIX + "{name}", services.assets.serve), *(route(services, page) for page in pages)],
        exception_handlers={
            HTTPException: failures.http,
            NotRunning: failures.offline,
            NotPermitted: failures.offline,
            Refused: failures.refused,
            Crowded: failures.crowded,
            Exception: failures.flaw,
        },
    )
    return Shield(routed)
