"""From link options to a bus that isn't connected yet."""

from __future__ import annotations

from typing import Any

from drivers.modbus.link import SERIAL, LinkOptions
from drivers.modbus.transport.speech import speech_of
from drivers.modbus.transport.wire import Dial, WireBus


def open_bus(name: str, options: LinkOptions) -> WireBus[Any]:
    speech = speech_of(options)
    if options.dial == "in":
        from drivers.modbus.transport.callers import CalledBus

        return CalledBus(name, options, speech)
    dial = dial_of(options)
    if options.backup is not None:
        from drivers.modbus.transport.backup import BackedUpBus

        return BackedUpBus(name, options, speech, dial, dial_of(options, *options.backup))
    return WireBus(name, options, speech, dial)


def dial_of(options: LinkOptions, host: str = "", port: int = 0) -> Dial:
    """How to reach the far end, or another `host` and `port` in its stead. Loads what that takes and no more."""
    if options.transport in SERIAL:
        from drivers.modbus.transport.serial_line import SerialDial

        return SerialDial(options)
    if options.transport == "udp":
        from drivers.modbus.transport.datagram import DatagramDial

        return DatagramDial(options)
    if not host:
        host, port = options.endpoint
    if options.transport == "tls":
        from drivers.modbus.transport.tls import TlsDial

        return TlsDial(host, port, options)
    from drivers.modbus.transport.stream import StreamDial

    return StreamDial(host, port, options)
