"""The shape of `tidegate.toml`: every key, its type, its default and its description.

The models say what a table may hold on its own; what spans tables (names, topics, references) is checked in
`gateway.config.build`. Keys of a link, device or tag that aren't named here belong to the link's driver and are checked
against the driver's own models. The JSON Schema and the reference page are generated from these models.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from gateway.config.names import LEVEL, PATH, check_host, check_level, check_name, check_tag_path, check_text
from gateway.config.units import check_unit
from gateway.fields import SecretReference
from gateway.model import DataType
from gateway.settings import SERVICE_DATA_DIR, SERVICE_SOCKET


class Table(BaseModel):
    """A table of the configuration: exact types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Name = Annotated[str, AfterValidator(check_name), Field(json_schema_extra={"pattern": f"^{LEVEL}$"})]
Level = Annotated[str, AfterValidator(check_level), Field(json_schema_extra={"pattern": f"^({LEVEL})?$"})]
Path = Annotated[str, AfterValidator(check_tag_path), Field(json_schema_extra={"pattern": f"^{PATH}$"})]
Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(check_text)]
Host = Annotated[str, StringConstraints(min_length=1), AfterValidator(check_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Unit = Annotated[str, AfterValidator(check_unit), Field(json_schema_extra={"minLength": 1})]
# An enumeration is text in TOML, so it is the one thing that isn't taken strictly.
WireType = Annotated[DataType, Field(strict=False)]


_DAY_S = 86_400.0
_WEEK_MS = 604_800_000.0
_MAX_MB = 1_000_000_000.0
"""Bounds that no plant meets; beyond them times and sizes no longer fit the integers they are kept in."""


class GatewayTable(Table):
    """Who this gateway is and where it stands (ISA-95), and where it keeps its data."""

    id: Name = Field(description="The gateway's name, the last level of its own topics.", examples=["gw1"])
    enterprise: Name = Field(description="First level of every topic (ISA-95 enterprise).", examples=["acme"])
    site: Name = Field(description="Second level of every topic (ISA-95 site).", examples=["plant1"])
    area: Name | None = Field(default=None, description="ISA-95 area of the gateway and, by default, of its devices.")
    line: Name | None = Field(default=None, description="ISA-95 production line; needs `area`.")
    cell: Name | None = Field(default=None, description="ISA-95 work cell; needs `line`.")
    data_dir: Text = Field(
        default=str(SERVICE_DATA_DIR),
        description="Directory for the journal and other state. A relative path starts at this file's directory.",
    )
    socket: Text | None = Field(
        default=None,
        description=f"Unix socket of the control API. Default: `{SERVICE_SOCKET}` where `data_dir` is "
        f"`{SERVICE_DATA_DIR}`, as the service has it; elsewhere `control.sock` in `data_dir`.",
    )
    clock: Literal["auto", "trusted"] = Field(
        default="auto",
        description="`auto`: the wall clock is trusted once the kernel says it is synchronised; `trusted`: always.",
    )
    recent_mb: float = Field(
        default=4.0,
        ge=0,
        le=1024,
        description="Memory for recent values, the sparklines and trends of the page, in MiB; all tags reach back "
        "equally far. 0: none are kept.",
    )


class JournalTable(Table):
    """The store-and-forward journal. Every key is optional."""

    path: Text | None = Field(default=None, description="Its database file. Default: `journal.db` in `data_dir`.")
    deadline_ms: float = Field(
        default=250.0,
        gt=0,
        le=60_000,
        description="A value is acknowledged by every sink or durable on disk within this time.",
    )
    max_mb: float = Field(
        default=1024.0,
        ge=1,
        le=_MAX_MB,
        description="Space on disk, in MiB. When it is used up the oldest values are dropped and counted.",
    )
    max_age_h: float = Field(
        default=168.0, gt=0, le=876_000, description="Values older than this are dropped and counted, in hours."
    )
    memory_values: int = Field(
        default=2_000_000,
        ge=1000,
        le=1_000_000_000,
        description="Values held in memory at most while the disk can't take them. An element of an array counts as a "
        "value, and so do 32 characters of text.",
    )
    min_free_mb: float = Field(
        default=64.0, ge=0, le=_MAX_MB, description="Free space left to the rest of the machine, in MiB."
    )


class TlsTable(Table):
    """TLS to the broker. An empty table means TLS with the system's trust store."""

    ca: Text | None = Field(default=None, description="PEM file of trusted CA certificates. Default: the system's.")
    certificate: Text | None = Field(default=None, description="PEM file of the client certificate, with its chain.")
    key: Text | None = Field(default=None, description="PEM file of its key. Default: in the certificate's file.")
    server_name: Text | None = Field(
        default=None, description="Name expected in the broker's certificate, where it isn't `host`."
    )


class SinkTable(Table):
    """A destination: one MQTT broker."""

    name: Name = Field(description="Unique name of the sink, used in status, ledger and log.", examples=["plant"])
    type: Literal["mqtt"] = Field(default="mqtt", description="The kind of sink.")
    host: Host = Field(description="Name or address of the broker.", examples=["broker.example"])
    port: Port | None = Field(default=None, description="TCP port. Default: 1883, or 8883 with TLS.")
    client_id: Text | None = Field(
        default=None, description="MQTT client id, unique at the broker. Default: `{gateway.id}-{name}`."
    )
    protocol: Literal["5", "3.1.1"] = Field(
        default="5", description="MQTT version. With 3.1.1 a broker can't say that it refused a message."
    )
    keepalive_s: int = Field(default=15, ge=1, le=65535, description="MQTT keep-alive, in seconds.")
    ack_timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=_DAY_S,
        description="Age of the oldest unacknowledged message at which the connection is given up, in seconds.",
    )
    connect_timeout_s: float = Field(
        default=5.0, gt=0, le=_DAY_S, description="Time a connection attempt may take, in seconds."
    )
    reconnect_max_s: float = Field(
        default=5.0, gt=0, le=_DAY_S, description="Longest pause between two connection attempts, in seconds."
    )
    window: int = Field(
        default=100, ge=1, le=65535, description="Messages in flight; the broker's Receive Maximum lowers it."
    )
    username: Text | None = Field(default=None, description="User name at the broker.")
    password: SecretReference | None = Field(
        default=None,
        description='Password, by reference: `{env = "NAME"}`, `{file = "PATH"}` or `{credential = "NAME"}`.',
        examples=[{"file": "/etc/tidegate/secrets/broker"}],
    )
    tls: TlsTable | None = Field(
        default=None, description="TLS to the broker; without this table the connection is in clear."
    )
    root: Path = Field(default="uns", description="First level(s) of every topic, before `v1`.")
    granularity: Literal["tag", "asset"] = Field(
        default="tag", description="`tag`: one topic for each tag; `asset`: one message for each poll of a group."
    )
    profile: Literal["full", "umh", "value"] = Field(
        default="full",
        description="Payload: `full`, `umh` (`timestamp_ms` and `value` only) or `value` (the bare value).",
    )
    retain: bool = Field(default=True, description="Whether the broker keeps the last live value of each topic.")
    order: Literal["live-first", "strict"] = Field(
        default="live-first",
        description="After an outage: `live-first` sends new values at once and stored ones beside them; "
        "`strict` keeps the order over all.",
    )
    backfill_values_per_s: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000_000,
        description="Bound on stored values sent per second beside live ones. Default: no bound.",
    )
    refused_retry_s: float = Field(
        default=60.0,
        gt=0,
        le=_DAY_S,
        description="Pause before a message that the broker refused is tried again, in seconds.",
    )
    ledger_interval_s: float = Field(
        default=10.0, gt=0, le=_DAY_S, description="Period of the `_ledger` message, in seconds."
    )


