"""Writing: sent once, confirmed, read back; what doesn't fit isn't sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.serial import KIND
from drivers.serial.command import Refused, compose
from drivers.serial.options import DeviceOptions
from gateway.driver import DeviceSilent, LinkDown, Point, WriteFailed
from gateway.model import DataType, Value
from tests.drivers.serial.bench import Bench, group, point

OVEN: dict[str, Any] = {
    "framing": {"end": "\n"},
    "message": {"setpoint": {"request": "SP?\n", "pattern": r"SP=(?P<setpoint>[\d.]+)"}},
    "command": {
        "acked": {"send": r"SP {value}\n", "ack": "OK", "refused": "E.*", "decimals": 1},
        "plain": {"send": r"SP {value}\n"},
        "zero": {"send": r"Z\n", "ack": "Z A", "refused": "Z I"},
    },
}


class Oven:
    """Holds one number."""

    def __init__(self, bench: Bench, says: bytes | None = b"OK\n") -> None:
        self.bench, self.says, self.setpoint = bench, says, b"20.0"
        bench.far.answer = self.hear

    def hear(self, data: bytes) -> None:
        for line in data.splitlines():
            if line == b"SP?":
                self.bench.far.send(b"SP=%b\n" % self.setpoint)
            elif line.startswith(b"SP "):
                self.setpoint = line[3:]
                if self.says is not None:
                    self.bench.far.send(self.says)


async def test_a_write_is_confirmed_and_read_back(bench: Bench) -> None:
    device = bench.device(**OVEN)
    Oven(bench)
    await bench.connect()
    assert await device.write(point("setpoint", command="acked"), 180.5) == 180.5
    assert bench.far.received == b"SP 180.5\nSP?\n"


async def test_a_write_without_acknowledgement_is_read_back(bench: Bench) -> None:
    device = bench.device(**OVEN)
    oven = Oven(bench, None)
    await bench.connect()
    assert await device.write(point("setpoint", command="plain"), 99.0) == 99.0
    assert oven.setpoint == b"99"


async def test_a_command_that_can_not_be_read_back_needs_its_acknowledgement(bench: Bench) -> None:
    device = bench.device(**OVEN)
    bench.answer({b"Z\n": b"Z A\n"})
    await bench.connect()
    zero = Point("zero", DataType.BOOL, KIND.tag_options(command="zero"))
    assert await device.write(zero, True) is True
    bench.answer({b"Z\n": b"Z I\n"})
    with pytest.raises(WriteFailed, match="zero: the instrument refused it"):
        await device.write(zero, True)
    blind = Point("blind", DataType.FLOAT64, KIND.tag_options(command="plain"))
    with pytest.raises(WriteFailed, match="nothing would tell whether it was taken"):
        await device.write(blind, 1.0)
    batch = await device.read(device.plan(group(zero)))
    assert batch.values[0] is None


async def test_an_instrument_that_took_something_else_is_found_out(bench: Bench) -> None:
    device = bench.device(**OVEN)
    oven = Oven(bench)
    await bench.connect()
    oven.hear = lambda data: bench.far.send(b"OK\n" if b"?" not in data else b"SP=20.0\n")  # type: ignore[method-assign]
    bench.far.answer = oven.hear
    with pytest.raises(WriteFailed, match=r"setpoint was written but reads 20\.0 now"):
        await device.write(point("setpoint", command="acked"), 180.5)


async def test_a_refused_write_is_not_repeated(bench: Bench) -> None:
    device = bench.device(**OVEN)
    Oven(bench, b"E12\n")
    await bench.connect()
    with pytest.raises(WriteFailed, match="refused"):
        await device.write(point("setpoint", command="acked"), 30.0)
    assert bench.far.received == b"SP 30.0\n"


async def test_lost_acknowledgements_never_repeat_a_write(bench: Bench) -> None:
    bench.bus(timeouts_before_reconnect=0)
    device = bench.device(**{**OVEN, "timeout_ms": 5})
    Oven(bench, None)
    await bench.connect()
    for number in range(100):
        with pytest.raises(DeviceSilent, match="whether setpoint was written is unknown"):
            await device.write(point("setpoint", command="acked"), float(number))
    # One that was still waiting in the port when its time was up isn't sent at all.
    sent = bytes(bench.far.received).splitlines()
    assert len(sent) == len({*sent}) > 90


async def test_the_outcome_is_unknown_when_the_plug_is_pulled(bench: Bench) -> None:
    device = bench.device(**{**OVEN, "timeout_ms": 5000})
    await bench.connect()
    writing = asyncio.create_task(device.write(point("setpoint", command="acked"), 30.0))
    await bench.far.until(lambda data: b"SP" in data)
    bench.far.unplug()
    with pytest.raises(LinkDown, match=r"is gone.*; whether setpoint was written is unknown"):
        await writing


def composed(send: str, type_: DataType, value: Value, **options: Any) -> bytes:
    rules = options.pop("rules", {})
    device = DeviceOptions.model_validate(
        {"command": {"c": {"send": send, **options}}, "field": {"x": rules}, "address": "07"}
    )
    return compose(device.command["c"], device, "x", type_, value)


@pytest.mark.parametrize(
    ("type_", "value", "options", "sent"),
    [
        (DataType.FLOAT64, 12.5, {}, b"T07 12.5\r"),
        (DataType.FLOAT64, 12.0, {}, b"T07 12\r"),
        (DataType.FLOAT64, 100.0, {}, b"T07 100\r"),
        (DataType.FLOAT64, 1e-7, {}, b"T07 0.0000001\r"),
        (DataType.FLOAT64, 1e16, {}, b"T07 10000000000000000\r"),
        (DataType.FLOAT64, 12.5, {"decimals": 2, "width": 7}, b"T07 0012.50\r"),
        (DataType.FLOAT64, -12.5, {"width": 6}, b"T07 -012.5\r"),
        (DataType.FLOAT64, 12.5, {"rules": {"decimal": ","}}, b"T07 12,5\r"),
        (DataType.UINT8, 255, {"rules": {"base": 16}, "width": 4}, b"T07 00FF\r"),
        (DataType.INT16, 3.0, {}, b"T07 3\r"),
        (DataType.BOOL, True, {"rules": {"true": "AUF", "false": "ZU"}}, b"T07 AUF\r"),
        (DataType.BOOL, False, {}, b"T07 0\r"),
        (DataType.STRING, "Charge 7", {}, b"T07 Charge 7\r"),
        (DataType.STRING, "<STX>{address}\\r", {}, b"T07 <STX>{address}\\r\r"),
    ],
)
def test_what_is_sent(type_: DataType, value: Value, options: dict[str, Any], sent: bytes) -> None:
    assert composed("T{address} {value}<CR>", type_, value, **options) == sent


@pytest.mark.parametrize(
    ("type_", "value", "options", "sentence"),
    [
        (DataType.FLOAT64, 12.34, {"decimals": 1}, "has more than 1 decimal places"),
        (DataType.FLOAT64, "12", {}, "is not a number"),
        (DataType.FLOAT64, True, {}, "is not a number"),
        (DataType.FLOAT64, float("nan"), {}, "can't be sent"),
        (DataType.UINT8, 256, {}, "outside uint8, which holds 0 to 255"),
        (DataType.UINT8, 1.5, {}, "is not a whole number"),
        (DataType.BOOL, 1, {}, "is not a bool"),
        (DataType.STRING, "a\rSP 99", {}, "has control characters"),
        (DataType.STRING, 5, {}, "is not a string"),
        (DataType.FLOAT64, None, {}, "is not a number"),
    ],
)
def test_what_does_not_fit_is_not_sent(type_: DataType, value: Value, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        composed("T {value}", type_, value, **options)
