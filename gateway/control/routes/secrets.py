"""Secrets that somebody types: kept in private files, never given out again."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import Field
from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.audit import AuditLog
from gateway.control.operation import Answer, Body, Call, NoQuery, Operation, Refusal
from gateway.ops.keeper import Full, Keeper


class NewSecret(Body):
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$", description="What it is for, such as `plant-password`."
    )
    text: str = Field(min_length=1, max_length=16_384, description="The secret itself.")


class SecretKept(TypedDict):
    file: str
    """As the configuration refers to it: `{file = "…"}`."""


def operations(keeper: Keeper, audit: AuditLog) -> list[Operation[Any, Any]]:
    async def keep_secret(call: Call[NoQuery, NewSecret]) -> SecretKept:
        try:
            path = await asyncio.to_thread(keeper.keep, call.body.name, call.body.text)
        except Full as error:
            raise Refusal(507, "too-many-secrets", str(error), "remove files that nothing refers to") from None
        except UnicodeEncodeError:
            raise Refusal(422, "bad-text", "the secret can't be UTF-8", "mend its characters") from None
        except OSError as error:
            message = f"the secret can't be kept: {error.strerror or error}"
            raise Refusal(507, "not-kept", message, "mend the disk") from None
        await audit.record(call.actor, "secret.keep", path.name, "done")
        return {"file": str(path)}

    return [
        Operation(
            "POST",
            "/v1/secrets",
            "keep_secret",
            Role.ENGINEER,
            "Keep a secret in a private file that the configuration can refer to.",
            keep_secret,
            Answer(SecretKept),
            body=NewSecret,
            refusals=(507,),
        )
    ]
