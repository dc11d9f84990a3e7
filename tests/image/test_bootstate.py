"""The boot state is what U-Boot's own tool makes of it, and a damaged one is told from a whole one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image import bootstate

_NAMES = st.text(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ_"), min_size=1, max_size=12)
_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


def test_a_fresh_state_is_that_of_mkenvimage() -> None:
    # mkenvimage -s 512 -p 0 of u-boot-tools 2025.01
    made = bytes.fromhex("b330d766") + b"BOOT_ORDER=A B\0BOOT_A_LEFT=3\0BOOT_B_LEFT=0\0\0"
    assert bootstate.encode(bootstate.FRESH) == made.ljust(512, b"\0")


@given(st.dictionaries(_NAMES, _VALUES, max_size=10))
def test_what_is_written_is_read(state: dict[str, str]) -> None:
    assert bootstate.decode(bootstate.encode(state)) == state


@given(st.integers(0, 511), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    sector = bytearray(bootstate.encode(bootstate.FRESH))
    sector[place] ^= change
    with pytest.raises(ValueError, match="checksum"):
        bootstate.decode(bytes(sector))


@pytest.mark.parametrize("state", [{"": "1"}, {"A=B": "1"}, {"A": "x\0y"}, {"A": "x" * 600}])
def test_what_does_not_fit_is_refused(state: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="boot state"):
        bootstate.encode(state)
