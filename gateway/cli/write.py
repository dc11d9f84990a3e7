"""``tidegate write``: one value to one tag of a device, once, by the running gateway."""

from __future__ import annotations

import json
import math
import uuid
from pathlib import Path
from typing import Any, NoReturn

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import Exit, config_option, confirmed, emit_json, fail, json_option, note, yes_option
from gateway.control.client import ControlClient, NotRunning, Refused
from gateway.model import DataType

_EXITS = {
    "no-such-tag": Exit.USAGE,
    "writes-disabled": Exit.DENIED,
    "not-writable": Exit.DENIED,
    "role-too-low": Exit.DENIED,
    "unreachable": Exit.UNREACHABLE,
    "not-as-expected": Exit.CONFLICT,
    "reads-otherwise": Exit.CONFLICT,
    "unknown": Exit.CONFLICT,
    "id-reused": Exit.CONFLICT,
}
_TRUE, _FALSE = {"true", "on", "yes", "1"}, {"false", "off", "no", "0"}
_ANSWER_S = 100.0
"""A write waits for its turn and for the device; the driver's own bound ends it."""


@click.command(context_settings={"ignore_unknown_options": True})  # a negative number is no option
@click.argument("tag", metavar="DEVICE/TAG")
@click.argument("value")
@config_option
@socket_option
@json_option
@click.option("--reason", help="Why; for the audit log.")
@click.option("--expect", help="Write only if the device reads this right before.")
@click.option("--ttl", type=click.FloatRange(0.001, 86_400), help="Don't send it later than so many seconds from now.")
@click.option("--id", "write_id", help="Repeat a write by its id: nothing is sent a second time. Default: a new one.")
@yes_option
def write(
    tag: str,
    value: str,
    config_path: Path,
    socket: Path | None,
    as_json: bool,
    reason: str | None,
    expect: str | None,
    ttl: float | None,
    write_id: str | None,
    yes: bool,
) -> None:
    """Write VALUE to DEVICE/TAG and read it back.

    Shows the current value, the limits and the frame first, and asks. An array is written as JSON: '[1, 2]'. Exit
    code 5: it isn't known whether it was written, or it reads otherwise, or not what was expected; 6: not allowed.
    """
    client = client_for(config_path, socket)
    with answering():
        looked = client.post("/v1/writes/preview", {"tag": tag})
        wanted = _parsed(looked, value)
        preview = client.post("/v1/writes/preview", {"tag": tag, "value": wanted, "reason": reason})
    if (refusal := preview["refusal"]) is not None:
        fail(refusal["message"], refusal["mend"], _EXITS.get(refusal["code"], Exit.FAILED))
    _show(preview, wanted)
    confirmed(f"Write {wanted!r} to {tag}?", yes=yes)
    body = {"tag": tag, "value": wanted, "id": write_id or uuid.uuid4().hex, "reason": reason}
    if expect is not None:
        body["expected"] = _parsed(looked, expect)
    if ttl is not None:
        body["ttl_ms"] = ttl * 1000
    answer = _written(client, body, as_json)
    if as_json:
        emit_json(answer)
    else:
        note(f"written; {tag} reads {_shown(answer['read_back'])}{_unit(preview)} now")


def _written(client: ControlClient, body: dict[str, Any], as_json: bool) -> Any:
    try:
        return client.post("/v1/writes", body, timeout_s=_ANSWER_S)
    except Refused as error:
        _refused(error, as_json)
    except NotRunning as error:
        fail(
            f"{error}; it isn't known whether it was written",
            f"ask by the same id, which sends nothing twice: tidegate write --id {body['id']} …",
            Exit.CONFLICT,
        )


def _refused(error: Refused, as_json: bool) -> NoReturn:
    if as_json and "write" in error.body:
        emit_json(error.body["write"])
    fail(str(error), error.mend, _EXITS.get(error.code, Exit.FAILED))


def _show(preview: dict[str, Any], wanted: Any) -> None:
    current, unit = preview["current"], _unit(preview)
    note(f"{preview['tag']}: {_shown(current['value'])}{unit} ({current['quality_name']}) → {_shown(wanted)}{unit}")
    limits = [f"{word} {preview[key]:g}" for word, key in (("from", "min"), ("to", "max")) if preview[key] is not None]
    if preview["step"] is not None:
        limits.append(f"in steps of {preview['step']:g}")
    if limits:
        note(f"  allowed: {' '.join(limits)}{unit}")
    for frame in preview["frames"] or ():
        note(f"  {frame}")


def _unit(preview: dict[str, Any]) -> str:
    return f" {preview['unit']}" if preview["unit"] else ""


def _shown(value: Any) -> str:
    return "no value" if value is None else value if isinstance(value, str) else json.dumps(value)


def _parsed(looked: dict[str, Any], text: str) -> Any:
    """The text as a value of the tag's type. Ends the command if it isn't one."""
    kind = DataType(looked["type"])
    if looked["count"] is not None:
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = None
        if not isinstance(value, list):
            fail(f"{text!r} isn't an array", "write it as JSON: '[1, 2]'", Exit.USAGE)
        return value
    if kind.is_text:
        return text
    if kind is DataType.BOOL:
        if text.lower() not in _TRUE | _FALSE:
            fail(f"{text!r} is neither true nor false", "write true or false", Exit.USAGE)
        return text.lower() in _TRUE
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        fail(f"{text!r} isn't a number", "write it with a decimal point: 12.5", Exit.USAGE)
    return number
