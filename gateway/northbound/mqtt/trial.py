"""A connection that tries out what a broker allows: it publishes one message and subscribes to it, too.

The gateway itself only publishes; what a subscriber needs beyond that is here. One step after the other, every one
bounded by the caller.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import Final

from gateway.northbound.mqtt import packets
from gateway.northbound.mqtt.errors import ConnectionLost
from gateway.northbound.mqtt.packets import Connack, Disconnect, Kind, Malformed, Puback

SUBSCRIBE: Final = 8
SUBACK: Final = 9
_QOS_1 = 1
_READ = 4096


class Trial:
    """One connection. Raises ConnectionLost, Malformed or OSError from every step."""

    def __init__(self, version: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, where: str) -> None:
        self._version = version
        self._reader = reader
        self._writer = writer
        self._where = where
        self._rest = b""

    @classmethod
    async def open(
        cls, version: int, host: str, port: int, context: ssl.SSLContext | None, server_name: str | None, where: str
    ) -> Trial:
        """Raises OSError, ssl.SSLError included."""
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname=(server_name or host) if context is not None else None
        )
        return cls(version, reader, writer, where)

    async def connect(self, client_id: str, keepalive_s: int, username: str | None, password: bytes | None) -> Connack:
        self._writer.write(packets.connect(self._version, client_id, keepalive_s, username=username, password=password))
        first, body = await self._packet()
        packet = packets.decode(self._version, first, body)
        if not isinstance(packet, Connack):
            raise Malformed(f"a {type(packet).__name__.upper()} before the CONNACK")
        return packet

    async def subscribe(self, topic: str) -> int:
        """The reason code: 0 to 2 are granted qualities of service, 0x80 or more a refusal."""
        options = packets.string(topic) + bytes((_QOS_1,))
        body = struct.pack(">H", 1) + self._no_properties + options
        self._writer.write(bytes((SUBSCRIBE << 4 | 2,)) + packets.varint(len(body)) + body)
        while True:
            first, body = await self._packet()
            if first >> 4 == SUBACK and body:
                return body[-1]
            self._other(first, body)

    async def publish(self, topic: str, payload: bytes) -> Puback:
        """With quality of service 1, not retained."""
        head = packets.string(topic) + struct.pack(">H", 1) + self._no_properties
        self._writer.write(packets.publish_head(len(head) + len(payload), retain=False) + head + payload)
        while True:
            first, body = await self._packet()
            if first >> 4 == Kind.PUBACK:
                packet = packets.decode(self._version, first, body)
                assert isinstance(packet, Puback)
                return packet
            self._other(first, body)

    async def until_back(self, topic: str, payload: bytes) -> None:
        """Publish, and wait until the broker hands the message back; the acknowledgement may come before or after."""
        head = packets.string(topic) + struct.pack(">H", 2) + self._no_properties
        self._writer.write(packets.publish_head(len(head) + len(payload), retain=False) + head + payload)
        while True:
            first, body = await self._packet()
            if first >> 4 == Kind.PUBLISH:
                if body.endswith(payload) and body.startswith(packets.string(topic)):
                    return
            elif first >> 4 != Kind.PUBACK:
                self._other(first, body)

    async def close(self) -> None:
        try:
            self._writer.write(packets.DISCONNECT)
            self._writer.close()
            await self._writer.wait_closed()
        except OSError:
            return  # gone already

    @property
    def _no_properties(self) -> bytes:
        return b"\0" if self._version == packets.MQTT_5 else b""

    def _other(self, first: int, body: bytes) -> None:
        """A packet that isn't the one waited for."""
        packet = packets.decode(self._version, first, body)
        if isinstance(packet, Disconnect):
            reason = packets.reason_name(Kind.DISCONNECT, packet.reason)
            raise ConnectionLost(f"{self._where} ended the connection: {reason}", reason=packet.reason, by_broker=True)

    async def _packet(self) -> tuple[int, bytes]:
        """(first byte, body) of the next one."""
        while True:
            data = self._rest
            bounds = packets.frame(data, 0) if len(data) > 1 else None
            if bounds is not None:
                start, end = bounds
                self._rest = data[end:]
                return data[0], data[start:end]
            more = await self._reader.read(_READ)
            if not more and data:
                raise Malformed(f"something that isn't MQTT ({data[:16]!r})")
            if not more:
                raise ConnectionLost(f"{self._where} closed the connection", by_broker=True, orderly=True)
            self._rest = data + more