class BreakerTable(Table):
    """When a silent device on this link stops being asked, and how often it is tried again."""

    failures: int = Field(default=3, ge=1, description="Unanswered polls in a row after which a device is left out.")
    retry_ms: float = Field(
        default=5000.0, gt=0, le=_WEEK_MS, description="Pause before it is tried again, in milliseconds."
    )


class LinkTable(Table):
    """One physical connection. Further keys are the driver's."""

    name: Name = Field(description="Unique name of the link.", examples=["filler"])
    driver: Text = Field(description="The protocol driver of everything on this link.", examples=["modbus"])
    breaker: BreakerTable = Field(default_factory=BreakerTable, description="The circuit breaker for silent devices.")


class ReportTable(Table):
    """When a value is worth sending; a change of quality always is. Without it: every usable value, a bad one once."""

    deadband: float | None = Field(
        default=None, ge=0, description="Least change against the last sent value, in the tag's unit. 0: any change."
    )
    deadband_percent: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="The same in percent of the range `low` … `high`. If both are given, the finer one counts.",
    )
    min_interval_ms: float = Field(
        default=0.0, ge=0, le=_WEEK_MS, description="Least time between two sent values, in milliseconds."
    )
    max_interval_ms: float | None = Field(
        default=None,
        gt=0,
        le=_WEEK_MS,
        description="Send again after this time even if nothing changed, in milliseconds.",
    )


