"""The machine itself: network and time, which come back unless they are confirmed; its name; restart, reset, wipe."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.actors import Actor, Role
from gateway.audit import AuditError, AuditLog
from gateway.control.operation import Answer, Body, Call, NoQuery, Operation, Query, Refusal
from gateway.ops.machine import (
    Clock,
    Interface,
    MachineRefused,
    Machines,
    Network,
    Time,
    Unconfirmed,
    check_hostname,
)
from gateway.ops.machine.settings import MOST_SERVERS

SHORTEST_S, LONGEST_S, USUAL_S = 10.0, 600.0, 60.0

_Text = Annotated[str, Field(max_length=253)]
_Servers = Annotated[list[_Text], Field(max_length=MOST_SERVERS)]
_Within = Annotated[
    float,
    Field(ge=SHORTEST_S, le=LONGEST_S, description="Seconds in which it is to be confirmed; else it is taken back."),
]


class NetworkChange(Body):
    dhcp: bool = Field(description="Whether a DHCP server gives the address.")
    address: _Text | None = Field(
        default=None, description="With its prefix, such as `192.168.1.20/24`. Only without DHCP."
    )
    gateway: _Text | None = Field(default=None, description="The router. Only without DHCP.")
    dns: _Servers = Field(default_factory=list, description="Name servers, in order; instead of those that DHCP names.")
    within_s: _Within = USUAL_S


class TimeChange(Body):
    timezone: _Text = Field(default="UTC", description="A name of the time zone database: `Europe/Berlin`.")
    servers: _Servers = Field(
        default_factory=list, description="NTP servers. None: those that DHCP names, or the system's own."
    )
    within_s: _Within = USUAL_S


class Age(Query):
    max_age_s: float = Field(
        default=0,
        ge=0,
        le=3600,
        description="What was seen so many seconds ago will do: asking costs the machine work.",
    )


class NewHostname(Body):
    hostname: str = Field(min_length=1, max_length=63)


class Meant(Body):
    hostname: str = Field(max_length=253, description="The machine's host name: whoever types it means this one.")


@dataclass(frozen=True, slots=True)
class MachineStatus:
    appliance: bool
    """False: Tidegate is a guest on this machine, whose operating system's own tools set what is set here."""
    hostname: str
    interfaces: list[Interface]
    clock: Clock | None
    unconfirmed: Unconfirmed | None
    """A change of network or time that isn't confirmed."""


@dataclass(frozen=True, slots=True)
class UnconfirmedChange:
    appliance: bool
    unconfirmed: Unconfirmed | None


