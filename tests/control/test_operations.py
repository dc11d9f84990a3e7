"""Operations as routes: what is checked before a handler is called, and how each outcome looks to a caller."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import Field

from gateway.actors import Role
from gateway.control.client import ControlClient, NotRunning, Refused, ServerEvent
from gateway.control.operation import Answer, Body, Call, Event, File, NoQuery, Operation, Query, Refusal, events, file
from gateway.control.server import ControlServer


class Filter(Query):
    limit: int = Field(default=10, ge=1, le=100)
    device: list[str] = Field(default_factory=list)


class Order(Body):
    name: str = Field(min_length=1)
    count: int


async def _who(call: Call[NoQuery, None]) -> dict[str, Any]:
    return {"name": call.actor.name, "role": call.actor.role, "via": call.actor.via, "tag": call.path.get("tag")}


async def _echo(call: Call[Filter, Order]) -> dict[str, Any]:
    return {"limit": call.query.limit, "device": call.query.device, "order": call.body}


async def _refuse(_: Call[NoQuery, None]) -> None:
    raise Refusal(409, "taken", "it is taken", "take another", problems=({"message": "first"}, {"message": "second"}))


async def _flaw(_: Call[NoQuery, None]) -> None:
    raise RuntimeError("secret detail")


async def _keep(call: Call[NoQuery, bytes]) -> File:
    return File(call.body[::-1], "text/plain", "größe.txt")


async def _count(_: Call[NoQuery, None]) -> AsyncIterator[Event]:
    async def numbers() -> AsyncIterator[Event]:
        for number in range(3):
            yield Event(orjson.dumps(number), event="number", id=str(number))

    return numbers()


OPERATIONS: list[Operation[Any, Any]] = [
    Operation("GET", "/v1/who/{tag:path}", "get_who", Role.VIEWER, "Say who calls.", _who, Answer(dict[str, Any])),
    Operation(
        "POST", "/v1/orders", "make_order", Role.OPERATOR, "Order.", _echo, Answer(dict[str, Any]), Filter, Order,
        max_body=1000,
    ),
    Operation("GET", "/v1/refused", "get_refused", Role.VIEWER, "Refuse.", _refuse, refusals=(409,)),
    Operation("GET", "/v1/flaw", "get_flaw", Role.VIEWER, "Fail.", _flaw),
    Operation("PUT", "/v1/file", "turn_file", Role.ADMIN, "Turn a file round.", _keep, file("text/plain"), body=bytes),
    Operation("GET", "/v1/numbers", "count", Role.VIEWER, "Count.", _count, events(int)),
]  # fmt: skip


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[ControlClient]:
    path = tmp_path / "control.sock"
    task = asyncio.create_task(ControlServer(OPERATIONS, path).run())
    client = ControlClient(path)
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(NotRunning):
                await asyncio.to_thread(client.get, "/v1/who/x")
                break
            await asyncio.sleep(0.01)
    yield client
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def refused(client: ControlClient, *call: Any, **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await asyncio.to_thread(client.call, *call, **more)
    return caught.value


async def test_a_caller_on_this_machine_is_known_by_the_kernels_word(client: ControlClient) -> None:
    assert await asyncio.to_thread(client.get, "/v1/who/filler/motor/speed") == {
        "name": getpass.getuser(),
        "role": "admin",
        "via": "command line",
        "tag": "filler/motor/speed",
    }


async def test_the_page_acts_for_somebody_whose_role_counts(client: ControlClient, tmp_path: Path) -> None:
    async def ask(method: str, path: str, actor: str) -> tuple[bytes, dict[str, Any]]:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "control.sock")
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nTidegate-Actor: {actor}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.read()
        writer.close()
        status, _, body = answer.partition(b"\r\n")[0], b"", answer.partition(b"\r\n\r\n")[2]
        return status, orjson.loads(body)

    status, body = await ask("GET", "/v1/who/x", "name=mar%C3%ADa&role=viewer&via=page")
    assert (status, body["name"], body["role"], body["via"]) == (b"HTTP/1.1 200 OK", "maría", "viewer", "page")
    status, body = await ask("POST", "/v1/orders", "name=v&role=viewer&via=page")
    assert (status, body["code"]) == (b"HTTP/1.1 403 Forbidden", "role-too-low")
    assert body["detail"] == "v is viewer, but this needs the role operator"
    status, body = await ask("GET", "/v1/who/x", "name=x&role=emperor&via=page")
    assert (status, body["code"]) == (b"HTTP/1.1 400 Bad Request", "bad-actor")


async def test_query_and_body_arrive_converted_and_checked(client: ControlClient) -> None:
    query = {"limit": "5", "device": ["a", "b"]}
    answer = await asyncio.to_thread(client.call, "POST", "/v1/orders", query, {"name": "x", "count": 3})
    assert answer == {"limit": 5, "device": ["a", "b"], "order": {"name": "x", "count": 3}}


@pytest.mark.parametrize(
    ("query", "body", "status", "code", "says"),
    [
        ({"limit": 0}, {"name": "x", "count": 3}, 422, "bad-query", "limit"),
        ({"limits": 1}, {"name": "x", "count": 3}, 422, "bad-query", "limits"),
        ({"limit": [1, 2]}, {"name": "x", "count": 3}, 422, "bad-query", "limit is given 2 times"),
        ({}, {"name": "x", "count": "3"}, 422, "bad-body", "count"),
        ({}, {"name": "x"}, 422, "bad-body", "count"),
        ({}, {"name": "x", "count": 3, "colour": 1}, 422, "bad-body", "colour"),
        ({}, {"name": "x" * 2000, "count": 3}, 413, "too-large", "1000 bytes"),
        ({}, b"{}", 415, "not-json", "application/octet-stream"),
    ],
)
async def test_what_doesnt_fit_is_refused_by_name(
    client: ControlClient, query: Any, body: Any, status: int, code: str, says: str
) -> None:
    refusal = await refused(client, "POST", "/v1/orders", query, body)
    assert (refusal.status, refusal.code) == (status, code)
    assert says in str(refusal)


async def test_a_refusal_says_what_to_do(client: ControlClient) -> None:
    refusal = await refused(client, "GET", "/v1/refused")
    assert (refusal.status, str(refusal), refusal.mend) == (409, "it is taken", "take another")
    assert [problem["message"] for problem in refusal.problems] == ["first", "second"]


async def test_a_flaw_tells_the_log_and_not_the_caller(client: ControlClient, caplog: pytest.LogCaptureFixture) -> None:
    refusal = await refused(client, "GET", "/v1/flaw")
    assert (refusal.status, refusal.code) == (500, "flaw")
    assert "secret" not in str(refusal.body)
    assert any("secret detail" in str(record.exc_info) for record in caplog.records)


async def test_unknown_paths_and_methods(client: ControlClient) -> None:
    assert (await refused(client, "GET", "/v1/nowhere")).code == "no-such-path"
    assert (await refused(client, "DELETE", "/v1/orders")).code == "no-such-method"


async def test_files_go_in_and_out_as_they_are(client: ControlClient) -> None:
    assert await asyncio.to_thread(client.call, "PUT", "/v1/file", None, b"\x00abc") == b"cba\x00"


async def test_a_stream_of_events_ends_with_its_source(client: ControlClient) -> None:
    seen = await asyncio.to_thread(lambda: list(client.events("/v1/numbers")))
    assert seen == [ServerEvent("number", number, str(number)) for number in range(3)]


async def test_the_api_describes_itself(client: ControlClient) -> None:
    document = await asyncio.to_thread(client.get, "/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    order = document["paths"]["/v1/orders"]["post"]
    assert order["x-tidegate-role"] == "operator"
    assert [parameter["name"] for parameter in order["parameters"]] == ["limit", "device"]
    assert order["requestBody"]["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/Order"
    assert "/v1/who/{tag}" in document["paths"]
