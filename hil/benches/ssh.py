"""The bench of a real gateway: reached over SSH, wired to this machine, switched by a relay if there is one."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from hil.benches.bench import CLAIM_CODE, Bench, BoxFailed, Plugs, Ran, Wiring
from hil.benches.console import Console
from hil.benches.declaration import Declaration, Ssh
from hil.benches.page import Page, Unanswered
from hil.benches.ports import open_ports
from hil.benches.shell import Shell
from hil.demo.child import Child

_HANDED_OVER = "/run/provisioning"
_SETTLE_S = 5


class SshBench(Bench):
    """See :class:`hil.benches.bench.Bench`."""

    def __init__(self, name: str, declaration: Declaration, directory: Path, log: Path) -> None:
        super().__init__(name, declaration, directory)
        assert isinstance(declaration.bench, Ssh)
        self.options = declaration.bench
        self.console = Console(log)
        self.shell = Shell(self.options.host, self.options.key.expanduser(), self.options.user, self.options.port)
        self._stack = ExitStack()
        self._stack.callback(self.console.close)

    @property
    def here(self) -> str:
        return self.options.here

    @property
    def page(self) -> Page:
        return Page(f"https://{self.options.host}:{self.options.page_port}", 60.0)

    def connect(self, plugs: Plugs) -> Wiring:
        """This machine's ends of the serial cables are joined to the plant's lines."""
        for line, device in self.options.cable.items():
            ends = (f"{plugs.serial[line]},raw,echo=0", f"{device},b9600,raw,echo=0")
            self._stack.callback(Child(f"cable of {line}", ["socat", *ends], self.directory / f"{line}.log").stop)
        return Wiring(self.options.here, self.options.serial, self.options.data_dir, adapter=self.options.adapter)

    def power_on(self, *, since: str | None = None) -> None:
        """Without a switch it is on already."""
        assert since is None, "its clock can't be set from outside"
        if self.options.power_on is not None:
            self._switch(self.options.power_on)

    def power_off(self) -> None:
        if self.options.power_off is not None:
            self._switch(self.options.power_off)

    def restart(self) -> None:
        before = self._boot_id()
        self.console.note("restart")
        self.run("systemd-run --on-active=1 systemctl reboot")
        try:
            self._wait_for_another(before)
        except subprocess.TimeoutExpired:
            raise BoxFailed(f"{self.options.host} didn't restart within {self.options.boot_s:.0f} s") from None

    def wait_until_up(self) -> None:
        try:
            self.page.wait(self.options.boot_s)
        except Unanswered as error:
            raise BoxFailed(f"{error}; is {self.options.host} switched on and connected?") from None

    def claim_code(self, mark: int = 0) -> str:
        """Read off the machine itself, where somebody with its key may make a new one."""
        ran = self.tidegate("claim")
        found = re.search(CLAIM_CODE, ran.out)
        if found is None:
            raise BoxFailed(f"{self.options.host} makes no claim code ({ran.err.strip()}): reset it, then try again")
        return found[1]

    def provision(self, files: Mapping[str, bytes]) -> None:
        self.run(f"mkdir -p {_HANDED_OVER}")
        for name, content in files.items():
            self.shell.write(f"{_HANDED_OVER}/{name}", content)
        self.tidegate("provision", f"{_HANDED_OVER}/provision.toml")

    def ready(self) -> None:
        pass  # the devices are there by themselves

    def open_ports(self) -> list[int]:
        return open_ports(self.options.host)

    def bundle(self, version: str, *, broken: bool = False) -> Path:
        return self.options.bundles["broken" if broken else version]

    def run(self, command: str, *, timeout_s: float = 60.0, check: bool = True) -> Ran:
        ran = self.shell.run(command, timeout_s * self.declaration.patience, check=check)
        self.console.note(f"{command}: {ran.code}")
        self.console.feed((ran.out + ran.err).encode())
        return ran

    def tidegate(self, *arguments: str) -> Ran:
        return self.run(shlex.join([*self.options.command_line, *arguments]), check=False)

    def last_words(self) -> str:
        return self.shell.run("journalctl -n 60 --no-pager -o short-monotonic", 30, check=False).out

    def close(self) -> None:
        self._stack.close()

    def _boot_id(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id").out.strip()

    def _wait_for_another(self, before: str) -> None:
        """Until it answers as another boot. Raises subprocess.TimeoutExpired."""
        loop = 'until id=$({ssh}) && [ -n "$id" ] && [ "$id" != {before} ]; do sleep {pause}; done'
        asked = shlex.join(self.shell.command("cat /proc/sys/kernel/random/boot_id"))
        script = loop.format(ssh=asked, before=shlex.quote(before), pause=_SETTLE_S)
        subprocess.run(["sh", "-c", script], check=True, capture_output=True, timeout=self.options.boot_s)

    def _switch(self, command: str) -> None:
        self.console.note(command)
        subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=60)
