"""A driver's sentence becomes two lines: what is wrong, how to mend it."""

from __future__ import annotations

import pytest

from gateway.sentences import one_line, with_mend


@pytest.mark.parametrize(
    ("sentence", "parts"),
    [
        ("'x' isn't an address: write 'hr:100'", ("'x' isn't an address", "write 'hr:100'")),
        ("the pattern isn't right", ("the pattern isn't right", None)),
        ("unit 3: it refuses: mend the unit", ("unit 3: it refuses", "mend the unit")),
        ("it isn't hexadecimal: write 'hex: 02 41'", ("it isn't hexadecimal", "write 'hex: 02 41'")),
        ("'hex: 0G' isn't the device's: drop it", ("'hex: 0G' isn't the device's", "drop it")),
        ("unit 1 at plc1:502: no answer within 500 ms", ("unit 1 at plc1:502: no answer within 500 ms", None)),
        ('"a: b" is no name: write "c: d"', ('"a: b" is no name', 'write "c: d"')),
    ],
)
def test_the_mend_is_what_follows_the_last_colon_outside_quotes(sentence: str, parts: tuple[str, str | None]) -> None:
    assert with_mend(sentence) == parts


def test_a_line_break_in_a_users_text_breaks_no_line() -> None:
    assert one_line("address 'hr\r\n:1\0'") == r"address 'hr\r\n:1\x00'"
    assert one_line("Füller\xa01") == r"Füller\xa01"
    assert one_line("\ud800") == r"\ud800"
