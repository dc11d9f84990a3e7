"""What can be set for an OPC UA link, device and tag: pydantic models whose descriptions become the reference page."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from drivers.common.tcp import peer_name
from drivers.opcua.address import Address, NodeAddress, PathAddress, parse, parse_relative
from drivers.opcua.security.options import SecurityOptions
from gateway.fields import Options
from gateway.hosts import is_host
from gateway.wire import Endpoint, Medium

DEFAULT_PORT = 4840


def _check_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"'{text}' is no endpoint URL: write 'opc.tcp://HOST:PORT/PATH'") from None
    if parts.scheme != "opc.tcp" or not parts.hostname or not is_host(parts.hostname):
        raise ValueError(f"'{text}' is no endpoint URL: write 'opc.tcp://HOST:PORT/PATH'")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a user doesn't belong into the URL: use 'username' and 'password'")
    if port is None:
        # Written out, it looks the same wherever it is told or compared.
        return parts._replace(netloc=peer_name(parts.hostname, DEFAULT_PORT)).geturl()
    return text


def _parse_address(value: Any) -> Address:
    if isinstance(value, NodeAddress | PathAddress):
        return value
    if not isinstance(value, str):
        raise ValueError(
            f"a node is named by text: write node = 'ns=2;i={value}'"
            if type(value) is int
            else "a node is named by text: write node = 'nsu=http://acme.example/line;s=Speed'"
        )
    return parse(value)


EndpointUrl = Annotated[str, AfterValidator(_check_url)]

NodeText = Annotated[
    Address,
    BeforeValidator(_parse_address),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(((nsu=[^;]+|ns=[0-9]+);)?[isgb]=.+|/.+)$",
            "examples": ["nsu=http://acme.example/line;s=Pump.Speed", "ns=2;i=5", "/Objects/2:Line/2:Speed"],
        }
    ),
]


def _check_path(text: str) -> str:
    parse_relative(text)
    return text


RelativePath = Annotated[str, Field(min_length=1), AfterValidator(_check_path)]


class _ConnectionOptions(Options):
    """Where the server is, and what may be asked of it."""

    url: EndpointUrl = Field(
        description="Endpoint of the server. Without a port 4840 is meant.", examples=["opc.tcp://192.168.1.30:4840"]
    )
    timeout_ms: int = Field(default=4000, ge=1, le=60_000, description="How long to wait for the reply to one request.")
    connect_timeout_ms: int = Field(
        default=10_000, ge=1, le=60_000, description="How long connecting may take, opening the session included."
    )
    timeouts_before_reconnect: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Unanswered requests in a row after which the connection is made anew.",
    )
    keepalive_s: float = Field(
        default=4.0,
        gt=0,
        le=60,
        description="How often a server with nothing to report says so. One that misses three in a row is taken for "
        "gone.",
    )
    outage_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="Outage that the server is asked to bridge: for so long it keeps the session and queues the "
        "values of every subscribed tag.",
    )
    profile: Literal["default", "s7-1200", "s7-1500"] = Field(
        default="default", description="Known limits of the server, beside those it tells of itself."
    )
    max_items: int | None = Field(default=None, ge=1, description="Most subscribed tags. Default: the profile's.")
    max_items_per_call: int | None = Field(
        default=None, ge=1, description="Most tags subscribed to in one request. Default: the profile's."
    )
    max_nodes_per_read: int | None = Field(
        default=None, ge=1, description="Most tags in one read. Default: the profile's."
    )
    max_message_bytes: int = Field(
        default=4 << 20, ge=8192, le=64 << 20, description="Longest message taken from the server."
    )

    @property
    def peer(self) -> str:
        """The far end as a user would write it."""
        return self.url


class LinkOptions(SecurityOptions, _ConnectionOptions):
    """One session with one server."""


def endpoints(options: LinkOptions) -> tuple[Endpoint, ...]:
    """Where the link leads."""
    url = urlsplit(options.url)
    return (Endpoint(Medium.TCP, url.hostname or "", url.port or DEFAULT_PORT),)


class DeviceOptions(Options):
    """The server, or what of it makes one device."""

    publishing_ms: float | None = Field(
        default=None,
        gt=0,
        le=60_000,
        description="How often the server sends what has changed. Default: the group's `interval_ms`, 4000 at most.",
    )
    timestamp: Literal["source", "server"] = Field(
        default="source",
        description="Which of a value's times is published as its own: the `source`'s, or the one at which the "
        "`server` had it.",
    )
    read_back_delay_ms: int = Field(
        default=0, ge=0, le=10_000, description="Wait between a write and its read-back, for PLCs that apply it late."
    )
    verify_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="A subscribed tag of which nothing was heard for so long is read, to see whether its "
        "subscription still works. 0: never.",
    )
    history: Literal["off", "auto"] = Field(
        default="auto",
        description="`auto`: after an outage that the server's queues didn't bridge, fetch what is missing from the "
        "server's history, of every tag that has one.",
    )
    history_max_values: int = Field(
        default=100_000, ge=1, description="Most values fetched for one tag after one outage; the newest are given up."
    )


_OF_EVENTS = frozenset({"event_type", "event_fields", "min_severity", "conditions"})
_OF_VALUES = frozenset({"sampling_ms", "server_deadband", "server_deadband_percent", "trigger", "history"})
OF_SUBSCRIPTIONS = frozenset(
    {"sampling_ms", "server_deadband", "server_deadband_percent", "trigger", "queue_size", "discard_oldest", "history"}
)
"""Keys of a tag that say nothing about one that is polled."""


class TagOptions(Options):
    """Which node, and how it is watched."""

    node: NodeText = Field(
        description="Node id with the namespace's URI (`nsu=http://acme.example/line;s=Pump.Speed`) or index "
        "(`ns=2;i=5`), or the path of browse names from the root (`/Objects/2:Line/2:Speed`).",
        examples=["nsu=http://acme.example/line;s=Pump.Speed"],
    )
    sampling_ms: float | None = Field(
        default=None, ge=0, le=86_400_000, description="How often the server looks. Default: the group's `interval_ms`."
    )
    server_deadband: float | None = Field(
        default=None,
        gt=0,
        description="The server reports only changes of more than this. What it leaves out is nowhere.",
    )
    server_deadband_percent: float | None = Field(
        default=None, gt=0, le=100, description="The same in percent of the node's EURange."
    )
    trigger: Literal["status", "value", "timestamp"] = Field(
        default="value",
        description="What makes a change: the `status` alone, the `value` or status, or a new `timestamp`, too.",
    )
    queue_size: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Values queued by the server. Default: enough for `outage_s`."
    )
    discard_oldest: bool = Field(
        default=True, description="Which end of a full queue the server drops: the oldest, or the newest but one."
    )

    events: bool = Field(
        default=False,
        description="The tag, of type `json`, is the events of this notifier (the server's own is `i=2253`).",
    )
    event_type: NodeText | None = Field(default=None, description="Only events of this type and its subtypes.")
    event_fields: tuple[RelativePath, ...] = Field(
        default=(), description="Further fields of each event, as paths of browse names: `2:BatchId`."
    )
    min_severity: int = Field(default=1, ge=1, le=1000, description="Only events of at least this severity.")
    conditions: bool = Field(
        default=True,
        description="Take the state of alarm conditions along, and have the server repeat those in force after every "
        "connect.",
    )
    method: NodeText | None = Field(
        default=None,
        description="The tag, of type `json`, is this method of the object `node`: writing a list of inputs calls it, "
        "the value is the list of outputs.",
    )
    history: Literal["off", "auto"] | None = Field(
        default=None, description="The tag's own way of filling gaps. Default: the device's."
    )

    @property
    def deadband(self) -> str | None:
        """Which of the two keys is given, if one is."""
        return next((key for key in ("server_deadband", "server_deadband_percent") if getattr(self, key)), None)

    @model_validator(mode="after")
    def _fits_together(self) -> TagOptions:
        if self.server_deadband is not None and self.server_deadband_percent is not None:
            raise ValueError("'server_deadband' and 'server_deadband_percent' exclude each other: keep one")
        if self.events and self.method is not None:
            raise ValueError("'events' and 'method' exclude each other: keep one")
        if not self.events and (given := self.model_fields_set & _OF_EVENTS):
            raise ValueError(f"'{min(given)}' is for events: add events = true, or drop it")
        if (self.events or self.method is not None) and (given := self.model_fields_set & _OF_VALUES):
            what = "events" if self.events else "a method"
            raise ValueError(f"'{min(given)}' is for values, and this tag is {what}: drop it")
        if self.trigger == "status" and self.deadband is not None:
            raise ValueError(f"trigger 'status' reports no change of a value, which '{self.deadband}' is for: keep one")
        return self
