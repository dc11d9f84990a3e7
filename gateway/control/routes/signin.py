"""What the page's process needs to let people and programs in. It hashes passwords and keeps nothing; here hashes are
kept and no password is ever seen. All of it is for that process alone."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway.accounts import Accounts
from gateway.accounts.accounts import Record
from gateway.actors import Actor, Role
from gateway.control.operation import Answer, Body, Call, NoQuery, Operation
from gateway.control.refusing import ACCOUNT_STATUSES, account_errors
from gateway.control.routes.accounts import Name, PasswordHash

_DONE = Answer(status=204)

Address = Annotated[str, Field(max_length=64, description="Where the browser is.")]


class Admission(Body):
    token: Annotated[str, Field(max_length=200)]
    part: Annotated[str, Field(max_length=64, description="What it is wanted for: the word after `/v1/`.")]


class Claim(Body):
    code: Annotated[str, Field(max_length=64)]
    name: Name
    verifier: PasswordHash
    address: Address


class OwnPassword(Body):
    verifier: PasswordHash


class Attempt(Body):
    name: Annotated[str, Field(max_length=64, description="As it was typed.")]
    action: Literal["sign-in", "sign-out"]
    outcome: Literal["done", "refused"]
    address: Address


class Verifier(TypedDict):
    name: str
    role: Role
    verifier: str
    version: int
    disabled: bool
    must_change: bool


class Admitted(TypedDict):
    name: str
    role: Role
    via: str
    scopes: list[str]


class Claimable(TypedDict):
    claimable: bool


def operations(accounts: Accounts, record: Record) -> list[Operation[Any, Any]]:
    async def get_verifier(call: Call[NoQuery, None]) -> Verifier:
        with account_errors():
            user = accounts.user(call.path["name"])
        return {
            "name": user.name,
            "role": user.role,
            "verifier": user.verifier,
            "version": user.version,
            "disabled": user.disabled,
            "must_change": user.must_change,
        }

    async def set_own_password(call: Call[NoQuery, OwnPassword]) -> None:
        with account_errors():
            await accounts.set_password(call.actor, call.actor.name, call.body.verifier)

    async def admit_token(call: Call[NoQuery, Admission]) -> Admitted:
        with account_errors():
            admitted = await accounts.admit(call.body.token, call.body.part)
        actor = admitted.actor
        return {"name": actor.name, "role": actor.role, "via": actor.via, "scopes": list(admitted.scopes)}

    async def get_claim(_: Call[NoQuery, None]) -> Claimable:
        return {"claimable": accounts.claimable}

    async def claim_gateway(call: Call[NoQuery, Claim]) -> None:
        body = call.body
        actor = Actor(body.name, Role.VIEWER, f"page at {body.address}")
        with account_errors():
            await accounts.claim(actor, body.code, body.name, body.verifier)

    async def note_sign_in(call: Call[NoQuery, Attempt]) -> None:
        body = call.body
        actor = Actor(body.name or "nobody", Role.VIEWER, "page")
        with account_errors():
            await record(actor, f"session.{body.action}", body.name, body.outcome, address=body.address)

    return [
        _operation("GET", "users/{name}", "get_verifier", "Tell how a user signs in.", get_verifier, Answer(Verifier)),
        _operation(
            "PUT",
            "password",
            "set_own_password",
            "Give the caller another password.",
            set_own_password,
            _DONE,
            OwnPassword,
        ),
        _operation(
            "POST", "tokens", "admit_token", "Tell for whom a token speaks.", admit_token, Answer(Admitted), Admission
        ),
        _operation(
            "GET", "claim", "get_claim", "Tell whether the gateway belongs to nobody yet.", get_claim, Answer(Claimable)
        ),
        _operation("POST", "claim", "claim_gateway", "Make the first admin.", claim_gateway, _DONE, Claim),
        _operation(
            "POST",
            "attempts",
            "note_sign_in",
            "Put a sign-in or its failure into the audit log.",
            note_sign_in,
            _DONE,
            Attempt,
        ),
    ]


def _operation(
    method: str, path: str, name: str, summary: str, handle: Any, answer: Answer, body: type[Body] | None = None
) -> Operation[Any, Any]:
    # Of the role that the page's process acts in; set_own_password is called as whoever's password it is.
    role = Role.VIEWER if name == "set_own_password" else Role.ADMIN
    return Operation(
        method,
        f"/v1/sign-in/{path}",
        name,
        role,
        summary,
        handle,
        answer,
        body=body,
        refusals=ACCOUNT_STATUSES,
        internal=True,
    )
