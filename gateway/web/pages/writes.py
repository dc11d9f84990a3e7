"""The write dialog: what a tag is and may be, then the exact frame to confirm, then what came of it.

The id of a write is made with its confirmation: a form that is sent twice, by whomever, is one write.
"""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from gateway.actors import Role
from gateway.control.client import NotRunning, Refused
from gateway.web.visit import Page, Visit
from gateway.web.words import plain

_OUTCOMES = {
    "written": ("good", "Written", "The device reads back the same value."),
    "refused": ("bad", "Not written", "Nothing was changed."),
    "differs": ("uncertain", "Reads back otherwise", "It was sent, but the device reads back another value."),
    "unknown": (
        "uncertain",
        "Not known",
        "It may have been carried out or not: look at the value before trying again.",
    ),
    "pending": ("off", "Under way", "It isn't finished yet."),
}
_LARGEST = 2**64


class _Unreadable(Exception):
    """What was typed isn't a value of the tag's type. The message says what one is."""


async def _new(visit: Visit) -> Response:
    return await _form(visit, visit.query.get("tag", ""), open_=True)


async def _preview(visit: Visit) -> Response:
    form = await visit.form()
    tag, text, reason = (str(form.get(name, "")) for name in ("tag", "value", "reason"))
    target = await _look(visit, tag)
    try:
        value = value_of(text, target)
    except _Unreadable as error:
        return await _form(visit, tag, text, reason, wrong=str(error))
    seen = await visit.post("/v1/writes/preview", {"tag": tag, "value": value, "reason": reason or None})
    refusal = seen["refusal"]
    if refusal is not None:
        said = _sentence(refusal["message"], refusal["mend"])
        if refusal["code"] == "reason-missing":
            return await _form(visit, tag, text, reason, no_reason=said)
        return await _form(visit, tag, text, reason, wrong=said)
    return visit.render(
        "write_confirm.html",
        target=seen,
        text=text,
        shown=_with_unit(value, seen),
        reason=reason,
        frames=seen["frames"],
        id=str(uuid.uuid4()),
    )


async def _write(visit: Visit) -> Response:
    form = await visit.form()
    tag, text, reason, write_id = (str(form.get(name, "")) for name in ("tag", "value", "reason", "id"))
    target = await _look(visit, tag)
    try:
        value = value_of(text, target)
        record = await visit.post("/v1/writes", {"id": write_id, "tag": tag, "value": value, "reason": reason or None})
        mend = None
    except _Unreadable as error:
        return await _form(visit, tag, text, reason, wrong=str(error))
    except NotRunning as error:
        # It may be on its way all the same. The same id asks again what came of it, and never writes twice.
        return visit.render("write_waiting.html", target=target, text=text, reason=reason, id=write_id, why=str(error))
    except Refused as refused:
        if "write" not in refused.body:
            return await _form(visit, tag, text, reason, wrong=_sentence(str(refused), refused.mend))
        record, mend = refused.body["write"], refused.mend
    kind, word, about = _OUTCOMES.get(record["outcome"], ("uncertain", record["outcome"], ""))
    return visit.render(
        "write_done.html",
        target=target,
        kind=kind,
        word=word,
        about=record["message"] or about,
        mend=mend,
        asked=_with_unit(record["value"], target),
        read_back=_with_unit(record["read_back"], target),
        record=record,
        at=datetime.fromtimestamp(record["asked_ms"] / 1000, UTC).isoformat(sep=" ", timespec="milliseconds"),
    )


async def _look(visit: Visit, tag: str) -> dict[str, Any]:
    """The tag as a place to write to."""
    seen: dict[str, Any] = await visit.post("/v1/writes/preview", {"tag": tag})
    return seen


async def _form(
    visit: Visit,
    tag: str,
    text: str = "",
    reason: str = "",
    *,
    wrong: str = "",
    no_reason: str = "",
    open_: bool = False,
) -> Response:
    target = await _look(visit, tag)
    return visit.render(
        "write_dialog.html" if open_ else "write_form.html",
        target=target,
        text=text,
        reason=reason,
        wrong=wrong,
        no_reason=no_reason,
        limits=_limits(target),
    )


def value_of(text: str, target: dict[str, Any]) -> Any:
    """What was typed as a value of the tag's type. Raises _Unreadable."""
    kind, count = target["type"], target["count"]
    if count is not None:
        try:
            elements = json.loads(text)
        except ValueError:
            elements = None
        if not isinstance(elements, list):
            raise _Unreadable("write the elements between brackets, such as [1, 2, 3]")
        return elements
    if kind == "bool":
        if text not in ("true", "false"):
            raise _Unreadable("choose true or false")
        return text == "true"
    if kind.startswith(("int", "uint")):
        try:
            number = int(text.strip())
        except ValueError:
            raise _Unreadable("write a whole number, such as 42") from None
        if abs(number) > _LARGEST:
            raise _Unreadable("write a number that 64 bits can hold")
        return number
    if kind.startswith("float"):
        try:
            decimal = float(text.strip())
        except ValueError:
            decimal = math.nan
        if not math.isfinite(decimal):
            raise _Unreadable("write a number with a point, such as 71.3")
        return decimal
    return text


def _limits(target: dict[str, Any]) -> str:
    low, high = target["min"], target["max"]
    parts = []
    if low is not None and high is not None:
        parts.append(f"{plain(low)} to {plain(high)}")
    elif low is not None:
        parts.append(f"at least {plain(low)}")
    elif high is not None:
        parts.append(f"at most {plain(high)}")
    if target["step"]:
        parts.append(f"in steps of {plain(target['step'])}")
    if target["min_interval_ms"]:
        parts.append(f"at most once every {plain(target['min_interval_ms'] / 1000)} s")
    said = ", ".join(parts)
    return said[:1].upper() + said[1:]


def _with_unit(value: Any, target: dict[str, Any]) -> str:
    shown = plain(value)
    return f"{shown} {target['unit']}" if target["unit"] and value is not None else shown


def _sentence(message: str, mend: str | None) -> str:
    return f"{message}: {mend}" if mend else message


PAGES = (
    Page("/writes/new", _new, Role.OPERATOR),
    Page("/writes/preview", _preview, Role.OPERATOR, ("POST",)),
    Page("/writes", _write, Role.OPERATOR, ("POST",)),
)
