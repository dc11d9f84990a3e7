"""Every preset against frames as its public source prints them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from drivers.serial import KIND
from drivers.serial.framing import Decoder, encode
from drivers.serial.message import Kind
from drivers.serial.plan import SerialPlan
from drivers.serial.presets import about, names
from gateway.driver import Point
from gateway.model import DataType, Quality, Value
from tests.drivers.serial.bench import group

F, S, U, T = DataType.FLOAT64, DataType.STRING, DataType.UINT16, DataType.DATETIME
MISSING, UNSTABLE = int(Quality.BAD_SENSOR_FAILURE), int(Quality.UNCERTAIN_SENSOR_NOT_ACCURATE)
OVER, UNIT = int(Quality.BAD_OUT_OF_RANGE), int(Quality.BAD_CONFIGURATION_ERROR)


def read(
    preset: str,
    wire: bytes,
    tags: dict[str, tuple[DataType, str | None]],
    message: str | None = None,
    **options: Any,
) -> dict[str, tuple[Value, int]] | None:
    """What the frame on the wire says of these fields (type, unit); None if it isn't a frame, or no known message."""
    device = KIND.device_options.model_validate({"preset": preset, **options})
    decoder = Decoder(device.framing, Counter())
    decoder.sync()
    frames = decoder.feed(wire, 0)
    if not frames:
        return None
    points = tuple(
        Point(name, type_, KIND.tag_options(field=name, message=message)) for name, (type_, _) in tags.items()
    )
    kinds = [Kind(name, each, device.address, device.encoding) for name, each in device.message.items()]
    plan = SerialPlan(group(*points, units=[unit for _, unit in tags.values()], subscribed=True), device, kinds)
    assert list(plan.errors) == []
    for share in plan.shares:
        fields = share.kind.extract(frames[0].content)
        if fields is not None:
            batch = share.batch(plan.group, fields, 0, 0)
            codes = batch.qualities or [0] * len(batch.values)
            paths = [points[column].path for column in share.columns]
            return dict(zip(paths, zip(batch.values, codes, strict=True), strict=True))
    return None


def good(**values: Value) -> dict[str, tuple[Value, int]]:
    return {name: (value, 0) for name, value in values.items()}


def test_every_preset_says_what_it_is_and_where_it_is_from() -> None:
    assert {"nmea", "sics", "toledo-continuous", "and", "cas", "barcode", "key-value", "csv"} <= {*names()}
    for name in names():
        summary, source = about(name)
        assert summary.endswith(".")
        assert source.endswith(".")
        assert KIND.device_options(preset=name).message


# -- NMEA 0183


def test_gga() -> None:
    wire = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"
    tags = {"latitude": (F, None), "longitude": (F, None), "altitude": (F, None), "satellites": (U, None),
            "hdop": (F, None), "time": (S, None), "dgps_age": (F, None)}  # fmt: skip
    got = read("nmea", wire, tags, "GGA")
    assert got is not None
    assert got.pop("latitude") == (pytest.approx(48.1173), 0)
    assert got.pop("longitude") == (pytest.approx(11.516666666667), 0)
    assert got.pop("dgps_age") == (None, MISSING)
    assert got == good(altitude=545.4, satellites=8, hdop=0.9, time="123519")


def test_a_position_without_a_fix_is_never_good() -> None:
    """The receiver goes on saying where it was last."""
    wire = b"$GPGGA,075851.891,5611.5305,N,00302.0369,W,0,00,4.8,44.0,M,52.0,M,,0000*77\r\n"
    got = read("nmea", wire, {"latitude": (F, None), "longitude": (F, None), "altitude": (F, None)}, "GGA")
    assert got == dict.fromkeys(("latitude", "longitude", "altitude"), (None, MISSING))
    wire = b"$GPRMC,075851.891,V,5611.5305,N,00302.0369,W,002.2,252.9,160411,,,N*68\r\n"
    assert read("nmea", wire, {"latitude": (F, None)}, "RMC") == {"latitude": (None, MISSING)}


def test_rmc() -> None:
    wire = b"$GPRMC,111309.00,A,5400.6000,N,00247.1000,W,00.00,302.5,140915,,,A*4C\r\n"
    tags = {"latitude": (F, None), "longitude": (F, None), "speed_knots": (F, None), "course": (F, None),
            "datetime": (T, None), "variation": (F, None)}  # fmt: skip
    got = read("nmea", wire, tags, "RMC")
    assert got is not None
    assert got.pop("longitude") == (pytest.approx(-2.785), 0)
    assert got.pop("variation") == (None, MISSING)
    assert got == good(latitude=54.01, speed_knots=0.0, course=302.5, datetime="2015-09-14T11:13:09.00Z")


