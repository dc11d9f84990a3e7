"""Who is signed in. Sessions are kept here, not in the browser: it holds only a random name for one.

What is written down is the hash of that name, so the file gives nobody a way in. Times are those of the kernel's boot
clock, which no change of the date moves; a restart of the machine ends every session.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from gateway.actors import Actor, Role
from gateway.ops.files import write_atomically

log = logging.getLogger(__name__)

COOKIE = "__Host-tidegate"
"""The prefix makes browsers refuse it unless it is Secure, of this host alone and for every path."""
LONGEST_S = 12 * 3600.0
"""A session ends so long after the sign-in, whatever happens."""
IDLE_S = 3600.0
"""And so long after the last request."""
MOST_PER_USER = 16
MOST = 512
_SAVE_EVERY_S = 60.0
"""How late the time of a last request may be in the file: a page that is watched doesn't wear the flash."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser, signed in."""

    id: str
    """SHA-256 of the cookie, hex."""
    user: str
    role: Role
    started_s: float
    seen_s: float
    """Both by the boot clock."""
    address: str
    agent: str
    """The browser, as it calls itself."""
    version: int
    """Of the account: under another one the session is over."""
    must_change: bool = False
    """The password was given by somebody else: it is good for choosing another one only."""

    @property
    def actor(self) -> Actor:
        return Actor(self.user, self.role, "page")

    def ended(self, now_s: float) -> bool:
        return now_s - self.started_s > LONGEST_S or now_s - self.seen_s > IDLE_S


class Sessions:
    """Every session. All methods return at once; what changes is on the disk before they do.

    Where the disk takes nothing, what is on it is taken away: nobody is kept out now, and no session that has ended
    comes back with the next start.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "sessions.json"
        self._boot = boot_id()
        self._sessions: dict[str, Session] = {session.id: session for session in self._load()}
        self._saved_s = now_s()

    def __iter__(self) -> Iterator[Session]:
        now = now_s()
        return iter([session for session in self._sessions.values() if not session.ended(now)])

    def begin(
        self, user: str, role: Role, address: str, agent: str, version: int = 1, *, must_change: bool = False
    ) -> str:
        """A new session; returns its cookie. The oldest of a user who has too many ends."""
        cookie, now = secrets.token_urlsafe(32), now_s()
        self._forget_ended()
        mine = sorted((session for session in self if session.user == user), key=lambda session: session.seen_s)
        everybodys = sorted(self, key=lambda session: session.seen_s)
        for old in (*mine[: max(0, len(mine) - MOST_PER_USER + 1)], *everybodys[: max(0, len(everybodys) - MOST + 1)]):
            self._sessions.pop(old.id, None)
        key = _hash(cookie)
        self._sessions[key] = Session(key, user, role, now, now, address[:64], agent[:200], version, must_change)
        self._save()
        return cookie

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie, seen now."""
        session = self._sessions.get(_hash(cookie))
        now = now_s()
        if session is None or session.ended(now):
            return None
        session = self._sessions[session.id] = replace(session, seen_s=now)
        if now - self._saved_s > _SAVE_EVERY_S:
            self._save()
        return session

    def alive(self, session_id: str) -> bool:
        """Whether a session still stands. Doesn't count as a request."""
        session = self._sessions.get(session_id)
        return session is not None and not session.ended(now_s())

    def renew(self, cookie: str, version: int) -> str | None:
        """The same session under a new cookie, after its user chose a new password."""
        session = self._sessions.pop(_hash(cookie), None)
        if session is None:
            return None
        fresh = secrets.token_urlsafe(32)
        key = _hash(fresh)
        self._sessions[key] = replace(session, id=key, version=version, must_change=False)
        self._save()
        return fresh

    def end(self, session_id: str) -> None:
        if self._sessions.pop(session_id, None) is not None:
            self._save()

    def end_all(self, user: str, *, but: str | None = None) -> int:
        """Sign a user out everywhere, except in the session `but`. Returns how many ended."""
        ended = [session.id for session in self if session.user == user and session.id != but]
        for session_id in ended:
            del self._sessions[session_id]
        if ended:
            self._save()
        return len(ended)

    def save(self) -> None:
        """Before the process ends."""
        self._forget_ended()
        self._save()

    def _forget_ended(self) -> None:
        now = now_s()
        self._sessions = {key: session for key, session in self._sessions.items() if not session.ended(now)}

    def _save(self) -> None:
        self._saved_s = now_s()
        body = {"boot": self._boot, "sessions": [asdict(session) for session in self._sessions.values()]}
        try:
            write_atomically(self._path, orjson.dumps(body), 0o600)
        except OSError as error:
            log.warning("sessions can't be kept, so the page's next start ends them: %s", error)
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _load(self) -> list[Session]:
        try:
            body: Any = orjson.loads(self._path.read_bytes())
            if body["boot"] != self._boot:
                return []
            return [Session(**{**fields, "role": Role(fields["role"])}) for fields in body["sessions"]]
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return []  # nobody is signed in then: never a reason not to start


def csrf_token(cookie: str) -> str:
    """What a form of this session carries. It follows from the cookie, which no other origin can read."""
    return hmac.digest(cookie.encode(), b"tidegate form", "sha256").hex()


def now_s() -> float:
    """The boot clock: it counts while the machine sleeps, and no change of the date moves it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


def boot_id() -> str:
    """Another one after each start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
