"""Changes: the configuration as a transaction. The draft, what it does, trying it, applying it; and who owns it all.

Confirming and taking back is on every page: the element `<change-banner>` does it through the control API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from gateway.actors import Role
from gateway.control.client import Refused
from gateway.web.diffs import merged, unified
from gateway.web.pages import draft_files, revisions
from gateway.web.pages.revisions import TIMES, how
from gateway.web.visit import Page, Section, Visit
from gateway.web.words import plain

PEOPLE = "page"
"""The owner of a configuration that people change."""
_SOCKET = "/run/tidegate/control.sock"
MAX_ARCHIVE = 32 << 20
_SHOWN = 200
_SHOWN_NAMES = 8
_PARTS = (
    ("links", "link", "is opened", "is closed", "closes its connection and opens it again, with everything on it"),
    ("devices", "device", "begins", "ends", "begins anew on its connection"),
    ("groups", "group", "begins", "ends", "is planned anew"),
    ("sinks", "broker", "is connected", "is disconnected", "is connected anew and goes on where it was"),
)


async def _show(visit: Visit) -> Response:
    config = await visit.get("/v1/config")
    mine = visit.may("engineer")
    draft = await _draft(visit) if config["draft"] is not None and mine else None
    return visit.render(
        "changes.html",
        config=config,
        foreign=config["owner"]["name"] if config["owner"]["name"] != PEOPLE else None,
        draft=draft,
        history=(await visit.get("/v1/config/history"))[:_SHOWN],
        times=TIMES,
        seen=seen(config),
        copies=[
            ("Command line", "tidegate config diff" if draft else "tidegate config history"),
            ("curl", f"curl --unix-socket {_SOCKET} http://gateway/v1/config{'/draft/diff' if draft else ''}"),
            *([("Patch", draft["patch"])] if draft and len(draft["patch"]) < 1 << 16 else ()),
        ],
    )


async def _draft(visit: Visit) -> dict[str, Any] | None:
    """Everything to be said of the draft; None if it is gone just now."""
    try:
        difference = await visit.get("/v1/config/draft/diff")
        check = await visit.get("/v1/config/draft/validate")
    except Refused as refused:
        if refused.code == "no-draft":
            return None
        raise
    changes = difference["changes"] or []
    return {
        **difference,
        "changes": changes[:_SHOWN],
        "more": max(0, len(changes) - _SHOWN),
        "problems": check["problems"],
        "unnamed": check["unnamed"],
        "effect": list(effect_of(check["effect"])) if check["effect"] is not None else [],
        "conflicts": [_conflict(each) for each in difference["conflicts"]],
    }


def _conflict(file: Mapping[str, Any]) -> dict[str, Any]:
    """A file that both changed: what each did, and both together where that goes."""
    base, mine, theirs = file["base"], file["mine"], file["theirs"]
    return {
        **file,
        "my_patch": unified(base or "", mine or "", file["name"]),
        "their_patch": unified(base or "", theirs or "", file["name"]),
        "both": None if None in (base, mine, theirs) else merged(base, mine, theirs),
    }


def effect_of(effect: Mapping[str, Any]) -> Iterator[str]:
    """What applying it restarts, a sentence each."""
    for key, word, added, removed, restarted in _PARTS:
        part = effect[key]
        for names, what in ((part["added"], added), (part["removed"], removed), (part["restarted"], restarted)):
            for name in names[:_SHOWN_NAMES]:
                yield f"{word} {name} {what}"
            if len(names) > _SHOWN_NAMES:
                yield f"and {len(names) - _SHOWN_NAMES} more {word}s: {what.replace('is ', '')}"
    for setting in effect["in_place"]:
        yield f"{setting} changes while everything runs on"
    yield from effect["needs_restart"]


def seen(config: Mapping[str, Any]) -> str:
    """What a page about changes shows: another text later means that it is out of date."""
    draft, pending = config["draft"], config["pending"]
    return f"{draft['version'] if draft else ''} {pending['revision'] if pending else ''}"


async def _state(visit: Visit) -> Response:
    """What the banner of every page shows."""
    config = await visit.get("/v1/config")
    draft = config["draft"]
    return JSONResponse(
        {
            "pending": config["pending"],
            "draft": draft and {"author": draft["author"], "changed_by": draft["changed_by"]},
            "seen": seen(config),
        },
        headers={"cache-control": "no-store"},
    )


async def _act(visit: Visit) -> Response:
    """Something about the draft as a whole."""
    form, action = await visit.form(), visit.path["action"]
    version = str(form.get("version") or "") or None
    match action:
        case "begin":
            await visit.call("PUT", "/v1/config/draft", {"files": {}})
        case "discard":
            await visit.call("DELETE", "/v1/config/draft", version=version)
        case "apply":
            body = how(form)
            try:
                await visit.post("/v1/config/apply", body, version=version)
            except Refused as refused:
                if refused.code == "conflict":
                    return visit.goto("/changes")  # which shows both sides
                raise
        case "rebase":
            await _rebase(visit, form, version)
        case "try":
            trials = await visit.post("/v1/config/draft/try")
            return visit.render("changes_trial.html", trials=[_trial(each) for each in trials])
        case _:
            raise HTTPException(404)
    return visit.goto("/changes")


async def _rebase(visit: Visit, form: Mapping[str, Any], version: str | None) -> None:
    """Take in what others changed; of a file that both changed what was chosen for it."""
    difference = await visit.get("/v1/config/draft/diff")
    chosen = {}
    for file in map(_conflict, difference["conflicts"]):
        choice = str(form.get(f"file.{file['name']}", ""))
        if choice == "theirs" or (choice == "both" and file["both"] is not None):
            chosen[file["name"]] = file[choice]
    draft = await visit.call("POST", "/v1/config/draft/rebase", version=version)
    if chosen:
        await visit.call("PUT", "/v1/config/draft", {"files": chosen}, version=draft["version"])


def _trial(trial: Mapping[str, Any]) -> dict[str, Any]:
    answered = trial["answered"]
    kind, word = ("off", "Not asked") if answered is None else ("good", "Answers") if answered else ("bad", "Silent")
    readings = trial["readings"]
    if answered and any(reading["quality"] >> 30 > 1 for reading in readings):
        kind, word = "uncertain", "Some tags bad"
    return {
        **trial,
        "kind": kind,
        "word": word,
        "readings": [{**reading, "value": plain(reading["value"])} for reading in readings[:_SHOWN]],
        "more": max(0, len(readings) - _SHOWN),
    }


async def _import(visit: Visit) -> Response:
    form = await visit.form()
    file = form.get("file")
    try:
        body = await file.read(MAX_ARCHIVE) if isinstance(file, UploadFile) else b""
    finally:
        await form.close()
    if not body:
        raise HTTPException(400, "no file was chosen")
    await visit.call("POST", "/v1/config/draft/import", body)
    return visit.goto("/changes")


async def _own(visit: Visit) -> Response:
    form = await visit.form()
    await visit.call("PUT", "/v1/config/owner", {"name": str(form.get("name", "")).strip()})
    return visit.goto("/changes")


SECTION = Section(
    "Changes",
    "/changes",
    "changes",
    (
        Page("/changes", _show),
        Page("/changes/state", _state),
        Page("/changes/draft/{action}", _act, Role.ENGINEER, ("POST",)),
        Page("/changes/import", _import, Role.ENGINEER, ("POST",), MAX_ARCHIVE),
        Page("/changes/owner", _own, Role.ADMIN, ("POST",)),
        *draft_files.PAGES,
        *revisions.PAGES,
    ),
)
