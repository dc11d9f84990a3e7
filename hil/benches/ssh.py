"""The bench of a real gateway: reached over SSH, wired to this machine, switched by a relay if there is one."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from hil.benches.bench import CLAIM_CODE, Bench, BoxFailed, Plugs, Ran, Wiring
from hil.benches.console import Console
from hil.benches.declaration import Declaration, Part, Release, Ssh
from hil.benches.page import Page, Unanswered
from hil.benches.ports import open_ports
from hil.benches.shell import Shell
from hil.demo.child import Child, ChildFailed
from hil.free_port import free_port
from hil.plant.config import LINES, Characters

_HANDED_OVER = "/run/provisioning"
_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
_PLUGGED_S = 1.0
"""By then a cable that can't be joined has said so."""
_ASK_S = 40.0
_PAUSE_S = 2.0


def line_words(characters: Characters) -> str:
    """socat's, for this machine's end of a serial line."""
    parity = "parenb=1,parodd=0" if characters.parity == "even" else "parenb=0"
    return f"raw,echo=0,cs8,{parity},b{characters.baud}"


class SshBench(Bench):
    """See :class:`hil.benches.bench.Bench`."""

    def __init__(self, name: str, declaration: Declaration, directory: Path, log: Path) -> None:
        """Raises BoxFailed."""
        super().__init__(name, declaration, directory)
        assert isinstance(declaration.bench, Ssh)
        self.options = declaration.bench
        try:
            free_port(self.options.here)  # as the plant and the broker will find theirs
        except OSError as error:
            raise BoxFailed(f"bench.here: {self.options.here} isn't this machine's: {error.strerror}") from None
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
        cables = []
        for line, device in self.options.cable.items():
            ends = (f"{plugs.serial[line]},raw,echo=0", f"{device},{line_words(LINES[line])}")
            cable = Child(f"cable of {line}", ["socat", *ends], self.directory / f"{line}.log")
            self._stack.callback(cable.stop)
            cables.append(cable)
        time.sleep(_PLUGGED_S)
        for cable in cables:
            try:
                cable.check()
            except ChildFailed as error:
                raise BoxFailed(f"bench.cable: {error}") from None
        return Wiring(self.options.here, self.options.serial, self.options.data_dir, adapter=self.options.adapter)

    def power_on(self, *, since: str | None = None) -> None:
        """Without a switch it is on already."""
        assert since is None, "its clock can't be set from outside"
        if Part.POWER not in self.declaration.cannot:
            self._switch(self.options.power_on)

    def power_off(self) -> None:
        self._switch(self.options.power_off)
        time.sleep(self.options.off_s)

    def restart(self) -> None:
        started = self.expect_start()
        self.console.note("restart")
        self.run("systemd-run --on-active=1 systemctl reboot")
        started(0.0)  # it goes down at once, and then has its time to start

    def expect_start(self) -> Callable[[float], None]:
        """Told by the kernel's name for the time from one start to the next, once it can be asked again."""
        before = self._boot_id()

        def wait(timeout_s: float) -> None:
            end = time.monotonic() + timeout_s + self._boot_s
            while time.monotonic() < end:
                ran = self._asked(_BOOT_ID)
                if ran is not None and ran.code == 0 and ran.out.strip() not in ("", before):
                    return
                time.sleep(_PAUSE_S)
            raise BoxFailed(f"{self.options.host} didn't start within {timeout_s + self._boot_s:.0f} s")

        return wait

    def wait_until_up(self) -> None:
        try:
            self.page.wait(self._boot_s)
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

    @property
    def own_ports(self) -> frozenset[int]:
        return frozenset({self.options.port})

    def open_ports(self) -> list[int]:
        return open_ports(self.options.host)

    def bundle(self, release: Release) -> Path:
        return self.options.bundles[release]

    def run(self, command: str, *, timeout_s: float = 60.0, check: bool = True) -> Ran:
        ran = self.shell.run(command, timeout_s * self.declaration.patience, check=check)
        self.console.note(f"{command}: {ran.code}")
        self.console.feed((ran.out + ran.err).encode())
        return ran

    def tidegate(self, *arguments: str) -> Ran:
        return self.run(shlex.join([*self.options.command_line, *arguments]), check=False)

    def put_back(self) -> None:
        if Part.POWER not in self.declaration.cannot:
            self._switch(self.options.power_on)

    def last_words(self) -> str:
        ran = self._asked("journalctl -n 60 --no-pager -o short-monotonic")
        return self.console.tail() if ran is None else ran.out

    def close(self) -> None:
        self._stack.close()

    @property
    def _boot_s(self) -> float:
        return self.options.boot_s * self.declaration.patience

    def _boot_id(self) -> str:
        return self.run(_BOOT_ID).out.strip()

    def _asked(self, command: str) -> Ran | None:
        """None if it gives no answer."""
        try:
            return self.shell.run(command, _ASK_S, check=False)
        except subprocess.TimeoutExpired:
            return None

    def _switch(self, command: str | None) -> None:
        assert command is not None, "a bench without a switch says that it can't"
        self.console.note(command)
        subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=60)
