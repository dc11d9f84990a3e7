"""The ``tidegate`` command: one module per noun, imported only when its command is called."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from gateway import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_TOPICS = {
    "Run": {
        "run": ("gateway.cli.run:run", "Run the gateway."),
        "web": ("gateway.cli.web:web", "Serve the local page."),
        "provision": ("gateway.cli.provision:provision", "Give a new gateway its first settings from a file."),
        "demo": ("hil.demo.command:demo", "Run a whole simulated plant, broker and gateway."),
    },
    "Look": {
        "status": ("gateway.cli.status:status", "Show how the running gateway is doing."),
        "top": ("gateway.cli.top:top", "Show the running gateway's values, always up to date."),
        "tap": ("gateway.cli.tap:tap", "Watch values as the running gateway takes them."),
        "logs": ("gateway.cli.logs:logs", "Show what the running gateway's log said of late."),
        "read": ("gateway.cli.read:read", "Show what tags are now."),
        "journal": ("gateway.cli.journal:journal", "Look into the store-and-forward journal."),
    },
    "Configure": {
        "check": ("gateway.cli.check:check", "Check a configuration and report every error at once."),
        "config": ("gateway.cli.config:config", "The configuration's schema and reference."),
        "tags": ("gateway.cli.tags:tags", "Tags from and for a spreadsheet."),
        "pull": ("gateway.cli.pull:pull", "Take a signed configuration from a stick or a server."),
        "template": ("gateway.cli.template:template", "Register maps of well-known devices."),
    },
    "Devices": {
        "scan": ("gateway.cli.scan:scan", "Search for devices; needs no configuration."),
        "probe": ("gateway.cli.probe:probe", "Read a device's tags once, without the gateway."),
        "browse": ("gateway.cli.browse:browse", "List what a device has to offer, ready to be configured."),
        "decode": ("gateway.cli.decode:decode", "Show every way to understand what stands at an address."),
        "write": ("gateway.cli.write:write", "Write a value to a device, once, and read it back."),
        "cert": ("gateway.cli.cert:cert", "The certificates that drivers trust, and their own."),
    },
    "Find out": {
        "doctor": ("gateway.cli.doctor:doctor", "List what needs repair."),
        "why": ("gateway.cli.why:why", "Say why a tag isn't in MQTT."),
        "test": ("gateway.cli.test:test", "Test the way to a device, rung by rung."),
        "mqtt": ("gateway.cli.mqtt:mqtt", "Test the way to a broker, rung by rung."),
        "trace": ("gateway.cli.trace:trace", "Watch what goes over a device's wire, decoded."),
    },
    "People": {
        "claim": ("gateway.cli.claim:claim", "Make a new claim code for a gateway that nobody has claimed."),
        "user": ("gateway.cli.user:user", "Who may come in."),
        "token": ("gateway.cli.token:token", "Keys for programs."),
        "audit": ("gateway.cli.audit:audit", "Show who changed what, or check that the log of it is whole."),
    },
    "System": {
        "diag": ("gateway.cli.diag:diag", "Make a diagnostic bundle for whoever is asked for help."),
        "backup": ("gateway.cli.backup:backup", "Write all that makes this gateway this gateway to one file."),
        "restore": ("gateway.cli.backup:restore", "Restore a backup, all of it or nothing."),
        "update": ("gateway.cli.update:update", "Update an image that runs from two slots."),
        "machine": ("gateway.cli.machine:machine", "Network, time and name of the machine itself; restart, reset."),
        "completion": ("gateway.cli.completion:completion", "Complete commands in bash, zsh or fish."),
    },
}
_COMMANDS = {name: target for topic in _TOPICS.values() for name, (target, _) in topic.items()}


class _LazyGroup(click.Group):
    """Imports a command's module when it is called, so that ``tidegate --help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        known = {name: summary for topic in _TOPICS.values() for name, (_, summary) in topic.items()}
        names = [CompletionItem(name, help=known[name]) for name in known if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, _COMMANDS))
        for title, topic in _TOPICS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), summary) for name, (_, summary) in topic.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tidegate")
def main() -> None:
    """Tidegate, an industrial protocol gateway: field devices in, a Unified Namespace over MQTT out.

    Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration invalid, 4 unreachable, 5 conflict, 6 not permitted.
    """
