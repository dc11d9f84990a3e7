"""Planning reads from settings alone. Opening a bus or a device connects nothing, and planning is pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.driver import DriverKind, Plan, Site
from gateway.settings import DeviceSettings, GatewaySettings, GroupSettings, LinkSettings


def plan_device(
    kind: DriverKind, link: str, link_options: Any, site: Site, device: DeviceSettings, groups: Sequence[GroupSettings]
) -> list[Plan]:
    """One plan a group, on a bus that is never connected."""
    driver = kind.open_device(kind.open_bus(link, link_options, site), device.name, device.options)
    return [driver.plan(group.poll) for group in groups]


def plan_all(settings: GatewaySettings) -> Iterator[tuple[LinkSettings, DeviceSettings, GroupSettings, Plan]]:
    """Every group of a configuration with its plan."""
    for link in settings.links:
        for device in link.devices:
            plans = plan_device(link.kind, link.name, link.options, link.site, device, device.groups)
            for group, plan in zip(device.groups, plans, strict=True):
                yield link, device, group, plan
