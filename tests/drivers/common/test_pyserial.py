"""What pyserial leaves open, shown beside what is done about it here."""

from __future__ import annotations

import termios
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import serial

from drivers.common.serialport import LineOptions, open_port, tty
from drivers.common.serialport.tty import TtyPort
from gateway.driver import LinkDown
from tests.drivers.common.test_serialport import Ear
from tests.support.pty_port import PtyPort


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[PtyPort]:
    with PtyPort(tmp_path) as port:
        yield port


@pytest.fixture
def theirs(far: PtyPort) -> Iterator[serial.Serial]:
    with serial.Serial(far.device, bytesize=7, parity="E", exclusive=True, timeout=0) as port:
        yield port


async def ours(far: PtyPort) -> TtyPort:
    port = await open_port(far.device, LineOptions(), Ear())
    assert isinstance(port, TtyPort)
    return port


async def test_its_lock_is_only_advice(far: PtyPort, theirs: serial.Serial) -> None:
    assert not far.opened
    theirs.close()
    port = await ours(far)
    assert far.opened
    await port.close()
    assert not far.opened


async def test_a_hang_up_looks_like_silence(far: PtyPort, theirs: serial.Serial) -> None:
    assert termios.tcgetattr(theirs.fd)[6][termios.VMIN] in (0, b"\0")
    assert theirs.read(10) == b""  # nothing to read: the same as the end of the port would be
    theirs.close()
    port = await ours(far)
    assert termios.tcgetattr(port._fd)[6][termios.VMIN] in (1, b"\x01")
    await port.close()


async def test_damaged_characters_pass_for_good_ones(far: PtyPort, theirs: serial.Serial) -> None:
    assert not termios.tcgetattr(theirs.fd)[0] & (termios.PARMRK | termios.INPCK)
    theirs.close()
    port = await ours(far)
    flags = termios.tcgetattr(port._fd)[0]
    assert flags & termios.PARMRK  # and INPCK, where there is parity: a pseudo-terminal has none
    assert not flags & (termios.IGNPAR | termios.BRKINT)
    await port.close()


async def test_a_setting_that_was_ignored_is_not_noticed(far: PtyPort, theirs: serial.Serial) -> None:
    taken = termios.tcgetattr(theirs.fd)
    assert taken[2] & termios.CSIZE == termios.CS8  # a pseudo-terminal has no other
    assert theirs.bytesize == 7
    with pytest.raises(LinkDown, match="can't do data_bits = 7"):
        tty._check_taken("/dev/ttyS0", LineOptions(data_bits=7), taken)


async def test_closing_may_wait_for_output_that_nobody_takes(far: PtyPort) -> None:
    port = await ours(far)
    far.stop_reading()
    port.write(bytes(60_000))
    begun = time.monotonic()
    await port.close()
    assert time.monotonic() - begun < 1
