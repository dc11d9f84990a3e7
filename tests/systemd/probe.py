"""Run as a service, closed in as the gateway or its page is: whether all that they do can be done there.

Prints one line for each thing that can't.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import pkgutil
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


def every_module_loads() -> None:
    for root in ("gateway", "drivers"):
        package = importlib.import_module(root)
        for module in pkgutil.walk_packages(package.__path__, f"{root}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def libraries_load() -> None:
    for name in ("asyncua", "bleak.backends.bluezdbus.client", "cryptography.x509", "paho.mqtt.client", "pymodbus"):
        importlib.import_module(name)


def a_serial_port_opens() -> None:
    import serial

    line = os.openpty()
    with serial.Serial(os.ttyname(line[1]), 19200, timeout=1) as port:
        os.write(line[0], b"x")
        assert port.read(1) == b"x"


def devices_open_if_they_are_serial_ports() -> None:
    """Two that the test has made, for everybody. Neither need be there: only that it may be looked for counts."""

    def refusal(path: str) -> int | None:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
        except OSError as error:
            return error.errno
        return None

    assert refusal("/dev/probe-frame-buffer") == errno.EPERM
    assert refusal("/dev/probe-serial") != errno.EPERM


def tables_are_read_by_a_process_of_their_own() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "gateway.grids", "--help"], capture_output=True, text=True, check=False
    )
    assert "setrlimit" not in said.stderr, said.stderr
    import resource

    subprocess.run(
        [sys.executable, "-c", "import resource; resource.setrlimit(resource.RLIMIT_CPU, (5, 5))"], check=True
    )
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0


def passwords_are_hashed() -> None:
    from argon2 import PasswordHasher

    PasswordHasher(memory_cost=19456, time_cost=2, parallelism=1).hash("secret")


def the_clock_is_asked_without_harm() -> None:
    from gateway.ops.clock import kernel_synchronised

    assert kernel_synchronised() in (True, False)
    buffer = ctypes.create_string_buffer(512)
    ctypes.CDLL(None).adjtimex(buffer)


def names_are_looked_up() -> None:
    assert socket.getaddrinfo("localhost", 502, type=socket.SOCK_STREAM)


def the_bus_of_bluetooth_answers() -> None:
    with socket.socket(socket.AF_UNIX) as bus:
        bus.connect("/run/dbus/system_bus_socket")
        bus.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        assert bus.recv(100).startswith(b"OK ")


def what_is_not_ours_is_out_of_reach() -> None:
    for path in ("/usr/lib/tidegate/x", "/etc/x", "/var/lib/x", "/var/lib/tidegate-web/x"):
        _refused(lambda path=path: Path(path).write_text("x"))


def the_gateways_files_are_out_of_reach() -> None:
    for path in ("/etc/tidegate", "/var/lib/tidegate"):
        _refused(lambda path=path: os.listdir(path))


def the_network_is_out_of_reach() -> None:
    _refused(lambda: socket.create_connection(("127.0.0.1", 443), 5))


def the_control_socket_opens() -> None:
    from gateway.control.client import ControlClient

    assert ControlClient(Path("/run/tidegate/control.sock"), 10).status()


def the_boot_is_told() -> None:
    assert Path("/proc/sys/kernel/random/boot_id").read_text()


def a_certificate_is_made() -> None:
    subprocess.run([sys.executable, "-m", "gateway.web.certificate", "/tmp"], check=True)


def a_priority_that_is_low_already_is_left_alone() -> None:
    from gateway.web.serve import NICE

    assert os.getpriority(os.PRIO_PROCESS, 0) >= NICE


def _refused(attempt: Callable[[], object]) -> None:
    try:
        attempt()
    except OSError:
        return
    raise AssertionError("it could be done")


TRIED: dict[str, list[Callable[[], None]]] = {
    "tidegate": [
        every_module_loads,
        libraries_load,
        a_serial_port_opens,
        devices_open_if_they_are_serial_ports,
        passwords_are_hashed,
        the_clock_is_asked_without_harm,
        names_are_looked_up,
        the_bus_of_bluetooth_answers,
        what_is_not_ours_is_out_of_reach,
    ],
    "tidegate-web": [
        tables_are_read_by_a_process_of_their_own,
        passwords_are_hashed,
        the_control_socket_opens,
        the_boot_is_told,
        a_certificate_is_made,
        a_priority_that_is_low_already_is_left_alone,
        the_gateways_files_are_out_of_reach,
        the_network_is_out_of_reach,
    ],
}


def main() -> None:
    tried = TRIED[sys.argv[1]]
    for each in tried:
        try:
            each()
        except Exception:  # noqa: BLE001 - whatever it is, it is what the test is after
            sys.stderr.write(f"not so: {each.__name__}\n{traceback.format_exc()}")
    sys.stderr.write(f"tried {len(tried)}\n")


if __name__ == "__main__":
    main()
