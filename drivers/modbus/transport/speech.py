"""Which framing and which kind of conversation a transport takes."""

from __future__ import annotations

from typing import Any

from drivers.modbus.link import SERIAL, LinkOptions
from drivers.modbus.transport import mbap
from drivers.modbus.transport.ascii import AsciiFrames
from drivers.modbus.transport.line import Frames, LineConversation
from drivers.modbus.transport.numbered import DatagramConversation, NumberedConversation
from drivers.modbus.transport.rtu import RtuFrames
from drivers.modbus.transport.wire import Speech


def speech_of(options: LinkOptions) -> Speech[Any]:
    match options.transport:
        case "tcp" | "tls":
            return Speech(mbap.prepare, NumberedConversation)
        case "udp":
            return Speech(mbap.prepare, DatagramConversation)
    serial = options.transport in SERIAL
    byte_s = options.line.character_s if serial else 0.0
    silence_s = options.silence_s if serial else 0.0
    frames: Frames = RtuFrames(byte_s) if options.transport.startswith("rtu") else AsciiFrames(byte_s)
    return Speech(frames.prepare, lambda state: LineConversation(state, frames, silence_s))
