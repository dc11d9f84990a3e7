"""One connection: who asks is checked, one line is read, it is done, one line is answered."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pwd
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from gateway.ops.machine import MachineRefused, check_hostname, check_interface
from tidegate_appliance import erase
from tidegate_appliance.agent import state, unconfirmed
from tidegate_appliance.agent.requests import (
    REQUEST,
    Confirm,
    Erase,
    Look,
    Request,
    Restart,
    SetHostname,
    TakeBack,
    TryNetwork,
    TryTime,
    Unconfirmed,
)
from tidegate_appliance.commands import CommandFailed, run
from tidegate_appliance.identity import keep_name
from tidegate_appliance.places import Places

log = logging.getLogger(__name__)

USER = "tidegate"
LONGEST_LINE = 16 << 10
READ_S = 5.0
ANSWERED_S = 1.0
"""Between an answer and a change that may cut off the way it has to go."""

Afterwards = Callable[[], None]


def serve(connection: socket.socket, places: Places, allowed: frozenset[int]) -> bool:
    """False if it was refused. `allowed`: user ids that may ask."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid not in allowed:
        log.error("process %d of user %d may not ask for anything", pid, uid)
        _answer(connection, {"error": "this is for the gateway alone", "mend": "call: tidegate machine"})
        return False
    afterwards: Afterwards | None = None
    try:
        request = REQUEST.validate_json(_line(connection))
        with contextlib.nullcontext() if isinstance(request, Look | Unconfirmed) else _alone(places):
            told, afterwards = _done(request, places)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        said = f"the request isn't understood: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        log.error("%s", said)
        _answer(connection, {"error": said, "mend": "gateway and appliance must be of one release"})
        return False
    except MachineRefused as error:
        _answer(connection, {"error": str(error), "mend": error.mend, "field": error.field})
        return False
    except (CommandFailed, OSError, TimeoutError) as error:
        log.error("%s", error)
        _answer(connection, {"error": str(error), "mend": "see on the machine: journalctl -u 'tidegate-agent@*'"})
        return False
    _answer(connection, {"answer": told})
    connection.close()
    if afterwards is not None:
        time.sleep(ANSWERED_S)
        with _alone(places):
            afterwards()
    return True


def allowed_users() -> frozenset[int]:
    """The gateway's user, and root. Raises KeyError where there is no such user."""
    return frozenset({0, pwd.getpwnam(USER).pw_uid})


def _done(request: Request, places: Places) -> tuple[Any, Afterwards | None]:
    """(the answer, what is still to be done when it was sent)."""
    match request:
        case Look():
            return asdict(state.look(places)), None
        case Unconfirmed():
            record = unconfirmed.current(places)
            return None if record is None else asdict(record.told()), None
        case TryNetwork():
            settings = request.settings
            settings.check()
            check_interface(request.interface)
            there = {each.name: each for each in state.interfaces(places)}
            found = there.get(request.interface)
            if found is None:
                raise MachineRefused(
                    f"there is no interface {request.interface}", f"there are: {', '.join(there)}", "interface"
                )
            if found.settings is None:
                raise MachineRefused(
                    f"{request.interface} was set by hand, in {found.file}", "take that file away first", "interface"
                )
            return _begun(
                unconfirmed.Record.begun("network", request.interface, request.within_s, settings), places
            )  # fmt: skip
        case TryTime():
            wanted = request.settings
            wanted.check()
            return _begun(unconfirmed.Record.begun("time", wanted.timezone, request.within_s, wanted), places)
        case Confirm():
            unconfirmed.confirm(places)
        case TakeBack():
            if not unconfirmed.take_back(places):
                raise MachineRefused("no change of the machine waits to be confirmed", "it was taken back already")
        case SetHostname():
            check_hostname(request.name)
            keep_name(places, request.name)
            run(["hostnamectl", "--transient", "hostname", request.name], longest_s=20)
        case Restart():
            return None, lambda: _ran(["systemctl", "--no-block", "reboot"])
        case Erase():
            kind = request.verb
            erase.ask_to_erase(kind, places)
            return None, lambda: _ran(["systemctl", "--no-block", "reboot"])
    return None, None


def _begun(record: unconfirmed.Record, places: Places) -> tuple[Any, Afterwards]:
    unconfirmed.begin(record, places)

    def afterwards() -> None:
        waiting = unconfirmed.current(places)
        if waiting is None or waiting.id != record.id:  # decided before it began
            return
        try:
            unconfirmed.take_up(record, places)
        except (CommandFailed, OSError) as error:
            log.error("the change doesn't work and is taken back: %s", error)
            unconfirmed.take_back(places)

    return asdict(record.told()), afterwards


def _ran(command: list[str]) -> None:
    try:
        run(command)
    except CommandFailed as error:
        log.error("%s", error)


def _line(connection: socket.socket) -> bytes:
    """One line, in a bounded time and size. Raises MachineRefused, TimeoutError."""
    deadline, line = time.monotonic() + READ_S, b""
    while not line.endswith(b"\n"):
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        chunk = connection.recv(4096)
        line += chunk
        if not chunk or len(line) > LONGEST_LINE:
            raise MachineRefused("the request isn't one line", "gateway and appliance must be of one release")
    return line


def _answer(connection: socket.socket, body: Any) -> None:
    try:
        connection.settimeout(READ_S)
        connection.sendall(json.dumps(body).encode() + b"\n")
    except OSError as error:  # who asked has gone; what was asked for is done
        log.info("nobody waits for the answer: %s", error)


@contextlib.contextmanager
def _alone(places: Places) -> Iterator[None]:
    """One request after the other, whichever process serves it."""
    path = places.runtime / "tidegate-agent" / "lock"
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def take_back(places: Places) -> None:
    """What the timer calls. Raises OSError, CommandFailed."""
    with _alone(places):
        if unconfirmed.take_back(places):
            log.warning("a change of the machine was taken back, since nobody confirmed it")
