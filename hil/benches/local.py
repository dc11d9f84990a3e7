"""The bench of processes: the gateway and its page on this machine, killed where others lose their power."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from hil.benches.bench import CLAIM_CODE, Bench, BoxFailed, Plugs, Ran, Wiring
from hil.benches.console import Console, Silent
from hil.benches.declaration import Declaration, Local
from hil.benches.page import Page, Unanswered
from hil.demo.child import tethered
from hil.free_port import free_port

_HERE = "127.0.0.1"
_UP_S = 60.0
_DOWN_S = 30.0
_ROOT = Path(__file__).parents[2]


class LocalBench(Bench):
    """See :class:`hil.benches.bench.Bench`."""

    def __init__(self, name: str, declaration: Declaration, directory: Path, log: Path) -> None:
        super().__init__(name, declaration, directory)
        assert isinstance(declaration.bench, Local)
        self.console = Console(log)
        self._config = directory / "etc" / "tidegate.toml"
        self._data = directory / "data"
        self._port = free_port(_HERE)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._environment = dict(os.environ)

    @property
    def here(self) -> str:
        return _HERE

    @property
    def page(self) -> Page:
        return Page(f"https://{_HERE}:{self._port}")

    def connect(self, plugs: Plugs) -> Wiring:
        """The adapter is reached by a driver of its own kind, published as a third party's would be."""
        site = self.directory / "site"
        package = site / "virtual_ble-1.dist-info"
        package.mkdir(parents=True)
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: virtual-ble\nVersion: 1\n")
        (package / "entry_points.txt").write_text("[tidegate.drivers]\nvirtual-ble = hil.radio.kind:KIND\n")
        self._environment |= {
            "PYTHONPATH": f"{site}{os.pathsep}{_ROOT}",
            "TIDEGATE_TEST_HCI_PORT": str(plugs.hci_port),
            "STATE_DIRECTORY": str(self._data),
        }
        return Wiring(_HERE, plugs.serial, str(self._data), radio="virtual-ble", clock="trusted")

    def power_on(self, *, since: str | None = None) -> None:
        assert since is None, "processes share this machine's clock"
        assert not self._processes, "it is on"
        self._data.mkdir(mode=0o750, exist_ok=True)
        self._config.parent.mkdir(exist_ok=True)
        self.console.note("power on")
        self._start("gateway", "run", "--config", str(self._config), "--unattended")
        where = ("--socket", str(self._data / "control.sock"), "--state", str(self.directory / "web"))
        self._start("page", "web", *where, "--listen", f"{_HERE}:{self._port}")

    def power_off(self) -> None:
        if self._processes:
            self.console.note("power off")
            self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.console.note("restart")
        self._end(signal.SIGTERM)
        self.power_on()

    def wait_until_up(self) -> None:
        try:
            self.page.wait(_UP_S * self.declaration.patience)
        except Unanswered as error:
            raise BoxFailed(f"{error}\n{self.console.tail()}") from None

    def claim_code(self, mark: int = 0) -> str:
        try:
            return self.console.wait(CLAIM_CODE, _UP_S, mark)[1]
        except Silent as error:
            raise BoxFailed(str(error)) from None

    def provision(self, files: Mapping[str, bytes]) -> None:
        place = self.directory / "stick"
        place.mkdir(exist_ok=True)
        for name, content in files.items():
            (place / name).write_bytes(content)
        self.tidegate(
            *("provision", str(place / "provision.toml"), "--socket", str(self._data / "control.sock")),
            *("--state", str(self.directory / "web")),
        )

    def ready(self) -> None:
        pass  # the devices are there by themselves

    def put_back(self) -> None:
        if not self._processes:
            self.power_on()

    def run(self, command: str, *, timeout_s: float = 60.0, check: bool = True) -> Ran:
        raise NotImplementedError("processes have no machine of their own")

    def tidegate(self, *arguments: str) -> Ran:
        command = [sys.executable, "-m", "gateway", *arguments]
        environment = {**self._environment, "TIDEGATE_CONFIG": str(self._config)}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        self.console.note(f"{shlex.join(arguments)}: {ran.returncode}")
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def close(self) -> None:
        self._end(signal.SIGTERM)
        self.console.close()

    def _start(self, name: str, *arguments: str) -> None:
        process = subprocess.Popen(
            tethered([sys.executable, "-m", "gateway", *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
        )
        assert process.stdout is not None
        self.console.follow(process.stdout, name)
        self._processes.append(process)

    def _end(self, how: signal.Signals) -> None:
        ending, self._processes = self._processes, []
        for process in ending:
            process.send_signal(how)
        for process in ending:
            try:
                process.wait(_DOWN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise BoxFailed(f"a process didn't end within {_DOWN_S:.0f} s\n{self.console.tail()}") from None
