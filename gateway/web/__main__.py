"""``python -m gateway.web SETTINGS``: the page's process alone, as ``tidegate web`` starts it.

A program of its own, so that what found the settings (the configuration's schema, the command line) is out of memory.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from gateway.ops.logs import formatter_for
from gateway.web.serve import CannotListen, serve
from gateway.web.settings import WebSettings


def main() -> None:
    told = json.loads(sys.argv[1])
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(formatter_for(sys.stderr))
    logging.basicConfig(level=told["log_level"].upper(), handlers=[lines])
    try:
        serve(
            WebSettings(
                socket=Path(told["socket"]),
                state=Path(told["state"]),
                listen=tuple(told["listen"]),
                idle_exit_s=told["idle_exit_s"],
            )
        )
    except CannotListen as error:
        sys.exit(f"tidegate: {error}\n  → give another address with --listen HOST:PORT")
    except OSError as error:
        sys.exit(f"tidegate: the page can't use {error.filename or told['state']}: {error.strerror or error}")


if __name__ == "__main__":
    main()
