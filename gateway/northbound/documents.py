"""What one sink says about the gateway and its assets, prepared from settings, and every topic it keeps retained.

Pure, and safe to make on another thread: a hash over ten thousand tags takes its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.northbound import manifest
from gateway.northbound.uns import retained_topics
from gateway.settings import DeviceSettings, GatewaySettings, MqttSettings


@dataclass(frozen=True, slots=True)
class Documents:
    gateway_topic: str
    asset_topics: Mapping[str, str]
    """By device."""
    bodies: Mapping[str, bytes]
    """By topic: ``_meta`` of every asset, then ``_namespace``."""
    retained: frozenset[str]
    """Every topic under which the broker may keep something of this sink."""
    made_of: Mapping[str, tuple[DeviceSettings, manifest.Asset]]
    """By device: what its asset was made of, for the next time."""

    @classmethod
    def of(cls, gateway: GatewaySettings, mqtt: MqttSettings, before: Documents | None = None) -> Documents:
        """`before`: of the same sink under other links and devices; what is equal is taken from there."""
        known = before.made_of if before is not None else {}
        made_of: dict[str, tuple[DeviceSettings, manifest.Asset]] = {}
        for link in gateway.links:
            for device in link.devices:
                if not device.groups:
                    continue
                was = known.get(device.name)
                same = was is not None and was[0] is device and was[1].meta["driver"] == link.kind.name
                made_of[device.name] = was if was is not None and same else (device, manifest.asset(link, device, mqtt))
        assets = tuple(asset for _, asset in made_of.values())
        topic = manifest.gateway_topic(gateway, mqtt.root)
        bodies = {f"{asset.topic}/_meta": manifest.encode(asset.meta) for asset in assets}
        bodies[f"{topic}/_namespace"] = manifest.encode(manifest.namespace(gateway, mqtt, assets))
        retained = {*bodies, f"{topic}/_state", f"{topic}/_ledger", *(f"{asset.topic}/_state" for asset in assets)}
        if mqtt.retain:
            for device, _ in made_of.values():
                for group in device.groups:
                    retained.update(retained_topics(group.poll.layout, mqtt.root, mqtt.granularity))
        return cls(topic, {asset.source: asset.topic for asset in assets}, bodies, frozenset(retained), made_of)
