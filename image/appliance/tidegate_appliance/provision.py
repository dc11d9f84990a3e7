"""``python -m tidegate_appliance.provision FOLDER``: the file on the boot partition, when the machine has started.

A stick comes the same way, by :func:`provision_from`. What became of each setting is said on the console, kept as
``/data/appliance/provision-report.json``, shown by the page, and written beside the file where that is possible: on a
stick. The boot partition is mounted to be read only, and only while it is read (``run-firmware.mount``): it isn't there
twice, as the slots are, and vfat may lose more than one file in a power cut.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.ops.files import write_atomically
from gateway.ops.provisioning import Setting
from tidegate_appliance.places import Places

log = logging.getLogger(__name__)

FILE = "provision.toml"
REPORT = "provision-report.json"
WAIT_S = 120.0
"""The gateway may be recovering its journal."""
_APPLY_S = 1200.0
"""The command gives a configuration 900 s by itself, and is to be heard saying how that ended."""
_OK, _SOME_REFUSED = 0, 1
TIDEGATE: tuple[str, ...] = ("/usr/bin/tidegate",)
SOCKET = Path("/run/tidegate/control.sock")
PAGE = Path("/var/lib/tidegate-web")


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a file."""

    source: str
    """``boot partition`` or ``USB stick``."""
    host: str
    at: str
    """UTC, ISO 8601; of the machine's clock, which may not be right yet."""
    settings: tuple[Setting, ...]

    @property
    def refused(self) -> int:
        return sum(setting.outcome == "refused" for setting in self.settings)

    def text(self) -> str:
        """For people, as it stands on the console and beside the file."""
        widest = max((len(setting.name) for setting in self.settings), default=0)
        lines = [f"{FILE} of the {self.source}, on {self.host} at {self.at}:", ""]
        for setting in self.settings:
            detail = f"{setting.said}: {setting.mend}" if setting.mend else setting.said
            lines.append(f"  {setting.name:{widest}}  {setting.outcome:9}  {detail}".rstrip())
        return "\n".join([*lines, "", self.advice, ""])

    @property
    def advice(self) -> str:
        """What to do with a file that may hold secrets."""
        if self.source == "USB stick":
            return f"The file may hold secrets: take the stick out and delete {FILE} when no other box needs it."
        return (
            f"The file may hold secrets, and whoever has the card can read it: put the card into a computer and delete "
            f"{FILE} from the partition TIDEGATE. It isn't applied again, except after a factory reset."
        )


def provision_from(
    folder: Path, source: str, places: Places, *, writable: bool = False, tidegate: Sequence[str] = TIDEGATE
) -> Report | None:
    """Apply the file in `folder`, if there is one that wasn't applied before. Never raises for what is in it.

    `writable`: the report is left beside it, too. Raises OSError if the report can't be kept.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    settings = _applied(file, tidegate)
    if settings is None:
        log.info("%s of the %s was applied before", FILE, source)
        return None
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    report = Report(source, _name(places), at, settings)
    places.appliance.mkdir(parents=True, exist_ok=True)
    body = json.dumps({**asdict(report), "refused": report.refused}, indent=2)
    write_atomically(places.appliance / REPORT, body.encode(), 0o644)
    if writable:
        # One stick goes from box to box.
        beside = folder / f"provision-report-{report.host}.txt"
        try:
            write_atomically(beside, report.text().replace("\n", "\r\n").encode())
        except OSError as error:
            log.warning("no report can be written to the %s: %s", source, error.strerror or error)
    return report


def _name(places: Places) -> str:
    """As it is kept: a service may be shut off from changes of the kernel's, and this one may just have made one."""
    try:
        return places.hostname.read_text("utf-8").strip()
    except OSError:
        return socket.gethostname()


def _applied(file: Path, tidegate: Sequence[str]) -> tuple[Setting, ...] | None:
    """By the gateway's own command. None: it was, before."""
    # Both are said: a configuration that can't be read must not keep the machine from being set.
    places = ["--socket", str(SOCKET), "--state", str(PAGE)]
    command = [*tidegate, "provision", str(file), "--json", "--wait", str(WAIT_S), *places]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=WAIT_S + _APPLY_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return (Setting(FILE, "refused", f"it can't be applied: {error}"),)
    if done.returncode in (_OK, _SOME_REFUSED) and done.stdout.strip():
        with contextlib.suppress(json.JSONDecodeError, KeyError, TypeError):
            return tuple(_setting(each) for each in json.loads(done.stdout)["settings"])
    if done.returncode == _OK:
        return None
    said, *mends = [line.strip() for line in done.stderr.strip().splitlines()] or [f"exit code {done.returncode}"]
    mend = next((line.removeprefix("→ ") for line in mends if line.startswith("→ ")), None)
    return (Setting(FILE, "refused", said.removeprefix("tidegate: "), mend),)


def _setting(told: dict[str, Any]) -> Setting:
    return Setting(told["name"], told["outcome"], told.get("said", ""), told.get("mend"))


def main(folder: Path) -> int:
    """Whether anything was refused doesn't matter here: it is said where people look."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    report = provision_from(folder, "boot partition", Places())
    if report is not None:
        os.write(sys.stdout.fileno(), report.text().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
