"""Serial ports over pseudo-terminals: opening alone, receiving, sending, losing; what an error says."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from drivers.common.serialport import Device, LineOptions, Port, PortReceiver, Rs485Options, open_port, tty
from drivers.common.serialport.marks import MarkReader
from drivers.common.serialport.portlist import PortInfo, ports
from gateway.driver import LinkDown
from tests.support.descriptors import descriptors
from tests.support.pty_port import PtyPort

LINE = LineOptions()


class Ear(PortReceiver):
    def __init__(self) -> None:
        self.data = bytearray()
        self.errors = 0
        self.reasons: list[str] = []
        self._heard = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        assert data
        self.data += data
        self._heard.set()

    def line_error(self) -> None:
        self.errors += 1
        self._heard.set()

    def port_lost(self, reason: str) -> None:
        self.reasons.append(reason)
        self._heard.set()

    async def until(self, data: bytes) -> None:
        async with asyncio.timeout(5):
            while self.data != data:
                await self.something()

    async def something(self) -> None:
        async with asyncio.timeout(5):
            await self._heard.wait()
            self._heard.clear()


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[PtyPort]:
    with PtyPort(tmp_path) as port:
        yield port


@pytest.fixture
async def ear() -> Ear:
    return Ear()


@pytest.fixture
async def port(far: PtyPort, ear: Ear) -> AsyncIterator[Port]:
    opened = await open_port(far.device, LINE, ear)
    yield opened
    await opened.close()


# -- talking


async def test_every_byte_value_travels_both_ways(port: Port, far: PtyPort, ear: Ear) -> None:
    every = bytes(range(256)) * 3
    port.write(every)
    await far.until(lambda data: data == every)
    far.send(every)
    await ear.until(every)
    assert ear.errors == 0


async def test_what_had_come_in_is_heard_before_anything_is_sent(port: Port, far: PtyPort, ear: Ear) -> None:
    """Even if the loop was held up and hasn't looked: else it would be taken for the answer."""
    far.send(b"late")
    far.delivered()
    port.write(b"?")
    assert ear.data == b"late"


async def test_more_than_the_kernel_takes_is_kept_and_sent(port: Port, far: PtyPort) -> None:
    big = os.urandom(60_000)
    port.write(big)
    await far.until(lambda data: data == big)


async def test_a_port_that_takes_nothing_is_given_up(tmp_path: Path, ear: Ear) -> None:
    with PtyPort(tmp_path) as far:
        port = await open_port(far.device, LINE, ear)
        far.stop_reading()
        port.write(bytes(60_000))
        with pytest.raises(LinkDown, match="takes no data"):
            port.write(bytes(60_000))
        port.discard_unsent()
        await port.close()


async def test_what_was_discarded_is_never_sent(tmp_path: Path, ear: Ear) -> None:
    with PtyPort(tmp_path) as far:
        port = await open_port(far.device, LINE, ear)
        far.stop_reading()
        port.write(bytes(50_000))
        port.discard_unsent()
        while True:
            try:
                os.read(far._master, 1 << 16)
            except BlockingIOError:
                break
        far.go_on_reading()
        port.write(b"now")
        await far.until(lambda data: data.endswith(b"now"))
        assert far.received.lstrip(b"\0") == b"now"
        assert len(far.received) < 20_000
        await port.close()


async def test_a_local_echo_is_left_out(far: PtyPort, ear: Ear) -> None:
    port = await open_port(far.device, LineOptions(local_echo=True), ear)
    far.answer = far.send
    port.write(b"request\xff")
    await far.until(lambda data: data == b"request\xff")
    far.answer = lambda data: None
    far.send(b"reply")
    await ear.until(b"reply")
    assert ear.errors == 0
    port.write(b"again")
    far.send(b"other")
    await ear.until(b"replyother")
    assert ear.errors == 1
    await port.close()


# -- losing


async def test_a_pulled_plug_is_noticed_at_once_and_told_once(port: Port, far: PtyPort, ear: Ear) -> None:
    far.unplug()
    await ear.something()
    assert ear.reasons == [f"{far.device} is gone: check the cable"]
    with pytest.raises(LinkDown, match="is gone"):
        port.write(b"x")
    await port.close()
    assert len(ear.reasons) == 1