class WriteTable(Table):
    """Writes to devices: the one switch, and what holds for every tag that doesn't say otherwise."""

    enabled: bool = Field(
        default=False,
        description="Whether anything is written to any device. Even then only tags with `writable = true` can be.",
    )
    require_reason: bool = Field(default=False, description="Whether every write has to say why.")
    role: Literal["operator", "engineer", "admin"] = Field(
        default="operator", description="The least role of a user or token that may write."
    )
    min_interval_ms: float = Field(
        default=1000.0, ge=0, le=_WEEK_MS, description="Least time between two writes to one tag, in milliseconds."
    )
    max_per_minute: int = Field(
        default=60, ge=1, le=6000, description="Most writes of the whole gateway in a minute, over all tags."
    )
    ttl_ms: float = Field(
        default=10_000.0,
        gt=0,
        le=_DAY_S * 1000,
        description="A write that couldn't be sent within this time is not sent at all, in milliseconds. "
        "A request may say less or more.",
    )


class TagWriteTable(Table):
    """Bounds on writing one tag. Only with `writable = true`."""

    min: float | None = Field(default=None, description="Least value, in `unit`. Default: `low`.")
    max: float | None = Field(default=None, description="Greatest value, in `unit`. Default: `high`.")
    step: float | None = Field(
        default=None, gt=0, description="Only so many from `min`, or from 0 where there is none, and multiples of it."
    )
    min_interval_ms: float | None = Field(
        default=None,
        ge=0,
        le=_WEEK_MS,
        description="Least time between two writes, in milliseconds. Default: that of `[write]`.",
    )
    role: Literal["operator", "engineer", "admin"] | None = Field(
        default=None, description="The least role that may write it. Default: that of `[write]`."
    )
    require_reason: bool | None = Field(
        default=None, description="Whether a write has to say why. Default: as in `[write]`."
    )


class TagTable(Table):
    """One value. Further keys are the driver's."""

    name: Path = Field(description="Path below the asset, levels joined by `/`.", examples=["motor/speed"])
    type: WireType = Field(description="Type on the wire, before scaling.", examples=["uint16"])
    scale: float = Field(default=1.0, description="Published value = wire value × `scale` + `offset`.")
    offset: float = Field(default=0.0, description="See `scale`.")
    output: WireType | None = Field(
        default=None,
        description="Published type. Default: the wire type; if scaled by whole numbers, the smallest integer type "
        "that holds every value; if scaled otherwise, `float64`. `float16` is published as `float32`.",
    )
    count: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="The value is an array of so many elements of `type`; 0: of as many as the device has.",
    )
    unit: Unit | None = Field(
        default=None, description="Unit of the published value, a UCUM code (case-sensitive).", examples=["Cel"]
    )
    low: float | None = Field(default=None, description="Lower end of the engineering range, in `unit`.")
    high: float | None = Field(
        default=None, description="Upper end. A value outside the range is published with an uncertain quality."
    )
    clamp: bool = Field(default=False, description="Limit values to the range; the quality still says so.")
    description: str | None = Field(default=None, description="Free text for people, published in `_meta`.")
    original_name: Text | None = Field(
        default=None, description="The point's name at its source, such as in the PLC program, published in `_meta`."
    )
    report: ReportTable | None = Field(default=None, description="When a value is worth sending. Default: always.")
    writable: bool = Field(
        default=False, description="Whether the tag may be written. Nothing is while `write.enabled` is false."
    )
    write: TagWriteTable | None = Field(default=None, description="Bounds on writing it. Default: `low` and `high`.")


