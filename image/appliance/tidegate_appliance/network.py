"""What was set of an interface, as a file for systemd-networkd. It comes before the one that the release ships."""

from __future__ import annotations

from pathlib import Path

from gateway.ops.files import sync_directory, write_atomically
from tidegate_appliance.commands import run
from tidegate_appliance.places import Places
from tidegate_appliance.tables import NetworkTable


def render(network: NetworkTable) -> str:
    """A ``.network`` file (systemd.network(5))."""
    lines = ["# Written by Tidegate: what was set of this interface.", "[Match]", f"Name={network.interface}", ""]
    lines += ["[Network]", "MulticastDNS=yes", "LinkLocalAddressing=yes"]
    if network.dhcp:
        lines += ["DHCP=yes", "IPv6AcceptRA=yes"]
    else:
        lines += ["DHCP=no", "IPv6AcceptRA=no", f"Address={network.address}"]
        lines += [f"Gateway={network.gateway}"] if network.gateway else []
    lines += [f"DNS={server}" for server in network.dns]
    if network.dhcp:
        own_dns = "no" if network.dns else "yes"
        lines += ["", "[DHCPv4]", "ClientIdentifier=mac", f"UseDNS={own_dns}"]
        lines += ["", "[IPv6AcceptRA]", f"UseDNS={own_dns}"]
    return "\n".join(lines) + "\n"


def file_of(interface: str, places: Places) -> Path:
    return places.networks / f"50-{interface}.network"


def keep(network: NetworkTable, places: Places) -> bool:
    """For every start from now on; False if it is so already. Raises OSError."""
    path, body = file_of(network.interface, places), render(network).encode()
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
    run(["networkctl", "reload"], longest_s=30)
