"""The first program of a simulated machine: its disk, its services, its restarts. Standard library only.

Run in network, mount, PID and host name namespaces of its own, as ``boot.py SPEC``, SPEC being a JSON file (see
`tests.fleet.machine.Machine`). The root is an overlay over the one outside, its upper side in memory. A word written
to ``/run/init`` stands for the service manager: ``reboot``, ``stop NAME``, ``start NAME``, ``restart NAME``, ``off``.

What a restart does to the slots is what the boot loader and the health check of an image do: a slot on trial whose
release is unhealthy is given up for the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

SCRIPTS = {
    "/usr/local/bin/tidegate": '#!/bin/sh\nexec {python} -m gateway "$@"\n',
    "/usr/sbin/shutdown": "#!/bin/sh\necho reboot > /run/init\n",
    "/usr/bin/hostnamectl": """#!/bin/sh
for word in "$@"; do last=$word; done
case "$*" in *set-hostname*) echo "$last" > /etc/hostname; hostname "$last" ;; *) cat /etc/hostname ;; esac
""",
    "/usr/bin/systemctl": """#!/bin/sh
for word in "$@"; do case "$word" in -*) ;; *) verb=${{verb:-$word}}; unit=$word ;; esac; done
name=${{unit%.*}}
active() {{ test -e "/run/services/$name" && case "$unit" in *.socket) false ;; esac; }}
case "$verb" in
  show) active && state=active || state=inactive
        printf 'Id=%s\\nLoadState=loaded\\nActiveState=%s\\n' "$unit" $state ;;
  is-active) active && echo active || {{ echo inactive; exit 3; }} ;;
  stop|start|restart) echo "$verb $name" > /run/init; read -r _ < /run/done ;;
  disable) touch "/etc/disabled-$name" ;;
  is-enabled) test -e "/etc/disabled-$name" && {{ echo disabled; exit 1; }} || echo enabled ;;
  is-system-running) echo running ;;
esac
""",
}
SSHD = """
ListenAddress {address}
HostKey /etc/ssh/host_key
AuthorizedKeysFile /root/.ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
"""


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    disk(Path(spec["directory"]))
    install(spec)
    fifo()
    machine = Machine(spec)
    machine.up()
    machine.serve()


def disk(directory: Path) -> None:
    """A root of one's own: everything that is written stays in memory, and outside nothing changes."""
    memory = directory / "disk"
    memory.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "none", memory)
    for name in ("upper", "work", "root"):
        (memory / name).mkdir()
    layers = f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work"
    run("mount", "-t", "overlay", "overlay", "-o", layers, memory / "root")
    run("mount", "-t", "proc", "proc", memory / "root/proc")
    run("mount", "--rbind", "/dev", memory / "root/dev")
    run("mount", "-t", "tmpfs", "none", memory / "root/run")
    os.chroot(memory / "root")
    os.chdir("/")


def install(spec: dict[str, Any]) -> None:
    socket.sethostname(spec["name"])
    write("/etc/hostname", f"{spec['name']}\n")
    for path, text in SCRIPTS.items():
        Path(path).unlink(missing_ok=True)  # it may be a link to something that is still wanted
        write(path, text.format(python=spec["python"]), 0o755)
    write("/etc/ssh/sshd_config", SSHD.format(address=spec["address"]))
    write("/etc/ssh/host_key", spec["host_key"], 0o600)
    shutil.rmtree("/root/.ssh", ignore_errors=True)
    write("/root/.ssh/authorized_keys", spec["authorized_key"], 0o600)
    for path in (
        "/run/sshd",
        "/run/services",
        "/run/tidegate",
        "/var/lib/tidegate",
        "/var/lib/tidegate-web",
        "/data/slots",
    ):
        Path(path).mkdir(parents=True, exist_ok=True)
    if spec["configuration"] is not None:
        write("/etc/tidegate/tidegate.toml", spec["configuration"])
    if spec["appliance"]:
        site = "/usr/lib/tidegate-image/simulated_image-1.dist-info"
        write(f"{site}/METADATA", "Metadata-Version: 2.1\nName: simulated-image\nVersion: 1\n")
        published = "slots = tests.fleet.image:appliance\nmachine = tests.fleet.image:machine\n"
        write(f"{site}/entry_points.txt", f"[tidegate.appliance]\n{published}")


def fifo() -> None:
    os.mkfifo("/run/init")
    os.mkfifo("/run/done")


class Machine:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        python, root = spec["python"], spec["repository"]
        config = "/etc/tidegate/tidegate.toml"
        self.services = {
            "ssh": ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config"],
            "tidegate": [python, "-m", "gateway", "run", "--unattended", "--config", config],
        }
        if spec["page"]:
            places = ["--socket", "/run/tidegate/control.sock", "--state", "/var/lib/tidegate-web"]
            listen = ["--listen", f"{spec['address']}:443"]
            self.services["tidegate-web"] = [python, "-m", "gateway", "web", *places, *listen]
        self.environment = {**os.environ, "PYTHONPATH": f"/usr/lib/tidegate-image:{root}", "HOME": "/root"}

    def up(self) -> None:
        self._erase()
        self._choose_slot()
        write("/run/boot_id", f"{uuid.uuid4()}\n")
        run("mount", "--bind", "/run/boot_id", "/proc/sys/kernel/random/boot_id")
        for name in self.services:
            if not Path(f"/etc/disabled-{name}").exists():
                self.start(name)

    def serve(self) -> None:
        while True:
            with open("/run/init") as orders:
                words = orders.read().split()
            match words:
                case ["reboot"]:
                    self.down()
                    self.up()
                case ["off"]:
                    self.down()
                    return
                case ["stop" | "start" | "restart" as verb, name]:
                    if verb != "start":
                        self.stop(name)
                    if verb != "stop":
                        self.start(name)
                    Path("/run/done").write_text("done\n")

    def start(self, name: str) -> None:
        if name in self.running or name not in self.services:
            return
        with open(f"/var/log/{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                self.services[name], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )
        Path("/run/services", name).touch()

    def stop(self, name: str) -> None:
        process = self.running.pop(name, None)
        if process is not None:
            process.terminate()
            process.wait()
            Path("/run/services", name).unlink(missing_ok=True)

    def down(self) -> None:
        for name in ("tidegate", "tidegate-web"):
            self.stop(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        for process in self.running.values():
            process.wait()
        self.running.clear()
        run("umount", "/proc/sys/kernel/random/boot_id")
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def _erase(self) -> None:
        erase = Path("/data/.erase")
        if not erase.exists():
            return
        for path in ("/etc/tidegate", "/var/lib/tidegate", "/var/lib/tidegate-web"):
            shutil.rmtree(path, ignore_errors=True)
            Path(path).mkdir()
        if erase.read_text().strip() == "wipe":
            Path("/root/.ssh/authorized_keys").unlink(missing_ok=True)
        erase.unlink()

    def _choose_slot(self) -> None:
        slots = Path("/data/slots/slots.json")
        if not slots.exists():
            return
        state = json.loads(slots.read_text())
        booted = state["next"]
        ill = Path("/data/slots/ill").exists() and not state["slots"][booted]["good"]
        if ill or not state["slots"][booted]["healthy"]:
            booted = state["next"] = "A" if booted == "B" else "B"
        state["booted"] = booted
        state["slots"][booted]["good"] = True
        slots.write_text(json.dumps(state))


def write(path: str, text: str, mode: int = 0o644) -> None:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(mode)


def run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True)


if __name__ == "__main__":
    main()
