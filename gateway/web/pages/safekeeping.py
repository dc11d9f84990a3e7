"""Backup and restore. A restore is looked at first: what would become of each thing."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.actors import Role
from gateway.web.api import MAX_BODY
from gateway.web.visit import Page, Visit

_SHORTEST = 12
_PARTS = (
    ("configuration", "Configuration"),
    ("accounts", "Users and tokens"),
    ("drivers", "Certificates and keys of drivers"),
    ("files", "Other files the configuration names"),
    ("audit", "Audit log"),
)
_OUTCOMES = {"restored": ("good", "Restored"), "unchanged": ("off", "Unchanged"), "refused": ("bad", "Refused")}


async def _show(visit: Visit, wrong: str = "") -> Response:
    return visit.render(
        "system_backup.html",
        422 if wrong else 200,
        wrong=wrong,
        parts=_PARTS,
        copies=[
            ("Command line", "tidegate backup gateway.backup"),
            ("Restore", "tidegate restore --dry-run gateway.backup"),
        ],
    )


async def _make(visit: Visit) -> Response:
    form = await visit.form()
    passphrase, again = str(form.get("passphrase", "")), str(form.get("again", ""))
    if passphrase and len(passphrase) < _SHORTEST:
        return await _show(visit, f"it has {len(passphrase)} characters; take at least {_SHORTEST}")
    if passphrase != again:
        return await _show(visit, "both aren't the same")
    answer = await visit.services.control.fetch(
        visit.actor,
        "POST",
        "/v1/backup",
        {"content-type": "application/json"},
        orjson.dumps({"passphrase": passphrase or None}),
    )
    passed = {name: answer.headers[name] for name in ("content-type", "content-disposition") if name in answer.headers}
    return Response(answer.body, answer.status, headers={**passed, "cache-control": "no-store"})


async def _restore(visit: Visit) -> Response:
    """Hand the backup over and say what would become of each thing; then, sent again without the file, do it."""
    form = await visit.form()
    file, upload = form.get("backup"), str(form.get("upload", ""))
    doing = bool(upload)
    try:
        if not doing:
            body = await file.read(MAX_BODY) if isinstance(file, UploadFile) else b""
            if not body:
                raise HTTPException(422, "no file was chosen")
            kept = await visit.call("PUT", "/v1/restore/upload", body)
            upload = kept["id"]
            if kept["sealed"] and not form.get("opens"):
                raise HTTPException(422, "this backup is sealed; type the passphrase it was made with")
    finally:
        await form.close()
    parts = [str(part) for part in form.getlist("part")]
    report = await visit.post(
        "/v1/restore",
        {
            "upload": upload,
            "passphrase": str(form.get("opens", "")) or None,
            "dry_run": not doing,
            **({"parts": parts} if parts else {}),
        },
    )
    return visit.render("system_restore.html", report=_told(report), upload=upload, doing=doing)


def _told(report: dict[str, Any]) -> dict[str, Any]:
    items = [{**item, "state": _OUTCOMES.get(item["outcome"], ("off", item["outcome"]))} for item in report["items"]]
    return {**report, "items": items, "refused": sum(item["outcome"] == "refused" for item in items)}


PAGES = (
    Page("/system/backup", _show, Role.ADMIN),
    Page("/system/backup", _make, Role.ADMIN, ("POST",)),
    Page("/system/restore", _restore, Role.ADMIN, ("POST",), MAX_BODY),
)
