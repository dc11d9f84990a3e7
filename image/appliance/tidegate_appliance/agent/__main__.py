"""``python -m tidegate_appliance.agent serve|take-back``: the connection on standard input; or the time is up."""

from __future__ import annotations

import logging
import socket
import sys

from tidegate_appliance.agent.serve import allowed_users, serve, take_back
from tidegate_appliance.places import Places

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    match sys.argv[1:]:
        case ["serve"]:
            with socket.socket(fileno=0) as connection:
                serve(connection, Places(), allowed_users())
        case ["take-back"]:
            take_back(Places())
        case _:
            sys.exit("usage: python -m tidegate_appliance.agent serve|take-back")
