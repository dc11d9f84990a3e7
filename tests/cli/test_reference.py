"""Every command and option is documented, and the page is never older than the code."""

from __future__ import annotations

from gateway.cli.reference import PAGE, page


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == page(), "run: make docs"
