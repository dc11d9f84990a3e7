"""The command line's reference page, made from the commands themselves: ``python -m gateway.cli.reference --write``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

_HEAD = """# Command line

<!-- Made by `make docs` from the commands themselves. Don't edit. -->

Data goes to stdout, everything else to stderr: tables on a terminal, tab-separated lines in a pipe, JSON with
`--json`. `NO_COLOR` is honoured.

| exit code | meaning |
|---|---|
| 0 | ok |
| 1 | failed |
| 2 | usage |
| 3 | configuration invalid |
| 4 | unreachable |
| 5 | conflict |
| 6 | not permitted |
"""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([_HEAD, *_sections(main, "tidegate")])


def _sections(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    if isinstance(command, click.Group) and command is main:
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _sections(child, f"{path} {name}")
        return
    usage = " ".join(piece for param in command.get_params(context) for piece in _usage(param, context))
    yield f"## `{path} {usage}`".replace(" `", "`", 1) if not usage else f"## `{path} {usage}`"
    yield ""
    yield click.unstyle(command.help or "").replace("\b\n", "").strip()
    yield ""
    options = [param for param in command.get_params(context) if isinstance(param, click.Option)]
    if options:
        yield "| option | meaning |"
        yield "|---|---|"
        for option in options:
            record = option.get_help_record(context)
            if record:
                yield "| `{}` | {} |".format(*(cell.replace("|", "\\|") for cell in record))
        yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _sections(child, f"{path} {name}")


def _usage(param: click.Parameter, context: click.Context) -> Iterator[str]:
    if isinstance(param, click.Argument):
        yield param.make_metavar(context)


@click.command()
@click.option("--write", is_flag=True, help="Write the page instead of printing it.")
def reference(write: bool) -> None:
    """Make the command line's reference page."""
    if write:
        PAGE.write_text(page())
    else:
        click.echo(page())


if __name__ == "__main__":
    reference()
