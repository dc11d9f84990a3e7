"""The whole control API of a running gateway against its own description: what schemathesis makes up, fit and unfit.

The description is that of docs/reference, which another test keeps as the code is; so an operation that is added is
tested from then on. TIDEGATE_TEST_EFFORT=20 tries harder.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import orjson
import pytest
import requests
import schemathesis
from schemathesis.config import SchemathesisConfig

from gateway.actors import Role
from gateway.control.operation import Form
from gateway.control.reference import DOCUMENT, PAGE, described, document, page
from tests.support.configuration import configuration
from tests.support.effort import times
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.unix_http import ORIGIN, session

OPERATIONS = described()
DESCRIPTION = orjson.loads(DOCUMENT.read_bytes())

_ITEMS: dict[str, Callable[[bytes], list[bytes]]] = {
    Form.LINES.value: lambda content: [line for line in content.splitlines() if line],
    Form.EVENTS.value: lambda content: re.findall(rb"^data: (.*)$", content, re.MULTILINE),
}


_MAKES_NO_SENSE = ["401", "403", "404", "409", "412", "422", "429", "501", "502", "504"]


def _schema() -> Any:
    config = SchemathesisConfig.from_dict(
        {
            "generation": {"max-examples": times(5), "database": "none", "no-shrink": True, "allow-x00": True},
            # What this installation can't do, and a far end that fails or is silent, are answers; if they are declared.
            "checks": {
                "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "501", "502", "504"]},
                # What is well formed may still make no sense; but nothing that fits may be called unfit: see below.
                "positive_data_acceptance": {"expected-statuses": ["2xx", *_MAKES_NO_SENSE]},
                "negative_data_rejection": {"expected-statuses": ["400", "415", "422", *_MAKES_NO_SENSE]},
            },
        }
    )
    return schemathesis.openapi.from_path(DOCUMENT, config=config)


schema = _schema()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Two devices, one of them silent, a broker; something has been delivered."""
    directory = tmp_path_factory.mktemp("gateway")
    with Field(2) as field, Mosquitto(directory / "broker") as broker:
        field.slaves[1].silent = True
        text = configuration(directory / "data", [slave.port for slave in field.slaves], broker.port)
        with GatewayProcess(directory, text) as running:
            asyncio.run(running.until(_under_way, "one device delivers, the other fails"))
            yield running
            assert "Traceback" not in running.log, running.log[-4000:]


@pytest.fixture(scope="module")
def api(gateway: GatewayProcess) -> Iterator[requests.Session]:
    with session(gateway.socket) as made:
        yield made


@pytest.mark.integration
@pytest.mark.timeout(300)
@schema.parametrize()
def test_every_operation_does_what_its_description_says(case: Any, api: requests.Session) -> None:
    try:
        response = case.call(base_url=ORIGIN, session=api)
    except ConnectionResetError:  # a head is refused before all of it is sent
        assert len(case.as_curl_command()) > 50_000
        return
    case.validate_response(response)
    if case.meta.generation.mode.is_positive and response.status_code == 422 and not _has_integral_float(case.body):
        assert response.json()["code"] not in ("bad-body", "bad-query"), response.json()
    kind = response.headers.get("content-type", [""])[0].partition(";")[0]
    if kind in _ITEMS and response.status_code == 200:
        answers = DESCRIPTION["paths"][case.path][case.method.lower()]["responses"]
        for body in map(orjson.loads, _ITEMS[kind](response.content)):
            assert _problems(answers["200"]["content"][kind]["x-tidegate-item"], body) == []


def _has_integral_float(body: Any) -> bool:
    """JSON Schema takes 3.0 for an integer. We don't, and no JSON writer makes it of one."""
    if isinstance(body, dict):
        return any(map(_has_integral_float, body.values()))
    if isinstance(body, list):
        return any(map(_has_integral_float, body))
    return isinstance(body, float) and body.is_integer()


def _under_way(body: dict[str, Any]) -> bool:
    devices = {
        name: device for link in body["southbound"]["links"].values() for name, device in link["devices"].items()
    }
    delivered = body["ledger"]["plant"]["sources"].get("dev0", {}).get("boots", {})
    return devices["dev1"]["state"] == "failure" and any(account["delivered"] for account in delivered.values())


def _closed(schema: Any) -> Any:
    """The same schema, but an object has no members that it doesn't name."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if "properties" in closed and "additionalProperties" not in closed:
        closed["additionalProperties"] = False
    return closed


def _problems(item: dict[str, Any], body: Any) -> list[str]:
    whole = {**_closed(item), "components": _closed(DESCRIPTION["components"])}
    return [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(body)]


@pytest.mark.integration
def test_the_status_has_exactly_what_its_type_says(gateway: GatewayProcess) -> None:
    body = gateway.status()
    status = {"$ref": "#/components/schemas/Status"}
    assert _problems(status, body) == []
    assert _problems(status, {**body, "more": 1}) != []


@pytest.mark.integration
def test_a_running_gateway_describes_itself_as_the_reference_does(gateway: GatewayProcess) -> None:
    assert gateway.client.get("/v1/openapi.json") == DESCRIPTION


@pytest.mark.integration
@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.role.rank], ids=lambda each: each.name)
def test_who_has_too_low_a_role_is_refused_before_anything_else(operation: Any, api: requests.Session) -> None:
    below = list(Role)[operation.role.rank - 1]
    path = re.sub(r"{\w+(:path)?}", "x", operation.path)
    headers = {"Tidegate-Actor": f"name=somebody&role={below}&via=page"}
    response = api.request(operation.method, ORIGIN + path, data=b"nonsense", headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "role-too-low")


def test_the_reference_is_what_the_operations_say() -> None:
    assert DOCUMENT.read_bytes() == document(), "run: make docs"
    assert PAGE.read_text() == page(), "run: make docs"


def test_the_api_holds_nothing_in_memory_that_few_gateways_need() -> None:
    heavy = ("cryptography", "openpyxl", "argon2", "jinja2", "rich", "drivers")
    code = f"""
import sys
import gateway.cli.run, gateway.control.api, gateway.control.server
print([name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_names_and_calls_are_unique() -> None:
    assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)
    assert len({(each.method, re.sub(r"{\w+(:path)?}", "{}", each.path)) for each in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_every_operation_says_what_it_is(operation: Any) -> None:
    assert isinstance(operation.role, Role)
    assert re.fullmatch(r"/v1(/([a-z][a-z.-]*|{[a-z_]+(:path)?}))+", operation.path)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation.name)
    assert re.fullmatch(r"[A-Z].*[^.]\.", operation.summary)
    assert operation.method in {"GET", "POST", "PUT", "PATCH", "DELETE"}
    if operation.method == "GET":
        assert operation.body is None
    if operation.answer.form is Form.FILE:
        assert operation.answer.media_types
    elif operation.answer.form is not Form.JSON:
        assert operation.answer.type is not None


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_every_answer_is_described(operation: Any) -> None:
    """Only descriptions whose forms are OpenAPI's and JSON Schema's own may be anything."""
    if operation.answer.type is None or operation.name in ("get_openapi", "get_config_schema"):
        return
    assert operation.answer.type is not Any
    assert getattr(operation.answer.type, "__args__", (None, None))[-1] is not Any, "say what the members are"