async def test_a_port_comes_back_under_another_number(port: Port, far: PtyPort, ear: Ear) -> None:
    before = os.path.realpath(far.device)
    far.unplug()
    keep, spare = os.openpty()  # takes the number that has become free
    far.plug()
    assert os.path.realpath(far.device) != before
    again = await open_port(far.device, LINE, ear)
    far.send(b"back")
    await ear.until(b"back")
    await again.close()
    os.close(keep)
    os.close(spare)


async def test_nothing_is_left_over_200_lives(far: PtyPort, ear: Ear) -> None:
    await (await open_port(far.device, LINE, ear)).close()
    before = descriptors()
    for life in range(200):
        port = await open_port(far.device, LINE, ear)
        if life % 3 == 0:
            far.unplug()
            await ear.something()
            far.plug()
        await port.close()
        await port.close()
    assert descriptors() == before


async def test_closing_does_not_wait_for_output_that_nobody_takes(tmp_path: Path, ear: Ear) -> None:
    with PtyPort(tmp_path) as far:
        port = await open_port(far.device, LINE, ear)
        far.stop_reading()
        port.write(bytes(60_000))
        async with asyncio.timeout(1):
            await port.close()


# -- opening


async def test_a_port_is_opened_alone(port: Port, far: PtyPort) -> None:
    with pytest.raises(LinkDown, match="is in use"):
        await open_port(far.device, LINE, Ear())
    await port.close()
    await (await open_port(far.device, LINE, Ear())).close()


async def test_the_error_names_the_program_that_has_the_port(far: PtyPort) -> None:
    code = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY);"
        "fcntl.flock(fd, fcntl.LOCK_EX); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, far.device], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(LinkDown, match=rf"is in use by python\S* \({other.pid}\): stop that"):
            await open_port(far.device, LINE, Ear())
        other.communicate()


async def test_a_port_that_is_not_there_names_those_that_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = [
        PortInfo("/dev/ttyUSB0", by_id="/dev/serial/by-id/usb-Scale"),
        PortInfo("/dev/ttyS0"),
    ]
    monkeypatch.setattr(tty, "ports", lambda: there)
    with pytest.raises(LinkDown) as caught:
        await open_port(str(tmp_path / "gone"), LINE, Ear())
    sentence = str(caught.value)
    assert sentence == (
        f"there is no port {tmp_path / 'gone'}: there are /dev/serial/by-id/usb-Scale, /dev/ttyS0; "
        "check the cable, or mend the path"
    )
    monkeypatch.setattr(tty, "ports", list)
    with pytest.raises(LinkDown, match="has none at all"):
        await open_port(str(tmp_path / "gone"), LINE, Ear())


async def test_what_is_no_port_is_said_to_be_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(LinkDown, match="isn't a serial port"):
        await open_port(str(file), LINE, Ear())


async def test_a_port_without_rs485_mode_says_so(far: PtyPort) -> None:
    with pytest.raises(LinkDown, match="has no RS-485 mode"):
        await open_port(far.device, LineOptions(rs485=Rs485Options()), Ear())
    await (await open_port(far.device, LINE, Ear())).close()


def test_a_forbidden_port_says_which_group_may(tmp_path: Path) -> None:
    file = tmp_path / "port"
    file.write_text("")
    file.chmod(0o660)
    sentence = tty._why_not(str(file), LINE, PermissionError(13, "Permission denied"))
    assert "may not be opened: make the gateway's user a member of the group '" in sentence


def test_a_setting_that_the_port_ignored_is_an_error() -> None:
    taken = [0, 0, termios.CS8, 0, 0, termios.B9600, []]
    tty._check_taken("/dev/ttyS0", LINE, taken)
    with pytest.raises(LinkDown, match='can\'t do data_bits = 7 and parity = "even"'):
        tty._check_taken("/dev/ttyS0", LineOptions(data_bits=7, parity="even"), taken)
    with pytest.raises(LinkDown, match="baud = 19200"):
        tty._check_taken("/dev/ttyS0", LineOptions(baud=19200), taken)


# -- device servers


