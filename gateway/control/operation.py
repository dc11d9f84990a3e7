"""One operation of the control API, declared once: how it is called, by whom, with what, and what it answers.

Routes are made from operations (`gateway.control.server`), and so is the OpenAPI document (`gateway.control.openapi`).
A room's operations stand in one module of `gateway.control.routes`.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator

from gateway.actors import Actor, Role

EXACT = 1 << 53
"""Up to it every JSON reader has integers right: no number that is asked for is larger."""


class Query(BaseModel):
    """What stands after the ``?``: text that is converted; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Body(BaseModel):
    """A JSON body: exact types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, given: Any) -> Any:
        """Integers are what JSON Schema says they are: 432.0 is one. A field of another type takes an integer, too."""
        if not isinstance(given, dict):
            return given
        return {key: int(value) if _is_whole(value) else value for key, value in given.items()}


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


Flag = Annotated[
    bool,
    BeforeValidator(lambda value: {"": True}.get(value, value)),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"const": ""}], "default": False}),
]
"""Of a query: ``?errors`` alone is yes."""


class NoQuery(Query):
    """Nothing may stand after the ``?``."""


Q = TypeVar("Q")
B = TypeVar("B")


class Refusal(Exception):
    """An operation that isn't done: one sentence, what to do about it, and a code for programs."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        mend: str | None = None,
        *,
        problems: tuple[Mapping[str, Any], ...] = (),
        **more: Any,
    ) -> None:
        """`status`: of HTTP. `code`: stable, in kebab-case. `problems`: several at once, each with at least a
        ``message``. `more`: further members of the answer."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.mend = mend
        self.problems = problems
        self.more = more


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """One call of an operation, checked."""

    actor: Actor
    path: Mapping[str, str]
    """What stands for the names in braces."""
    query: Q
    body: B
    headers: Mapping[str, str]
    """Names in lower case."""


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    data: bytes
    """One line."""
    event: str | None = None
    id: str | None = None


class Form(enum.Enum):
    """The shape of an answer."""

    JSON = "application/json"
    EVENTS = "text/event-stream"
    LINES = "application/x-ndjson"
    FILE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers. A handler returns what `form` says:

    - JSON: anything orjson writes, or a pydantic model; None where `type` is None (204);
    - EVENTS: an async iterator of :class:`Event` whose data are JSON of `type`;
    - LINES: an async iterator of bytes, each ending with a newline;
    - FILE: a :class:`File`.

    A stream is ended in order when the server stops or the caller leaves: the iterator is closed.
    """

    type: Any = None
    form: Form = Form.JSON
    status: int = 200
    description: str = "Done."
    media_types: tuple[str, ...] = ()
    """Of a FILE."""

    @property
    def code(self) -> int:
        """The status that is sent: 204 where there is nothing to say."""
        nothing = self.form is Form.JSON and self.type is None and self.status == 200
        return 204 if nothing else self.status


@dataclass(frozen=True, slots=True)
class File:
    """Bytes to be kept as a file."""

    body: bytes
    media_type: str
    name: str


Stream = AsyncIterator[Event] | AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Operation(Generic[Q, B]):
    """One method of one path."""

    method: str
    path: str
    """``/v1/devices/{name}``; a name that may hold slashes is written ``{tag:path}``."""
    name: str
    """Unique, a verb and a noun in snake case: ``get_status``."""
    role: Role
    """The least that may call it."""
    summary: str
    """One sentence."""
    handle: Callable[[Call[Q, B]], Awaitable[Any]]
    answer: Answer = field(default_factory=Answer)
    query: type[Q] = NoQuery  # type: ignore[assignment]
    body: type[B] | None = None
    """A pydantic model, `bytes` for any content as it is, or None."""
    max_body: int = 1 << 20
    """Bytes a body may have."""
    refusals: tuple[int, ...] = ()
    """Statuses of its refusals besides those that every operation has (400, 403, 404, 413, 415, 422)."""
    internal: bool = False
    """For the page's own process only: never forwarded for anybody."""

    @property
    def noun(self) -> str:
        """What it is about: the first word of its path after the version."""
        return self.path.split("/")[2]


def events(item: Any, description: str = "Events, until the caller leaves.") -> Answer:
    return Answer(item, Form.EVENTS, description=description)


def lines(item: Any, description: str = "One JSON document a line, until the caller leaves.") -> Answer:
    return Answer(item, Form.LINES, description=description)


def file(*media_types: str, description: str = "The file.") -> Answer:
    return Answer(None, Form.FILE, description=description, media_types=media_types)
