"""A box of which the network is real: systemd-networkd with a bus of its own, in namespaces, below a root of its own.

Its far end is another interface of the same networkd, which serves DHCP. A service manager can't run there: what the
agent asks of it is written down, and its timers are played by a process that waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tidegate_appliance.agent.client import AgentMachine
from tidegate_appliance.places import Places

from gateway.ops.machine import Interface, MachineRefused

NETWORKD = Path("/lib/systemd/systemd-networkd")
_TOOLS = ("unshare", "ip", "dbus-daemon", "networkctl", "systemd-socket-activate")
_START_S = 60.0
ROOT = Path(__file__).parents[2]

_BUS = """<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/><allow own="*"/>
<allow user="*"/></policy></busconfig>
"""
_SHIPPED = {
    "80-tidegate.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n[DHCPv4]\nClientIdentifier=mac\n",
    "10-far.network": "[Match]\nName=far0\n[Network]\nAddress=192.0.2.1/24\nDHCPServer=yes\nIPv6AcceptRA=no\n"
    "[DHCPServer]\nPoolOffset=100\nPoolSize=20\nDNS=192.0.2.53\n",
}
_BOOT = """set -e
mount -t sysfs -o ro sys /sys
mkdir -p {root}/run/systemd/netif {root}/run/systemd/network {root}/run/dbus
chown systemd-network:systemd-network {root}/run/systemd/netif
mount --bind {root}/run /run
mount --bind {root}/etc/systemd/network /etc/systemd/network
mount --bind {root}/usr/lib/systemd/network /usr/lib/systemd/network
ip link set lo up
ip link add eth0 type veth peer name far0
dbus-daemon --config-file={root}/bus.conf --nopidfile --nosyslog --nofork &
while [ ! -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
{networkd} &
exec systemd-socket-activate --accept --inetd --listen={root}/run/agent.sock {root}/bin/agent serve
"""
_AGENT = """#!{python}
import logging, socket, sys
from pathlib import Path
from tidegate_appliance.agent.serve import serve, take_back
from tidegate_appliance.places import Places
logging.basicConfig(level=logging.INFO, format="%(message)s")
places = Places(Path("{root}"))
if sys.argv[1] == "serve":
    serve(socket.socket(fileno=0), places, frozenset({allowed}))
else:
    take_back(places)
"""
_COMMANDS = {
    "systemctl": """#!/bin/sh
echo "systemctl $*" >> {root}/asked
[ "$*" = "stop tidegate-take-back.timer" ] || exit 0
[ -e {root}/run/timer ] || exit 0
kill $(cat {root}/run/timer)
rm {root}/run/timer
""",
    "systemd-run": """#!/bin/sh
echo "systemd-run $*" >> {root}/asked
for word; do case $word in --on-active=*s) after=${{word#--on-active=}};; esac; done
setsid sh -c "sleep ${{after%s}}; rm -f {root}/run/timer; {root}/bin/agent take-back" </dev/null >>{root}/log 2>&1 &
echo $! > {root}/run/timer
""",
    "hostnamectl": '#!/bin/sh\necho "hostnamectl $*" >> {root}/asked\n',
    "timedatectl": '#!/bin/sh\necho SystemNTPServers=\necho LinkNTPServers=192.0.2.54\necho ServerName=192.0.2.54\n',
}  # fmt: skip


def missing() -> str | None:
    """Why there can be no such box here."""
    if os.geteuid() != 0:
        return "namespaces need root"
    found = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if found or not NETWORKD.exists():
        return f"{', '.join(found) or NETWORKD} isn't installed"
    allowed = subprocess.run(["unshare", "-mnp", "--fork", "true"], capture_output=True)
    return None if allowed.returncode == 0 else "namespaces aren't allowed here"


class Box:
    """One box below `root`. What is in ``run`` goes with the power."""

    def __init__(self, root: Path, allowed: frozenset[int] = frozenset({0})) -> None:
        self.root = root
        self.places = Places(root)
        self.machine = AgentMachine(root / "run" / "agent.sock")
        self._process: subprocess.Popen[bytes] | None = None
        for part in ("etc/systemd/network", "usr/lib/systemd/network", "bin", "data/config", "data/identity"):
            (root / part).mkdir(parents=True)
        for name, text in _SHIPPED.items():
            (root / "usr/lib/systemd/network" / name).write_text(text)
        (root / "bus.conf").write_text(_BUS)
        words = {"root": root, "python": sys.executable, "allowed": sorted(allowed), "networkd": NETWORKD}
        scripts = {**_COMMANDS, "agent": _AGENT}
        for name, text in scripts.items():
            path = root / "bin" / name
            path.write_text(text.format(**words))
            path.chmod(0o755)
        (root / "boot").write_text(_BOOT.format(**words))

    @property
    def pid(self) -> int:
        """Of the first process in its namespaces."""
        assert self._process is not None, "the box is off"
        return int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0])

    @property
    def asked(self) -> list[str]:
        """What the service manager was asked for."""
        path = self.root / "asked"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    async def start(self) -> None:
        shutil.rmtree(self.root / "run", ignore_errors=True)
        (self.root / "run").mkdir()
        path = os.pathsep.join([str(self.root / "bin"), os.environ["PATH"]])
        python = os.pathsep.join([str(ROOT), str(ROOT / "image" / "appliance")])
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "-mnp", "--fork", "--kill-child", "--mount-proc", "sh", str(self.root / "boot")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "PATH": path, "PYTHONPATH": python},
            )  # fmt: skip
        await self.until(lambda eth0: bool(eth0.addresses) and eth0.link, "the network is up")

    async def eth0(self) -> Interface:
        state = await self.machine.look()
        return next(each for each in state.interfaces if each.name == "eth0")

    async def until(self, condition: Callable[[Interface], bool], what: str) -> Interface:
        """eth0 as soon as `condition` holds of it. Raises AssertionError."""
        deadline, last = time.monotonic() + _START_S, "nothing"
        while time.monotonic() < deadline:
            with contextlib.suppress(MachineRefused, StopIteration):
                eth0 = await self.eth0()
                if condition(eth0):
                    return eth0
                last = str(eth0)
            await asyncio.sleep(0.1)
        raise AssertionError(f"{what}: not within {_START_S} s, but {last}\n{self.log[-3000:]}")

    async def until_asked(self, command: str, times: int = 1) -> None:
        """Returns once the service manager was asked for it. Raises TimeoutError."""
        await self.until_true(lambda: self.asked.count(command) >= times)

    async def until_true(self, condition: Callable[[], bool]) -> None:
        """Raises TimeoutError."""
        deadline = time.monotonic() + _START_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(self.log[-3000:])
            await asyncio.sleep(0.05)

    def cut_power(self) -> None:
        """All of it ends at once."""
        process, self._process = self._process, None
        assert process is not None, "the box is off"
        process.send_signal(signal.SIGKILL)
        process.wait()


@contextlib.asynccontextmanager
async def running(root: Path) -> AsyncIterator[Box]:
    box = Box(root)
    await box.start()
    try:
        yield box
    finally:
        if box._process is not None:
            box.cut_power()
