"""The control API's reference, made from its operations: ``python -m gateway.control.reference --write``.

Two files of docs/reference: ``openapi.json`` for programs and ``api.md`` for people.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import orjson

from gateway.control import openapi
from gateway.control.api import Services, operations
from gateway.control.operation import Form, Operation
from gateway.control.server import ControlServer

_DIRECTORY = Path(__file__).parents[2] / "docs" / "reference"
PAGE = _DIRECTORY / "api.md"
DOCUMENT = _DIRECTORY / "openapi.json"

_HEAD = """# Control API

<!-- Made by `make docs` from the operations themselves. Don't edit. -->

HTTP over the gateway's Unix socket (`[gateway] socket`); for whoever is signed in to the page, and for tokens, under
`/api` of the page too. The [OpenAPI document](openapi.json) describes every field; a running gateway serves its own
at `/v1/openapi.json`.

```sh
curl --unix-socket /run/tidegate/control.sock http://localhost/v1/status
```

- Each operation needs a role; a higher one may do all that a lower one may: viewer, operator, engineer, admin.
- Bodies and answers are JSON, UTF-8. Unknown keys are refused, in the query too.
- What isn't done is a problem document (RFC 9457): `detail` is one sentence, `mend` says what to do, `code` is for
  programs and stays, `problems` lists several things at once.
- Streams are server-sent events or newline-delimited JSON. They end when the gateway stops.
"""

_ANSWERS = {Form.EVENTS: "events", Form.LINES: "lines of JSON", Form.FILE: "a file"}


class _Nothing:
    """Stands for every room: an operation can be described without anything to do it."""

    def __getattr__(self, name: str) -> _Nothing:
        return self

    def __call__(self, *given: Any, **named: Any) -> _Nothing:
        return self


def described() -> Sequence[Operation[Any, Any]]:
    """Every operation there is. None of them can be called."""
    return ControlServer(operations(cast(Services, _Nothing())), Path("control.sock")).operations


def document() -> bytes:
    """The OpenAPI document, for people who compare versions too."""
    body = openapi.document(described())
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def page() -> str:
    """The whole page, as Markdown."""
    found = described()
    return "\n".join([_HEAD, *_contents(found), "", *_sections(found)])


def _contents(found: Sequence[Operation[Any, Any]]) -> Iterator[str]:
    yield "| operation | role | what it does |"
    yield "|---|---|---|"
    for operation in found:
        yield f"| [`{_call(operation)}`](#{operation.name}) | {operation.role} | {operation.summary} |"


def _sections(found: Sequence[Operation[Any, Any]]) -> Iterator[str]:
    whole = openapi.document(found)
    components = whole["components"]["schemas"]
    for operation in found:
        described = whole["paths"][openapi.plain_path(operation.path)][operation.method.lower()]
        yield f'<a id="{operation.name}"></a>'
        yield ""
        yield f"## `{_call(operation)}`"
        yield ""
        yield f"{operation.summary} Role: {operation.role}."
        if operation.internal:
            yield "Only the page's own process may call it."
        yield ""
        yield from _parameters(described)
        if operation.body is not None:
            yield from _body(operation, described, components)
        yield f"Answers {_answer(operation)}."
        yield ""


def _call(operation: Operation[Any, Any]) -> str:
    return f"{operation.method} {openapi.plain_path(operation.path)}"


def _parameters(described: dict[str, Any]) -> Iterator[str]:
    rows = [each for each in described["parameters"] if each["in"] == "query"]
    if not rows:
        return
    yield "| query | type | meaning |"
    yield "|---|---|---|"
    for row in rows:
        yield _row(row["name"], row["schema"], row.get("description", ""), required=row["required"])
    yield ""


def _body(operation: Operation[Any, Any], described: dict[str, Any], components: dict[str, Any]) -> Iterator[str]:
    if operation.body is bytes:
        yield f"Body: the file, up to {operation.max_body:,} bytes."
        yield ""
        return
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = components[schema["$ref"].rsplit("/", 1)[1]]
    yield f"Body: JSON, up to {operation.max_body:,} bytes."
    yield ""
    if "properties" in schema:
        yield "| member | type | meaning |"
        yield "|---|---|---|"
        for name, member in schema["properties"].items():
            required = name in schema.get("required", ())
            yield _row(name, member, member.get("description", ""), required=required)
        yield ""


def _row(name: str, schema: dict[str, Any], meaning: str, *, required: bool) -> str:
    default = schema.get("default")
    said = [meaning.replace("|", "\\|").replace("\n", " ")]
    if required:
        said.append("Required.")
    elif default is not None and default != "":
        said.append(f"Default: `{orjson.dumps(default).decode()}`.")
    return f"| `{name}` | {_type(schema)} | {' '.join(part for part in said if part)} |"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[1]}`"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [f"{words} {schema[key]}" for key, words in (("minimum", "≥"), ("maximum", "≤")) if key in schema]
    return " ".join([kind, *bounds])


def _answer(operation: Operation[Any, Any]) -> str:
    answer = operation.answer
    if answer.form is Form.FILE:
        kinds = ", ".join(f"`{kind}`" for kind in answer.media_types)
        return f"{_ANSWERS[answer.form]}: {kinds}" if kinds else _ANSWERS[answer.form]
    if answer.type is None:
        return f"nothing ({answer.code})"
    name = getattr(answer.type, "__name__", "")
    kind = f" `{name}`" if isinstance(answer.type, type) and not getattr(answer.type, "__args__", None) else ""
    return f"{_ANSWERS[answer.form]}, each{kind}" if answer.form in _ANSWERS else f"JSON:{kind}" if kind else "JSON"


def main() -> None:
    if sys.argv[1:] == ["--write"]:
        DOCUMENT.write_bytes(document())
        PAGE.write_text(page())
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main()
