"""Register tables are consistent, and registers carry what the machines say."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.config
from hil.plant.config import gateway_config
from hil.plant.maps import DEVICES, ONE_OF_EACH, TAGS
from hil.plant.process import Process
from hil.plant.registers import Bank, DeviceMap, Refused, Row, decode, encode, resolve, shuffle

MODBUS = [device for device in DEVICES if device.protocol == "modbus"]
BY_NAME = {device.name: device for device in DEVICES}


@pytest.fixture
def process() -> Process:
    process = Process()
    process.step(5.0)
    return process


@pytest.mark.parametrize("device", MODBUS, ids=lambda device: device.name)
def test_register_tables_are_consistent(device: DeviceMap, process: Process) -> None:
    taken: dict[tuple[str, int, int | None], str] = {}
    for row in device.rows:
        for number in range(row.number, row.number + row.width):
            assert taken.setdefault((row.table, number, row.bit), row.path) == row.path, "two tags share an address"
        assert row.table in {"hr", "ir", "co", "di"}
        assert (row.table in {"co", "di"}) == (row.type == "bool" and row.bit is None)
        assert not row.writable or row.table in {"hr", "co"}
        value = resolve(resolve(process, device.machine), row.source)
        assert isinstance(value, str) == (row.type == "string")
    whole = {(table, number) for table, number, bit in taken if bit is None}
    assert not whole & {(table, number) for table, number, bit in taken if bit is not None}
    assert len({row.path for row in device.rows}) == len(device.rows)


def test_the_plant_is_as_large_and_as_varied_as_promised() -> None:
    assert TAGS >= 100
    assert len({device.endpoint for device in DEVICES}) >= 5
    assert {row.type for device in DEVICES for row in device.rows} >= {
        *("bool", "int16", "uint16", "uint32", "int64", "uint64", "float32", "float64", "string"),
    }
    assert {device.order for device in DEVICES} == {"ABCD", "BADC", "CDAB", "DCBA"}


@pytest.mark.parametrize(
    ("order", "expected"), [("ABCD", "aabbccdd"), ("CDAB", "ccddaabb"), ("BADC", "bbaaddcc"), ("DCBA", "ddccbbaa")]
)
def test_word_orders_are_named_after_where_the_bytes_go(order: str, expected: str) -> None:
    assert shuffle(bytes.fromhex("aabbccdd"), order).hex() == expected


@given(
    st.binary(min_size=2, max_size=8).filter(lambda raw: len(raw) % 2 == 0),
    st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]),
)
def test_every_word_order_is_its_own_inverse(raw: bytes, order: str) -> None:
    assert shuffle(shuffle(raw, order), order) == raw


@given(st.integers(-(10**6), 10**6), st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]))
def test_integers_come_back_or_saturate(value: int, order: str) -> None:
    wide, narrow = Row("x", "hr:0", "int32", "x", scale=0.1), Row("x", "hr:0", "uint16", "x")
    assert decode(wide, encode(wide, value / 10, order), order) == pytest.approx(value / 10)
    assert decode(narrow, encode(narrow, value, order), order) == min(max(value, 0), 65535)


def test_registers_show_the_machine(process: Process) -> None:
    meter, pump, filler = BY_NAME["meter1"], BY_NAME["pump1"], BY_NAME["filler1"]
    raw = Bank(meter, process).read_registers("ir", 0, 2)
    assert struct.unpack(">f", raw[2:] + raw[:2])[0] == pytest.approx(process.meter.volts[0], rel=1e-6)  # CDAB
    assert Bank(meter, process).read_registers("hr", 1010, 4) == struct.pack(">Q", process.meter.eui64)
    (status,) = struct.unpack(">H", Bank(pump, process).read_registers("ir", 11, 1))
    assert status == 0b111  # ready, running, at speed
    assert Bank(filler, process).read_registers("hr", 210, 8) == b"B020417".ljust(16, b"\0")
    assert Bank(filler, process).read_bits("di", 0, 12) == process.filler.nozzle_open


def test_set_points_act_on_the_machine(process: Process) -> None:
    bank = Bank(BY_NAME["pump1"], process)
    bank.write_registers(0, struct.pack(">H", 4500))
    bank.write_bits(0, [True, True])
    assert process.pumps[0].speed_setpoint_hz == 45.0
    process.step(4.0)
    assert process.pumps[0].speed_hz == 45.0
    bank = Bank(BY_NAME["conveyor1"], process)
    bank.write_registers(0, struct.pack("<f", 12.5))  # DCBA
    assert process.conveyor.speed_setpoint_m_min == 12.5
    assert bank.read_registers("hr", 0, 2) == struct.pack("<f", 12.5)


@pytest.mark.parametrize(
    ("address", "raw", "code"),
    [
        (0, struct.pack(">H", 5001), 3),  # above 50 Hz
        (1, b"\0\0", 2),  # nothing there
        (0, b"\0\1\0\1", 2),  # the second register isn't there
    ],
)
def test_bad_writes_are_refused_whole(process: Process, address: int, raw: bytes, code: int) -> None:
    before = process.pumps[0].speed_setpoint_hz
    with pytest.raises(Refused) as refusal:
        Bank(BY_NAME["pump1"], process).write_registers(address, raw)
    assert refusal.value.code == code
    assert process.pumps[0].speed_setpoint_hz == before


def test_gaps_are_refused_or_zero_as_the_device_likes(process: Process) -> None:
    with pytest.raises(Refused):
        Bank(BY_NAME["meter1"], process).read_registers("ir", 10, 8)
    assert Bank(BY_NAME["filler1"], process).read_registers("hr", 116, 4) == bytes(8)
    with pytest.raises(Refused):
        Bank(BY_NAME["filler1"], process).read_registers("hr", 225, 10)


@pytest.mark.parametrize("devices", [DEVICES, ONE_OF_EACH], ids=["all", "one of each"])
@pytest.mark.parametrize("granularity", ["tag", "asset"])
def test_the_generated_configuration_is_taken_by_the_gateway(
    tmp_path: Path, granularity: str, devices: tuple[DeviceMap, ...]
) -> None:
    endpoints = list(dict.fromkeys(device.endpoint for device in devices))
    ports = {endpoint: 5020 + at for at, endpoint in enumerate(endpoints)}
    paths = {endpoint: f"/dev/ttyS{at}" for at, endpoint in enumerate(endpoints)}
    text = gateway_config(
        *(ports, paths),
        broker_port=1883,
        data_dir=tmp_path / 'with "quotes"',
        granularity=granularity,
        devices=devices,
    )
    path = tmp_path / "tidegate.toml"
    path.write_text(text)
    settings = gateway.config.load(path)
    assert len(settings.links) == len(endpoints)
    layouts = [group.poll.layout for link in settings.links for device in link.devices for group in device.groups]
    tags = {(layout.source, tag.path): tag for layout in layouts for tag in layout.tags}
    assert len(tags) == sum(len(device.rows) for device in devices)
    for device in devices:
        for row in device.rows:
            assert (tags[device.name, row.path].unit, tags[device.name, row.path].writable) == (row.unit, row.writable)
    assert settings.sinks[0].granularity == granularity
