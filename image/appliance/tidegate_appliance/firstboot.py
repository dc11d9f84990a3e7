"""``python -m tidegate_appliance.firstboot``: a fresh card becomes this box. Run at every start until it is done."""

from __future__ import annotations

import logging
import os
import sys
import time

from gateway.ops.files import write_atomically
from tidegate_appliance.commands import CommandFailed
from tidegate_appliance.disk import NotGrown, grow
from tidegate_appliance.identity import ensure_identity, take_name
from tidegate_appliance.places import Places

log = logging.getLogger(__name__)

DONE = "complete"
"""In the identity's directory: none of this is needed any more, and the unit's condition says so without Python."""


def first_boot(places: Places) -> bool:
    """Whether everything is done. What fails is tried again at the next start; the box runs meanwhile."""
    done = True
    try:
        name = ensure_identity(places)
        take_name(name)
        log.info("this box is %s", name)
    except (OSError, CommandFailed) as error:
        log.error("this box has no identity yet: %s", error)
        done = False
    try:
        began = time.monotonic()
        if grow(places.data):
            log.info("the data partition reaches to the end of the disk (%.1f s)", time.monotonic() - began)
    except (OSError, CommandFailed, NotGrown) as error:
        log.error("the data partition stays as small as it is: %s", error)
        done = False
    if done:
        write_atomically(places.identity / DONE, b"")
    return done


if __name__ == "__main__":
    os.umask(0o022)  # name and machine id are for everybody; what isn't says so by its mode
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(0 if first_boot(Places()) else 1)
