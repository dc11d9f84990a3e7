"""Time that never runs backwards over a restart, and whether it is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.ops.clock import Clock, kernel_synchronised

S = 1_000_000_000
NOW = 4_000_000_000 * S


class Hands:
    """The kernel's clocks, moved by hand."""

    def __init__(self, wall: int) -> None:
        self.wall = wall
        self.mono = 50 * S
        self.synchronised = False

    def clock(self, folder: Path | None = None, mode: str = "auto") -> Clock:
        return Clock(
            mode,
            folder,
            synchronised=lambda: self.synchronised,
            wall_ns=lambda: self.wall,
            mono_ns=lambda: self.mono,
        )

    def wait(self, seconds: int) -> None:
        self.wall += seconds * S
        self.mono += seconds * S


def test_a_board_without_a_battery_goes_on_from_the_last_time_known(tmp_path: Path) -> None:
    Hands(NOW).clock(tmp_path).save()
    hands = Hands(0)  # 1970 again
    clock = hands.clock(tmp_path)
    assert clock.now_ns() == NOW
    hands.wait(3)
    assert clock.now_ns() == NOW + 3 * S
    assert not clock.trusted


def test_without_any_memory_it_is_never_before_the_software_itself() -> None:
    assert Hands(0).clock().now_ns() > 1_700_000_000 * S


def test_trust_comes_and_goes_with_the_kernel() -> None:
    hands = Hands(0)
    clock = hands.clock()
    hands.synchronised = True
    hands.wall = NOW
    assert not clock.trusted, "asked again too soon"
    hands.wait(3)
    assert clock.trusted
    assert clock.now_ns() == hands.wall
    hands.synchronised = False
    hands.wait(3)
    assert not clock.trusted
    hands.wall = 0
    assert clock.now_ns() >= NOW + 6 * S, "the time went back"


def test_trusted_by_configuration_is_always_trusted(tmp_path: Path) -> None:
    hands = Hands(1234 * S)
    clock = hands.clock(tmp_path, "trusted")
    hands.wait(100)
    assert clock.trusted
    assert clock.now_ns() == 1334 * S


def test_an_unreadable_memory_is_told_and_overcome(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "clock").write_text("yesterday")
    assert Hands(NOW).clock(tmp_path).now_ns() == NOW
    assert "can't be read" in caplog.text


def test_the_kernel_can_be_asked() -> None:
    assert kernel_synchronised() in (True, False)
