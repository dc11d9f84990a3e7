"""``python -m tidegate_appliance.console``: what stands above the login prompt of the serial console and the screen.

Nobody logs in there: it says what whoever stands before the box needs, its name, its addresses, how to know the page's
certificate, and the claim code as long as nobody has claimed the box. agetty follows the addresses by itself; the rest
is written anew when one of the files that it comes from changes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from pathlib import Path

from gateway.ops.files import write_atomically
from gateway.ops.fingerprints import fingerprint
from tidegate_appliance.cards import cards
from tidegate_appliance.commands import CommandFailed, run
from tidegate_appliance.places import Places
from tidegate_appliance.provision import REPORT

log = logging.getLogger(__name__)

ISSUE = Path("run/issue.d/tidegate.issue")
_PAUSE_S = 1.0


def issue(places: Places) -> str:
    """Text for agetty(8), whose escapes begin with a backslash."""
    root = places.root
    name = _line(places.hostname) or "localhost"
    lines = ["", f"  Tidegate gateway {name}", "", f"  page         https://{name}.local"]
    names = [card.name for card in cards(root)]
    lines += [f"  {card:12} https://\\4{{{card}}}   \\6{{{card}}}" for card in names]
    certificate = root / "var/lib/tidegate-web/tls/certificate.pem"
    with contextlib.suppress(OSError, ValueError):
        halves = fingerprint(certificate)
        lines += [f"  certificate  {halves[:48]}", f"  (SHA-256)    {halves[48:]}"]
    if code := _line(root / "var/lib/tidegate/claim-code"):
        lines += [
            "",
            f"  claim code   {code}",
            "               Nobody owns this gateway yet: type it on the page.",
        ]
    lines += _provisioned(places)
    return "\n".join([*lines, "", ""])


def show(places: Places) -> bool:
    """Write it, and have every console show it; False: it is as before. Raises OSError, CommandFailed."""
    path, body = places.root / ISSUE, issue(places).encode()
    if path.is_file() and path.read_bytes() == body:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    # The claim code is for who stands before the box, not for every program on it.
    write_atomically(path, body, 0o600)
    run(["agetty", "--reload"], longest_s=10)
    return True


def follow(places: Places, pause_s: float = _PAUSE_S) -> None:
    """Show it until nothing changes any more: what changes while this runs starts no second run. Raises as `show`."""
    show(places)
    time.sleep(pause_s)
    while show(places):
        time.sleep(pause_s)


def _provisioned(places: Places) -> list[str]:
    """A word about a provisioning file of which something was refused."""
    try:
        report = json.loads((places.appliance / REPORT).read_bytes())
        refused, count, source = int(report["refused"]), len(report["settings"]), str(report["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if not refused:
        return []
    return [
        "",
        f"  provisioning {refused} of {count} settings of the {source}",
        "               were refused: the page says why.",
    ]


def _line(path: Path) -> str:
    """Printable, and without what agetty would take for an escape."""
    try:
        text = path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
    return text if text.isprintable() and "\\" not in text else ""


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        follow(Places())
    except (OSError, CommandFailed) as error:
        sys.exit(f"the consoles can't be told: {error}")
    # Without tidying up, which takes a while on a slow board, and during which a change would be missed.
    os._exit(0)
