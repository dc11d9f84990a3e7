"""The command line's reference page, made from the commands themselves: ``python -m gateway.cli.reference --write``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

_HEAD = """# Command line

<!-- Made by `make docs` from the commands themselves. Don't edit. -->

Data goes to stdout, everything else to stderr: tables on a terminal, tab-separated lines in a pipe, JSON with
`--json`. `NO_COLOR` is honoured. Every command explains itself with `-h` or `--help`.

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
    context = click.Context(main, info_name="tidegate", **main.context_settings)
    return "\n".join([_HEAD, *_children(context)])


def _children(context: click.Context) -> Iterator[str]:
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            child = group.get_command(context, name)
            assert child is not None
            yield from _section(click.Context(child, info_name=name, parent=context))


def _section(context: click.Context) -> Iterator[str]:
    command, path = context.command, context.command_path
    usage = " ".join(piece for param in command.get_params(context) for piece in _usage(param, context))
    yield f"## `{path} {usage}`" if usage else f"## `{path}`"
    yield ""
    yield inspect.cleandoc(command.help or "")
    yield ""
    options = [param for param in command.params if isinstance(param, click.Option)]
    if options:
        yield "| option | meaning |"
        yield "|---|---|"
        for option in options:
            record = option.get_help_record(context)
            if record:
                yield "| `{}` | {} |".format(*(cell.replace("|", "\\|") for cell in record))
        yield ""
    yield from _children(context)


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
