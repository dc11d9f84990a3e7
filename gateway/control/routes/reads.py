"""Reading one tag afresh, between two polls of its link."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import Field
from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.control.operation import Answer, Body, Call, NoQuery, Operation, Refusal
from gateway.driver import DeviceSilent, LinkDown
from gateway.live.plain import whole
from gateway.model import quality_name
from gateway.southbound.asks import AskFailed
from gateway.southbound.demand import Reading


class Reads(Protocol):
    """`gateway.runtime.Runtime`, as far as this door needs it."""

    async def read(self, device: str, path: str) -> Reading: ...


class Wanted(Body):
    tag: str = Field(max_length=1000, description="`device/tag`.")


class ReadAnswer(TypedDict):
    tag: str
    value: Any
    quality: int
    quality_name: str
    timestamp_ms: int
    """When the device's answer was complete, ms since 1970 UTC."""
    error: str
    """Why the driver can't read it at all; empty if it can."""


def operations(runtime: Reads) -> list[Operation[Any, Any]]:
    async def read_tag(call: Call[NoQuery, Wanted]) -> ReadAnswer:
        tag = call.body.tag
        device, _, path = tag.partition("/")
        try:
            reading = await runtime.read(device, path)
        except KeyError:
            raise Refusal(404, "no-such-tag", f"there is no tag {tag}", "see /v1/values for those there are") from None
        except (LinkDown, DeviceSilent) as error:
            raise Refusal(502, "unreachable", str(error), "see /v1/status for the link and the device") from None
        except AskFailed as error:
            raise Refusal(503, "not-read", str(error), "try again") from None
        return {
            "tag": tag,
            "value": whole(reading.value),
            "quality": reading.quality,
            "quality_name": quality_name(reading.quality),
            "timestamp_ms": reading.read_ns // 1_000_000,
            "error": reading.error,
        }

    return [
        Operation(
            "POST",
            "/v1/reads",
            "read_tag",
            Role.OPERATOR,
            "Ask the device for one tag now, whatever its group's interval.",
            read_tag,
            Answer(ReadAnswer),
            body=Wanted,
            refusals=(502, 503),
        )
    ]
