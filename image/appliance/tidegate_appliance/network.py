"""What was set of an interface, as a file for systemd-networkd. It comes before the one that the release ships."""

from __future__ import annotations

from pathlib import Path

from gateway.ops.files import sync_directory, write_atomically
from gateway.ops.machine import Network
from tidegate_appliance.commands import run
from tidegate_appliance.places import Places

HEAD = "# Written by Tidegate: what was set of this interface."
"""Files that begin so hold nothing but what `render` writes."""


def render(interface: str, network: Network) -> str:
    """A ``.network`` file (systemd.network(5)) of settings that were checked."""
    lines = [HEAD, "[Match]", f"Name={interface}", ""]
    lines += ["[Network]", "MulticastDNS=yes", "LinkLocalAddressing=yes"]
    if network.dhcp:
        lines += ["DHCP=yes", "IPv6AcceptRA=yes"]
    else:
        lines += ["DHCP=no", "IPv6AcceptRA=no", f"Address={network.address}"]
        lines += [f"Gateway={network.gateway}"] if network.gateway else []
    lines += [f"DNS={server}" for server in network.dns]
    if network.dhcp:
        own_dns = "no" if network.dns else "yes"
        lines += ["", "[DHCPv4]", "ClientIdentifier=mac", "UseHostname=no", "UseTimezone=no", f"UseDNS={own_dns}"]
        lines += ["", "[DHCPv6]", "UseHostname=no", f"UseDNS={own_dns}", "", "[IPv6AcceptRA]", f"UseDNS={own_dns}"]
    return "\n".join(lines) + "\n"


def file_of(interface: str, places: Places) -> Path:
    return places.networks / f"50-{interface}.network"


def keep(interface: str, network: Network, places: Places) -> bool:
    """For every start from now on; False if it is so already. Raises OSError."""
    path, body = file_of(interface, places), render(interface, network).encode()
    if path.is_file() and path.read_bytes() == body:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, body)
    return True


def forget(interface: str, places: Places) -> None:
    """What the release ships holds again. Raises OSError."""
    path = file_of(interface, places)
    if path.exists():
        path.unlink()
        sync_directory(path.parent)


def take_up() -> None:
    """Interfaces whose files changed are configured anew; the others don't notice. Raises CommandFailed."""
    # As networkctl reload does, which refuses to for a service that is kept away from the network.
    manager = ["org.freedesktop.network1", "/org/freedesktop/network1", "org.freedesktop.network1.Manager"]
    run(["busctl", "call", *manager, "Reload"], longest_s=30)
