"""How people and programs come in, for the page's process: it checks passwords, and asks here for what it needs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway.accounts import Accounts
from gateway.actors import Actor, Role
from gateway.audit import AuditLog
from gateway.control.operation import Answer, Body, Call, NoQuery, Operation, Refusal
from gateway.control.refusing import ACCOUNT_STATUSES, account_errors
from gateway.control.routes.accounts import Name, Verifier


class Presented(Body):
    token: str = Field(max_length=200)
    part: str | None = Field(
        default=None, max_length=100, description="What of the API it is wanted for: the word after `/v1/`."
    )


class Claim(Body):
    code: str = Field(max_length=64)
    name: Name
    verifier: Verifier
    address: str = Field(default="", max_length=100, description="Where the browser is.")


class OwnPassword(Body):
    verifier: Verifier


class Attempt(Body):
    name: str = Field(max_length=64)
    action: Literal["sign-in", "sign-out"]
    outcome: Literal["done", "refused"]
    address: str = Field(default="", max_length=100, description="Where the browser is.")


class Account(TypedDict):
    name: str
    role: str
    verifier: str
    version: int
    disabled: bool
    must_change: bool


class Admitted(TypedDict):
    name: str
    role: str
    via: str
    scopes: list[str]
    """None: all that the role may."""


class Claimable(TypedDict):
    claimable: bool


def operations(accounts: Accounts, audit: AuditLog) -> list[Operation[Any, Any]]:
    async def get_account(call: Call[NoQuery, None]) -> dict[str, Any]:
        with account_errors():
            user = accounts.user(call.path["name"])
        return {
            "name": user.name,
            "role": user.role.value,
            "verifier": user.verifier,
            "version": user.version,
            "disabled": user.disabled,
            "must_change": user.must_change,
        }

    async def admit_token(call: Call[NoQuery, Presented]) -> dict[str, Any]:
        with account_errors():
            admitted = await accounts.admit(call.body.token, call.body.part)
        actor = admitted.actor
        return {"name": actor.name, "role": actor.role.value, "via": actor.via, "scopes": list(admitted.scopes)}

    async def get_claimable(_: Call[NoQuery, None]) -> dict[str, Any]:
        return {"claimable": accounts.claimable}

    async def claim(call: Call[NoQuery, Claim]) -> None:
        body = call.body
        with account_errors():
            await accounts.claim(call.actor, body.code, body.name, body.verifier, address=body.address)

    async def set_own_password(call: Call[NoQuery, OwnPassword]) -> None:
        if call.actor.via != "page":
            raise Refusal(403, "not-here", "this is for who signed in on the page", "use /v1/accounts/users instead")
        with account_errors():
            await accounts.set_password(call.actor, call.actor.name, call.body.verifier)

    async def note_attempt(call: Call[NoQuery, Attempt]) -> None:
        body = call.body
        role = Role.VIEWER
        with account_errors():
            if body.outcome == "done":
                role = accounts.user(body.name).role
            await audit.record(
                Actor(body.name, role, "page"), f"session.{body.action}", body.name, body.outcome, address=body.address
            )

    done = Answer(status=204)

    def operation(
        method: str, path: str, name: str, role: Role, summary: str, handle: Any, answer: Answer, body: Any = None
    ) -> Operation[Any, Any]:
        return Operation(
            method, f"/v1/sign-in/{path}", name, role, summary, handle, answer, body=body,
            refusals=ACCOUNT_STATUSES, internal=True,
        )  # fmt: skip

    return [
        operation(
            "GET", "users/{name}", "get_account", Role.ADMIN, "Say what a password is to be checked against.",
            get_account, Answer(Account),
        ),
        operation(
            "POST", "tokens", "admit_token", Role.ADMIN, "Say whom a token speaks for.", admit_token,
            Answer(Admitted), Presented,
        ),
        operation(
            "GET", "claim", "get_claimable", Role.ADMIN, "Say whether a claim code would be taken now.",
            get_claimable, Answer(Claimable),
        ),
        operation("POST", "claim", "use_claim", Role.ADMIN, "Make the first admin.", claim, done, Claim),
        operation(
            "PUT", "password", "set_own_password", Role.VIEWER,
            "Give who calls another password; the page has checked the old one.",
            set_own_password, done, OwnPassword,
        ),
        operation(
            "POST", "attempts", "note_attempt", Role.ADMIN,
            "Put into the audit log that somebody signed in or out, or tried to.", note_attempt, done, Attempt,
        ),
    ]  # fmt: skip
