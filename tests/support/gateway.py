"""The gateway as its users run it: a process, a configuration file, a control socket."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from gateway.control.client import ControlClient, NotRunning

_STOP_TIMEOUT_S = 15.0


class GatewayProcess:
    """`tidegate run` with one configuration text; ended with the context, restartable within it."""

    def __init__(self, directory: Path, configuration: str | None, *options: str, **environment: str) -> None:
        """`configuration`: None leaves the file as it is, or away; `options` are further ones of ``run``."""
        self.directory = directory
        self.config = directory / "tidegate.toml"
        if configuration is not None:
            self.config.write_text(configuration)
        self._options = options
        self._environment = environment
        self._log = directory / "gateway.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = directory / "data" / "control.sock"
        self.client = ControlClient(self.socket)

    @property
    def pid(self) -> int:
        assert self._process is not None, "the gateway isn't running"
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the gateway has said so far, over all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> GatewayProcess:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "--config", str(self.config), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONWARNINGS": "error::ResourceWarning", **self._environment},
            )
        return self

    def wait_ready(self) -> None:
        """Return when it answers, for tests without a loop of their own."""
        asyncio.run(self.until(lambda _: True, "an answer"))

    def kill(self) -> None:
        """The power fails, as far as a process can know."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Orderly end. Returns the exit code."""
        return self._end(signal.SIGTERM)

    def status(self) -> dict[str, Any]:
        """Raises NotRunning."""
        return self.client.status()

    async def until(self, condition: Callable[[dict[str, Any]], object], what: str, timeout_s: float = 20.0) -> Any:
        """The status as soon as it fulfils `condition`."""
        deadline = time.monotonic() + timeout_s
        body: dict[str, Any] = {}
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, f"the gateway ended by itself:\n{self.log[-4000:]}"
            try:
                body = await asyncio.to_thread(self.status)
            except NotRunning:
                pass
            else:
                if condition(body):
                    return body
            await asyncio.sleep(0.02)
        raise AssertionError(f"not within {timeout_s} s: {what}\nstatus: {body}\nlog:\n{self.log[-4000:]}")

    def __enter__(self) -> GatewayProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        assert process is not None, "the gateway isn't running"
        process.send_signal(how)
        try:
            return process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the gateway didn't stop within {_STOP_TIMEOUT_S} s:\n{self.log[-4000:]}") from None
