"""The package and the installer on a real machine: Debian, systemd as its first process, no network."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.machine import Machine, root_file_system

ROOT = Path(__file__).parents[2]
CLAIM = r"Claim code: [0-9A-Z]{4}(-[0-9A-Z]{4}){3}$"
PAGE = "TLSv1.3 HTTP/1.1 303 See Other"
"""What one gets who isn't signed in."""
PYTHON = (3, 13)
"""Of the Debian that is booted."""

CONFIGURATION = """\
[gateway]
id = "gw1"
enterprise = "acme"
site = "plant1"

[[sink]]
name = "broker"
host = "127.0.0.1"
port = 1

[[link]]
name = "line"
driver = "modbus"
host = "127.0.0.1"
port = 1

[[device]]
name = "meter"
link = "line"
unit = 1

  [[device.group]]
  name = "fast"
  interval_ms = 100

    [[device.group.tag]]
    name = "power"
    address = "hr:0"
    type = "uint16"
"""

KNOCK = """\
import socket, ssl, sys
context = ssl.create_default_context(cafile="/var/lib/tidegate-web/tls/certificate.pem")
context.check_hostname = False
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30)) as page:
    version = page.version()
    page.sendall(b"GET /login HTTP/1.1\\r\\nHost: localhost\\r\\nAccept: text/html\\r\\nConnection: close\\r\\n\\r\\n")
    answer = b""
    while part := page.recv(65536):
        answer += part
print(version, answer.decode().splitlines()[0])
"""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(400),  # for the first, where nothing that the package imports was fetched yet
    pytest.mark.skipif(os.geteuid() != 0, reason="booting a machine takes root"),
]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By version."""
    build = _builder()
    out = tmp_path_factory.mktemp("packages")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = build.Target("amd64" if os.uname().machine == "x86_64" else "arm64", PYTHON)
    cache = home / "tidegate" / "packages"
    old = build.build(target, out, version="0.1.0", cache=cache, root=root_file_system())
    return {"0.1.0": old, "0.1.1": _repacked(old, "0.1.0", "0.1.1", out / "new")}


def _repacked(package: Path, version: str, another: str, work: Path) -> Path:
    """The same under another version."""
    subprocess.run(["dpkg-deb", "--raw-extract", package, work], check=True)
    control = work / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"Version: {version}\n", f"Version: {another}\n"))
    made = work.with_suffix(".deb")
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", work, made], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def machine(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """With the old version installed, its page on another port than usual."""
    with Machine(root_file_system(), tmp_path_factory.mktemp("machine")) as booted:
        for version, package in packages.items():
            booted.put(package, f"/root/tidegate-{version}.deb")
        booted.put(ROOT / "install.sh", "/root/install.sh")
        booted.write("/root/knock.py", KNOCK)
        booted.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
        said = booted.run("/root/install.sh", "--port", "8443", "/root/tidegate-0.1.0.deb")
        assert re.search(r"^Tidegate runs\. Its page: https://\S+\.local:8443/$", said, re.MULTILINE), said
        assert re.search(CLAIM, said), said
        yield booted


def test_the_gateway_and_the_pages_address_are_up_and_stay_so_after_a_restart(machine: Machine) -> None:
    assert machine.run("systemctl", "is-active", "tidegate.service", "tidegate-web.socket") == "active\nactive"
    assert machine.run("systemctl", "is-enabled", "tidegate.service", "tidegate-web.socket") == "enabled\nenabled"
    assert machine.shown("tidegate.service", "StatusText") == "runs; no device and no broker is configured"
    assert "tidegate" not in machine.run("systemctl", "--failed", "--no-legend")


def test_systemds_log_knows_what_is_a_warning(machine: Machine) -> None:
    said = machine.run("journalctl", "--no-pager", "--output=cat", "--unit=tidegate.service", "--priority=warning")
    assert "nobody can log in yet" in said
    assert "started, boot" not in said
    assert "started, boot" in machine.run("journalctl", "--no-pager", "--output=cat", "--unit=tidegate.service")


def test_the_command_line_finds_the_gateway_without_an_option(machine: Machine) -> None:
    assert "version 0.1.0" in machine.run("tidegate", "status")


def test_a_broken_configuration_hides_the_gateway_from_nobody(machine: Machine) -> None:
    whole = machine.place("/etc/tidegate/tidegate.toml").read_text()
    machine.write("/etc/tidegate/tidegate.toml", "[gateway")
    try:
        assert "version 0.1.0" in machine.run("tidegate", "status")
    finally:
        machine.write("/etc/tidegate/tidegate.toml", whole)


def test_only_the_page_and_root_may_open_the_control_socket(machine: Machine) -> None:
    socket = machine.run("stat", "--format=%A %U %G", "/run/tidegate/control.sock")
    assert socket == "srw-rw---- tidegate tidegate-web"
    stranger = machine.attempt("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "tidegate", "status")
    assert stranger.returncode == 6
    assert "run as root" in stranger.stdout
    page = ["setpriv", "--reuid=tidegate-web", "--regid=tidegate-web", "--clear-groups"]
    assert "version" in machine.run(*page, "tidegate", "status", "--socket", "/run/tidegate/control.sock")
    for secret in ("/etc/tidegate/tidegate.toml", "/var/lib/tidegate/accounts.json"):
        assert machine.attempt(*page, "cat", secret).returncode != 0


def test_the_gateway_may_look_at_the_pages_certificate_and_at_nothing_else_of_it(machine: Machine) -> None:
    gateway = ["setpriv", "--reuid=tidegate", "--regid=tidegate", "--init-groups"]
    assert "page" in machine.run("tidegate", "cert", "list")
    assert "BEGIN CERTIFICATE" in machine.run(*gateway, "cat", "/var/lib/tidegate-web/tls/certificate.pem")
    for closed in ("cat /var/lib/tidegate-web/tls/key.pem", "ls /var/lib/tidegate-web"):
        assert machine.attempt(*gateway, *closed.split()).returncode != 0


def test_the_page_comes_when_somebody_knocks_and_goes_when_nobody_is_left(machine: Machine) -> None:
    _override(machine, "tidegate-web.service", "ExecStart=\nExecStart=/usr/bin/tidegate web --idle-exit 1\n")
    try:
        for _ in range(2):
            assert machine.run("python3", "/root/knock.py", "8443") == PAGE
            machine.until(
                lambda: machine.run("systemctl", "is-active", "tidegate-web.service", check=False) == "inactive",
                "the page's end",
            )
        assert machine.shown("tidegate-web.service", "Result") == "success"
    finally:
        _override(machine, "tidegate-web.service", None)


def test_a_gateway_that_hangs_is_restarted_and_says_where_it_hung(machine: Machine) -> None:
    _override(machine, "tidegate.service", "WatchdogSec=1\nRestartSec=0\n")
    try:
        machine.run("systemctl", "restart", "tidegate.service")
        before = machine.shown("tidegate.service", "MainPID")
        machine.run("sh", "-c", f"kill -STOP {before}")
        machine.until(lambda: machine.shown("tidegate.service", "NRestarts") == "1", "a restart by the watchdog")
        machine.until(lambda: machine.shown("tidegate.service", "ActiveState") == "active", "the gateway")
        assert machine.shown("tidegate.service", "MainPID") != before
        journal = machine.run("journalctl", "--no-pager", "--unit=tidegate.service")
        assert "Watchdog timeout" in journal
        assert "Current thread" in journal
    finally:
        _override(machine, "tidegate.service", None)
        machine.run("systemctl", "restart", "tidegate.service")


@pytest.mark.parametrize("service", ["tidegate", "tidegate-web"])
def test_everything_a_service_does_can_be_done_where_it_is_closed_in(machine: Machine, service: str) -> None:
    unit = (ROOT / "systemd" / "tidegate" / f"{service}.service").read_text()
    probe = f"probe-{service}.service"
    program = machine.put(Path(__file__).with_name("probe.py"), "/usr/local/lib/probe.py")
    start = f"Type=oneshot\nExecStart=/usr/lib/tidegate/bin/python3 {program} {service}"
    unit = re.sub(r"^(Type|Restart|WatchdogSec|Requires|After)=.*\n", "", unit, flags=re.MULTILINE)
    unit = re.sub(r"^ExecStart=.*", start, unit, flags=re.MULTILINE)
    machine.write(f"/run/systemd/system/{probe}", unit)
    for device, major, minor in (("frame-buffer", "29", "0"), ("serial", "4", "67")):
        machine.run("rm", "--force", f"/dev/probe-{device}")
        machine.run("mknod", "--mode=666", f"/dev/probe-{device}", "c", major, minor)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", probe)
    said = machine.run("journalctl", "--no-pager", f"--unit={probe}", "--output=cat")
    assert "not so" not in said, said
    assert re.search(r"^tried \d+$", said, re.MULTILINE), said


def test_the_units_are_as_closed_for_the_systemd_that_runs_there(machine: Machine) -> None:
    said = machine.run("systemd-analyze", "--no-pager", "security")
    exposed = {line.split()[0]: float(line.split()[1]) for line in said.splitlines() if line.startswith("tidegate")}
    assert exposed.pop("tidegate-web.service") <= 1.3
    assert exposed.pop("tidegate.service") <= 1.5


def test_an_upgrade_keeps_what_was_collected_and_restarts_only_what_ran(machine: Machine) -> None:
    _collect(machine)
    machine.until(lambda: "0 of 1 devices" in machine.shown("tidegate.service", "StatusText"), "its own words", 40)
    before, boot = _pending(machine), _boot(machine)
    said = machine.run("/root/install.sh", "--port=443", "/root/tidegate-0.1.1.deb")
    assert ".local/\n" in said
    assert re.search(CLAIM, said), said
    assert machine.run("python3", "/root/knock.py", "443") == PAGE
    assert _pending(machine) >= before
    assert _boot(machine) == boot + 1
    machine.run("systemctl", "disable", "--now", "tidegate.service")
    try:
        machine.run("dpkg", "--install", "/root/tidegate-0.1.0.deb")
        assert machine.run("systemctl", "is-active", "tidegate.service", check=False) == "inactive"
        assert machine.run("systemctl", "is-enabled", "tidegate.service", check=False) == "disabled"
    finally:
        machine.run("systemctl", "enable", "--now", "tidegate.service")


@pytest.mark.parametrize(
    ("arguments", "sentence", "mend"),
    [
        (["--frobnicate"], "there is no option --frobnicate", "--help"),
        (["--port", "x"], "x is no port", "from 1 to 65535"),
        (["/root/nothing.deb"], "there is no file /root/nothing.deb", "name the package"),
        (["/root/knock.py"], "/root/knock.py is no Debian package", "build or copy it anew"),
        ([], "this is no checkout of Tidegate", "name a package"),
    ],
)
def test_what_can_not_be_installed_is_said_in_one_sentence(
    machine: Machine, arguments: list[str], sentence: str, mend: str
) -> None:
    done = machine.attempt("/root/install.sh", *arguments)
    assert done.returncode == 1
    first, second = done.stdout.strip().splitlines()
    assert first == f"install.sh: {sentence}"
    assert mend in second


def test_a_system_that_it_is_not_for_is_told_so(machine: Machine) -> None:
    kept = machine.place("/usr/lib/os-release").read_text()
    machine.write("/usr/lib/os-release", 'ID=fedora\nPRETTY_NAME="Fedora Linux 43"\n')
    try:
        done = machine.attempt("/root/install.sh", "/root/tidegate-0.1.0.deb")
    finally:
        machine.write("/usr/lib/os-release", kept)
    assert done.returncode == 1
    assert done.stdout.startswith("install.sh: Fedora Linux 43 isn't Debian or Raspberry Pi OS\n  → use one of these")


def test_who_is_not_root_is_told_how_to_be(machine: Machine) -> None:
    machine.put(ROOT / "install.sh", "/usr/local/bin/install.sh")
    done = machine.attempt("setpriv", "--reuid=nobody", "--clear-groups", "/usr/local/bin/install.sh")
    assert done.returncode == 1
    assert done.stdout == "install.sh: only root may do this\n  → call it as: sudo /usr/local/bin/install.sh\n"


def test_it_is_taken_off_without_a_trace_but_what_is_ones_own(machine: Machine) -> None:
    _collect(machine)
    kept = machine.run("/root/install.sh", "--uninstall")
    assert "stay in /etc/tidegate" in kept
    assert machine.run("systemctl", "list-units", "--all", "--no-legend", "tidegate*") == ""
    assert machine.place("/var/lib/tidegate/journal.db").exists()
    assert not machine.place("/usr/lib/tidegate").exists()
    machine.run("/root/install.sh", "/root/tidegate-0.1.0.deb")
    assert machine.run("systemctl", "is-active", "tidegate.service") == "active"
    assert _pending(machine) > 0
    machine.run("/root/install.sh", "--purge")
    for gone in ("/etc/tidegate", "/var/lib/tidegate", "/var/lib/tidegate-web", "/run/tidegate", "/usr/lib/tidegate"):
        assert not machine.place(gone).exists(), gone
    assert machine.run("/root/install.sh", "--uninstall") == "Tidegate isn't installed."


def _override(machine: Machine, unit: str, settings: str | None) -> None:
    folder = machine.place(f"/run/systemd/system/{unit}.d")
    if settings is None:
        shutil.rmtree(folder)
    else:
        machine.write(f"/run/systemd/system/{unit}.d/test.conf", f"[Service]\n{settings}")
    machine.run("systemctl", "daemon-reload")


def _collect(machine: Machine) -> None:
    """Have it take values that no broker takes from it."""
    machine.write("/etc/tidegate/tidegate.toml", CONFIGURATION)
    machine.run("systemctl", "restart", "tidegate.service")
    machine.until(lambda: _pending(machine) > 0, "values that wait for the broker")


def _status(machine: Machine) -> str:
    return machine.run("tidegate", "status", "--json", check=False)


def _pending(machine: Machine) -> int:
    return max([int(found) for found in re.findall(r'"pending": (\d+)', _status(machine))], default=0)


def _boot(machine: Machine) -> int:
    found = re.search(r'"boot": (\d+)', _status(machine))
    assert found
    return int(found[1])


def _builder() -> ModuleType:
    """The builder is a program of its own, not a module of the application."""
    name = f"builder_{uuid.uuid4().hex}"
    spec = importlib.util.spec_from_file_location(name, ROOT / "image" / "packages" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
