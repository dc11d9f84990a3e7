"""``tidegate scan serial``: which ports there are, who has them, and what is talking on one. Sends nothing.

Listening tries speeds one after the other and judges what is heard by how much of it is text, by whether it falls into
lines, and by whether a preset knows it. A wrong speed gives framing errors or characters that no text has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from drivers.common.proposal import proposal
from drivers.common.serialport import LineOptions, PortReceiver, open_port
from drivers.common.serialport.portlist import PortInfo, holders, ports
from drivers.serial.framing import Decoder
from drivers.serial.message import Kind
from drivers.serial.notation import show
from drivers.serial.options import DeviceOptions, ScanOptions
from drivers.serial.presets import about, names
from gateway.driver import Finding, LinkDown, Progress, ScanFailed, Site

_MOST_HEARD = 1 << 16
"""Bytes that are listened to at one speed."""
_SHOWN = 40
_GENERIC = ("barcode", "csv", "key-value")
"""Presets that know any line: tried last, and named only if no other fits."""


async def search(options: ScanOptions, site: Site) -> AsyncIterator[Finding | Progress]:
    """The ports of this machine, then what was heard. Raises ScanFailed."""
    number = 0
    for number, port in enumerate(ports(), 1):
        heard_later = options.listen in (port.device, port.best_path)
        yield Finding(_row(port), "" if heard_later else _config(number, port.best_path))
    if options.listen is None:
        return
    silent = True
    for done, baud in enumerate(options.bauds):
        yield Progress(done, len(options.bauds), f"listening at {baud} bit/s")
        heard = await _listen(options.listen, baud, options.seconds)
        if heard.data:
            silent = False
            yield _judge(number + 1, options.listen, baud, heard)
    if silent:
        looks = "silent: it may want to be asked, or be off"
        row = _columns(port=options.listen, heard="nothing", **{"looks like": looks})
        yield Finding(row, _config(number + 1, options.listen))


def _row(port: PortInfo) -> dict[str, object]:
    usb = f"{port.vendor_id:04x}:{port.product_id:04x}" if port.vendor_id is not None else ""
    product = " ".join(filter(None, (port.manufacturer, port.product)))
    return _columns(
        port=port.best_path,
        device=port.device,
        usb=usb,
        product=product,
        serial=port.serial_number or "",
        **{"used by": ", ".join(holders(port.device))},
    )


def _columns(**known: str) -> dict[str, object]:
    names_ = ("port", "device", "usb", "product", "serial", "used by", "line", "heard", "looks like")
    return {name: known.get(name, "") for name in names_}


def _config(number: int, device: str, line: LineOptions | None = None, preset: str | None = None) -> str:
    """TOML ready to paste, its names told from others by `number`."""
    link = {"name": f"serial{number}", "device": device} | ({} if line is None else {"baud": line.baud})
    return proposal("serial", link, None if preset is None else {"name": f"instrument{number}", "preset": preset})


@dataclass
class _Heard(PortReceiver):
    """What came in while somebody listened."""

    def __post_init__(self) -> None:
        self.data = bytearray()
        self.errors = 0
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data[: _MOST_HEARD - len(self.data)]

    def line_error(self) -> None:
        self.errors += 1

    def port_lost(self, reason: str) -> None:
        self.ended.set()

    @property
    def share_of_text(self) -> float:
        """How much of it is printable ASCII or a line end, STX or ETX; damaged characters count against it."""
        good = sum(byte in b"\r\n\t\x02\x03" or 0x20 <= byte < 0x7F for byte in self.data)
        return good / (len(self.data) + self.errors)


async def _listen(device: str, baud: int, seconds: float) -> _Heard:
    heard = _Heard()
    try:
        port = await open_port(device, LineOptions(baud=baud, dtr=False, rts=False), heard)
    except LinkDown as error:
        raise ScanFailed(str(error)) from None
    try:
        async with asyncio.timeout(seconds):
            await heard.ended.wait()
    except TimeoutError:
        pass
    finally:
        await port.close()
    return heard


def _judge(number: int, device: str, baud: int, heard: _Heard) -> Finding:
    data = bytes(heard.data)
    share = heard.share_of_text
    preset = _preset_of(data) if share > 0.9 else None
    if preset is not None:
        looks = f"{preset}: {about(preset)[0]}"
    elif share > 0.9:
        looks = "text"
    else:
        looks = f"not this speed, or binary ({share:.0%} text)"
    row = _columns(
        port=device,
        line=str(LineOptions(baud=baud)),
        heard=f"{len(data)} bytes: {show(data[:_SHOWN])}",
        **{"looks like": looks},
    )
    return Finding(row, _config(number, device, LineOptions(baud=baud), preset) if share > 0.9 else "")


def _preset_of(data: bytes) -> str | None:
    """The preset that knows most of the frames, if it knows any."""
    best, most = None, 0
    for name in (*(each for each in names() if each not in _GENERIC), *reversed(_GENERIC)):
        options = DeviceOptions.model_validate({"preset": name})
        frames = Decoder(options.framing, Counter()).feed(data, 0.0)
        kinds = [Kind(kind, message, b"", options.encoding) for kind, message in options.message.items()]
        known = sum(any(kind.extract(frame.content) is not None for kind in kinds) for frame in frames)
        if known > most and (name not in _GENERIC or best is None):
            best, most = name, known
    return best
