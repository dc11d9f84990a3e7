"""``tidegate completion``: what makes a shell complete commands, options and their values."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from gateway.cli.output import Exit, fail

_VARIABLE = "_TIDEGATE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), required=False)
def completion(shell: str | None) -> None:
    """Print what makes SHELL complete tidegate's commands, options and their values. Default: the shell in $SHELL.

    \b
    bash:  tidegate completion bash > /etc/bash_completion.d/tidegate
    zsh:   tidegate completion zsh > "${fpath[1]}/_tidegate"
    fish:  tidegate completion fish > ~/.config/fish/completions/tidegate.fish
    """
    from gateway.cli import main

    name = shell or Path(os.environ.get("SHELL", "")).name
    if name not in ("bash", "zsh", "fish"):
        fail(f"the shell {name!r} isn't known" if name else "no shell is named", "name bash, zsh or fish", Exit.USAGE)
    made = get_completion_class(name)
    assert made is not None
    made_for = made(main, {}, "tidegate", _VARIABLE)
    # Not through its `source`: that runs the shell to see how old it is, which needn't be this machine's.
    sys.stdout.write(made_for.source_template % made_for.source_vars())