def operations(machines: Machines, audit: AuditLog) -> list[Operation[Any, Any]]:
    async def done(
        actor: Actor, action: str, subject: str, work: Callable[[], Awaitable[Any]], ending: str, **details: Any
    ) -> Any:
        """Do it, recorded before and after."""
        await audit.record(actor, action, subject, "begun", **details)
        try:
            result = await work()
        except MachineRefused as error:
            await audit.record(actor, action, subject, "refused", why=str(error))
            raise
        await audit.record(actor, action, subject, ending)
        return result

    async def get_machine(call: Call[Age, None]) -> MachineStatus:
        if not machines.here:
            return MachineStatus(False, socket.gethostname(), [], None, None)
        with _refusals():
            state = await machines.look(call.query.max_age_s)
            return MachineStatus(
                True, state.hostname, list(state.interfaces), state.clock, await machines.unconfirmed()
            )

    async def get_unconfirmed_change(_: Call[NoQuery, None]) -> UnconfirmedChange:
        with _refusals():
            return UnconfirmedChange(machines.here, await machines.unconfirmed())

    async def try_network(call: Call[NoQuery, NetworkChange]) -> Unconfirmed:
        body, interface = call.body, call.path["interface"]
        settings = Network(body.dhcp, body.address, body.gateway, tuple(body.dns))
        with _appliance(machines):
            settings.check()
            change: Unconfirmed = await done(
                call.actor, "machine.network", interface,
                lambda: machines.try_network(interface, settings, body.within_s),
                "to be confirmed", **asdict(settings), within_s=body.within_s,
            )  # fmt: skip
        return change

    async def try_time(call: Call[NoQuery, TimeChange]) -> Unconfirmed:
        body = call.body
        settings = Time(body.timezone, tuple(body.servers))
        with _appliance(machines):
            settings.check()
            change: Unconfirmed = await done(
                call.actor, "machine.time", body.timezone, lambda: machines.try_time(settings, body.within_s),
                "to be confirmed", **asdict(settings), within_s=body.within_s,
            )  # fmt: skip
        return change

    async def confirm_machine(call: Call[NoQuery, None]) -> UnconfirmedChange:
        return await decide(call.actor, machines.confirm, "confirmed")

    async def take_back_machine(call: Call[NoQuery, None]) -> UnconfirmedChange:
        return await decide(call.actor, machines.take_back, "taken back")

    async def decide(actor: Actor, how: Callable[[], Awaitable[Unconfirmed]], outcome: str) -> UnconfirmedChange:
        with _appliance(machines):
            change = await how()
            await audit.record(actor, f"machine.{change.what}", change.subject, outcome)
        return UnconfirmedChange(True, None)

    async def set_hostname(call: Call[NoQuery, NewHostname]) -> MachineStatus:
        name = call.body.hostname
        with _appliance(machines):
            check_hostname(name)
            renamed = partial(machines.do, lambda found: found.set_hostname(name))
            await done(call.actor, "machine.hostname", name, renamed, "done")
        return await get_machine(Call(call.actor, {}, Age(), None, call.headers))

    async def restart_machine(call: Call[NoQuery, None]) -> None:
        with _appliance(machines):
            restart = partial(machines.do, lambda found: found.restart())
            await done(call.actor, "machine.restart", socket.gethostname(), restart, "under way")

    async def reset_machine(call: Call[NoQuery, Meant]) -> None:
        await erase(call, "reset")

    async def wipe_machine(call: Call[NoQuery, Meant]) -> None:
        await erase(call, "wipe")

    async def erase(call: Call[NoQuery, Meant], how: Literal["reset", "wipe"]) -> None:
        with _appliance(machines):
            name = (await machines.look()).hostname
            if call.body.hostname != name:
                raise MachineRefused(
                    f"{call.body.hostname!r} isn't this machine's host name", "type its host name", "hostname"
                )
            work = partial(machines.do, lambda found: found.reset() if how == "reset" else found.wipe())
            await done(call.actor, f"machine.{how}", name, work, "under way")

    def changing(method: str, path: str, name: str, summary: str, handle: Any, answer: Answer, body: Any = None) -> Any:
        return Operation(
            method, f"/v1/machine/{path}", name, Role.ADMIN, summary, handle, answer, body=body,
            refusals=(409, 501, 503),
        )  # fmt: skip

    on_trial = Answer(
        Unconfirmed, status=202, description="It counts in a moment, and is taken back unless it is confirmed."
    )
    begun = Answer(status=204, description="It has begun.")
    return [
        Operation(
            "GET", "/v1/machine", "get_machine", Role.VIEWER,
            "Say what the machine's network, time and name are, and what isn't confirmed of them.",
            get_machine, Answer(MachineStatus), Age, refusals=(409,),
        ),
        Operation(
            "GET", "/v1/machine/unconfirmed", "get_unconfirmed_change", Role.VIEWER,
            "Say which change of network or time waits to be confirmed.",
            get_unconfirmed_change, Answer(UnconfirmedChange), refusals=(409,),
        ),
        changing(
            "PUT", "network/{interface}", "try_network",
            "Give a network interface other settings, which are taken back unless they are confirmed.",
            try_network, on_trial, NetworkChange,
        ),
        changing(
            "PUT", "time", "try_time",
            "Set time zone and time servers, which are taken back unless they are confirmed.",
            try_time, on_trial, TimeChange,
        ),
        changing(
            "POST", "confirm", "confirm_machine", "Keep the change of network or time that runs.", confirm_machine,
            Answer(UnconfirmedChange),
        ),
        changing(
            "POST", "take-back", "take_back_machine", "Take back the change of network or time that runs.",
            take_back_machine, Answer(UnconfirmedChange),
        ),
        changing(
            "PUT", "hostname", "set_hostname", "Give the machine another host name, at once and for good.",
            set_hostname, Answer(MachineStatus), NewHostname,
        ),
        changing("POST", "restart", "restart_machine", "Restart the machine.", restart_machine, begun),
        changing(
            "POST", "reset", "reset_machine",
            "Restart the machine with the settings it came with: configuration, users and what is stored are gone.",
            reset_machine, begun, Meant,
        ),
        changing(
            "POST", "wipe", "wipe_machine",
            "Restart the machine as it came from the factory, all keys and data destroyed.",
            wipe_machine, begun, Meant,
        ),
    ]  # fmt: skip


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """MachineRefused becomes a refusal: 422 where a field is wrong, else 409."""
    try:
        yield
    except MachineRefused as error:
        if error.field is None:
            raise Refusal(409, "machine-refused", str(error), error.mend) from None
        problem = {"message": str(error), "mend": error.mend, "field": error.field}
        raise Refusal(422, "machine-invalid", str(error), error.mend, problems=(problem,)) from None
    except AuditError as error:
        raise Refusal(503, "unwritable", f"{error}; nothing was changed", "mend the disk") from None


@contextlib.contextmanager
def _appliance(machines: Machines) -> Iterator[None]:
    """The same; 501 where this is none."""
    if not machines.here:
        raise Refusal(
            501,
            "no-appliance",
            "Tidegate doesn't look after the machine it runs on: this installation is no appliance",
            "use the tools of its operating system",
        )
    with _refusals():
        yield
