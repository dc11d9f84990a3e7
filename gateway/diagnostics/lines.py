"""Whom to ask through: a link that runs, or a bus of one's own.

What only one can have (a serial port, an address to listen on) is the running link's as long as it runs. A device on it
that isn't configured yet is asked through that link, too, between its polls.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from gateway.driver import Bus, DeviceSilent, Driver, Releases
from gateway.settings import DeviceSettings, LinkSettings
from gateway.southbound import Supervisor
from gateway.southbound.asks import AskFailed
from gateway.southbound.demand import Asks
from gateway.southbound.probe import connected, opened

T = TypeVar("T")

_GUEST = "tidegate-test"
"""Name on the bus of a device that isn't configured."""


class Taken(Exception):
    """Something of this machine is needed that a running link has. The message is one sentence with its mend."""


def holder(claims: Sequence[str], links: Sequence[LinkSettings]) -> LinkSettings | None:
    """The running link that has one of `claims`."""
    wanted = {_real(claim) for claim in claims}
    return next((link for link in links if wanted & {_real(claim) for claim in link.kind.claims(link.options)}), None)


def _real(claim: str) -> str:
    return os.path.realpath(claim) if claim.startswith("/") else claim


@dataclass(frozen=True, slots=True)
class Configured:
    """A device that runs. Implements :class:`gateway.diagnostics.ladder.Running`."""

    southbound: Supervisor
    link: str
    device: str

    def link_state(self) -> tuple[str, str]:
        status = self.southbound.status()["links"][self.link]
        return status["state"], status["detail"]

    async def ask(self, call: Callable[[Driver], Awaitable[T]]) -> T:
        try:
            return await self.southbound.ask(self.device, call)
        except AskFailed as error:
            raise DeviceSilent(str(error)) from None


@dataclass(frozen=True, slots=True)
class Guest:
    """A device that isn't configured, on the bus of a link that runs. Implements the same."""

    southbound: Supervisor
    link: LinkSettings
    device: DeviceSettings

    def link_state(self) -> tuple[str, str]:
        status = self.southbound.status()["links"][self.link.name]
        return status["state"], status["detail"]

    async def ask(self, call: Callable[[Driver], Awaitable[T]]) -> T:
        async def with_driver(bus: Bus) -> T:
            driver = self.link.kind.open_device(bus, _GUEST, self.device.options)
            try:
                return await call(driver)
            finally:
                keeper: object = driver
                if isinstance(keeper, Releases):
                    await keeper.release(None)

        try:
            return await self.southbound.ask_link(self.link.name, with_driver)
        except AskFailed as error:
            raise DeviceSilent(str(error)) from None


def running(
    southbound: Supervisor, links: Sequence[LinkSettings], link: LinkSettings, device: str
) -> Configured | Guest | None:
    """Through what a device that may not be configured is to be asked; None: a bus of its own. Raises Taken."""
    owner = holder(link.kind.claims(link.options), links)
    if owner is None:
        return None
    if owner.kind is not link.kind:
        claim = ", ".join(link.kind.claims(link.options))
        raise Taken(
            f"{claim} is in use by the running link {owner.name!r} of the driver {owner.kind.name!r}: "
            "take another port, or change that link"
        )
    settings = next(each for each in link.devices if each.name == device)
    return Guest(southbound, owner, settings)


@contextlib.asynccontextmanager
async def asking(through: Configured | Guest | None, link: LinkSettings, device: str) -> AsyncIterator[Asks]:
    """A way to ask a device for as long as the context lasts. Raises LinkDown."""
    if through is not None:
        yield through.ask
        return
    bus, driver = opened(link, device)
    async with connected(bus):

        async def ask(call: Callable[[Driver], Awaitable[Any]]) -> Any:
            return await call(driver)

        yield cast(Asks, ask)
