"""The serial ports of this machine: their names, who made them, who has them open. Read-only."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PortInfo:
    """One serial port of this machine."""

    device: str
    """Its present name, such as ``/dev/ttyUSB0``: may change with every plugging."""
    by_id: str | None = None
    """Its name by maker, product and serial number: the same wherever it is plugged in."""
    by_path: str | None = None
    """Its name by the socket it is plugged into."""
    vendor_id: int | None = None
    product_id: int | None = None
    serial_number: str | None = None
    manufacturer: str | None = None
    product: str | None = None

    @property
    def best_path(self) -> str:
        """The name to configure: the one that lasts."""
        return self.by_id or self.by_path or self.device


def ports(root: Path = Path("/dev/serial")) -> list[PortInfo]:
    """The serial ports of this machine, those that have a lasting name first. `root`: where udev keeps those names."""
    from serial.tools.list_ports_linux import comports

    by_id, by_path = _links(root / "by-id"), _links(root / "by-path")
    found = [
        PortInfo(
            device=port.device,
            by_id=by_id.get(port.device),
            by_path=by_path.get(port.device),
            vendor_id=port.vid,
            product_id=port.pid,
            serial_number=port.serial_number,
            manufacturer=port.manufacturer,
            product=port.product,
        )
        for port in comports()
    ]
    known = {port.device for port in found}
    found += [
        PortInfo(device=device, by_id=by_id.get(device), by_path=by_path.get(device))
        for device in {*by_id, *by_path} - known
    ]
    return sorted(found, key=lambda port: (port.by_id is None, port.by_path is None, port.best_path))


def _links(folder: Path) -> dict[str, str]:
    """Device → its name in `folder`."""
    try:
        return {os.path.realpath(link): str(link) for link in sorted(folder.iterdir(), reverse=True)}
    except OSError:
        return {}


def holders(device: str) -> list[str]:
    """The processes that have `device` open, as ``name (pid)``; only those this user may look at."""
    try:
        wanted = os.stat(device).st_rdev
    except OSError:
        return []
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            if any(_is_device(link, wanted) for link in (process / "fd").iterdir()):
                found.append(f"{(process / 'comm').read_text().strip()} ({process.name})")
        except OSError:
            continue  # gone meanwhile, or another user's
    return found


def _is_device(link: Path, wanted: int) -> bool:
    try:
        status = link.stat()
    except OSError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == wanted