def test_vtg() -> None:
    wire = b"$GPVTG,252.9,T,,M,002.2,N,004.1,K,N*0B\r\n"
    got = read("nmea", wire, {"course": (F, None), "speed_kmh": (F, None), "course_magnetic": (F, None)}, "VTG")
    assert got == {"course": (252.9, 0), "speed_kmh": (4.1, 0), "course_magnetic": (None, MISSING)}


def test_gsv_of_each_system() -> None:
    tags = {"satellites_in_view": (U, None)}
    gps = b"$GPGSV,4,1,13,07,18,322,29,08,19,273,,16,74,204,35,18,34,115,28*7B\r\n"
    assert read("nmea", gps, tags, "GPGSV") == good(satellites_in_view=13)
    glonass = b"$GLGSV,3,3,09,86,50,271,23*52\r\n"
    assert read("nmea", glonass, tags, "GLGSV") == good(satellites_in_view=9)
    assert read("nmea", glonass, tags, "GPGSV") is None


def test_gsa() -> None:
    wire = b"$GNGSA,A,3,07,16,18,20,21,22,26,27,,,,,01.3,00.7,01.1*10\r\n"
    got = read("nmea", wire, {"fix_type": (U, None), "pdop": (F, None), "hdop": (F, None), "vdop": (F, None)}, "GSA")
    assert got == good(fix_type=3, pdop=1.3, hdop=0.7, vdop=1.1)


def test_zda_and_other_talkers() -> None:
    framing = KIND.device_options(preset="nmea").framing
    zda = encode(framing, b"GPZDA,201530.00,04,07,2002,00,00")
    assert zda == b"$GPZDA,201530.00,04,07,2002,00,00*60\r\n"
    assert read("nmea", zda, {"utc": (T, None)}) == good(utc="2002-07-04T20:15:30.00Z")
    wind = encode(framing, b"WIMWV,214.8,R,0.1,K,A")
    assert wind == b"$WIMWV,214.8,R,0.1,K,A*28\r\n"
    assert read("nmea", wind, {"wind_speed": (F, "km/h"), "wind_angle": (F, None)}) == good(
        wind_speed=0.1, wind_angle=214.8
    )
    assert read("nmea", wind, {"wind_speed": (F, "m/s")}) == {"wind_speed": (None, UNIT)}


def test_a_wrong_checksum_is_no_sentence() -> None:
    wire = b"$GPRMC,111309.00,A,5401.6000,N,00247.1000,W,00.00,302.5,140915,,,A*4C\r\n"
    assert read("nmea", wire, {"latitude": (F, None)}, "RMC") is None
    assert read("nmea", b"$GPRMC,111309.00,A*XX\r\n", {"latitude": (F, None)}, "RMC") is None


# -- scales


@pytest.mark.parametrize(
    ("wire", "result"),
    [
        (b"S S     100.00 kg \r\n", (100.0, 0)),
        (b"S D    -1.5500 kg\r\n", (-1.55, UNSTABLE)),
        (b"S S     100.00 lb \r\n", (None, UNIT)),
        (b"S +\r\n", (None, OVER)),
        (b"S -\r\n", (None, OVER)),
        (b"S I\r\n", (None, int(Quality.BAD_WAITING_FOR_INITIAL_DATA))),
    ],
)
def test_sics_weight(wire: bytes, result: tuple[Value, int]) -> None:
    assert read("sics", wire, {"weight": (F, "kg")}) == {"weight": result}


def test_sics_says_whether_it_is_stable() -> None:
    assert read("sics", b"S S     100.00 g\r\n", {"stable": (DataType.BOOL, None)}) == good(stable=True)
    assert read("sics", b"S D     100.00 g\r\n", {"stable": (DataType.BOOL, None)}) == good(stable=False)


def toledo(a: int, b: int, c: int, weight: bytes, tare: bytes) -> bytes:
    return b"\x02" + bytes((a, b, c)) + weight + tare + b"\r"


