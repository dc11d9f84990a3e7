"""The change that isn't confirmed: a record in ``/run`` beside what it changed, and a timer of the system's own.

Order makes it safe: the timer runs before anything is changed, and the record goes after everything is as it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from gateway.ops.files import sync_directory, write_atomically
from gateway.ops.machine import MachineRefused, Network, Time, Unconfirmed
from tidegate_appliance import machine, network
from tidegate_appliance.commands import CommandFailed, run
from tidegate_appliance.places import Places

UNIT = "tidegate-take-back"
_COMMAND_S = 20.0


@dataclass(frozen=True, slots=True)
class Record:
    """What runs and isn't confirmed."""

    id: str
    what: Literal["network", "time"]
    subject: str
    until_s: float
    """By CLOCK_BOOTTIME: what is set meanwhile of the time doesn't matter."""
    settings: dict[str, Any]

    @classmethod
    def begun(cls, what: Literal["network", "time"], subject: str, within_s: float, settings: Network | Time) -> Self:
        return cls(secrets.token_hex(8), what, subject, _now_s() + within_s, asdict(settings))

    @property
    def network(self) -> Network:
        given = self.settings
        return Network(given["dhcp"], given["address"], given["gateway"], tuple(given["dns"]))

    @property
    def time(self) -> Time:
        return Time(self.settings["timezone"], tuple(self.settings["servers"]))

    def told(self) -> Unconfirmed:
        address = self.settings.get("address")
        left_s = max(0.0, round(self.until_s - _now_s(), 1))
        return Unconfirmed(
            self.id, self.what, self.subject, left_s, None if address is None else address.partition("/")[0]
        )


def _now_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def current(places: Places) -> Record | None:
    """The one that waits. Raises OSError."""
    try:
        return Record(**json.loads(_record(places).read_bytes()))
    except FileNotFoundError:
        return None


def begin(record: Record, places: Places) -> None:
    """From here on it is taken back by itself, though it doesn't count yet. Raises MachineRefused, OSError,
    CommandFailed."""
    if current(places) is not None:
        raise MachineRefused("a change of the machine isn't confirmed yet", "confirm it or take it back first")
    within_s = max(1, round(record.until_s - _now_s()))
    _stop_timer()
    run(
        [
            *("systemd-run", "--quiet", f"--on-active={within_s}s", "--timer-property=AccuracySec=500ms"),
            *("--timer-property=RemainAfterElapse=no", f"--unit={UNIT}"),
        ],
        longest_s=_COMMAND_S,
    )
    path = _record(places)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(record)).encode())


def take_up(record: Record, places: Places) -> None:
    """Let it count. Raises OSError, CommandFailed."""
    if record.what == "network":
        _write(network_trial(record.subject, places), network.render(record.subject, record.network))
        network.take_up()
        return
    _keep_timezone(places)
    machine.set_timezone(record.time.timezone, places)
    # The first line takes back what other files name; a later name outweighs an earlier one (timesyncd.conf(5)).
    _write(time_trial(places), f"[Time]\nNTP=\nNTP={' '.join(record.time.servers)}\n")
    _restart_timesyncd()


def confirm(places: Places) -> None:
    """Keep it over restarts. Raises MachineRefused, OSError, CommandFailed."""
    record = current(places)
    if record is None:
        raise MachineRefused("no change of the machine waits to be confirmed", "make it again")
    trial = network_trial(record.subject, places) if record.what == "network" else time_trial(places)
    if not trial.exists():  # confirmed before it began to count
        take_up(record, places)
    if record.what == "network":
        network.keep(record.subject, record.network, places)
        # systemd-networkd has read it and doesn't look again before it is told to: nothing moves.
        trial.unlink(missing_ok=True)
    else:
        trial.unlink(missing_ok=True)
        machine.set_time_servers(record.time.servers, places)
        places.timezone_before.unlink(missing_ok=True)
        # A link that a power cut brings back would take back what is confirmed.
        sync_directory(places.timezone_before.parent)
    _over(places)
    _stop_timer()


def take_back(places: Places) -> bool:
    """Everything is as it was before. False if nothing waits. Raises OSError, CommandFailed."""
    record = current(places)
    if record is None:
        return False
    if record.what == "network":
        network_trial(record.subject, places).unlink(missing_ok=True)
        try:
            network.take_up()
        except CommandFailed:  # what brings the old settings back must not hang on the new ones
            run(["systemctl", "restart", "systemd-networkd.service"], longest_s=_COMMAND_S)
    else:
        time_trial(places).unlink(missing_ok=True)
        if places.timezone_before.is_symlink():
            os.replace(places.timezone_before, places.localtime)
        with contextlib.suppress(CommandFailed):  # it is as it was; who follows no server now didn't before
            _restart_timesyncd()
    _over(places)
    _stop_timer()
    return True


def network_trial(interface: str, places: Places) -> Path:
    """Comes before the file that is kept by its name, and is gone after a restart."""
    return places.runtime / "systemd" / "network" / f"40-{interface}.network"


def time_trial(places: Places) -> Path:
    return places.runtime / "systemd" / "timesyncd.conf.d" / "trial.conf"


def _record(places: Places) -> Path:
    return places.runtime / "tidegate-agent" / "unconfirmed.json"


def _over(places: Places) -> None:
    _record(places).unlink(missing_ok=True)


def _write(path: Path, body: str) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_atomically(path, body.encode())


def _keep_timezone(places: Places) -> None:
    """The old one, for `take_back` and, after a power cut, for ``tidegate-timezone.service``."""
    before = places.timezone_before
    before.parent.mkdir(parents=True, exist_ok=True)
    before.unlink(missing_ok=True)
    try:
        before.symlink_to(os.readlink(places.localtime))
    except OSError:
        before.symlink_to(machine.ZONES / "UTC")


def _stop_timer() -> None:
    """A timer that has run out, or never was, can't be stopped, and one that is left finds nothing to take back."""
    with contextlib.suppress(CommandFailed):
        run(["systemctl", "stop", f"{UNIT}.timer"], longest_s=_COMMAND_S)


def _restart_timesyncd() -> None:
    run(["systemctl", "try-restart", "systemd-timesyncd.service"], longest_s=_COMMAND_S)
