"""What can be set for a serial link, device and tag: pydantic models whose descriptions become the reference page."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from drivers.common.quoting import quoted
from drivers.common.serialport import Baud, Device, LineOptions
from drivers.serial import patterns
from drivers.serial.instrument import Command, FieldRules, Framing, Keepalive, Message, Texts
from drivers.serial.notation import ByteText
from drivers.serial.presets import merged
from gateway.fields import Options


class LinkOptions(LineOptions):
    """One serial port."""

    device: Device = Field(
        description="The serial port: its path, best one that lasts (`/dev/serial/by-id/…`, `/dev/serial/by-path/…`), "
        "or `socket://host:port` for a device server's raw TCP port.",
    )
    pause_between_requests_ms: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Least time between a reply and the next request, for devices that need it.",
    )
    timeouts_before_reconnect: int = Field(
        default=3,
        ge=0,
        le=100,
        description="Unanswered requests in a row after which the port is opened anew. 0: never for this reason.",
    )


class DeviceOptions(Options):
    """One instrument."""

    preset: str | None = Field(
        default=None, description="Ready description of an instrument; every key given beside it replaces the preset's."
    )
    address: ByteText = Field(
        default=b"",
        description="What tells it from others on the same line: stands for `{address}` in requests and patterns.",
    )
    framing: Framing = Field(
        default=Framing(end=(b"\r", b"\n")), description="Where frames begin and end. Default: lines."
    )
    frame_requests: bool = Field(
        default=False,
        description="Put requests and commands into frames of the same framing, checksum included, instead of sending "
        "them as they are written.",
    )
    message: dict[str, Message] = Field(default_factory=dict, description="The kinds of frames, by name.")
    field: dict[str, FieldRules] = Field(
        default_factory=dict, description="How fields become values, by the field's name, where it isn't plain."
    )
    command: dict[str, Command] = Field(default_factory=dict, description="What can be written, by name.")
    init: Texts = Field(
        default=(), description="What to send once the port is open, and when a silent instrument is tried again."
    )
    init_pause_ms: int = Field(default=50, ge=0, le=10_000, description="Wait after each of them.")
    keepalive: Keepalive | None = Field(
        default=None, description="`{send, every_s}`: something to send again and again so that it goes on talking."
    )
    timeout_ms: int = Field(default=1000, ge=1, le=60_000, description="How long to wait for the reply to one request.")
    listen_ms: int = Field(
        default=3000, ge=1, le=60_000, description="How long to wait for what the instrument sends by itself."
    )
    read_back_delay_ms: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Wait between a write and its read-back, for instruments that apply it late.",
    )
    encoding: Literal["utf-8", "ascii", "latin-1", "cp437", "cp1252"] = Field(
        default="utf-8", description="Character encoding of text."
    )

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, given: Any) -> Any:
        return merged(given) if isinstance(given, dict) and isinstance(given.get("preset"), str) else given

    @model_validator(mode="after")
    def _fits_together(self) -> DeviceOptions:
        for message in self.message.values():
            for text in (message.pattern, message.match, *message.refused):
                if text is not None:
                    patterns.check(text, self.framing.max_length)
        for name, command in self.command.items():
            if "{address}" in command.send and not self.address:
                raise ValueError(f"command {quoted(name)} needs the device's address: give address")
        for name, message in self.message.items():
            texts = (message.pattern or "", message.match or "", message.request.decode("latin-1"))
            if any("{address}" in text for text in texts) and not self.address:
                raise ValueError(f"message {quoted(name)} needs the device's address: give address")
        return self


class TagOptions(Options):
    """Which field of which message a value is."""

    field: str | None = Field(
        default=None, min_length=1, description="Name of the field. Left out only for what can be written and not read."
    )
    message: str | None = Field(
        default=None, min_length=1, description="The message it is taken from. Default: every one that has the field."
    )
    command: str | None = Field(default=None, min_length=1, description="The command that writes it.")
    sent_unit: str | None = Field(
        default=None,
        min_length=1,
        description="UCUM code of the unit the instrument must say, where `scale` turns it into `unit`. "
        "Default: the tag's `unit`.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> TagOptions:
        if self.field is None and self.command is None:
            raise ValueError("a tag needs the field it is read from: give field, or a command")
        return self


class ScanOptions(Options):
    """What `tidegate scan serial` looks for."""

    listen: Device | None = Field(default=None, description="Listen on this port, too. Nothing is sent.")
    bauds: tuple[Baud, ...] = Field(
        default=(9600, 4800, 19200, 38400, 115200, 2400), description="Speeds to try, in bit/s, in this order."
    )
    seconds: float = Field(default=2.0, gt=0, le=60, description="How long to listen at each speed.")
