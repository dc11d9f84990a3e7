"""A gateway that is lost while a file is applied: what was done is told, and the file isn't applied again."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from gateway.cli.provision import provision
from gateway.cli.recording import Unrecorded
from gateway.ops.provisioning import Setting

WANTED = """
[[user]]
name = "ada"
role = "admin"
password_hash = "$argon2id$…"

[[user]]
name = "otto"
password_hash = "$argon2id$…"

[configuration]
file = "plant.toml"
"""


class Gateway(socketserver.ThreadingUnixStreamServer):
    """Says yes to everything, but ends the connection without a word where it is lost."""

    daemon_threads = True

    def __init__(self, socket: Path) -> None:
        super().__init__(str(socket), _Handler)
        self.leaves_at = ""
        """Once."""
        self.ends_at = ""
        """From this path on it answers nothing any more."""
        self.ended = False
        self.taken: list[tuple[str, Any]] = []
        self.recorded: list[dict[str, str]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway
    answers: ClassVar[dict[str, Any]] = {"/v1/status": {}, "/v1/config/files": {"main": "tidegate.toml"}}

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.command != "GET":
            self.server.taken.append((self.path, json.loads(body)))
        self.server.ended |= self.path == self.server.ends_at
        if self.server.ended or self.path == self.server.leaves_at:
            self.server.leaves_at = ""
            self.close_connection = True
            return
        if self.path == "/v1/audit/provisioning":
            self.server.recorded += json.loads(body)["rows"]
        said = json.dumps(self.answers.get(self.path, {})).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing to say."""

    def address_string(self) -> str:
        return "a socket"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path / "control.sock") as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    (tmp_path / "provision.toml").write_text(WANTED)
    (tmp_path / "plant.toml").write_text("")

    def run(*more: str) -> Result:
        places = ["--socket", str(tmp_path / "control.sock"), "--state", str(tmp_path / "page")]
        return CliRunner().invoke(provision, [str(tmp_path / "provision.toml"), "--json", *places, *more])

    return run


def outcomes(done: Result) -> dict[str, str]:
    return {setting["name"]: setting["outcome"] for setting in json.loads(done.stdout)["settings"]}


@pytest.mark.parametrize("place", ["/v1/accounts/users", "/v1/config/draft", "/v1/config/apply"])
def test_contact_that_is_lost_costs_one_setting_and_the_rest_is_told(
    gateway: Gateway, run: Callable[..., Result], tmp_path: Path, place: str
) -> None:
    gateway.leaves_at = place
    done = run("--wait", "5")
    lost = "user ada" if place.endswith("users") else "configuration"
    assert done.exit_code == 1
    assert outcomes(done) == {
        "user ada": "applied",
        "user otto": "applied",
        "configuration": "applied",
        lost: "refused",
    }
    (said,) = (setting for setting in json.loads(done.stdout)["settings"] if setting["outcome"] == "refused")
    assert "it may have been taken all the same" in said["said"]
    assert (
        json.loads((tmp_path / "page/provisioned.json").read_text())["settings"] == json.loads(done.stdout)["settings"]
    )
    taken = len(gateway.taken)
    assert "applied before" in run().stderr
    assert len(gateway.taken) == taken, "what somebody changed since then is left as it is"
    assert run("--again").exit_code == 0


def test_what_was_done_is_handed_to_the_audit_log_as_soon_as_a_gateway_takes_it(
    gateway: Gateway, run: Callable[..., Result]
) -> None:
    gateway.leaves_at = "/v1/audit/provisioning"
    first = run()
    assert first.exit_code == 0
    assert "isn't in the audit log until a provisioning file is looked at again" in first.stderr
    assert gateway.recorded == []
    assert "applied before" in run("--wait", "5").stderr
    assert [(row["name"], row["outcome"]) for row in gateway.recorded] == [
        ("user ada", "applied"),
        ("user otto", "applied"),
        ("configuration", "applied"),
    ]
    assert {Path(row["file"]).name for row in gateway.recorded} == {"provision.toml"}
    run()
    assert len(gateway.recorded) == 3, "once"


def test_a_gateway_that_stays_away_is_waited_for_once(gateway: Gateway, run: Callable[..., Result]) -> None:
    gateway.ends_at = "/v1/accounts/users"
    began = time.monotonic()
    done = run("--wait", "1")
    assert outcomes(done) == {"user ada": "refused", "user otto": "refused", "configuration": "refused"}
    assert time.monotonic() - began < 2.9, "each setting waited for itself"


def test_a_file_of_nonsense_leaves_room_for_others_in_the_audit_log() -> None:
    file = Path("/stick/provision.toml")
    nonsense = [Setting(f"key {number}", "refused", "?" * 5000) for number in range(1000)]
    found = Unrecorded().and_of(file, [*nonsense, Setting("ssh authorized_keys", "applied", "1 key")])
    assert len(found.rows) == 200
    assert found.rows[0].name == "ssh authorized_keys", "what was applied comes first"
    assert found.left_out == 801
    assert {len(row.said) for row in found.rows[1:]} == {500}
    assert Unrecorded.of(found.to_json()) == found
    assert Unrecorded.of({"rows": [{"colour": "red"}]}) == Unrecorded()


def test_what_is_refused_at_every_start_waits_once_and_what_was_unchanged_is_no_news() -> None:
    file = Path("/run/firmware/provision.toml")
    refused = [Setting("configuration", "refused", "no gateway answers"), Setting("machine hostname", "unchanged", "a")]
    once = Unrecorded().and_of(file, refused)
    assert [row.name for row in once.rows] == ["configuration"]
    assert once.and_of(file, refused) == once
