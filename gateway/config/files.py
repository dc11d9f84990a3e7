"""Trying the gateway's own paths before anything is started: nothing else may stand where it keeps its data."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gateway.config.context import Context
from gateway.config.names import quote
from gateway.config.places import Key, Place


def check_files(context: Context, data_dir: Path, socket: Path, journal: Path) -> None:
    """Report what can't work on this machine, and what can't on any. The file system is looked at, not changed."""
    body = context.document.body
    at_data_dir = Key(("gateway", "data_dir"))
    at_socket = Key(("gateway", "socket")) if "socket" in body["gateway"] else at_data_dir
    at_journal = Key(("journal", "path")) if "path" in body.get("journal", {}) else at_data_dir
    if socket == journal:
        context.report.add(
            at_socket, f"the socket and the journal have the same path {quote(str(socket))}", "give one of them another"
        )
        return
    if not context.check_secrets:  # a machine that isn't the gateway says nothing about the gateway's files
        return
    told: set[Path] = set()
    for place, directory in ((at_data_dir, data_dir), (at_socket, socket.parent), (at_journal, journal.parent)):
        _check_directory(context, place, directory, told)
    if os.path.isdir(journal):
        context.report.add(at_journal, f"the journal's path {quote(str(journal))} is a directory", "name a file in it")
    if os.path.lexists(socket) and not stat.S_ISSOCK(socket.lstat().st_mode):
        context.report.add(
            at_socket,
            f"the socket's path {quote(str(socket))} is taken by something that isn't a socket",
            'give another, such as socket = "/run/tidegate/control.sock"',
        )


def _check_directory(context: Context, place: Place, directory: Path, told: set[Path]) -> None:
    """`directory` is one, or can be made: the nearest path above it that exists is a directory."""
    found = next((path for path in (directory, *directory.parents) if os.path.lexists(path)), directory)
    if os.path.lexists(found) and not os.path.isdir(found) and found not in told:
        told.add(found)
        context.report.add(place, f"{quote(str(found))} is a file, but must be a directory", "mend the path")
