"""Users, tokens and the claim code, as the control API keeps them for the page.

The gateway keeps hashes and never sees a password; the page hashes and keeps nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from gateway.actors import Actor, Role
from gateway.control.client import NotPermitted, NotRunning, Refused, segment
from gateway.web.control import PAGE, ControlGateway
from gateway.web.throttle import Throttle

FRESH_S = 5.0
"""How late the page notices that somebody was disabled, given another role or another password."""
CLAIM_FRESH_S = 1.0
_MOST_KEPT = 256
_MOST_KNOWN = 1000
_TOKEN = re.compile(r"tidegate_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")
"""What a token looks like: the gateway isn't asked about anything else."""


@dataclass(frozen=True, slots=True)
class Account:
    """What is to be known of a user."""

    name: str
    role: Role
    verifier: str
    version: int
    disabled: bool
    must_change: bool


@dataclass(frozen=True, slots=True)
class Pass:
    """A token's rights."""

    actor: Actor
    scopes: tuple[str, ...]
    """Parts of the API it is good for; none: all that its role may."""


class TooFast(Exception):
    """Too many unknown tokens came from an address."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"wait {wait_s:.0f} s")
        self.wait_s = wait_s


class Accounts:
    """Asks the control API, and remembers for a few seconds what it said.

    What strangers can have asked is bounded: the gateway has better to do.
    """

    def __init__(self, control: ControlGateway, throttle: Throttle) -> None:
        self._control = control
        self._throttle = throttle
        self._claimable: tuple[float, bool] | None = None
        self._asking_claimable = asyncio.Lock()
        self._known: OrderedDict[str, None] = OrderedDict()
        """Hashes of tokens that were good when they last came."""
        self._standing: OrderedDict[str, tuple[float, int | None]] = OrderedDict()
        """User → (when asked, version; None: may not come in)."""
        self._passes: OrderedDict[str, tuple[float, Pass | Refused]] = OrderedDict()
        """Hash of a token and what it is for → (when asked, what was said)."""

    async def find(self, name: str) -> Account | None:
        """A user, whether disabled or not; None: there is none. Raises what a call raises."""
        try:
            told = await self._control.get(PAGE, f"/v1/sign-in/users/{segment(name)}")
        except Refused as refused:
            if refused.status in {404, 422}:
                return None
            raise
        return Account(
            told["name"], Role(told["role"]), told["verifier"], told["version"], told["disabled"], told["must_change"]
        )

    async def stands(self, name: str, version: int) -> bool:
        """Whether a session of a user, begun under a version of the account, still holds.

        While the gateway doesn't answer it does: nothing can be done in it then.
        """
        now = time.monotonic()
        asked, current = self._standing.get(name, (0.0, None))
        if name not in self._standing or now - asked > FRESH_S:
            try:
                account = await self.find(name)
            except (NotRunning, NotPermitted):
                return True
            current = None if account is None or account.disabled else account.version
            _keep(self._standing, name, (now, current))
        return current == version

    def forget(self, name: str) -> None:
        """Ask again about a user: something was changed."""
        self._standing.pop(name, None)

    async def admit(self, token: str, part: str, address: str) -> Pass:
        """Whom a token speaks for; `part`: the word after ``/v1/``; `address`: where it came from.

        Raises Refused, TooFast, or what a call raises. A token that was good before is never TooFast.
        """
        if not _TOKEN.fullmatch(token):
            raise Refused(403, {"code": "refused", "detail": "the token isn't one of a gateway"})
        key = hashlib.sha256(f"{part}\n{token}".encode()).hexdigest()
        asked, said = self._passes.get(key, (0.0, None))
        if said is None or time.monotonic() - asked > FRESH_S:
            said = await self._asked(token, part, address)
            _keep(self._passes, key, (time.monotonic(), said))
        if isinstance(said, Refused):
            raise said
        return said

    async def _asked(self, token: str, part: str, address: str) -> Pass | Refused:
        digest = hashlib.sha256(token.encode()).hexdigest()
        if digest not in self._known and (wait_s := self._throttle.wait_of_token_s(address)) > 0:
            raise TooFast(wait_s)
        try:
            told = await self._control.post(PAGE, "/v1/sign-in/tokens", {"token": token, "part": part})
        except Refused as refused:
            if refused.code == "refused":
                self._known.pop(digest, None)
                self._throttle.unknown_token(address)
            return refused
        _keep(self._known, digest, None, _MOST_KNOWN)
        return Pass(Actor(told["name"], Role(told["role"]), told["via"]), tuple(told["scopes"]))

    async def claimable(self) -> bool:
        """Whether this gateway has no user yet, and a claim code makes the first."""
        async with self._asking_claimable:
            if self._claimable is None or time.monotonic() - self._claimable[0] > CLAIM_FRESH_S:
                told = await self._control.get(PAGE, "/v1/sign-in/claim")
                self._claimable = time.monotonic(), bool(told["claimable"])
            return self._claimable[1]

    async def claim(self, code: str, name: str, verifier: str, address: str) -> None:
        """Make the first admin. Raises Refused."""
        body = {"code": code, "name": name, "verifier": verifier, "address": address}
        try:
            await self._control.post(PAGE, "/v1/sign-in/claim", body)
        finally:
            self._claimable = None

    async def set_password(self, actor: Actor, verifier: str) -> None:
        """Give `actor` another password. Raises Refused."""
        await self._control.call(actor, "PUT", "/v1/sign-in/password", None, {"verifier": verifier})
        self.forget(actor.name)

    async def note(self, name: str, action: str, outcome: str, address: str) -> None:
        """Into the audit log: somebody signed in or out, or tried to. Raises what a call raises."""
        body = {"name": name, "action": action, "outcome": outcome, "address": address}
        await self._control.post(PAGE, "/v1/sign-in/attempts", body)


def _keep(table: OrderedDict[str, Any], key: str, value: Any, most: int = _MOST_KEPT) -> None:
    table.pop(key, None)
    table[key] = value
    while len(table) > most:
        table.popitem(last=False)