@pytest.mark.parametrize(
    ("wire", "unit", "result"),
    [
        (toledo(0x2C, 0x30, 0x20, b" 12345", b"   200"), "kg", (123.45, 0)),
        (toledo(0x2C, 0x32, 0x20, b" 12345", b"   200"), "kg", (-123.45, 0)),
        (toledo(0x28, 0x30, 0x20, b" 12345", b"   200"), "kg", (1234500.0, 0)),
        (toledo(0x2C, 0x38, 0x20, b" 12345", b"   200"), "kg", (123.45, UNSTABLE)),
        (toledo(0x2C, 0x34, 0x20, b" 12345", b"   200"), "kg", (None, OVER)),
        (toledo(0x2C, 0x20, 0x20, b" 12345", b"   200"), "kg", (None, UNIT)),
        (toledo(0x2C, 0x20, 0x20, b" 12345", b"   200"), "[lb_av]", (123.45, 0)),
        (toledo(0x2C, 0x30, 0x21, b" 12345", b"   200"), "g", (123.45, 0)),
    ],
)
def test_toledo_continuous(wire: bytes, unit: str, result: tuple[Value, int]) -> None:
    assert read("toledo-continuous", wire, {"weight": (F, unit)}) == {"weight": result}


def test_toledo_continuous_with_its_checksum() -> None:
    check = {"kind": "sum7-twos", "place": "after-end", "over_start": True, "over_end": True}
    wire = toledo(0x2C, 0x30, 0x20, b" 12345", b"   200")
    right = bytes((-sum(wire) & 0x7F,))
    tags = {"weight": (F, "kg"), "tare": (F, "kg"), "net": (DataType.BOOL, None)}
    got = read("toledo-continuous", wire + right, tags, framing={"checksum": check})
    assert got == good(weight=123.45, tare=2.0, net=False)
    assert read("toledo-continuous", wire + b"\x7f", tags, framing={"checksum": check}) is None


@pytest.mark.parametrize(
    ("wire", "unit", "result"),
    [
        (b"ST,+001234.5  g\r\n", "g", (1234.5, 0)),
        (b"US,-00012.34 kg\r\n", "kg", (-12.34, UNSTABLE)),
        (b"QT,+00012345 PC\r\n", "{pcs}", (12345.0, 0)),
        (b"ST,+000123.4  %\r\n", "%", (123.4, 0)),
        (b"OL,+999999.9  g\r\n", "g", (None, OVER)),
        (b"OL,+9999999E+19\r\n", "g", (None, OVER)),
        (b"ST,+001234.5  g\r\n", "kg", (None, UNIT)),
    ],
)
def test_and(wire: bytes, unit: str, result: tuple[Value, int]) -> None:
    assert read("and", wire, {"weight": (F, unit)}) == {"weight": result}


@pytest.mark.parametrize(
    ("wire", "result"),
    [
        (b"ST,GS,\x31\xc5,000013.5 kg\r\n", (13.5, 0)),
        (b"US,NT,\x31\x85,-00013.5 kg\r\n", (-13.5, UNSTABLE)),
        (b"ST,GS,+00013.5kg\r\n", (13.5, 0)),
        (b"OL,GS,\x31\x85,000000.0 kg\r\n", (None, OVER)),
        (b"ST,GS,\x31\xc5,000013.5  t\r\n", (None, UNIT)),
    ],
)
def test_cas(wire: bytes, result: tuple[Value, int]) -> None:
    assert read("cas", wire, {"weight": (F, "kg")}) == {"weight": result}
    assert read("cas", wire, {"net": (DataType.BOOL, None)}) == good(net=b",NT," in wire)


# -- the rest


def test_barcode() -> None:
    assert read("barcode", b"4006381333931\r\n", {"code": (S, None)}) == good(code="4006381333931")


def test_key_value_and_csv() -> None:
    got = read("key-value", b"T=21.5, RH=40\r\n", {"T": (F, None), "RH": (F, None), "P": (F, None)})
    assert got == {"T": (21.5, 0), "RH": (40.0, 0), "P": (None, MISSING)}
    assert read("csv", b"7,21.5\n", {"c1": (U, None), "c2": (F, None)}) == good(c1=7, c2=21.5)


def test_what_is_given_beside_a_preset_replaces_it() -> None:
    options = KIND.device_options.model_validate({"preset": "csv", "message": {"values": {"separator": ";"}}})
    assert options.message["values"].separator == b";"
    assert options.message["values"].columns
    options = KIND.device_options.model_validate({"preset": "nmea", "framing": {"max_length": 100}})
    assert (options.framing.max_length, options.framing.start) == (100, b"$")
