"""``tidegate trace``: what goes over a device's wire, decoded, and as a capture file."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import colourful, config_option, emit_line, fail, json_option, note, printable
from gateway.control.client import ControlClient, segment

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0}
_HEX_SHOWN = 24
_MAX_S = 900.0


class _Span(click.ParamType[float]):
    """Such as ``90``, ``90s`` or ``5m``."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|min)?", str(value))
        seconds = float(match[1]) * _UNITS[match[2] or ""] if match else 0.0
        if not 0 < seconds <= _MAX_S:
            self.fail(f"{value!r} isn't a time from 1s to 15m", param, ctx)
        return seconds


@click.command()
@click.argument("device")
@config_option
@socket_option
@click.option("--for", "for_s", type=_Span(), default="60s", show_default=True, help="How long, such as 90s or 5m.")
@click.option("--pcap", "capture", type=click.Path(path_type=Path, dir_okay=False), help="Keep it for Wireshark.")
@click.option("--hex", "all_bytes", is_flag=True, help="Show all bytes, and every field with those that hold it.")
@json_option
def trace(
    device: str,
    config_path: Path,
    socket: Path | None,
    for_s: float,
    capture: Path | None,
    all_bytes: bool,
    as_json: bool,
) -> None:
    """Watch what goes over the wire of DEVICE, decoded. Ends with its time, or with Ctrl-C.

    Secrets are blanked. What OPC UA encrypts is shown decrypted. The polling isn't delayed.
    """
    client = client_for(config_path, socket)
    with answering("see its devices: tidegate status"):
        began = client.post("/v1/traces", {"device": device, "seconds": for_s})
        with contextlib.suppress(KeyboardInterrupt):
            _follow(client, began["id"], as_json=as_json, all_bytes=all_bytes)
        ended = client.post(f"/v1/traces/{segment(began['id'])}/stop")
        _say_end(ended)
        if capture is not None:
            _keep(client, ended, capture)
        client.call("DELETE", f"/v1/traces/{segment(began['id'])}")


def _follow(client: ControlClient, id_: str, *, as_json: bool, all_bytes: bool) -> None:
    for event in client.events(f"/v1/traces/{segment(id_)}/stream"):
        if event.event == "frame":
            if as_json:
                emit_line(event.data)
            else:
                _line(event.data, all_bytes=all_bytes)


def _line(frame: Mapping[str, Any], *, all_bytes: bool) -> None:
    at = datetime.fromtimestamp(frame["timestamp_ns"] / 1e9).strftime("%H:%M:%S.%f")[:-3]
    arrow = "→" if frame["direction"] == "sent" else "←"
    summary = printable(frame["summary"])
    if frame["fault"] and colourful(sys.stdout):
        summary = click.style(summary, fg="red")
    note_ = f"  [{printable(frame['note'])}]" if frame["note"] else ""
    data = bytes.fromhex(frame["hex"])
    cut = "" if all_bytes or len(data) <= _HEX_SHOWN else " …"
    shown = data if all_bytes else data[:_HEX_SHOWN]
    click.echo(f"{at} {arrow} {summary}{note_}\n             {shown.hex(' ')}{cut}")
    for part in frame["parts"] if all_bytes else ():
        bytes_ = data[part["offset"] : part["offset"] + part["length"]].hex(" ")
        click.echo(f"               {part['name']:<20} {printable(part['text'])}   {bytes_[:60]}")


def _say_end(ended: Mapping[str, Any]) -> None:
    dropped = f", {ended['dropped']} of them dropped" if ended["dropped"] else ""
    note(f"{ended['frames']} frames, {ended['bytes']} bytes{dropped}")


def _keep(client: ControlClient, ended: Mapping[str, Any], file: Path) -> None:
    body = client.get(f"/v1/traces/{segment(ended['id'])}/capture")
    try:
        file.write_bytes(body)
    except OSError as error:
        fail(f"{file} can't be written: {error.strerror or error}", "name another file")
    note(f"kept in {file}: open it with Wireshark (on serial lines: Decode As… Modbus RTU)")
