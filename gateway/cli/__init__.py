"""The ``tidegate`` command: one module per noun, imported only when its command is called."""

from __future__ import annotations

from importlib import import_module

import click

from gateway import __version__

_COMMANDS = {
    "run": ("gateway.cli.run:run", "Run the gateway."),
    "web": ("gateway.cli.web:web", "Serve the local page."),
    "check": ("gateway.cli.check:check", "Check a configuration and report every error at once."),
    "probe": ("gateway.cli.probe:probe", "Read a device's tags once, without the gateway."),
    "scan": ("gateway.cli.scan:scan", "Search for devices; needs no configuration."),
    "browse": ("gateway.cli.browse:browse", "List what a device has to offer, ready to be configured."),
    "decode": ("gateway.cli.decode:decode", "Show every way to understand what stands at an address."),
    "cert": ("gateway.cli.cert:cert", "The certificates that drivers trust, and their own."),
    "tap": ("gateway.cli.tap:tap", "Watch values as the running gateway takes them."),
    "top": ("gateway.cli.top:top", "Show the running gateway's values, always up to date."),
    "read": ("gateway.cli.read:read", "Show what tags are now."),
    "write": ("gateway.cli.write:write", "Write a value to a device, once, and read it back."),
    "status": ("gateway.cli.status:status", "Show how the running gateway is doing."),
    "logs": ("gateway.cli.logs:logs", "Show what the running gateway's log said of late."),
    "audit": ("gateway.cli.audit:audit", "Show who changed what, or check that the log of it is whole."),
    "user": ("gateway.cli.user:user", "Who may come in."),
    "token": ("gateway.cli.token:token", "Keys for programs."),
    "claim": ("gateway.cli.claim:claim", "Make a new claim code for a gateway that nobody has claimed."),
    "journal": ("gateway.cli.journal:journal", "Look into the store-and-forward journal."),
    "template": ("gateway.cli.template:template", "Register maps of well-known devices."),
    "config": ("gateway.cli.config:config", "The configuration's schema and reference."),
    "demo": ("hil.demo.command:demo", "Run a whole simulated plant, broker and gateway."),
}


class _LazyGroup(click.Group):
    """Imports a command's module when it is called, so that ``tidegate --help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tidegate")
def main() -> None:
    """Tidegate, an industrial protocol gateway: field devices in, a Unified Namespace over MQTT out.

    Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration invalid, 4 unreachable, 5 conflict, 6 not permitted.
    """
