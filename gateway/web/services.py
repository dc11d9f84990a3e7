"""What pages stand on: one of each for the whole process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gateway.web.accounts import Accounts
from gateway.web.assets import Assets
from gateway.web.control import ControlGateway
from gateway.web.directory import Directory
from gateway.web.passwords import Passwords
from gateway.web.sessions import Sessions
from gateway.web.throttle import Throttle
from gateway.web.turns import Turns
from gateway.web.view import View
from gateway.web.visit import Section

MOST_STREAMS, STREAMS_OF_ONE = 32, 12
MOST_UPLOADS = 2
CONVERSIONS_WAITING = 4


@dataclass(frozen=True, slots=True)
class Services:
    state: Path
    """The page's own directory."""
    control: ControlGateway
    accounts: Accounts
    sessions: Sessions
    throttle: Throttle
    passwords: Passwords
    directory: Directory
    assets: Assets
    view: View
    streams: Turns
    """One for each stream that is passed on: the control API takes 64 connections, and other calls need theirs."""
    conversions: Turns
    """One for each workbook that is converted."""
    uploads: asyncio.Semaphore
    """One for each large body: it is held in memory until it is here."""

    stopping: asyncio.Event
    """Set when the process ends: whatever has no end of its own ends then."""

    @classmethod
    def of(cls, control: ControlGateway, state: Path, sections: Sequence[Section]) -> Self:
        """For one gateway. Raises OSError where `state` can't be used."""
        assets, throttle = Assets(), Throttle(state)
        return cls(
            state,
            control,
            Accounts(control, throttle),
            Sessions(state),
            throttle,
            Passwords(),
            Directory(control),
            assets,
            View(assets, sections),
            Turns(MOST_STREAMS, STREAMS_OF_ONE),
            Turns(1, 1, waiting=CONVERSIONS_WAITING),
            asyncio.Semaphore(MOST_UPLOADS),
            asyncio.Event(),
        )

    def save(self) -> None:
        """What is to be known after the next start."""
        self.sessions.save()
        self.throttle.save()
