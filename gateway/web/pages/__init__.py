"""The sections, one module each. A module exports ``SECTION``, or ``PAGES`` where it has no place in the menu."""
