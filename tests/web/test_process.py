"""The page's process: small, started by whoever knocks, gone when nobody is here, and nobody has to sign in again."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.ops.fingerprints import fingerprint
from gateway.web.certificate import Pair
from tests.support.https import Https, unchecked
from tests.support.page import PageProcess
from tests.web.conftest import Plant

pytestmark = [pytest.mark.integration]

MOST_MB = 45.0


def test_it_is_small_after_work(plant: Plant) -> None:
    with Https(plant.page.url, plant.admin) as admin:
        for _ in range(200):
            assert admin.get("/", accept="text/html").status == 200
            assert admin.get("/api/v1/values").status == 200
        admin.sign_in("vera", "a wrong one altogether")
        assert plant.page.pss_mb() < MOST_MB


def test_what_it_is_made_of_stays_out(tmp_path: Path) -> None:
    heavy = ["pydantic", "cryptography", "httpx", "rich", "asyncua", "pymodbus", "gateway.runtime", "gateway.config"]
    code = f"import sys, gateway.web.serve; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_it_starts_when_somebody_knocks_and_ends_when_nobody_is_here(plant: Plant, tmp_path: Path) -> None:
    page = PageProcess(tmp_path, plant.gateway.directory / "data" / "control.sock")
    cookies = page.sign_in()
    options = ["--socket", str(page.socket), "--state", str(page.state), "--idle-exit", "1"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        for _ in range(2):
            process = activated(listener, options, tmp_path)
            with Https(url, cookies) as browser:
                assert browser.get("/", accept="text/html").status == 200, "signed in as before"
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(2.5)  # an open connection keeps it
                assert browser.get("/", accept="text/html").status == 200
            assert process.wait(10) == 0


def activated(listener: socket.socket, options: list[str], directory: Path) -> subprocess.Popen[bytes]:
    """`tidegate web` as systemd starts it: the listening socket as descriptor 3, and its own pid in LISTEN_PID."""
    script = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&0 0</dev/null'
    with (directory / "web.log").open("ab") as log:
        return subprocess.Popen(
            ["sh", "-c", script, "sh", sys.executable, "-m", "gateway", "web", *options],
            stdin=listener.fileno(),
            stdout=log,
            stderr=log,
        )


def test_its_certificate_is_its_own_and_can_be_replaced(plant: Plant, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    prints = []
    for directory in (first, second):
        directory.mkdir()
        with PageProcess(directory, plant.gateway.directory / "data" / "control.sock") as page:
            pair = Pair.of(page.state)
            prints.append(fingerprint(pair.certificate))
            assert prints[-1] in page.log
            text = subprocess.run(
                ["openssl", "x509", "-in", str(pair.certificate), "-noout", "-text"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            assert "prime256v1" in text
            assert f"DNS:{socket.gethostname().partition('.')[0].lower()}.local" in text
            assert "IP Address:127.0.0.1" in text
    assert prints[0] != prints[1], "no two devices have the same"
    old = Pair.of(second / "web")
    new = Pair.of(first / "web")
    old.certificate.write_bytes(new.certificate.read_bytes())
    old.key.write_bytes(new.key.read_bytes())
    with PageProcess(second, plant.gateway.directory / "data" / "control.sock") as page:
        assert prints[0] in page.log


def test_an_address_that_is_taken_is_said_with_its_mend(plant: Plant, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "gateway", "web", "--socket", str(tmp_path / "none")),
                *("--state", str(tmp_path / "web"), "--listen", f"127.0.0.1:{taken.getsockname()[1]}"),
            ],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 1
    assert "can't listen on 127.0.0.1" in done.stderr
    assert "--listen HOST:PORT" in done.stderr


def test_it_stops_at_once_with_streams_open(plant: Plant, tmp_path: Path) -> None:
    page = PageProcess(tmp_path, plant.gateway.directory / "data" / "control.sock")
    cookies = page.sign_in()
    with page:
        parts = page.url.removeprefix("https://").split(":")
        with socket.create_connection((parts[0], int(parts[1]))) as raw, unchecked().wrap_socket(raw) as stream:
            cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
            stream.sendall(f"GET /api/v1/live HTTP/1.1\r\nhost: x\r\ncookie: {cookie}\r\n\r\n".encode())
            assert b"200" in stream.recv(100)
            begun = time.monotonic()
            assert page.stop() == 0
            assert time.monotonic() - begun < 5
    assert "Traceback" not in page.log, page.log
