"""The configuration through the control API of a real gateway: every operation, and what a caller is told."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.control.client import ControlClient, Refused
from tests.support.gateway import GatewayProcess

TEXT = """\
# A gateway without a plant
[gateway]
id = "gw1"
enterprise = "acme"
site = "plant1"                # the first
data_dir = "data"
"""
AREA = {"edits": [{"op": "set", "path": ["gateway", "area"], "value": "a"}]}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path, TEXT) as running:
        running.wait_ready()
        yield running


def refused(client: ControlClient, method: str, target: str, body: Any = None, **query: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        client.call(method, target, query, body)
    return caught.value


def test_a_change_from_draft_to_confirmation(gateway: GatewayProcess) -> None:
    client = gateway.client
    before = client.get("/v1/config")
    assert before["files"] == [{"name": "tidegate.toml", "bytes": len(TEXT)}]
    assert (before["owner"]["name"], before["pending"], before["draft"]) == ("page", None, None)
    assert refused(client, "GET", "/v1/config/draft").code == "no-draft"
    draft = client.call("PATCH", "/v1/config/draft", body=AREA)
    assert refused(client, "PATCH", "/v1/config/draft", AREA, version="old").status == 409
    text = TEXT + 'area = "a"\n'
    assert client.get("/v1/config/draft")["files"] == [{"name": "tidegate.toml", "bytes": len(text), "text": text}]
    checked = client.get("/v1/config/draft/validate")
    assert (checked["valid"], checked["problems"], checked["unnamed"]) == (True, [], [])
    assert checked["effect"]["needs_restart"] == []
    difference = client.get("/v1/config/draft/diff")
    assert [each["sentence"] for each in difference["changes"]] == ['gateway.area "a" added']
    assert difference["conflict"] is False
    assert client.get("/v1/config/draft/patch").decode() == difference["patch"]
    assert '+area = "a"' in difference["patch"]
    assert client.post("/v1/config/draft/try", timeout_s=30) == []
    result = client.post("/v1/config/apply", {"reason": "why not"}, version=draft["version"])
    assert result["pending"]["confirm_within_s"] == 60
    assert gateway.config.read_text() == TEXT
    assert client.get("/v1/config")["pending"]["reason"] == "why not"
    assert client.get("/v1/status")["gateway"]["location"] == ["acme", "plant1", "a"]
    assert client.post("/v1/config/confirm")["outcome"] == "confirmed"
    assert gateway.config.read_text() == text
    assert refused(client, "POST", "/v1/config/confirm").code == "nothing-pending"
    newest, oldest = client.get("/v1/config/history")
    assert (newest["number"], newest["reason"], newest["author"]) == (2, "why not", "root")
    assert client.get("/v1/config/history/2") == newest
    assert client.get("/v1/config/history/2/diff")["patch"] == difference["patch"]
    assert len(client.get("/v1/config/history/1/diff")["changes"]) == 1, "everything is new"
    assert client.get("/v1/config/history/1/diff", to="running")["changes"][0]["what"] == "removed"
    assert oldest["kind"] == "found"
    back = client.post("/v1/config/rollback", {"confirm_within_s": 0})
    assert back["revision"]["outcome"] == "confirmed"
    assert gateway.config.read_text() == TEXT


def test_problems_name_files_and_lines(gateway: GatewayProcess) -> None:
    client = gateway.client
    client.call("PUT", "/v1/config/draft", body={"files": {"conf.d/x.toml": '[[link]]\nname = "ü"\n'}})
    checked = client.get("/v1/config/draft/validate")
    assert not checked["valid"]
    assert {(each["file"], each["line"]) for each in checked["problems"]} == {
        ("conf.d/x.toml", 1),
        ("conf.d/x.toml", 2),
    }
    error = refused(client, "POST", "/v1/config/apply", {})
    assert (error.status, error.code) == (409, "config-invalid")
    assert list(error.problems) == checked["problems"]
    assert refused(client, "GET", "/v1/config/settings", of="draft").code == "config-invalid"
    client.call("DELETE", "/v1/config/draft")
    assert client.get("/v1/config")["draft"] is None


def test_views(gateway: GatewayProcess) -> None:
    client = gateway.client
    for of in ("files", "running", "1"):
        assert client.get("/v1/config/files", of=of)["files"][0]["text"] == TEXT
        body = client.get("/v1/config/settings", of=of)
        assert (body["gateway"]["id"], body["links"], body["journal"]["deadline_s"]) == ("gw1", [], 0.25)
    assert refused(client, "GET", "/v1/config/files", of="x").code == "bad-query"
    assert refused(client, "GET", "/v1/config/history/9").status == 404
    assert refused(client, "GET", "/v1/config/history/x").status == 404
    assert "modbus.link" in client.get("/v1/config/schema")["$defs"]


def test_out_and_in_again(gateway: GatewayProcess) -> None:
    client = gateway.client
    body = client.get("/v1/config/export")
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["tidegate.toml"]
    client.call("POST", "/v1/config/draft/import", body=body)
    assert client.get("/v1/config/draft/diff")["patch"] == ""
    assert refused(client, "POST", "/v1/config/draft/import", b"x").code == "bad-archive"


def test_a_conflict_shows_three_sides(gateway: GatewayProcess) -> None:
    client = gateway.client
    client.call("PATCH", "/v1/config/draft", body=AREA)
    gateway.config.write_text(TEXT.replace("the first", "the best"))
    assert client.get("/v1/config")["edited_outside"]
    assert client.get("/v1/config/draft/diff")["conflict"]
    error = refused(client, "POST", "/v1/config/apply", {})
    assert (error.status, error.code) == (409, "conflict")
    (conflict,) = error.body["conflicts"]
    assert conflict["base"] == TEXT
    assert "the best" in conflict["theirs"]
    assert 'area = "a"' in conflict["mine"]
    assert len(client.post("/v1/config/draft/rebase")["conflicts"]) == 1
    client.post("/v1/config/apply", {"confirm_within_s": 0})
    assert gateway.config.read_text() == TEXT + 'area = "a"\n'


def test_one_owner(gateway: GatewayProcess) -> None:
    client = gateway.client
    assert client.call("PUT", "/v1/config/owner", body={"name": "ansible"})["set_by"] == "root"
    client.call("PATCH", "/v1/config/draft", body=AREA)
    error = refused(client, "POST", "/v1/config/apply", {})
    assert (error.status, error.code) == (409, "not-the-owner")
    client.post("/v1/config/apply", {"acting_as": "ansible"})
    client.post("/v1/config/rollback", {})
    assert client.get("/v1/config/history")[0]["outcome"] == "rolled back"
