"""What a provisioning file says of the machine: ``tidegate provision`` finds this by its entry point."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from gateway.ops.provisioning import Setting
from gateway.sentences import with_mend
from tidegate_appliance import machine as own
from tidegate_appliance import network
from tidegate_appliance.cards import cards
from tidegate_appliance.commands import CommandFailed
from tidegate_appliance.places import Places
from tidegate_appliance.tables import MachineTable, NetworkTable, SshTable, TimeTable, UpdateTable


@dataclass(frozen=True, slots=True)
class MachineTables:
    """Applies the tables. Whatever fails is said, and the rest goes on."""

    places: Places = field(default_factory=Places)

    @property
    def tables(self) -> tuple[str, ...]:
        """SSH first and the network before the rest: whatever else fails, somebody can come in and see it."""
        return ("ssh", "network", "machine", "time", "update")

    def provision(self, wanted: Mapping[str, Any]) -> Iterator[Setting]:
        for name in self.tables:
            if name not in wanted:
                continue
            if os.geteuid() != 0:
                yield Setting(name, "refused", "only root may change the machine", "run as root")
            elif name == "network":
                yield from self._networks(wanted[name])
            else:
                yield from self._keys(name, wanted[name])

    def _keys(self, name: str, given: Any) -> Iterator[Setting]:
        model, keys = self._known()[name]
        if not isinstance(given, dict):
            yield Setting(name, "refused", f"{name} is no table", f"write [{name}]")
            return
        for key, value in given.items():
            setting = f"{name} {key}"
            if key not in keys:
                yield Setting(setting, "refused", f"[{name}] has no {key!r}", f"it has {', '.join(keys)}")
                continue
            try:
                checked = getattr(model.model_validate({key: value}), key)
                yield _told(setting, keys[key](checked), value)
            except ValidationError as error:
                yield _refused(setting, error)
            except (OSError, CommandFailed) as error:
                yield Setting(setting, "refused", str(error))

    def _networks(self, given: Any) -> Iterator[Setting]:
        changed = False
        for entry in given if isinstance(given, list) else [given]:
            name = f"network {entry['interface']}" if isinstance(entry, dict) and "interface" in entry else "network"
            try:
                table = NetworkTable.model_validate(entry)
                kept = network.keep(table.interface, table.settings, self.places)
            except ValidationError as error:
                yield _refused(name, error)
                continue
            except OSError as error:
                yield Setting(name, "refused", str(error))
                continue
            changed |= kept
            said = "by DHCP" if table.dhcp else str(table.address)
            if table.interface not in (there := [card.name for card in cards(self.places.root)]):
                said += f", once there is such an interface; there are {', '.join(there) or 'none'}"
            yield Setting(name, "applied" if kept else "unchanged", said)
        if changed:
            try:
                network.take_up()
            except CommandFailed as error:
                yield Setting("network", "refused", f"it holds from the next start on: {error}", "restart")

    def _known(self) -> dict[str, tuple[type[BaseModel], dict[str, Callable[[Any], bool]]]]:
        places = self.places
        return {
            "ssh": (SshTable, {"authorized_keys": lambda keys: own.set_authorized_keys(keys, places)}),
            "machine": (
                MachineTable,
                {
                    "hostname": lambda name: own.set_hostname(name, places),
                    "timezone": lambda name: own.set_timezone(name, places),
                },
            ),
            "time": (TimeTable, {"servers": lambda servers: own.set_time_servers(servers, places)}),
            "update": (UpdateTable, {"url": lambda url: own.set_update_url(url, places)}),
        }


def tables() -> MachineTables:
    """The entry point."""
    return MachineTables()


def _told(name: str, changed: bool, value: Any) -> Setting:
    if isinstance(value, str):
        said = value
    elif name == "ssh authorized_keys":
        said = f"{len(value)} key{'' if len(value) == 1 else 's'}" if value else "nobody"
    else:
        said = ", ".join(value) or "those of DHCP or the release"
    return Setting(name, "applied" if changed else "unchanged", said)


def _refused(name: str, error: ValidationError) -> Setting:
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ValueError):
        said, mend = with_mend(str(cause))
        return Setting(name, "refused", said, mend)
    where = ".".join(str(part) for part in first["loc"])
    return Setting(name, "refused", f"{where}: {first['msg']}" if where else first["msg"])
