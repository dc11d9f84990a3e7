"""What can be set for a radio, a device, a tag and a scan: pydantic models whose descriptions become the reference."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from drivers.ble.gatt.codec import Encoding
from drivers.common.numbers import ByteOrder
from gateway.fields import Options, SecretReference

FormatName = Literal["bthome", "ruuvi", "atc", "eddystone", "ibeacon"]

_ADDRESS = re.compile(r"[0-9A-F]{2}([:-][0-9A-F]{2}){5}|[0-9A-F]{12}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{4}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_ADAPTER = re.compile(r"^hci[0-9]+$", re.ASCII)
_BASE = "-0000-1000-8000-00805f9b34fb"


def _check_address(text: str) -> str:
    if not _ADDRESS.fullmatch(text.upper()):
        raise ValueError(f"address '{text}' is not a Bluetooth address: write six bytes such as 'C0:12:34:56:78:9A'")
    digits = re.sub("[:-]", "", text.upper())
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _check_adapter(text: str) -> str:
    if not _ADAPTER.fullmatch(text):
        raise ValueError(f"'{text}' is no radio: write 'hci0', or another that bluetoothctl list names")
    return text


def _check_uuid(text: str) -> str:
    uuid = text.lower().removeprefix("0x")
    if not _UUID.fullmatch(uuid):
        raise ValueError(
            f"'{text}' is not a UUID: write four hexadecimal digits such as '2A6E', "
            "or all 36 characters such as '12340001-0000-1000-8000-00805f9b34fb'"
        )
    return uuid if len(uuid) > 4 else f"0000{uuid}{_BASE}"


Address = Annotated[str, AfterValidator(_check_address)]
Uuid = Annotated[str, AfterValidator(_check_uuid)]
Adapter = Annotated[
    str, AfterValidator(_check_adapter), WithJsonSchema({"type": "string", "pattern": _ADAPTER.pattern})
]


class LinkOptions(Options):
    """One Bluetooth radio of this machine."""

    adapter: Adapter = Field(default="hci0", description="The radio; `bluetoothctl list` names them, first one `hci0`.")
    scanning: Literal["active", "passive"] = Field(
        default="active",
        description="`active` also asks devices for the rest of their advert, such as their name, which costs their "
        "batteries a little. `passive` only listens; bluetoothd must then run with `--experimental`.",
    )
    quiet_s: int = Field(
        default=60,
        ge=0,
        le=86_400,
        description="Time without any sign of any device after which scanning is started anew, and after as much "
        "again the radio is taken for lost. 0: never. Raise it where few devices send rarely.",
    )
    max_connections: int = Field(
        default=4,
        ge=1,
        le=32,
        description="Most devices connected to at a time. What a radio can do differs, often 5 to 10.",
    )


class DeviceOptions(Options):
    """One Bluetooth LE device, by its address or by the name it sends."""

    address: Address | None = Field(default=None, description="Bluetooth address, such as `C0:12:34:56:78:9A`.")
    local_name: str | None = Field(
        default=None,
        min_length=1,
        description="Instead of the address: the name it sends, for devices that change their address. No two devices "
        "in range may have it.",
    )
    format: FormatName | None = Field(
        default=None,
        description="What its adverts are: `bthome`, `ruuvi`, `atc`, `eddystone`, `ibeacon`. Not given: only `rssi`, "
        "`last_seen` and `local_name` are taken from them.",
    )
    bindkey: SecretReference | None = Field(
        default=None,
        description="The key of encrypted `bthome` or `atc` adverts, 32 hexadecimal digits, by reference: "
        '`{file = "/etc/tidegate/secrets/sensor"}`. With it, only adverts encrypted with it are believed.',
    )
    advert_timeout_ms: int = Field(
        default=10_000,
        ge=10,
        le=20_000,
        description="How long a read, or a connection about to be made, waits for the device's next advert; an advert "
        "no older than this will do for a read.",
    )
    connection: Literal["keep", "on_demand"] = Field(
        default="keep",
        description="`keep` stays connected once a characteristic was asked for. `on_demand` connects for each read or "
        "write and lets go again: kind to batteries, but characteristics are then never notified.",
    )
    connect_timeout_ms: int = Field(
        default=10_000,
        ge=10,
        le=20_000,
        description="How long connecting may take, waiting for one's turn and finding out its services included.",
    )
    timeout_ms: int = Field(
        default=3000, ge=10, le=10_000, description="How long to wait for the reply to one request over a connection."
    )
    pair: bool = Field(
        default=False,
        description="Pair when connecting, and bond, unless that was done before. Only without a code ('just works'); "
        "a device that wants one is paired once by hand: `bluetoothctl pair ADDRESS`.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> DeviceOptions:
        if (self.address is None) == (self.local_name is None):
            raise ValueError(
                "a device is known by its 'address' or by the 'local_name' it sends: "
                "write address = 'C0:12:34:56:78:9A', or the other, not both"
            )
        if self.bindkey is not None and self.format not in ("bthome", "atc"):
            raise ValueError('\'bindkey\' is for format "bthome" and "atc", which can be encrypted: drop it')
        return self

    @property
    def identity(self) -> str:
        """The address, or the name it sends."""
        identity = self.address or self.local_name
        assert identity is not None
        return identity


class TagOptions(Options):
    """One value: a field of the adverts, or a characteristic."""

    characteristic: Uuid | None = Field(
        default=None,
        description="UUID of a characteristic, which is read or notified over a connection: `2A6E`, or all 36 digits.",
    )
    field: str | None = Field(
        default=None,
        min_length=1,
        description="A field of the device's adverts: one of its `format`, or `rssi`, `last_seen`, `local_name`. With "
        "`characteristic`: the part of it that is wanted, if it has several.",
    )
    service: Uuid | None = Field(
        default=None, description="UUID of its service, where several services have such a characteristic."
    )
    encoding: Encoding | None = Field(
        default=None,
        description="How the characteristic holds the value. Default: by its standard, else as `type` says. `sfloat` "
        "and `float11073` are the medical floats of 16 and 32 bits.",
    )
    byte_order: ByteOrder = Field(default="little", description="Byte order of a value that isn't standard.")
    start: int = Field(default=0, ge=0, le=511, description="First byte of the value in its characteristic.")
    length: int | None = Field(
        default=None, ge=1, le=512, description="Bytes of a text or of raw bytes. Default: up to the end."
    )
    notify: bool = Field(
        default=True,
        description="Have the device notify changes, where it can. False: read at the group's interval.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> TagOptions:
        if self.field is None and self.characteristic is None:
            raise ValueError(
                "a tag is a 'field' of the adverts or a 'characteristic': write field = 'rssi', "
                "or characteristic = '2A6E'"
            )
        if self.characteristic is None:
            given = self.model_fields_set & {"service", "encoding", "byte_order", "start", "length", "notify"}
            if given:
                raise ValueError(
                    f"'{min(given)}' belongs to a 'characteristic': a field of an advert has none, drop it"
                )
        return self


class ScanOptions(Options):
    """A look at what is in range."""

    adapter: Adapter = Field(default="hci0", description="The radio to listen with.")
    seconds: int = Field(default=10, ge=1, le=600, description="How long to listen.")
