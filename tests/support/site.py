"""A site for drivers that keep nothing."""

from __future__ import annotations

from pathlib import Path

from gateway.driver import Site

SITE = Site("gw1", Path("/nonexistent/tidegate"))
