"""Whether drivers can be set up under new settings, found out before what runs is touched. Connects nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.delta import ApplyFailed, same_connection
from gateway.driver import Bus
from gateway.settings import DeviceSettings, GroupSettings, LinkSettings


def rehearse(old: Iterable[LinkSettings], new: Iterable[LinkSettings]) -> None:
    """Open what is new or changed, on buses that are never connected, and plan its groups. Raises ApplyFailed."""
    for link, devices in fresh(old, new):
        try:
            bus: Bus = link.kind.open_bus(link.name, link.options, link.site)
        except Exception as error:
            raise ApplyFailed(_sentence(f"link {link.name}", error)) from error
        for device, groups in devices:
            try:
                driver = link.kind.open_device(bus, device.name, device.options)
                for group in groups:
                    driver.plan(group.poll)
            except Exception as error:
                raise ApplyFailed(_sentence(f"device {device.name}", error)) from error


def fresh(
    old: Iterable[LinkSettings], new: Iterable[LinkSettings]
) -> Iterator[tuple[LinkSettings, list[tuple[DeviceSettings, list[GroupSettings]]]]]:
    """Every link of `new` on which something differs from `old`, with those of its groups that do, by device."""
    known = {link.name: link for link in old}
    for link in new:
        was = known.get(link.name)
        stays = was is not None and same_connection(was, link)
        there = {device.name: device for device in was.devices} if was is not None and stays else {}
        devices: list[tuple[DeviceSettings, list[GroupSettings]]] = []
        for device in link.devices:
            had = there.get(device.name)
            same = had is not None and had.options == device.options
            groups = [group for group in device.groups if not (had is not None and same and group in had.groups)]
            if groups or not same:
                devices.append((device, groups))
        if devices or not stays:
            yield link, devices


def _sentence(what: str, error: Exception) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"the driver of {what} can't be set up ({text}); nothing was changed"
