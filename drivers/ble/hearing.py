"""What is heard of one device: its adverts, decoded once for all its groups."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.ble.adverts import FORMATS, Field, Unauthentic, Undecodable
from drivers.ble.adverts.format import Decoder
from drivers.ble.options import DeviceOptions
from gateway.driver import DeviceSilent
from gateway.fields import SecretReference
from gateway.model import DataType, Value
from gateway.secrets import SecretError

if TYPE_CHECKING:
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

    from drivers.ble.subscription import Subscription

_log = logging.getLogger(__name__)

COMMON: dict[str, Field] = {
    "rssi": Field(DataType.INT8, "{dBm}", "signal strength as received"),
    "last_seen": Field(DataType.DATETIME, None, "when the device was last heard"),
    "local_name": Field(DataType.STRING, None, "the name it sends"),
}
"""Fields of every advert. They are reported no more often than the group's interval."""

_UNREADABLE_S = 60.0
"""After so long with nothing but unreadable adverts a device's values aren't believed any more."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One advert as it was heard."""

    device: BLEDevice
    advert: AdvertisementData
    ns: int
    """Wall clock, ns since 1970 UTC."""
    mono_ns: int


class Hearing:
    """Decodes one device's adverts and hands them to whom it may concern."""

    def __init__(self, name: str, options: DeviceOptions, counters: Counter[str]) -> None:
        self.name = name
        self.options = options
        self.sighting: Sighting | None = None
        self.listeners: set[Subscription] = set()
        self._format = FORMATS[options.format] if options.format else None
        self._decode: Decoder | None = None
        self._counters = counters
        self._payload: bytes | None = None
        self._fields: Mapping[str, Value] = {}
        """Of the advert decoded last."""
        self._latest: dict[str, tuple[Value, int]] = {}
        """Field → its latest value and when, CLOCK_MONOTONIC ns."""
        self._seen = 0, 0
        """When the device gave its last sign of life: wall clock and CLOCK_MONOTONIC, ns."""
        self._absent: set[str] = set()
        """Fields a read has waited for in vain."""
        self._readable = False
        """Whether the advert decoded last was."""
        self._readable_ns: int | None = None
        self._unreadable_ns = 0
        """When the last advert of either kind was heard, CLOCK_MONOTONIC."""
        self.doubted = False
        """Whether nothing but unreadable adverts has come for long, or ever."""
        self._complaint = ""
        self._waiters: set[asyncio.Future[None]] = set()

    def prepare(self) -> bool:
        """Get the key, if there is one to get; whether adverts of the device's format can be decoded."""
        if self._format is None or self._decode is not None:
            return True
        key: bytes | None = None
        if self.options.bindkey is not None:
            try:
                key = _key(self.options.bindkey)
            except (SecretError, ValueError) as error:
                if self._complaint != str(error):
                    self._complaint = str(error)
                    _log.error("device %s: %s", self.name, error)
                return False
        self._decode = self._format.decoder(key)
        self._complaint = ""
        return True

    @property
    def deaf(self) -> bool:
        """Whether the key that its adverts need couldn't be got."""
        return self._format is not None and self._decode is None

    def forget(self) -> None:
        """The radio was closed: what was heard with it is of no more use."""
        self.sighting = None
        self._seen = 0, 0
        self.listeners.clear()
        self._latest.clear()
        self._payload = None

    # -- adverts as they come

    def hear(self, device: BLEDevice, advert: AdvertisementData, ns: int, mono_ns: int) -> None:
        self.sighting = Sighting(device, advert, ns, mono_ns)
        self._seen = ns, mono_ns
        found: Mapping[str, Value] = {}
        payload = self._format.payload(advert) if self._format and self._decode else None
        if payload is not None:
            if payload != self._payload:
                self._payload = payload
                self._fields = self._decoded(payload, device.address)
            found = self._fields
            for name, value in found.items():
                self._latest[name] = (value, mono_ns)
            if self._readable:
                self._readable_ns, self.doubted = mono_ns, False
            else:
                self._unreadable_ns = mono_ns
                self._doubt(mono_ns)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        for listener in [*self.listeners]:
            listener.advertised(self.sighting, found)

    def answered(self) -> None:
        """The device gave a sign of life over its connection, during which most send no adverts."""
        self._seen = time.time_ns(), time.monotonic_ns()

    def _decoded(self, payload: bytes, address: str) -> Mapping[str, Value]:
        assert self._decode is not None
        try:
            fields = self._decode(payload, bytes.fromhex(address.replace(":", "")))
        except Undecodable as error:
            self._counters["unauthentic_adverts" if isinstance(error, Unauthentic) else "undecodable_adverts"] += 1
            self._readable = False
            if not self._complaint:
                self._complaint = str(error)
                _log.warning("device %s: %s", self.name, error)
            return {}
        if self._complaint:
            self._complaint = ""
            _log.info("device %s: its adverts can be read again", self.name)
        self._readable = True
        return fields

    def _doubt(self, mono_ns: int) -> None:
        """Anybody can send something under the device's address: its values are doubted only if nothing else comes."""
        long_ago = self._readable_ns is None or mono_ns - self._readable_ns > _UNREADABLE_S * 1e9
        if long_ago and not self.doubted:
            self.doubted = True
            for listener in [*self.listeners]:
                listener.unreadable()

    # -- adverts that are waited for

    async def fresh(self, wanted: frozenset[str]) -> Mapping[str, Value]:
        """The wanted fields heard within the advert timeout, waiting for them that long at most.

        Raises DeviceSilent if nothing was heard. A field that was waited for in vain isn't waited for again until it
        comes.
        """
        timeout_s = self.options.advert_timeout_ms / 1000
        deadline = time.monotonic() + timeout_s
        while True:
            oldest_ns = time.monotonic_ns() - int(timeout_s * 1e9)
            found = {name: value for name in wanted for value, ns in (self._known(name),) if ns > oldest_ns}
            self._absent -= found.keys()
            missing = wanted - found.keys() - self._absent if found else wanted
            left_s = deadline - time.monotonic()
            if not missing or left_s <= 0:
                break
            await self._next(left_s)
        if missing and not found and self._unreadable_ns <= oldest_ns:
            raise DeviceSilent(self._unheard())
        self._absent |= missing
        return found

    def _known(self, name: str) -> tuple[Value, int]:
        """A field and when it was heard, CLOCK_MONOTONIC ns; 0 if it never was."""
        if name not in COMMON:
            return self._latest.get(name, (None, 0))
        if name == "last_seen":
            return moment(self._seen[0]), self._seen[1]
        if self.sighting is None:
            return None, 0
        return common(name, self.sighting), self.sighting.mono_ns

    async def seen(self, since_ns: int) -> Sighting:
        """An advert heard after `since_ns` (CLOCK_MONOTONIC), waiting for it as long as the options say.

        Raises DeviceSilent.
        """
        deadline = time.monotonic() + self.options.advert_timeout_ms / 1000
        while self.sighting is None or self.sighting.mono_ns <= since_ns:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise DeviceSilent(self._unheard())
            await self._next(left_s)
        return self.sighting

    def _unheard(self) -> str:
        return (
            f"no advert of {self.options.identity} was heard within {self.options.advert_timeout_ms} ms: it is out of "
            "range or off, or it sends more rarely than 'advert_timeout_ms' allows"
        )

    async def _next(self, timeout_s: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait({waiter}, timeout=timeout_s)
        finally:
            self._waiters.discard(waiter)


def _key(reference: SecretReference) -> bytes:
    text = reference.read().strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 16:
        ((home, name),) = reference.homes.items()
        raise ValueError(f"the bindkey in {home} {name} is not a key: write 32 hexadecimal digits into it")
    return key


def common(name: str, sighting: Sighting) -> Value:
    """A field that every advert has; None if this one hasn't."""
    if name == "last_seen":
        return moment(sighting.ns)
    if name == "local_name":
        return sighting.advert.local_name
    return sighting.advert.rssi


def moment(ns: int) -> str:
    """RFC 3339 with milliseconds."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1_000_000:03}Z"