async def test_a_device_servers_raw_port_is_a_port(ear: Ear) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(4) + b"\xff\x00!")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    number = server.sockets[0].getsockname()[1]
    port = await open_port(f"socket://127.0.0.1:{number}", LINE, ear)
    port.write(b"ping")
    await ear.until(b"ping\xff\x00!")
    server.close()
    await port.close()
    assert ear.reasons == []
    with pytest.raises(LinkDown, match=f"socket://127.0.0.1:{number} refused the connection"):
        await open_port(f"socket://127.0.0.1:{number}", LINE, ear)


async def test_a_device_server_that_hangs_up_is_noticed(ear: Ear) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = await open_port(f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}", LINE, ear)
    await ear.something()
    assert "closed the connection" in ear.reasons[0]
    with pytest.raises(LinkDown):
        port.write(b"x")
    await port.close()
    server.close()


async def test_an_unknown_device_server_is_one_sentence(ear: Ear) -> None:
    with pytest.raises(LinkDown, match="can't be resolved"):
        await open_port("socket://no-such-host.invalid:4001", LINE, ear)


# -- options


class Table(BaseModel):
    device: Device


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("ttyUSB0", "write '/dev/ttyUSB0'"),
        ("dev/ttyUSB0", "write '/dev/ttyUSB0'"),
        ("rfc2217://host:1", "'rfc2217' isn't known here"),
        ("socket://host", "write socket://host:port"),
        ("socket://host:99999", "write socket://host:port"),
        ("socket://ho st:1", "write socket://host:port"),
        ("socket://host:1/x", "write socket://host:port"),
    ],
)
def test_a_device_that_can_not_be_is_one_sentence(device: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Table(device=device)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("device", ["/dev/serial/by-id/usb-x", "socket://10.0.0.5:4001", "socket://[::1]:4001"])
def test_a_device_that_can_be(device: str) -> None:
    assert Table(device=device).device == device


def test_a_line_says_itself_as_people_write_it() -> None:
    assert str(LineOptions(baud=2400, data_bits=7, parity="even", stop_bits=2)) == "2400 7E2"
    assert LineOptions(baud=1000, parity="odd").character_s == pytest.approx(0.011)


# -- marks


def marked(parts: list[bytes | None]) -> bytes:
    return b"".join(b"\xff\x00x" if part is None else part.replace(b"\xff", b"\xff\xff") for part in parts)


@given(
    st.lists(st.none() | st.binary(min_size=1).map(lambda data: data.replace(b"x", b"\xff"))),
    st.lists(st.integers(0, 200)),
)
def test_marks_are_taken_out_wherever_reads_end(parts: list[bytes | None], cuts: list[int]) -> None:
    stream = marked(parts)
    ends = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = MarkReader()
    heard: list[bytes | None] = []
    for start, end in itertools.pairwise(ends):
        heard += reader.feed(stream[start:end])
    assert _merged(heard) == _merged(parts)


def _merged(parts: list[bytes | None]) -> list[bytes | None]:
    merged: list[bytes | None] = []
    for part in parts:
        if part is not None and merged and merged[-1] is not None:
            merged[-1] += part
        else:
            merged.append(part)
    return merged


# -- what there is


@pytest.fixture
def udev(tmp_path: Path) -> Path:
    for folder, name, target in (("by-id", "usb-Maker_Scale_123-if00", "ttyX9"), ("by-path", "pci-0-usb-1", "ttyX9")):
        (tmp_path / "dev" / target).parent.mkdir(exist_ok=True)
        (tmp_path / "dev" / target).touch()
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).symlink_to(tmp_path / "dev" / target)
    return tmp_path


def test_ports_are_listed_by_their_lasting_names_first(udev: Path) -> None:
    first, *_ = ports(udev)
    assert first.device == str(udev / "dev" / "ttyX9")
    assert first.best_path == first.by_id == str(udev / "by-id" / "usb-Maker_Scale_123-if00")
    assert first.by_path == str(udev / "by-path" / "pci-0-usb-1")


def test_a_machine_without_ports_has_none_with_lasting_names(tmp_path: Path) -> None:
    assert all(port.by_id is None for port in ports(tmp_path))
