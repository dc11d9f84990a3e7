"""What a gateway starts with: its files; where it must never be stuck, what ran last, or next to nothing."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tomli

from gateway.changes import commit
from gateway.changes.history import History
from gateway.config import ConfigErrors, Problem
from gateway.config.archive import Damaged
from gateway.config.document import in_place, unreadable
from gateway.config.reading import marker_of
from gateway.config.tree import Tree
from gateway.ops.files import write_atomically
from gateway.settings import SERVICE_DATA_DIR, GatewaySettings

log = logging.getLogger(__name__)

Load = Callable[[Tree], GatewaySettings]
"""Checks a tree as if it stood in place. Blocking; raises ConfigErrors."""


@dataclass(frozen=True, slots=True)
class Start:
    """What runs, and why it is that."""

    main: Path
    load: Load
    tree: Tree
    settings: GatewaySettings
    origin: Literal["files", "revision", "starter"]
    """``revision``: the files can't be used, so the last confirmed revision runs; ``starter``: neither could be."""
    revision: int | None = None
    problems: tuple[Problem, ...] = ()
    """What is wrong with the files."""


def start(main: Path, load: Load, *, unattended: bool = False) -> Start:
    """Find what to run. Finishes a change that a power cut broke off.

    Raises ConfigErrors if the files can't be used. `unattended`: never does, but writes a starter configuration where
    there is none, and falls back to what ran last where the files are invalid.
    """
    try:
        if commit.finish(main):
            log.warning("a change of the configuration that was broken off has been finished")
    except (OSError, Damaged) as error:
        log.error("a change of the configuration can't be finished: %s; see %s", error, marker_of(main))
    if unattended and not os.path.lexists(main):
        _write_starter(main)
    try:
        tree = in_place(main)
        settings = load(tree)
    except ConfigErrors as errors:
        if not unattended:
            raise
        return _fall_back(main, load, errors.problems)
    return Start(main, load, tree, settings, "files")


def directory_of(data_dir: Path) -> Path:
    """Where this room keeps what it must not forget."""
    return data_dir / "changes"


def remember_where(main: Path, data_dir: Path) -> None:
    """Leave a link beside the main file to where the history is: a file that can't be read doesn't tell."""
    link = _link_of(main)
    target = str(directory_of(data_dir).absolute())
    try:
        if link.is_symlink() and os.readlink(link) == target:
            return
        draft = link.with_name(f"{link.name}.new")
        draft.unlink(missing_ok=True)
        draft.symlink_to(target)
        os.replace(draft, link)
    except OSError as error:
        log.debug("no link to the history beside %s: %s", main, error)


def starter(data_dir: str) -> str:
    """A configuration that does nothing but run."""
    return f"""\
# Written at the first start. Give the gateway its place, then add a sink, a link and a device.

[gateway]
id = "{_host_name()}"
enterprise = "enterprise"             # first level of every topic
site = "site"                         # second level
data_dir = "{data_dir}"
"""


def _fall_back(main: Path, load: Load, problems: tuple[Problem, ...]) -> Start:
    for problem in problems:
        log.error("%s", problem)
    for directory in _histories(main):
        try:
            history = History(directory / "revisions") if directory.is_dir() else None
        except OSError:
            history = None
        if history is None:
            continue
        for revision in history.revisions:
            tree = history.tree(revision.number) if revision.outcome == "confirmed" else None
            if tree is None:
                continue
            try:
                settings = load(tree)
            except ConfigErrors as errors:
                log.error("revision %d can't be used either: %s", revision.number, errors.problems[0])
                continue
            log.error("THE CONFIGURATION IS INVALID; revision %d, confirmed before, runs instead", revision.number)
            return Start(main, load, tree, settings, "revision", revision.number, problems)
    tree = Tree(main.name, {main.name: starter(_default_data_dir()).encode()})
    log.error("THE CONFIGURATION IS INVALID and nothing ran before; the gateway runs without devices")
    return Start(main, load, tree, load(tree), "starter", None, problems)


def _histories(main: Path) -> Iterator[Path]:
    """Where a history may be, the likeliest first."""
    link = _link_of(main)
    if link.is_dir():
        yield Path(os.path.realpath(link))
    try:
        body = tomli.loads(main.read_text("utf-8-sig"))
        yield directory_of(main.parent / body["gateway"]["data_dir"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    yield directory_of(Path(_default_data_dir()))


def _write_starter(main: Path) -> None:
    try:
        main.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(main, starter(_default_data_dir()).encode())
    except OSError as error:
        log.error("%s", unreadable(main, error).message)
        return
    log.warning("there was no configuration; a starter one was written to %s", main)


def _default_data_dir() -> str:
    """systemd names the directory it made for the service (``StateDirectory=``)."""
    return os.environ.get("STATE_DIRECTORY", str(SERVICE_DATA_DIR)).partition(":")[0]


def _host_name() -> str:
    """The host's name as a name of a gateway."""
    name = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname().partition(".")[0]).strip("-")
    return name[:64] or "gateway"


def _link_of(main: Path) -> Path:
    return main.with_name(f".{main.name}.history")
