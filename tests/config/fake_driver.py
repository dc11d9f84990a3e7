"""A driver that never touches a wire: addresses are a:0 … a:999, and odd ones can't be planned."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.driver import DriverKind, PointError, PollGroup
from gateway.model import Batch


class Order(enum.StrEnum):
    AB = "AB"
    BA = "BA"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LinkOptions(Options):
    """One connection that is never made."""

    transport: Literal["tcp", "rtu"] = Field(default="tcp", description="How frames travel.")
    host: str = Field(min_length=1, description="Where.")
    port: int = Field(default=502, ge=1, le=65535, description="TCP port.")


class DeviceOptions(Options):
    """One device."""

    unit: int = Field(default=1, ge=0, le=255, description="Unit.")
    word_order: Order = Field(default=Order.AB, description="Word order.")


class TagOptions(Options):
    """One tag."""

    address: str = Field(description="a:0 to a:999.")
    word_order: Order | None = Field(default=None, description="The tag's own word order.")
    swap: bool = Field(default=False, description="Swap.")
    length: int | None = Field(default=None, ge=1, le=125, description="Length.")

    @field_validator("address")
    @classmethod
    def _address(cls, text: str) -> str:
        table, _, number = text.partition(":")
        if table != "a" or not number.isdecimal():
            raise ValueError(f"address '{text}' isn't an address of this driver: write 'a:0' to 'a:999'")
        if int(number) > 999:
            raise ValueError(f"address '{text}' is beyond the last one: use at most 'a:999'")
        return text


class Bus:
    async def connect(self) -> None:
        raise AssertionError("nothing connects while a configuration is read")

    async def close(self) -> None:
        raise AssertionError("nothing connects while a configuration is read")


@dataclass
class FakePlan:
    group: PollGroup
    errors: list[PointError] = field(default_factory=list)
    asks: bool = True

    def describe(self) -> Sequence[str]:
        return [f"read {len(self.group.points)}"]


class Driver:
    planned = 0

    def plan(self, group: PollGroup) -> FakePlan:
        type(self).planned += 1
        plan = FakePlan(group)
        for point in group.points:
            if point.options.address == "a:13":
                message = "a:13 is a hole in this device's map: use another address"
                plan.errors.append(PointError(point.path, message))
        return plan

    async def read(self, plan: Any) -> Batch:
        raise AssertionError("nothing is read while a configuration is read")


KIND = DriverKind(
    name="fake",
    summary="Nothing at all.",
    link_options=LinkOptions,
    device_options=DeviceOptions,
    tag_options=TagOptions,
    open_bus=lambda name, options, site: Bus(),
    open_device=lambda bus, name, options: Driver(),
)
