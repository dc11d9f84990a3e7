"""Users, and tokens for programs. Passwords come as hashes: no password reaches the data plane."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway.accounts import Accounts
from gateway.accounts.problems import NAME, SCOPE, VERIFIER
from gateway.actors import Role
from gateway.control.operation import Answer, Body, Call, NoQuery, Operation, Refusal
from gateway.control.refusing import ACCOUNT_STATUSES, account_errors

RoleName = Literal["viewer", "operator", "engineer", "admin"]
Name = Annotated[str, Field(pattern=f"^{NAME}$")]
PasswordHash = Annotated[
    str, Field(pattern=f"^{VERIFIER}$", description="The password's hash: an argon2id PHC string.")
]
Days = Annotated[int, Field(ge=1, le=3650)]


class NewUser(Body):
    name: Name
    role: RoleName
    verifier: PasswordHash
    must_change: bool = Field(default=False, description="Good for choosing another password only.")


class UserChange(Body):
    role: RoleName | None = None
    disabled: bool | None = None


class NewPassword(Body):
    verifier: PasswordHash
    must_change: bool = Field(default=False, description="Good for choosing another password only.")


class Reset(Body):
    name: Name
    verifier: PasswordHash


class NewToken(Body):
    name: Name
    role: RoleName
    scopes: list[Annotated[str, Field(pattern=f"^{SCOPE}$")]] = Field(
        default_factory=list,
        max_length=32,
        description="Parts of the API it is good for, as paths name them after `/v1/`. None: all its role may.",
    )
    days: Days | None = Field(default=365, description="It expires after so many. Null: never.")


class UserAnswer(TypedDict):
    name: str
    role: str
    created: str
    disabled: bool
    must_change: bool
    version: int
    """Rises with every change of role, password or `disabled`."""


class Users(TypedDict):
    users: list[UserAnswer]


class TokenAnswer(TypedDict):
    id: str
    name: str
    role: str
    scopes: list[str]
    created: str
    created_by: str
    expires: str | None
    last_used: str | None
    """The day."""


class Tokens(TypedDict):
    tokens: list[TokenAnswer]


class MadeToken(TypedDict):
    token: TokenAnswer
    secret: str
    """The token itself. Nobody can say it again."""


class ClaimCode(TypedDict):
    code: str


def operations(accounts: Accounts) -> list[Operation[Any, Any]]:
    async def list_users(_: Call[NoQuery, None]) -> dict[str, Any]:
        with account_errors():
            return {"users": [user.to_json() for user in accounts.users]}

    async def add_user(call: Call[NoQuery, NewUser]) -> dict[str, Any]:
        body = call.body
        with account_errors():
            user = await accounts.add_user(
                call.actor, body.name, Role(body.role), body.verifier, must_change=body.must_change
            )
        return user.to_json()

    async def get_user(call: Call[NoQuery, None]) -> dict[str, Any]:
        with account_errors():
            return accounts.user(call.path["name"]).to_json()

    async def change_user(call: Call[NoQuery, UserChange]) -> dict[str, Any]:
        body, name = call.body, call.path["name"]
        with account_errors():
            if body.role is not None:
                await accounts.set_role(call.actor, name, Role(body.role))
            if body.disabled is not None:
                await accounts.set_disabled(call.actor, name, body.disabled)
            return accounts.user(name).to_json()

    async def remove_user(call: Call[NoQuery, None]) -> None:
        with account_errors():
            await accounts.remove_user(call.actor, call.path["name"])

    async def set_password(call: Call[NoQuery, NewPassword]) -> dict[str, Any]:
        body = call.body
        with account_errors():
            user = await accounts.set_password(
                call.actor, call.path["name"], body.verifier, must_change=body.must_change
            )
        return user.to_json()

    async def reset_user(call: Call[NoQuery, Reset]) -> dict[str, Any]:
        if call.actor.via != "command line":
            raise Refusal(403, "not-here", "this is for who owns the machine", "on it: tidegate user reset NAME")
        with account_errors():
            return (await accounts.reset(call.actor, call.body.name, call.body.verifier)).to_json()

    async def list_tokens(_: Call[NoQuery, None]) -> dict[str, Any]:
        with account_errors():
            return {"tokens": [token.to_json() for token in accounts.tokens]}

    async def add_token(call: Call[NoQuery, NewToken]) -> dict[str, Any]:
        body = call.body
        with account_errors():
            token, secret = await accounts.add_token(call.actor, body.name, Role(body.role), body.scopes, body.days)
        return {"token": token.to_json(), "secret": secret}

    async def revoke_token(call: Call[NoQuery, None]) -> None:
        with account_errors():
            await accounts.revoke_token(call.actor, call.path["token"])

    async def renew_claim(call: Call[NoQuery, None]) -> dict[str, Any]:
        if call.actor.via != "command line":
            raise Refusal(403, "not-here", "this is for who owns the machine", "on it: tidegate claim")
        with account_errors():
            return {"code": await accounts.new_claim(call.actor)}

    user = Answer(UserAnswer)
    made = Answer(UserAnswer, status=201, description="Made.")
    done = Answer(status=204)
    one, all_of = "/v1/accounts/users/{name}", "/v1/accounts/users"

    def operation(method: str, path: str, name: str, summary: str, handle: Any, answer: Answer, **more: Any) -> Any:
        return Operation(method, path, name, Role.ADMIN, summary, handle, answer, refusals=ACCOUNT_STATUSES, **more)

    return [
        operation("GET", all_of, "list_users", "List the users.", list_users, Answer(Users)),
        operation("POST", all_of, "add_user", "Add a user.", add_user, made, body=NewUser),
        operation("GET", one, "get_user", "Describe a user.", get_user, user),
        operation(
            "PATCH", one, "change_user", "Give a user another role, disable or enable one.", change_user, user,
            body=UserChange,
        ),
        operation("DELETE", one, "remove_user", "Remove a user.", remove_user, done),
        operation(
            "PUT", f"{one}/password", "set_password", "Give a user another password.", set_password, user,
            body=NewPassword,
        ),
        operation(
            "POST", "/v1/accounts/reset", "reset_user",
            "Make a user, new or not, an enabled admin with this password. Only on the machine itself.",
            reset_user, user, body=Reset, internal=True,
        ),
        operation("GET", "/v1/accounts/tokens", "list_tokens", "List the tokens.", list_tokens, Answer(Tokens)),
        operation(
            "POST", "/v1/accounts/tokens", "add_token", "Make a token. It is shown this once.", add_token,
            Answer(MadeToken, status=201, description="Made."), body=NewToken,
        ),
        operation(
            "DELETE", "/v1/accounts/tokens/{token}", "revoke_token", "Revoke a token, named by its id or its name.",
            revoke_token, done,
        ),
        operation(
            "POST", "/v1/accounts/claim", "renew_claim",
            "Make a new claim code for a gateway that has no user. Only on the machine itself.",
            renew_claim, Answer(ClaimCode), internal=True,
        ),
    ]  # fmt: skip
