"""How one page is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What the command line or the unit says."""

    socket: Path
    """The gateway's control socket."""
    state: Path
    """The page's own directory: certificate and key, sessions."""
    listen: tuple[str, ...] = ()
    """``HOST:PORT`` each; none where systemd hands the sockets over."""
    idle_exit_s: float | None = None
    """End after so long without a connection; None: never."""
