"""``python -m tidegate_appliance.health``: confirm the slot that runs, or give it up.

After the first starts of a release the gateway must answer, its journal be writable, and of what worked before
something must work again; then the slot is good. If not within the time that is given, this ends with an error, upon
which the unit restarts the machine; the boot loader counts, and goes back to the other slot by itself.

A release that has proved itself before is confirmed as soon as the gateway answers, and never given up. If what was
noted of a trial can't be read, what runs is on trial unless it is known to have been kept.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

from gateway.control.client import ControlClient, NotPermitted, NotRunning, Refused
from gateway.ops.files import write_atomically
from gateway.ops.slots import UpdateRefused
from gateway.ops.wellness import known, well
from tidegate_appliance.fallen import record
from tidegate_appliance.kept import read_kept
from tidegate_appliance.places import Places
from tidegate_appliance.release import release_of
from tidegate_appliance.slots import RaucSlots
from tidegate_appliance.trial import Attempt, TrialFile, start_of

log = logging.getLogger(__name__)

WITHIN_S: Final = 300.0
SETTINGS: Final = "/etc/tidegate/health.env"
"""Where the unit has what is given to it from."""
_PAUSE_S: Final = 2.0
_ANSWER_S: Final = 10.0
_ENTRIES: Final = 2000
"""Of the log: as many as the gateway keeps."""
_DISK: Final = "disk"
"""The journal's alarm while it can't be written."""

_KINDS: Final = (
    ("device", "no device answers of those that did"),
    ("sink", "no broker is connected of those that were"),
)


def missing(status: Mapping[str, Any], before: Collection[str]) -> str:
    """What keeps a gateway from being well, in one sentence; empty if nothing.

    `before`: what worked. Of the devices and of the sinks among it that still are there, one each is enough: a machine
    that is switched off meanwhile is no fault of a release.
    """
    if (said := status["journal"]["alarms"].get(_DISK)) is not None:
        return str(said)
    there, works = known(status), well(status)
    for kind, sentence in _KINDS:
        wanted = {name for name in before if name.startswith(f"{kind} ")} & there
        if wanted and not wanted & works:
            return f"{sentence}: {', '.join(sorted(name.partition(' ')[2] for name in wanted))}"
    return ""


class Health:
    """One start's check."""

    def __init__(
        self,
        places: Places,
        status: Callable[[], Awaitable[Mapping[str, Any]]],
        logs: Callable[[], Awaitable[Mapping[str, Any]]],
        *,
        within_s: float = WITHIN_S,
        pause_s: float = _PAUSE_S,
    ) -> None:
        """`status`, `logs`: of the gateway; they raise OSError, or what the control API's client does."""
        self._places = places
        self._slots = RaucSlots(places)
        self._trial = TrialFile(places.trial)
        self._status = status
        self._logs = logs
        self._within_s = within_s
        self._pause_s = pause_s
        self.on_trial = False

    async def check(self) -> bool:
        """Whether what runs may go on. Returns once it is confirmed, or given up."""
        begun = time.monotonic()
        attempt = self._attempt()
        before = () if attempt is None else attempt.well
        said = ""
        while (why := await self._missing(before)) or (why := await self._confirmed()):
            if self.on_trial and time.monotonic() - begun >= self._within_s:
                log.error("%s is on trial and didn't work: %s; the machine restarts", self._version, why)
                if attempt is not None:
                    self._trial.change(attempt, failure=why)
                await self._remember(why)
                return False
            if why != said:
                log.info("waiting: %s", why)
                said = why
            await asyncio.sleep(self._pause_s)
        log.info("%s works and is kept (%.0f s)", self._version, time.monotonic() - begun)
        return True

    @property
    def _version(self) -> str:
        return release_of(self._places.release).version

    def _attempt(self) -> Attempt | None:
        """What this start is the trial of; None: of none, or of one that can't be read. What is over is put down."""
        start, attempt = start_of(self._places), self._trial.read()
        if attempt is None:
            kept = read_kept(self._places.kept)
            self.on_trial = self._trial.lost and (kept is None or kept.slot != start.slot)
            return None
        phase = attempt.phase(start)
        self.on_trial = phase == "running"
        if phase == "cut":
            log.warning("the installation of %s was cut off; %s runs as before", attempt.version, self._version)
            self._trial.change(attempt, state="dropped")
        elif phase == "fallen":
            log.error("%s", attempt.sentence(phase))
            if attempt.state != "fallen":
                self._trial.change(attempt, state="fallen")
        elif self.on_trial and attempt.state != "installed":
            # It runs: it was written wholly, though nobody was there to see that; what came of it before is over.
            attempt = self._trial.change(attempt, state="installed")
        return attempt if self.on_trial else None

    async def _missing(self, before: Collection[str]) -> str:
        try:
            status = await self._status()
            return missing(status, before) if self.on_trial else ""
        except (NotRunning, NotPermitted, Refused, OSError) as error:
            return f"the gateway doesn't answer: {error}"

    async def _confirmed(self) -> str:
        """Why the slot can't be confirmed; empty: it is."""
        try:
            await self._slots.confirm()
        except (UpdateRefused, OSError) as error:
            return f"the slot can't be confirmed: {error}"
        return ""

    async def _remember(self, why: str) -> None:
        """The log is in memory, and gone after the restart: keep its end. Whatever goes wrong, the restart comes."""
        try:
            entries, missed = (await self._logs())["entries"], ""
        except Exception as error:  # noqa: BLE001 - what is asked here is what just failed
            entries, missed = [], f"\nIts log can't be had: {error}"
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            body = record(f"{at}: {self._version} is on trial and didn't work: {why}{missed}", entries)
            write_atomically(self._places.fallen_log, body, 0o600)
        except Exception:
            log.exception("the log of this start can't be kept")


def seconds(text: str) -> float:
    """What was set for a trial. Anything else than a number of seconds above 0 is said and doesn't count."""
    try:
        given = float(text)
    except ValueError:
        given = math.nan
    if 0 < given < math.inf:
        return given
    log.error(
        "WITHIN in %s is %r, so a release on trial has %.0f s: write a number of seconds, such as WITHIN=900",
        SETTINGS,
        text,
        WITHIN_S,
    )
    return WITHIN_S


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    health = None
    try:
        given = _arguments()
        client = ControlClient(given.socket, _ANSWER_S)
        health = Health(
            Places(given.root),
            lambda: asyncio.to_thread(client.status),
            lambda: asyncio.to_thread(client.get, "/v1/logs", limit=_ENTRIES),
            within_s=seconds(given.within),
        )
        return 0 if asyncio.run(health.check()) else 1
    except Exception:
        log.exception("the slot can't be checked")
        return 1 if health is not None and health.on_trial else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Confirm the slot that runs, or give it up.")
    parser.add_argument("--within", default=str(WITHIN_S), metavar="SECONDS", help="for a release on trial")
    parser.add_argument("--socket", type=Path, default=Path("/run/tidegate/control.sock"))
    parser.add_argument("--root", type=Path, default=Path("/"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
