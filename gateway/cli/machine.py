"""``tidegate machine``: the network, time and name of the machine itself, where Tidegate looks after it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import (
    Exit,
    config_option,
    confirmed,
    emit_json,
    fail,
    json_option,
    note,
    table,
    yes_option,
)
from gateway.control.client import ControlClient, segment

_ANSWER_S = 75.0
"""The machine's own programs take their time on a slow card."""
_AGAIN = "tidegate machine confirm"

within_option = click.option(
    "--confirm-within",
    "within_s",
    type=click.FloatRange(10, 600),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="The machine takes it back by itself unless it is confirmed in this time.",
)
hostname_option = click.option(
    "--hostname", metavar="NAME", help="The machine's host name, as proof that this one is meant. Else it is asked for."
)


@click.group()
def machine() -> None:
    """Set the network, time and name of the machine itself, restart it, reset or wipe it.

    Only where Tidegate is the whole machine. Elsewhere status says so, and everything else refuses.
    """


@machine.command()
@config_option
@socket_option
@json_option
def status(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Show the machine's network, time and name, and what of them isn't confirmed."""
    with answering():
        body = client_for(config_path, socket, _ANSWER_S).get("/v1/machine")
    _show(body, as_json=as_json)


@machine.command()
@click.argument("interface")
@click.option("--dhcp", is_flag=True, help="A DHCP server gives the address.")
@click.option("--address", metavar="ADDRESS/PREFIX", help="The address with its prefix: 192.168.1.20/24.")
@click.option("--gateway", metavar="ADDRESS", help="The router.")
@click.option("--dns", multiple=True, metavar="ADDRESS", help="A name server; may be given several times.")
@within_option
@config_option
@socket_option
@json_option
def network(
    interface: str,
    dhcp: bool,
    address: str | None,
    gateway: str | None,
    dns: tuple[str, ...],
    within_s: float,
    config_path: Path,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Give INTERFACE an address, or have a DHCP server give it one.

    It counts at once and is taken back unless it is confirmed in time, from wherever the machine is still reached.
    """
    if dhcp == (address is not None):
        fail("this needs either --dhcp or --address", "such as: --address 192.168.1.20/24", Exit.USAGE)
    client = client_for(config_path, socket, _ANSWER_S)
    body = {"dhcp": dhcp, "address": address, "gateway": gateway, "dns": list(dns), "within_s": within_s}
    with answering():
        change = client.call("PUT", f"/v1/machine/network/{segment(interface)}", body=body)
    _finish(client, change, as_json=as_json)


@machine.command("time")
@click.option("--timezone", metavar="ZONE", help="Such as Europe/Berlin. Default: as it is.")
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="HOST",
    help="An NTP server; may be given several times. Default: as it is.",
)
@click.option("--no-servers", is_flag=True, help="Those that DHCP names, or the system's own.")
@within_option
@config_option
@socket_option
@json_option
def set_time(
    timezone: str | None,
    servers: tuple[str, ...],
    no_servers: bool,
    within_s: float,
    config_path: Path,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Set the time zone and the servers that say what time it is. Taken back unless it is confirmed in time."""
    if no_servers and servers:
        fail("--server and --no-servers exclude each other", "leave one of them out", Exit.USAGE)
    if timezone is None and not servers and not no_servers:
        fail("there is nothing to set", "give --timezone, --server or --no-servers", Exit.USAGE)
    client = client_for(config_path, socket, _ANSWER_S)
    with answering():
        clock = client.get("/v1/machine")["clock"]
        now = clock["settings"] if clock is not None else {"timezone": "UTC", "servers": []}
        body = {
            "timezone": timezone or now["timezone"],
            "servers": list(servers) if servers or no_servers else now["servers"],
            "within_s": within_s,
        }
        change = client.call("PUT", "/v1/machine/time", body=body)
    _finish(client, change, as_json=as_json)


@machine.command()
@config_option
@socket_option
@json_option
def confirm(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Keep the change of network or time that runs."""
    with answering():
        body = client_for(config_path, socket, _ANSWER_S).post("/v1/machine/confirm")
    _decided(body, "the change is confirmed and stays", as_json=as_json)


@machine.command("take-back")
@config_option
@socket_option
@json_option
def take_back(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Take back the change of network or time that runs, now."""
    with answering():
        body = client_for(config_path, socket, _ANSWER_S).post("/v1/machine/take-back")
    _decided(body, "the change is taken back", as_json=as_json)


@machine.command()
@click.argument("name")
@config_option
@socket_option
@json_option
def hostname(name: str, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Call the machine NAME. The page is at https://NAME.local/ then."""
    with answering():
        body = client_for(config_path, socket, _ANSWER_S).call("PUT", "/v1/machine/hostname", body={"hostname": name})
    if as_json:
        emit_json(body)
    else:
        note(f"this machine is {body['hostname']} from now on")


@machine.command()
@yes_option
@config_option
@socket_option
@json_option
def restart(yes: bool, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Restart the machine. Nothing that was read is lost."""
    client = client_for(config_path, socket, _ANSWER_S)
    confirmed("Restart the machine?", yes=yes)
    with answering():
        client.post("/v1/machine/restart")
    _begun("it restarts", as_json=as_json)


@machine.command()
@hostname_option
@config_option
@socket_option
@json_option
def reset(hostname: str | None, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Restart the machine with the settings it came with: configuration, users and what is stored are gone.

    It stays the same machine: its host name and its SSH host key stay; who may come in by SSH does not.
    """
    _erase("reset", hostname, client_for(config_path, socket, _ANSWER_S), as_json=as_json)


@machine.command()
@hostname_option
@config_option
@socket_option
@json_option
def wipe(hostname: str | None, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Restart the machine as it came from the factory, all keys and data destroyed, its identity too.

    What was put onto the card's boot partition goes as well: a provisioning file would make the machine yours again.
    """
    _erase("wipe", hostname, client_for(config_path, socket, _ANSWER_S), as_json=as_json)


def _erase(how: str, hostname: str | None, client: ControlClient, *, as_json: bool) -> None:
    if hostname is None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            fail(
                f"a {how} needs the machine's host name, and there is no terminal to ask on",
                f"tidegate machine {how} --hostname NAME",
                Exit.USAGE,
            )
        hostname = click.prompt(f"Type the machine's host name to {how} it", err=True)
    with answering():
        client.post(f"/v1/machine/{how}", {"hostname": hostname})
    _begun(f"it restarts, and the {how} is done before anything else runs", as_json=as_json)


def _begun(said: str, *, as_json: bool) -> None:
    if as_json:
        emit_json({"begun": True})
    else:
        note(said)


def _decided(body: dict[str, Any], said: str, *, as_json: bool) -> None:
    if as_json:
        emit_json(body)
    else:
        note(said)


def _finish(client: ControlClient, change: dict[str, Any], *, as_json: bool) -> None:
    """Say until when it is to be confirmed; on a terminal, ask."""
    if as_json:
        emit_json(change)
        return
    left_s = change["seconds_left"]
    note(f"it counts in a moment, and is taken back in {left_s:.0f} s unless it is confirmed")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        note(f"  → {_AGAIN}")
        return
    until = time.monotonic() + left_s
    if not click.confirm("Keep it?", err=True):
        with answering():
            client.post("/v1/machine/take-back")
        note("it is taken back")
        return
    if time.monotonic() > until:
        fail("it was taken back meanwhile", "make it again with a longer --confirm-within", Exit.CONFLICT)
    with answering():
        client.post("/v1/machine/confirm")
    note("it is confirmed and stays")


def _show(body: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(body)
        return
    if not body["appliance"]:
        click.echo(f"{body['hostname']}\n")
        note("Tidegate doesn't look after this machine: its operating system's own tools do")
        return
    clock = body["clock"]
    synchronised = f"synchronised with {clock['source'] or 'a server'}" if clock["synchronised"] else "not synchronised"
    servers = ", ".join(clock["settings"]["servers"]) or "servers by DHCP or the system's own"
    click.echo(f"{body['hostname']}\n{clock['settings']['timezone']}, {servers}: {synchronised}\n")
    table(
        ["interface", "set", "link", "mac", "gateway", "dns", "addresses"],
        (
            (each["name"], _set(each), "up" if each["link"] else "down", each["mac"], each["gateway"], each["dns"],
             each["addresses"])
            for each in body["interfaces"]
        ),
    )  # fmt: skip
    change = body["unconfirmed"]
    if change is not None:
        note(f"\nthe {change['what']} has changed and is taken back in {change['seconds_left']:.0f} s\n  → {_AGAIN}")


def _set(interface: dict[str, Any]) -> str:
    settings = interface["settings"]
    if settings is None:
        return f"by hand, in {interface['file']}"
    return "DHCP" if settings["dhcp"] else str(settings["address"])
