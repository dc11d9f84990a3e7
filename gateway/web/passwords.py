"""Passwords: hashed here and nowhere else, with argon2id, one at a time.

A hash takes 19 MiB and some tens of ms of a core, on purpose. So that nobody can have the machine do it without end,
one runs at a time and few may wait.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 10, 256
MOST_WAITING = 8
# OWASP's recommendation for argon2id, and what a small board can give.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbCEhIQ$XznKPh56f77IdHfgRBaFqb/Xnv3e8wKip9avnNfF+lY"
"""What is checked for a name that doesn't exist, so that it takes as long as for one that does."""
_OFTEN_TRIED = re.compile(
    r"((pass(word|w0rd)|qwert[yz]\w*|letmein|welcome|admin(istrator)?|changeme|iloveyou|tidegate|abc)[0-9!._-]*){1,2}"
    r"|0?1234567890*|0?987654321\w*|1q2w3e4r\w*|1qaz2wsx\w*|abcdefgh\w*"
)
Result = TypeVar("Result")


class Busy(Exception):
    """Too many passwords are being checked already."""


class Passwords:
    """Call from one event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The verifier to be kept, a PHC string. Raises Busy."""
        return await self._do(_HASHER.hash, password)

    async def fits(self, password: str, verifier: str | None) -> bool:
        """Whether a password is the right one. None: there is nobody of that name; it takes as long. Raises Busy."""
        fits = await self._do(_fits, verifier or _NOBODY, password[:LONGEST])
        return fits and verifier is not None

    async def _do(self, work: Callable[..., Result], *arguments: str) -> Result:
        if self._waiting >= MOST_WAITING:
            raise Busy("many people sign in at the moment")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self._waiting -= 1


def complaint(password: str, name: str) -> str | None:
    """Why a password can't be taken; None: it can."""
    if len(password) < SHORTEST:
        return f"it has {len(password)} characters; take at least {SHORTEST}"
    if len(password) > LONGEST:
        return f"it has over {LONGEST} characters"
    if _OFTEN_TRIED.fullmatch(password.lower()) or len(set(password)) < 4:
        return "it is one of those that are tried first; take another"
    if name and name.lower() in password.lower():
        return "your name is in it; take another"
    return None


def _fits(verifier: str, password: str) -> bool:
    try:
        return _HASHER.verify(verifier, password)
    except (VerificationError, InvalidHashError):
        return False
