"""Whether a write may be: pure, from the configuration alone. The one place that says so, whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.actors import Role
from gateway.commands.request import WriteRefused, WriteRequest
from gateway.model import Tag, Value
from gateway.pipeline import NotRepresentable, to_wire
from gateway.settings import GatewaySettings, TagRules, WriteRules, WriteSettings


@dataclass(frozen=True, slots=True)
class Target:
    """One tag as a place to write to."""

    device: str
    tag: Tag
    rules: TagRules
    role: Role
    """The least that may write it."""
    require_reason: bool
    min_interval_s: float

    @property
    def name(self) -> str:
        return f"{self.device}/{self.tag.path}"

    def to_json(self) -> dict[str, Any]:
        low, high = self.rules.write_limits
        return {
            "tag": self.name,
            "type": self.tag.type.value,
            "count": self.tag.count,
            "unit": self.tag.unit,
            "description": self.tag.description,
            "writable": self.tag.writable,
            "min": low,
            "max": high,
            "step": self.rules.write.step if self.rules.write is not None else None,
            "role": self.role.value,
            "require_reason": self.require_reason,
            "min_interval_ms": round(self.min_interval_s * 1000, 3),
        }


class Policy:
    """What one configuration allows."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.write: WriteSettings = settings.write
        self._targets: Mapping[str, Target] = {target.name: target for target in _targets(settings)}

    def target(self, tag: str) -> Target:
        """Raises WriteRefused."""
        target = self._targets.get(tag)
        if target is None:
            raise WriteRefused("no-such-tag", f"there is no tag {tag!r}", "write it as DEVICE/TAG")
        return target

    def admit(self, role: Role, request: WriteRequest) -> Target:
        """The target if the policy lets this role write this value there. Raises WriteRefused with the limit."""
        target = self.target(request.tag)
        if not self.write.enabled:
            raise WriteRefused(
                "writes-disabled",
                "writing is switched off on this gateway",
                "to switch it on: enabled = true under [write] in the configuration",
            )
        if not target.tag.writable:
            raise WriteRefused(
                "not-writable", f"{target.name} isn't declared writable", "to allow it: writable = true at the tag"
            )
        if not role.covers(target.role):
            raise WriteRefused(
                "role-too-low", f"writing {target.name} needs the role {target.role}, yours is {role}", "ask for it"
            )
        if target.require_reason and not (request.reason or "").strip():
            raise WriteRefused("reason-missing", f"writing {target.name} needs a reason", "say why")
        check_value(target, request.value)
        return target


def check_value(target: Target, value: Value) -> None:
    """Raises WriteRefused for what the tag can't hold or isn't to be given."""
    try:
        to_wire(target.rules, value)
    except NotRepresentable as error:
        raise WriteRefused("out-of-limits", f"{target.name}: {error}", "write another value") from None


def _targets(settings: GatewaySettings) -> list[Target]:
    defaults = settings.write
    targets = []
    for link in settings.links:
        for device in link.devices:
            for group in device.groups:
                for tag, rules in zip(group.poll.layout.tags, group.rules, strict=True):
                    own = rules.write or WriteRules()
                    targets.append(
                        Target(
                            device.name,
                            tag,
                            rules,
                            own.role or defaults.role,
                            defaults.require_reason if own.require_reason is None else own.require_reason,
                            defaults.min_interval_s if own.min_interval_s is None else own.min_interval_s,
                        )
                    )
    return targets
