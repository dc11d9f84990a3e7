"""What may be asked of the agent. Anything else is refused: other verbs, further keys, other types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gateway.ops.machine import Network, Time
from gateway.ops.machine.settings import MOST_SERVERS

SHORTEST_S, LONGEST_S = 5.0, 600.0

_Text = Annotated[str, Field(max_length=253)]
_Servers = Annotated[tuple[_Text, ...], Field(max_length=MOST_SERVERS, strict=False)]
_Within = Annotated[float, Field(ge=SHORTEST_S, le=LONGEST_S)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Look(_Request):
    verb: Literal["look"]


class Unconfirmed(_Request):
    verb: Literal["unconfirmed"]


class TryNetwork(_Request):
    verb: Literal["try-network"]
    interface: _Text
    dhcp: bool
    address: _Text | None
    gateway: _Text | None
    dns: _Servers
    within_s: _Within

    @property
    def settings(self) -> Network:
        return Network(self.dhcp, self.address, self.gateway, self.dns)


class TryTime(_Request):
    verb: Literal["try-time"]
    timezone: _Text
    servers: _Servers
    within_s: _Within

    @property
    def settings(self) -> Time:
        return Time(self.timezone, self.servers)


class Confirm(_Request):
    verb: Literal["confirm"]


class TakeBack(_Request):
    verb: Literal["take-back"]


class SetHostname(_Request):
    verb: Literal["set-hostname"]
    name: _Text


class Restart(_Request):
    verb: Literal["restart"]


class Erase(_Request):
    verb: Literal["reset", "wipe"]


Request = Look | Unconfirmed | TryNetwork | TryTime | Confirm | TakeBack | SetHostname | Restart | Erase

REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="verb")])
