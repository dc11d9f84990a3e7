"""The API's one description: an OpenAPI 3.1 document made from the operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from gateway import __version__
from gateway.control.operation import Form, Operation

_REF = "#/components/schemas/{model}"
_ALWAYS = (400, 403, 404, 413, 415, 422, 500)


class FoundProblem(BaseModel):
    """One of several things to mend at once."""

    message: str
    mend: str | None = None
    file: str | None = None
    line: int | None = None
    field: str | None = None


class Problem(BaseModel):
    """Why an operation wasn't done (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    code: str
    detail: str
    mend: str | None = None
    problems: list[FoundProblem] | None = None


def plain_path(path: str) -> str:
    """As OpenAPI writes it: ``{tag:path}`` → ``{tag}``."""
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", path)


def document(operations: Sequence[Operation[Any, Any]]) -> dict[str, Any]:
    """OpenAPI 3.1.1, JSON-ready."""
    inputs: list[tuple[str, Literal["validation", "serialization"], TypeAdapter[Any]]] = [
        ("problem", "serialization", TypeAdapter(Problem))
    ]
    for operation in operations:
        inputs.append((f"{operation.name} query", "validation", TypeAdapter(operation.query)))
        if operation.body is not None and operation.body is not bytes:
            inputs.append((f"{operation.name} body", "validation", TypeAdapter(operation.body)))
        if operation.answer.type is not None:
            inputs.append((f"{operation.name} answer", "serialization", TypeAdapter(operation.answer.type)))
    by_key, defined = TypeAdapter.json_schemas(inputs, ref_template=_REF)
    schemas = {key: schema for (key, _), schema in by_key.items()}
    components: dict[str, Any] = defined.get("$defs", {})
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        methods = paths.setdefault(plain_path(operation.path), {})
        methods[operation.method.lower()] = _described(operation, schemas, components)
    for operation in operations:
        # A query is written out as parameters; nothing else refers to it.
        components.pop(operation.query.__name__, None)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Tidegate control API",
            "version": __version__,
            "description": "The only door to a running gateway: HTTP over its Unix socket. The page's process "
            "offers it under /api to whoever is signed in, and to tokens.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _described(operation: Operation[Any, Any], schemas: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.noun],
        "summary": operation.summary,
        "x-tidegate-role": operation.role.value,
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation, schemas, components)],
        "responses": {
            str(operation.answer.code): _answer(operation, schemas),
            **{
                str(status): {
                    "description": HTTPStatus(status).phrase,
                    "content": {"application/problem+json": {"schema": schemas["problem"]}},
                }
                for status in sorted({*_ALWAYS, *operation.refusals})
            },
        },
    }
    if operation.internal:
        described["x-tidegate-internal"] = True
    if operation.body is not None:
        described["x-tidegate-max-body"] = operation.max_body
    if operation.body is bytes:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}}}
        described["requestBody"] = {"required": True, "content": content}
    elif operation.body is not None:
        content = {"application/json": {"schema": schemas[f"{operation.name} body"]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _answer(operation: Operation[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    answer = operation.answer
    described: dict[str, Any] = {"description": answer.description}
    if answer.form is Form.FILE:
        binary = {"schema": {"type": "string", "format": "binary"}}
        described["content"] = dict.fromkeys(answer.media_types or (Form.FILE.value,), binary)
    elif answer.form is Form.JSON:
        if answer.type is not None:
            described["content"] = {answer.form.value: {"schema": schemas[f"{operation.name} answer"]}}
    else:
        # OpenAPI 3.1 can't describe the items of a stream; a schema beside it would be taken for theirs.
        described["content"] = {answer.form.value: {"x-tidegate-item": schemas[f"{operation.name} answer"]}}
    return described


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)(?::\w+)?\}", path)
    ]


def _query_parameters(
    operation: Operation[Any, Any], schemas: dict[str, Any], components: dict[str, Any]
) -> list[dict[str, Any]]:
    schema = schemas[f"{operation.name} query"]
    if "$ref" in schema:
        schema = components[schema["$ref"].rsplit("/", 1)[1]]
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            **({"description": body["description"]} if "description" in body else {}),
            "schema": {key: value for key, value in body.items() if key != "description"},
        }
        for name, body in schema.get("properties", {}).items()
    ]
