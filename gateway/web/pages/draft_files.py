"""The configuration as text, for people who know it: one file of the draft at a time, its problems at their lines.

It is a plain form; the element `<toml-editor>` makes an editor of its text field.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.actors import Role
from gateway.control.client import Refused
from gateway.web.diffs import merged, unified
from gateway.web.visit import Page, Visit

_MAX_FORM = 32 << 20
"""A file and what it was before, with what percent signs make of both."""


async def _show(visit: Visit) -> Response:
    tree = await _tree(visit)
    name = visit.query.get("file") or ("" if visit.query.get("new") else tree["main"])
    if name and name not in {file["name"] for file in tree["files"]}:
        raise HTTPException(404, f"the configuration has no file {name}")
    text = _text(tree, name) if name else ""
    return await _form(visit, tree, name, text, text or "")


async def _save(visit: Visit) -> Response:
    """Keep one file in the draft; or say that somebody else was quicker, and put both together where that goes."""
    form = await visit.form()
    name, text, original, version = (str(form.get(key, "")) for key in ("name", "text", "original", "version"))
    name, text, original = name.strip(), _lines_fed(text), _lines_fed(original)
    if not name:
        raise HTTPException(400, "the file needs a name, such as conf.d/line2.toml")
    removing = form.get("action") == "remove"
    content = None if removing else text.replace("\n", "\r\n") if form.get("ends") == "crlf" else text
    try:
        await _keep(visit, name, content, version)
    except Refused as refused:
        if refused.code != "draft-changed":
            raise
        tree = await _tree(visit)
        theirs = _lines_fed(_text(tree, name) or "")
        if theirs != original:
            return await _collided(visit, tree, name, (original, text, theirs), str(refused))
        await _keep(visit, name, content, tree["version"])  # it was another file that they changed
    return visit.goto("/changes/edit" if removing else f"/changes/edit?file={quote(name)}")


async def _keep(visit: Visit, name: str, content: str | None, version: str) -> None:
    await visit.call("PUT", "/v1/config/draft", {"files": {name: content}}, version=version)


async def _collided(visit: Visit, tree: dict[str, Any], name: str, texts: tuple[str, str, str], said: str) -> Response:
    """`texts`: what it was, mine, theirs."""
    original, mine, theirs = texts
    both = merged(original, mine, theirs)
    collision = {
        "said": said,
        "both": both is not None,
        "mine": unified(original, mine, name),
        "theirs": unified(original, theirs, name),
    }
    return await _form(visit, tree, name, mine if both is None else both, theirs, collision)


async def _form(
    visit: Visit, tree: dict[str, Any], name: str, text: str | None, original: str, collision: Any = None
) -> Response:
    check = await visit.get("/v1/config/draft/validate") if tree["version"] else {"problems": []}
    stored = _text(tree, name) or ""
    crlf = stored.count("\r\n")
    return visit.render(
        "draft_file.html",
        tree=tree,
        name=name,
        text=text,
        original=original,
        ends="crlf" if crlf else "lf",
        mixed=bool(crlf) and crlf != stored.count("\n"),
        collision=collision,
        problems=check["problems"],
        here=[problem for problem in check["problems"] if problem["file"] == name],
        copies=[("Command line", "tidegate config export tidegate.tar"), *([("TOML", text)] if text else ())],
    )


async def _tree(visit: Visit) -> dict[str, Any]:
    """The files of the draft; of what is in place (`version` empty) where there is no draft."""
    try:
        draft: dict[str, Any] = await visit.get("/v1/config/draft")
        return draft
    except Refused as refused:
        if refused.code != "no-draft":
            raise
    files: dict[str, Any] = await visit.get("/v1/config/files")
    return {**files, "version": ""}


def _text(tree: dict[str, Any], name: str) -> str | None:
    text: str | None = next((file["text"] for file in tree["files"] if file["name"] == name), None)
    return text


def _lines_fed(text: str) -> str:
    """Browsers send carriage returns, whatever the file has."""
    return text.replace("\r\n", "\n")


PAGES = (
    Page("/changes/edit", _show, Role.ENGINEER),
    Page("/changes/edit", _save, Role.ENGINEER, ("POST",), _MAX_FORM),
)
