"""How often somebody may try a password: guessing gets slow, and nobody can shut anybody out for ever.

Three counts of wrong passwords, each of which makes whoever it is about wait:

- of one address, whatever the name: a machine that guesses;
- of one name from one address: the usual case, a few tries free and then twice as long each time;
- of one name from everywhere: many machines that share the work. It doesn't hold for a browser that has signed in with
  that name before (it holds a cookie that says so), nor for an address from which that was done: so the owner of an
  account gets in while thousands try.

Claim codes and tokens that aren't known are counted by address, each for themselves.

Waiting isn't made longer by trying during it. Times are those of the boot clock.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from pathlib import Path

import orjson

from gateway.ops.files import write_atomically
from gateway.web.door import network
from gateway.web.sessions import boot_id, now_s

log = logging.getLogger(__name__)

DEVICE_COOKIE = "__Host-tidegate-known"
FREE_TRIES = 5
FREE_OF_ADDRESS = 20
FREE_OF_NAME = 50
LONGEST_S = 900.0
LONGEST_OF_NAME_S = 60.0
FORGOTTEN_S = 3600.0
MOST = 4096
"""Counts kept of each kind; beyond, the oldest is forgotten."""
_MOST_KNOWN = 64


class Throttle:
    """Call `wait_s` before a password is looked at, then `failed` or `passed`."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "tries.json"
        self._boot = boot_id()
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """Key → (wrong tries, when the last was)."""
        self._known: OrderedDict[str, None] = OrderedDict()
        """Names with an address or a browser from which they signed in, hashed."""
        self._secret = b""
        self._load()

    def wait_s(self, name: str, address: str, device: str | None) -> float:
        """How long to wait before this may be tried; 0: now."""
        now, place = now_s(), network(address)
        waits = [
            self._wait("address", place, now=now, free=FREE_OF_ADDRESS, longest_s=LONGEST_S),
            self._wait("both", name, place, now=now, free=FREE_TRIES, longest_s=LONGEST_S),
        ]
        if self.is_known(name, device):
            # A browser of its own count: what others do at its address is not its fault.
            return self._wait("device", name, device or "", now=now, free=FREE_TRIES, longest_s=LONGEST_S)
        if _key("from", name, place) not in self._known:
            waits.append(self._wait("name", name, now=now, free=FREE_OF_NAME, longest_s=LONGEST_OF_NAME_S))
        return max(waits)

    def failed(self, name: str, address: str, device: str | None) -> None:
        place = network(address)
        keys = [("address", place), ("both", name, place), ("name", name)]
        for key in [("device", name, device or "")] if self.is_known(name, device) else keys:
            self._count(*key)

    def wait_of_claim_s(self, address: str) -> float:
        """How long to wait before another claim code may be tried from there."""
        return self._wait("claim", network(address), now=now_s(), free=FREE_OF_ADDRESS, longest_s=LONGEST_S)

    def wrong_claim(self, address: str) -> None:
        self._count("claim", network(address))

    def wait_of_token_s(self, address: str) -> float:
        """How long no token is looked at that comes from there and wasn't good before."""
        return self._wait("token", network(address), now=now_s(), free=FREE_OF_ADDRESS, longest_s=LONGEST_OF_NAME_S)

    def unknown_token(self, address: str) -> None:
        self._count("token", network(address))

    def passed(self, name: str, address: str, device: str | None) -> str:
        """Forget wrong tries; returns the cookie by which this browser is known from now on."""
        place = network(address)
        for key in (("both", name, place), ("device", name, device or ""), ("address", place)):
            self._counts.pop(_key(*key), None)
        known = _key("from", name, place)
        self._known[known] = None
        self._known.move_to_end(known)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        self.save()
        return device if device is not None and self.is_known(name, device) else self._new_device(name)

    def is_known(self, name: str, device: str | None) -> bool:
        """Whether a browser's cookie says that it has signed in with this name."""
        number, _, mark = (device or "").partition(".")
        return bool(mark) and hmac.compare_digest(mark.encode(), self._mark(name, number).encode())

    def save(self) -> None:
        """Where the disk takes nothing, a restart forgets."""
        body = {
            "boot": self._boot,
            "secret": self._secret.hex(),
            "counts": list(self._counts.items()),
            "known": list(self._known),
        }
        try:
            write_atomically(self._path, orjson.dumps(body), 0o600)
        except OSError as error:
            log.warning("wrong tries can't be kept beyond the page's next start: %s", error)

    def _wait(self, *key: str, now: float, free: int, longest_s: float) -> float:
        tries, last = self._counts.get(_key(*key), (0, 0.0))
        if tries < free or now - last > FORGOTTEN_S:
            return 0.0
        return max(0.0, last + min(longest_s, 2.0 ** min(tries - free, 16)) - now)

    def _count(self, *key: str) -> None:
        name, now = _key(*key), now_s()
        tries, last = self._counts.pop(name, (0, now))
        self._counts[name] = (tries + 1 if now - last <= FORGOTTEN_S else 1, now)
        while len(self._counts) > MOST:
            self._counts.popitem(last=False)

    def _new_device(self, name: str) -> str:
        number = secrets.token_hex(8)
        return f"{number}.{self._mark(name, number)}"

    def _mark(self, name: str, number: str) -> str:
        return hmac.digest(self._secret, f"{name.casefold()}\n{number}".encode(), "sha256").hex()

    def _load(self) -> None:
        try:
            body = orjson.loads(self._path.read_bytes())
            self._secret = bytes.fromhex(body["secret"])
            self._known = OrderedDict.fromkeys(body["known"])
            if body["boot"] == self._boot:
                self._counts = OrderedDict((key, (tries, last)) for key, (tries, last) in body["counts"])
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            self._secret = secrets.token_bytes(32)
            self.save()


def _key(kind: str, *parts: str) -> str:
    """Short whatever the name is, which anybody may choose."""
    return kind + hashlib.sha256("\n".join(part.casefold() for part in parts).encode()).hexdigest()[:24]
