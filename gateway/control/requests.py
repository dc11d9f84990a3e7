"""What a caller sent, checked: who they are, the query, the body."""

from __future__ import annotations

import pwd
from typing import Any
from urllib.parse import parse_qs

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from gateway.actors import Actor, Role
from gateway.control.operation import Operation, Refusal

ACTOR_HEADER = "tidegate-actor"
"""``name=…&role=…&via=…``: for whom the page's process calls. Whoever may open the socket is believed."""


class ActorNames:
    """Who calls. Without the header: the user of this machine at the other end of the socket."""

    def __init__(self) -> None:
        self._users: dict[int, str] = {}

    def of(self, request: Request) -> Actor:
        """Raises Refusal for a header that says nothing sensible."""
        header = request.headers.get(ACTOR_HEADER)
        if header is None:
            assert request.client is not None
            return Actor(self._user(request.client.port), Role.ADMIN, "command line")
        fields = {key: values[-1] for key, values in parse_qs(header).items()}
        try:
            return Actor(fields["name"], Role(fields["role"]), fields["via"])
        except (KeyError, ValueError):
            raise Refusal(
                400, "bad-actor", f"the header {ACTOR_HEADER} names nobody", "send name, role and via"
            ) from None

    def _user(self, uid: int) -> str:
        if uid not in self._users:
            try:
                self._users[uid] = pwd.getpwuid(uid).pw_name
            except KeyError:
                self._users[uid] = f"uid {uid}"
        return self._users[uid]


def query_of(operation: Operation[Any, Any], request: Request) -> Any:
    """Raises Refusal."""
    fields = operation.query.model_fields
    given: dict[str, Any] = {}
    for key in request.query_params:
        values = request.query_params.getlist(key)
        if key in fields and _is_list(fields[key].annotation):
            given[key] = values
        elif len(values) > 1:
            raise Refusal(422, "bad-query", f"{key} is given {len(values)} times", "give it once")
        else:
            given[key] = values[0]
    return _checked(operation.query, given, "query")


async def body_of(operation: Operation[Any, Any], request: Request) -> Any:
    """Raises Refusal."""
    if operation.body is None:
        return None
    raw = await _read(request, operation.max_body)
    if operation.body is bytes:
        if not raw:
            raise Refusal(400, "no-body", "the body is empty", "send the file itself")
        return raw
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "not-json", f"the body is {kind or 'of no type'}, but must be application/json")
    try:
        return operation.body.model_validate_json(raw)
    except ValidationError as error:
        raise _refused(error, "body") from None


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise Refusal(413, "too-large", f"the body has over {limit} bytes, the most that is taken here")
    except ClientDisconnect:
        raise Refusal(400, "cut-off", "the body ended early") from None
    return bytes(body)


def _checked(model: type[BaseModel], given: dict[str, Any], what: str) -> BaseModel:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _refused(error, what) from None


def _refused(error: ValidationError, what: str) -> Refusal:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return Refusal(400, "bad-json", f"the body isn't JSON: {details[0]['msg'].removeprefix('Invalid JSON: ')}")
    found = tuple(
        {"field": ".".join(map(str, detail["loc"])) or None, "message": detail["msg"].removeprefix("Value error, ")}
        for detail in details
    )
    first = found[0]
    where = f"{first['field']}: " if first["field"] else ""
    return Refusal(
        422, f"bad-{what}", f"the {what} doesn't fit: {where}{first['message']}", "see /v1/openapi.json", problems=found
    )


def _is_list(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) in (list, tuple)
