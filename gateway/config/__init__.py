"""The configuration room: TOML in, checked and complete settings out, every problem with its file and line."""

from __future__ import annotations

from pathlib import Path

from gateway.config.build import Builder
from gateway.config.context import Context
from gateway.config.document import read
from gateway.config.problems import ConfigErrors, Problem
from gateway.config.report import Report
from gateway.config.tree import Tree
from gateway.settings import GatewaySettings

__all__ = ["ConfigErrors", "Problem", "Tree", "load"]


def load(
    path: Path, *, tree: Tree | None = None, check_secrets: bool = True, unfinished: bool = False
) -> GatewaySettings:
    """Read `path` and `conf.d/*.toml` beside it, check everything, and resolve it with every default applied.

    `tree`: the files to take instead of those that are in place, as if they stood there: problems name them by the
    paths they would have, and relative paths start there.

    Raises ConfigErrors with all problems at once. `check_secrets`: also try what only the gateway itself has, its
    secrets and TLS files; leave it off on a machine where the configuration is only edited. `unfinished`: devices may
    have no tags yet, because they are being looked for.
    """
    document = read(path, tree)
    report = Report(document)
    settings = Builder(Context(document, report, check_secrets=check_secrets, unfinished=unfinished)).build()
    report.raise_if_any()
    assert settings is not None
    return settings
