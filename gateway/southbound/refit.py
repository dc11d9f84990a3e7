"""What of a running link's devices and groups stays, goes and comes under new settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.settings import DeviceSettings, GroupSettings
from gateway.southbound.unit import Device, Group


@dataclass(slots=True)
class Refit:
    """The devices as they are to be, and what differs from before. A device that restarts both leaves and comes."""

    devices: list[Device] = field(default_factory=list)
    left: list[Device] = field(default_factory=list)
    came: list[Device] = field(default_factory=list)
    left_groups: list[Group] = field(default_factory=list)
    """Of devices that stay; so are those that came."""
    came_groups: list[Group] = field(default_factory=list)

    @property
    def regrouped(self) -> list[Device]:
        """Devices that stay, with other groups."""
        touched = {group.device for group in (*self.left_groups, *self.came_groups)}
        return [device for device in self.devices if device in touched]


def refit(
    running: Sequence[Device],
    wanted: Sequence[DeviceSettings],
    device_of: Callable[[DeviceSettings], Device],
    group_of: Callable[[Device, GroupSettings], Group],
) -> Refit:
    """Give the devices that stay their new groups; make the others. What is equal stays the very object it was."""
    result = Refit()
    known = {device.name: device for device in running}
    for settings in wanted:
        device = known.get(settings.name)
        if device is not None and device.settings.options == settings.options:
            del known[settings.name]
            _regroup(device, settings, group_of, result)
        else:
            device = device_of(settings)
            device.groups = [group_of(device, group) for group in settings.groups]
            result.came.append(device)
        result.devices.append(device)
    result.left = list(known.values())
    return result


def _regroup(
    device: Device, settings: DeviceSettings, group_of: Callable[[Device, GroupSettings], Group], result: Refit
) -> None:
    known = {
        running.poll.name: (running, before)
        for running, before in zip(device.groups, device.settings.groups, strict=True)
    }
    groups: list[Group] = []
    kept: list[GroupSettings] = []
    for wanted in settings.groups:
        running, before = known.get(wanted.poll.name, (None, None))
        if running is not None and before == wanted:
            del known[wanted.poll.name]
            kept.append(before)
        else:
            running = group_of(device, wanted)
            result.came_groups.append(running)
            kept.append(wanted)
        groups.append(running)
    result.left_groups += [running for running, _ in known.values()]
    device.groups = groups
    device.settings = DeviceSettings(device.name, device.settings.options, tuple(kept))
