"""A site for drivers that keep nothing."""

from __future__ import annotations

from pathlib import Path

from gateway.driver import Site

# No directory can be made below a file, not even by root.
SITE = Site("gw1", Path("/dev/null/tidegate"))
