"""What a checked configuration resolves to: frozen, complete, free of defaults and of the file format.

Every room takes its own part of this tree; only `gateway.config` knows TOML or pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.actors import Role
from gateway.driver import DriverKind, PollGroup, Site
from gateway.model import DataType
from gateway.secrets import Secret

SERVICE_DATA_DIR = Path("/var/lib/tidegate")
SERVICE_SOCKET = Path("/run/tidegate/control.sock")
"""Where the packaged service keeps its data and listens: its units make both. The command line looks there."""


def page_directory(socket: Path) -> Path:
    """Where the page of the gateway behind `socket` keeps what is its own, unless it was told another place."""
    return Path("/var/lib/tidegate-web") if socket == SERVICE_SOCKET else socket.parent / "web"


@dataclass(frozen=True, slots=True)
class ReportPolicy:
    """When a value is worth sending. A change of quality always is."""

    deadband: float | None = None
    """Least change, in the tag's unit, against the last reported value. 0: any change. None: no filter by value."""
    deadband_percent: float | None = None
    """The same, in percent of the engineering range."""
    min_interval_s: float = 0.0
    max_interval_s: float | None = None
    """Send again after this long even if nothing changed."""


@dataclass(frozen=True, slots=True)
class WriteRules:
    """Bounds on writing one tag, where they differ from its range and from what holds for the gateway."""

    low: float | None = None
    high: float | None = None
    """None: that end of the engineering range."""
    step: float | None = None
    """Only so many from `low`, or from 0 where there is no least value, and multiples of it."""
    min_interval_s: float | None = None
    role: Role | None = None
    require_reason: bool | None = None


@dataclass(frozen=True, slots=True)
class TagRules:
    """What the pipeline does with one tag's values; position *i* belongs to column *i* of the group's layout."""

    wire_type: DataType
    type: DataType
    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    """Engineering range: outside it a value is uncertain (UncertainEngineeringUnitsExceeded)."""
    clamp: bool = False
    """Limit to the engineering range; the quality still says so."""
    report: ReportPolicy | None = None
    count: int | None = None
    """None: a single value. Otherwise an array of so many elements, each under these rules; 0: of any number."""
    write: WriteRules | None = None

    @property
    def write_limits(self) -> tuple[float | None, float | None]:
        """Least and greatest published value that may be written."""
        write = self.write or WriteRules()
        return (self.low if write.low is None else write.low, self.high if write.high is None else write.high)

    @property
    def scaled(self) -> bool:
        return self.scale != 1.0 or self.offset != 0.0


@dataclass(frozen=True, slots=True)
class GroupSettings:
    poll: PollGroup
    rules: tuple[TagRules, ...]


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    name: str
    options: Any
    """An instance of the driver's `device_options`."""
    groups: tuple[GroupSettings, ...]


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a silent device stops being asked, and how often it is tried again."""

    failures: int = 3
    retry_s: float = 5.0


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One physical connection and what hangs on it."""

    name: str
    kind: DriverKind
    options: Any
    """An instance of the driver's `link_options`."""
    site: Site
    devices: tuple[DeviceSettings, ...]
    breaker: BreakerSettings = BreakerSettings()


def site_of(gateway: str, data_dir: Path, driver: str) -> Site:
    """Where a driver of a gateway works."""
    return Site(gateway, data_dir / "drivers" / driver)


@dataclass(frozen=True, slots=True)
class JournalSettings:
    path: Path
    deadline_s: float = 0.25
    """T: a sample is acknowledged or durable within this time."""
    max_bytes: int = 1 << 30
    max_age_s: float = 7 * 86400.0
    memory_values: int = 2_000_000
    """Values held in memory at most while the disk can't take them."""
    min_free_bytes: int = 64 << 20
    """Free space left to the rest of the machine."""
    ballast_bytes: int = 1 << 20
    """Space reserved to be able to delete on a full file system."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    ca: Path | None = None
    """None: the system's trust store."""
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    """Name to check the server's certificate against, where it isn't the host."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """One MQTT destination."""

    name: str
    host: str
    port: int
    client_id: str
    protocol: int = 5
    """5, or 4 for MQTT 3.1.1."""
    keepalive_s: int = 15
    ack_timeout_s: float = 10.0
    """Age of the oldest unacknowledged publish at which the connection is given up."""
    connect_timeout_s: float = 5.0
    window: int = 100
    """Publishes in flight; the broker's Receive Maximum lowers it."""
    reconnect_max_s: float = 5.0
    username: str | None = None
    password: Secret | None = None
    tls: TlsSettings | None = None
    root: str = "uns"
    granularity: str = "tag"
    """``tag`` or ``asset``."""
    profile: str = "full"
    """``full``, ``umh`` or ``value``."""
    retain: bool = True
    strict_order: bool = False
    backfill_values_per_s: float | None = None
    refused_retry_s: float = 60.0
    ledger_interval_s: float = 10.0


@dataclass(frozen=True, slots=True)
class WriteSettings:
    """Writes to devices. Nothing is written unless somebody switched it on."""

    enabled: bool = False
    require_reason: bool = False
    role: Role = Role.OPERATOR
    min_interval_s: float = 1.0
    """Between two writes to one tag."""
    max_per_minute: int = 60
    ttl_s: float = 10.0
    """A write not sent within this time isn't sent at all, unless the request says otherwise."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The whole configuration."""

    id: str
    location: tuple[str, ...]
    """ISA-95 levels of the gateway itself: enterprise, site[, area[, line[, cell]]]."""
    data_dir: Path
    socket: Path
    """Where the control API listens."""
    clock: str
    """``auto``: trusted when the kernel says it is synchronised; ``trusted``: always."""
    journal: JournalSettings
    links: tuple[LinkSettings, ...]
    sinks: tuple[MqttSettings, ...]
    recent_bytes: int = 4 << 20
    """Memory for recent values, the page's sparklines and trends. 0: none."""
    write: WriteSettings = WriteSettings()
