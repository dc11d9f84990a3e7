"""``python -m tidegate_appliance.stick FOLDER``: a USB stick that was put in and mounted (``tidegate-stick@.service``).

What is looked for: settings (``provision.toml``) and, in the folder ``TIDEGATE``, signed bundles (``*.raucb``). The
newest bundle for this machine is installed if it is newer than what runs; it runs after the next restart, which is left
to whoever stands there. What became of it is said on the console and written beside the bundles.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.control.client import ControlClient, NotPermitted, NotRunning, Refused
from gateway.ops.files import write_atomically
from tidegate_appliance.commands import CommandFailed, run
from tidegate_appliance.places import Places
from tidegate_appliance.provision import provision_from
from tidegate_appliance.refusals import refused
from tidegate_appliance.release import is_older, release_of
from tidegate_appliance.trial import TrialFile, start_of

log = logging.getLogger(__name__)

FOLDER: Final = "TIDEGATE"
SOCKET: Final = Path("/run/tidegate/control.sock")
_MOST: Final = 20
"""Bundles that are looked at."""
_PART: Final = 4 << 20
_CALL_S: Final = 120.0
_ANSWER_S: Final = 60.0
"""What RAUC is asked for may take as long as its D-Bus calls."""
_ASK_AGAIN_S: Final = 5.0
_ASK_LONGEST_S: Final = 600.0
"""An installation takes minutes, and RAUC goes on with it in its own service if the gateway ends meanwhile."""
_UNHEARD: Final = (NotRunning, NotPermitted, Refused)
_SAID_EVERY: Final = 10
"""Percent."""

RAUC: Final[tuple[str, ...]] = ("/usr/bin/rauc",)


@dataclass(frozen=True, slots=True)
class Found:
    """A bundle that may be installed: on the stick, then where the gateway has it."""

    path: Path
    version: str


class Stick:
    """What is done with a stick that is mounted at `folder`."""

    def __init__(self, places: Places, client: ControlClient, rauc: Sequence[str] = RAUC) -> None:
        self._places = places
        self._client = client
        self._rauc = rauc
        self._lines: list[str] = []

    @property
    def report(self) -> str:
        """What was done, for people; empty if nothing was there for it."""
        if not self._lines:
            return ""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return "\r\n".join([f"Update of {socket.gethostname()} at {at}:", "", *self._lines, ""])

    def hand_over(self, folder: Path) -> Found | None:
        """Choose a bundle and give it to the gateway. None: there is nothing to install."""
        found = self._newest(folder / FOLDER)
        if found is None:
            return None
        try:
            return Found(Path(self._sent(found)), found.version)
        except (*_UNHEARD, OSError) as error:
            self._say(f"{found.path.name} wasn't installed: {error}")
            return None

    def install(self, found: Found) -> None:
        """Have the gateway install what it was given, and wait for the end."""
        try:
            self._client.post("/v1/update/install", {"path": str(found.path)}, timeout_s=_CALL_S)
        except (NotPermitted, Refused) as error:
            self._say(f"It wasn't installed: {error}")
            return
        except NotRunning as error:
            log.warning("%s", error)  # whether it has begun is asked below
        body = self._ended(found.version)
        if body is None:
            self._say("The gateway doesn't say how it ended, so it may be installed: see tidegate update status.")
        elif body["installation"] is not None and body["installation"]["state"] == "failed":
            self._say(f"It wasn't installed: {body['installation']['detail']}")
        else:
            self._say(f"{body['trial']['sentence'] if body['trial'] else 'It is installed'}: now switch off and on.")

    def _ended(self, version: str) -> dict[str, Any] | None:
        """What the gateway says when it is over; None: it says nothing in time."""
        with contextlib.suppress(*_UNHEARD):
            self._follow()
        deadline = time.monotonic() + _ASK_LONGEST_S
        while True:
            with contextlib.suppress(*_UNHEARD):
                body: dict[str, Any] = self._client.get("/v1/update")
                if _is_over(body, version):
                    return body
            if time.monotonic() >= deadline:
                return None
            time.sleep(_ASK_AGAIN_S)

    def _follow(self) -> None:
        said = -_SAID_EVERY
        for event in self._client.events("/v1/update/progress"):
            if event.data["percent"] >= said + _SAID_EVERY:
                said = event.data["percent"]
                log.info("%d %%: %s", said, event.data["doing"])

    def _newest(self, folder: Path) -> Found | None:
        if not folder.is_dir():
            return None
        bundles = sorted(path for path in folder.glob("*.raucb") if path.is_file() and not path.name.startswith("."))
        good = [found for path in bundles[:_MOST] if (found := self._looked_at(path)) is not None]
        if not good:
            return None
        newest = good[0]
        for found in good[1:]:
            if is_older(newest.version, found.version):
                newest = found
        self._say(
            f"{newest.path.name} has version {newest.version} and is being installed, which takes minutes: leave the "
            "stick in and the power on."
        )
        return newest

    def _looked_at(self, path: Path) -> Found | None:
        """A bundle that may be installed; of another is said why not."""
        running = release_of(self._places.release)
        try:
            told: dict[str, Any] = orjson.loads(run([*self._rauc, "info", "--output-format=json", str(path)]))
        except (CommandFailed, orjson.JSONDecodeError) as error:
            self._say(f"{path.name}: {refused(str(error))}")
            return None
        version, compatible = str(told.get("version") or ""), told.get("compatible")
        attempt = self._trial()
        if running.compatible and compatible != running.compatible:
            self._say(f"{path.name}: it is for {compatible}, and this machine is {running.compatible}")
        elif not is_older(running.version, version):
            self._say(f"{path.name}: version {version or 'unknown'} isn't newer than {running.version}, which runs")
        elif attempt.get(version) == "fallen":
            self._say(f"{path.name}: version {version} didn't work here before; it is installed by hand alone")
        elif attempt.get(version) == "waiting":
            self._say(f"{path.name}: version {version} is installed already: switch off and on, or restart")
        else:
            return Found(path, version)
        return None

    def _trial(self) -> dict[str, str]:
        attempt = TrialFile(self._places.trial).read()
        return {} if attempt is None else {attempt.version: attempt.phase(start_of(self._places))}

    def _sent(self, found: Found) -> str:
        size, sent, kept = found.path.stat().st_size, 0, {"path": ""}
        with found.path.open("rb") as file:
            while part := file.read(_PART):
                kept = self._client.call(
                    "PUT", "/v1/update/upload", {"offset": sent, "size": size}, part, timeout_s=_CALL_S
                )
                sent += len(part)
        return str(kept["path"])

    def _say(self, line: str) -> None:
        self._lines.append(line)
        log.info("%s", line)


def _is_over(body: dict[str, Any], version: str) -> bool:
    """A gateway that was restarted meanwhile knows of no installation, but sees what RAUC has made of the slot."""
    if body["installation"] is not None:
        return bool(body["installation"]["state"] != "running")
    return any(slot["next"] and not slot["booted"] and slot["version"] == version for slot in body["slots"])


def attend(stick: Stick, places: Places, folder: Path) -> None:
    """All that is done with the stick that is mounted at `folder`."""
    for place in (folder, folder / FOLDER):
        report = provision_from(place, "USB stick", places, writable=True)
        if report is not None:
            log.info("%s", report.text())
    found = stick.hand_over(folder)
    if found is not None:
        stick.install(found)
    if stick.report:
        try:
            beside = folder / FOLDER / f"update-report-{socket.gethostname()}.txt"
            write_atomically(beside, stick.report.encode())
        except OSError as error:
            log.warning("no report can be written to the stick: %s", error.strerror or error)
        else:
            log.info("That stands on the stick, too, which can be pulled out now.")


def main(folder: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    places = Places()
    attend(Stick(places, ControlClient(SOCKET, _ANSWER_S)), places, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