CSV_TABLES: dict[str, tuple[str, type[Table]]] = {"report": ("", ReportTable), "write": ("write_", TagWriteTable)}
"""Tables of a tag that have columns of their own in a CSV file: what these begin with, and the keys."""


class GroupTable(Table):
    """Tags of one device that are read together. They come from `tags_csv`, from `tag` tables, or from both."""

    name: Name = Field(description="Name of the group, unique in its device or template.", examples=["fast"])
    interval_ms: float | None = Field(
        default=None,
        ge=0,
        le=_WEEK_MS,
        description="Poll period, in milliseconds; 0 means continuously. Of a group that is subscribed to: how often "
        "the device is asked to look (default 1000). Required for polled groups, except where a device's group "
        "overrides a template's.",
        examples=[1000],
    )
    mode: Literal["poll", "subscribe"] | None = Field(
        default=None,
        description="`poll`: the gateway asks; `subscribe`: the device speaks by itself. Default: the driver's way.",
    )
    stale_ms: float | None = Field(
        default=None,
        ge=0,
        le=_WEEK_MS,
        description="Of a group that is subscribed to: a tag of which nothing came for so long turns bad. 0: never. "
        "Default: the driver's own.",
    )
    tags_csv: Text | None = Field(
        default=None,
        description="CSV file of tags: a header of tag keys, one tag a row. "
        "A relative path starts at the directory of the file it stands in.",
        examples=["filler.csv"],
    )
    tag: list[dict[str, Any]] = Field(default_factory=list, description="The group's tags.")


class DeviceTable(Table):
    """One device on a link. Further keys are the driver's."""

    name: Name = Field(description="Unique name of the device.", examples=["filler1"])
    link: Text = Field(description="Name of the link it hangs on.", examples=["filler"])
    asset: Name | None = Field(default=None, description="Last level of its location in the topics. Default: `name`.")
    area: Level | None = Field(
        default=None,
        description="Its ISA-95 area. A level given here replaces the gateway's from there down; "
        '`""` leaves the level out. Default: the gateway\'s.',
    )
    line: Level | None = Field(default=None, description="Its production line. Default: the gateway's.")
    cell: Level | None = Field(default=None, description="Its work cell. Default: the gateway's.")
    template: Text | None = Field(default=None, description="Template whose groups the device has.")
    group: list[dict[str, Any]] = Field(
        default_factory=list,
        description="The device's groups. One named like a group of the template overrides it: "
        "the interval, the tags, or both.",
    )


class TemplateTable(Table):
    """Groups shared by devices of one kind."""

    name: Name = Field(description="Unique name of the template.", examples=["acme-filler"])
    driver: Text = Field(description="The driver its tags are written for.", examples=["modbus"])
    group: list[dict[str, Any]] = Field(
        default_factory=list,
        description="The groups.",
    )


SECTIONS: dict[str, tuple[type[Table], bool]] = {
    "gateway": (GatewayTable, False),
    "journal": (JournalTable, False),
    "write": (WriteTable, False),
    "sink": (SinkTable, True),
    "link": (LinkTable, True),
    "device": (DeviceTable, True),
    "template": (TemplateTable, True),
}
"""Every top-level key: its model, and whether it is an array of tables."""
