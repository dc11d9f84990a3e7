"""Simulated machines on a bridge: each a real sshd and the real gateway in namespaces of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from gateway.control.client import ControlClient, NotRunning

BRIDGE = "10.77.0.1"
ROOT = Path(__file__).parents[2]
_START_S = 60.0


@dataclass(slots=True)
class Keys:
    """Who comes in by SSH, and whom they meet."""

    client: Path
    host: Path

    @classmethod
    def made(cls, directory: Path) -> Keys:
        keys = cls(directory / "client_key", directory / "host_key")
        for path in (keys.client, keys.host):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", path], check=True)
        return keys


@dataclass(slots=True)
class Machine:
    """One machine; up for as long as the context lasts. `number`: 2 to 250, the end of its address."""

    directory: Path
    keys: Keys
    number: int
    name: str
    configuration: str | None = None
    appliance: bool = False
    page: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def address(self) -> str:
        return f"10.77.0.{self.number}"

    @property
    def pid(self) -> int:
        """Its first process, seen from outside."""
        assert self._process is not None
        return int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0])

    @property
    def root(self) -> Path:
        """Its disk, seen from outside."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def client(self) -> ControlClient:
        return ControlClient(self.root / "run/tidegate/control.sock")

    def status(self) -> dict[str, Any]:
        return self.client.status()

    def log(self, service: str) -> str:
        return (self.root / f"var/log/{service}.log").read_text(errors="replace")

    def launch(self) -> Machine:
        """Begin; `wait_ready` waits for the end."""
        home = self.directory / self.name
        home.mkdir()
        spec = {
            "name": self.name,
            "address": self.address,
            "directory": str(home),
            "python": sys.executable,
            "repository": str(ROOT),
            "configuration": self.configuration,
            "appliance": self.appliance,
            "page": self.page,
            "host_key": self.keys.host.read_text(),
            "authorized_key": self.keys.client.with_suffix(".pub").read_text(),
        }
        (home / "spec.json").write_text(json.dumps(spec))
        net = f"m{self.number}"
        for line in (
            f"ip netns add {net}",
            f"ip link add v{self.number} type veth peer name eth0 netns {net}",
            f"ip link set v{self.number} master br0 up",
            f"ip -n {net} link set lo up",
            f"ip -n {net} address add {self.address}/24 dev eth0",
            f"ip -n {net} link set eth0 up",
        ):
            subprocess.run(line.split(), check=True)
        apart = ["unshare", "--mount", "--propagation", "private", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
        boot = [sys.executable, "-I", str(Path(__file__).with_name("boot.py")), str(home / "spec.json")]
        with (home / "boot.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", net, *apart, "--", *boot], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def wait_ready(self) -> None:
        """Return when its SSH, its gateway and its page answer."""
        waiting: dict[str, Callable[[], object]] = {"SSH": self._speaks_ssh, "the gateway": self.status}
        if self.page:
            waiting["the page"] = self._has_page
        deadline = time.monotonic() + _START_S
        while waiting and time.monotonic() < deadline:
            assert self._process is not None
            said = (self.directory / self.name / "boot.log").read_text()
            assert self._process.poll() is None, f"{self.name} didn't start:\n{said}"
            for what, look in list(waiting.items()):
                with contextlib.suppress(OSError, NotRunning, IndexError):
                    look()
                    del waiting[what]
            time.sleep(0.05)
        logs = "\n".join(
            path.read_text(errors="replace")[-2000:] for path in (self.root / "var/log").glob("tidegate*.log")
        )
        assert not waiting, f"{self.name}: no answer from {' or '.join(waiting)}\n{logs}"

    def _speaks_ssh(self) -> None:
        with socket.create_connection((self.address, 22), 1) as connection:
            if connection.recv(4) != b"SSH-":
                raise OSError("not yet")

    def _has_page(self) -> None:
        socket.create_connection((self.address, 443), 1).close()

    def freeze(self) -> None:
        """It is dead: its network is gone, and nobody is told."""
        subprocess.run(["ip", "link", "set", f"v{self.number}", "down"], check=True)

    def end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            # By itself it would go with the last process there, and that may take a moment.
            subprocess.run(["ip", "link", "del", f"v{self.number}"], check=True)
            subprocess.run(["ip", "netns", "del", f"m{self.number}"], check=True)

    def __enter__(self) -> Machine:
        self.launch().wait_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def apart() -> bool:
    """Whether this runs where simulated machines can be: see ``apart`` beside this file."""
    shown = subprocess.run(["ip", "-brief", "address", "show", "br0"], capture_output=True, text=True)
    return BRIDGE in shown.stdout
