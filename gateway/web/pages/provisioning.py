"""What a provisioning file did to this gateway."""

from __future__ import annotations

from starlette.responses import Response

from gateway.actors import Role
from gateway.web.provisioned import report
from gateway.web.visit import Page, Visit


async def _show(visit: Visit) -> Response:
    return visit.render("provisioning.html", report=report(visit.services.state))


PAGES: tuple[Page, ...] = (Page("/provisioning", _show, role=Role.ADMIN),)
