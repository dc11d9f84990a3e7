"""System: people, tokens, sessions, the audit log, certificates, backup, the machine, updates, and what this is."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.actors import Role
from gateway.web.pages import audit, certificates, machine, people, safekeeping
from gateway.web.visit import Page, Section, Visit

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST = 60
"""Characters of a licence's name: some packages put its whole text there."""
_SCRIPTS = (("htmx", "0BSD"), ("uPlot", "MIT"), ("CodeMirror", "MIT"))
"""What the page brings into browsers."""


async def _about(visit: Visit) -> Response:
    status = await visit.get("/v1/status")
    return visit.render(
        "system_about.html",
        gateway=status["gateway"],
        place=" / ".join(status["gateway"]["location"]),
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.release()}, {platform.machine()}",
        copies=[
            ("Command line", "tidegate doctor"),
            ("curl", "curl --unix-socket /run/tidegate/control.sock http://gateway/v1/status"),
        ],
    )


async def _licences(visit: Visit) -> Response:
    return visit.render(
        "system_licences.html", packages=sorted(_packages("tidegate"), key=lambda each: each[0].lower())
    )


def _packages(root: str) -> Iterator[tuple[str, str, str]]:
    """(name, version, licence) of a package and all it needs, as they are installed."""
    yield from ((name, "", licence) for name, licence in _SCRIPTS)
    wanted, seen = [root], set()
    while wanted:
        name = wanted.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # only elsewhere: on another system, another Python
            continue
        yield found.metadata["Name"], found.version, _licence(found)
        needed = [_NAME.match(each) for each in found.requires or () if "extra ==" not in each]
        wanted += [match[0] for match in needed if match]


def _licence(found: Distribution) -> str:
    about = found.metadata.json
    named = str(about.get("license_expression") or about.get("license") or "")
    if not named or len(named) > _LONGEST:
        kinds = [each for each in about.get("classifier") or () if each.startswith("License ::")]
        named = ", ".join(each.rpartition(" :: ")[2] for each in kinds)
    return named or "see its package"


async def _updates(visit: Visit) -> Response:
    return visit.render(
        "system_updates_live.html" if visit.partial else "system_updates.html",
        update=await visit.get("/v1/update"),
        copies=[("Command line", "tidegate update status")],
    )


async def _update(visit: Visit) -> Response:
    form = await visit.form()
    match str(form.get("action")):
        case "install":
            given = {name: str(form.get(name, "")).strip() for name in ("url", "ca")}
            await visit.post("/v1/update/install", {name: text for name, text in given.items() if text})
        case "mark-good" | "roll-back" as action:
            await visit.post(f"/v1/update/{action}")
        case _:
            raise HTTPException(400)
    return visit.goto("/system/updates")


SECTION = Section(
    "System",
    "/system",
    "system",
    (
        Page("/system", _about),
        Page("/system/licences", _licences),
        *people.PAGES,
        *audit.PAGES,
        *certificates.PAGES,
        *safekeeping.PAGES,
        *machine.PAGES,
        Page("/system/updates", _updates),
        Page("/system/updates", _update, Role.ADMIN, ("POST",)),
    ),
)
