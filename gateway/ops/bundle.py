"""A diagnostic bundle: one zip file for whoever is asked for help, with what they will ask for first, and no secret.

Everything that goes in is text, and every text goes through `gateway.secrets.redacted` on its way.
"""

from __future__ import annotations

import io
import os
import platform
import resource
import shutil
import sqlite3
import ssl
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from gateway import __version__
from gateway.ops.clock import kernel_synchronised
from gateway.ops.logs import LogEntry
from gateway.secrets import Secret, redacted, redacted_json
from gateway.settings import GatewaySettings

CONTENTS = "CONTENTS.txt"

_HEAD = """A diagnostic bundle of a Tidegate gateway.

Look through it before you pass it on. It holds no values of tags, no secrets, no keys and no password hashes; what
looks like a secret is crossed out (•••). It does hold names and addresses of devices, brokers and files.

"""


@dataclass(frozen=True, slots=True)
class Section:
    """One file of a bundle."""

    name: str
    what: str
    """For the list of contents."""
    text: str


def sections(
    data_dir: Path | None,
    *,
    configuration: Mapping[str, bytes],
    problems: Sequence[str] = (),
    settings: GatewaySettings | None = None,
    status: Mapping[str, Any] | None = None,
    journal: Mapping[str, Any] | None = None,
    logs: Sequence[LogEntry] = (),
    trace: str | None = None,
) -> list[Section]:
    """What there is of all that. Blocking for a moment.

    `configuration`: its files by name; `problems`: what is wrong with it; `settings`: what it resolves to; `status`: of
    the running gateway; `journal`: what is in its file, of one that doesn't run; `trace`: the last one, as text.
    """
    found = [
        Section("platform.json", "hardware, kernel, versions, space, time", _json(facts(data_dir))),
        Section("packages.txt", "installed Python packages", "\n".join(_packages()) + "\n"),
    ]
    for name, body in sorted(configuration.items()):
        text = redacted(body.decode("utf-8", "backslashreplace"))
        found.append(Section(f"configuration/{name}", "as it stands", text))
    if problems:
        lines = "".join(f"{redacted(problem)}\n" for problem in problems)
        found.append(Section("problems.txt", "what is wrong with the configuration", lines))
    if settings is not None:
        found.append(Section("resolved.json", "what the configuration amounts to", _json(_plain(settings))))
    if status is not None:
        found.append(Section("status.json", "how the gateway, its links, sinks and journal are doing", _json(status)))
    if journal is not None:
        found.append(Section("journal.json", "what the journal's file holds, in counts", _json(journal)))
    if logs:
        lines = "".join(orjson.dumps(redacted_json(asdict(entry))).decode() + "\n" for entry in logs)
        found.append(Section("log.jsonl", "the last log entries", lines))
    if trace is not None:
        found.append(Section("trace.txt", "the last wire trace", redacted(trace)))
    return found


def packed(found: Sequence[Section]) -> bytes:
    """A zip file of them, and a list of what is in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        lines = "".join(f"{section.name}: {section.what}\n" for section in found)
        archive.writestr(CONTENTS, _HEAD + lines)
        for section in found:
            archive.writestr(section.name, section.text)
    return buffer.getvalue()


def facts(data_dir: Path | None) -> dict[str, Any]:
    """What this runs on, JSON-ready. Names no addresses of its own."""
    return {
        "tidegate": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "system": _os_release(),
        "model": _line("/proc/device-tree/model") or _line("/sys/class/dmi/id/product_name"),
        "cpus": os.cpu_count(),
        "load": list(os.getloadavg()),
        "memory": _memory(),
        "uptime_s": _uptime_s(),
        "time_ms": time.time_ns() // 1_000_000,
        "clock_synchronised": kernel_synchronised(),
        "timezone": list(time.tzname),
        "process": {
            "max_rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "cpu_s": time.process_time(),
            "user": os.getuid(),
        },
        "space": {} if data_dir is None else _space(data_dir),
        "network": {path.name: _line(path / "operstate") for path in _entries("/sys/class/net")},
        "serial": [path.name for path in _entries("/dev/serial/by-id")],
        "bluetooth": [path.name for path in _entries("/sys/class/bluetooth")],
    }


def _json(body: Any) -> str:
    return orjson.dumps(redacted_json(body), default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> Any:
    """Settings as JSON; a secret by where it is kept."""
    if isinstance(value, Secret):
        return {"kept_in": value.source, "name": value.name}
    if isinstance(value, BaseModel):
        return {name: _plain(member) for name, member in value}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.name != "kind"}
    if isinstance(value, Mapping):
        return {str(name): _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(member) for member in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)


def _packages() -> list[str]:
    return sorted({f"{each.metadata['Name']} {each.version}" for each in distributions()}, key=str.casefold)


def _os_release() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return sys.platform


def _memory() -> dict[str, str]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split(":", 1) for line in lines if line.startswith(("MemTotal", "MemAvailable", "SwapTotal")))


def _uptime_s() -> float | None:
    try:
        return float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError):
        return None


def _space(directory: Path) -> dict[str, int]:
    try:
        usage = shutil.disk_usage(directory)
    except OSError:
        return {}
    return {"total": usage.total, "used": usage.used, "free": usage.free}


def _line(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace").strip("\x00\n ")
    except OSError:
        return ""


def _entries(directory: str) -> list[Path]:
    try:
        return sorted(Path(directory).iterdir())
    except OSError:
        return []
