"""One emulated board, from the moment it gets power: the emulator's process and its control socket (QMP)."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hil.benches.bench import BoxFailed, Plugs
from hil.benches.console import Console
from hil.benches.declaration import Qemu
from hil.benches.qemu.network import MAC, WIRE
from hil.benches.qemu.tools import Tools
from hil.demo.child import tethered

STICK_PORT = "4"
_ANSWER_S = 60.0
_END_S = 20.0


@dataclass(frozen=True, slots=True)
class Usb:
    """A USB serial adapter: how the box names it, and which line of the plant hangs on it."""

    line: str
    serial_number: str
    port: str

    @property
    def device(self) -> str:
        """In the box."""
        return f"/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_{self.serial_number}-if00-port0"


ADAPTERS = (Usb("fieldbus", "FIELDBUS", "1"), Usb("checkweigher1", "SCALE", "2"))


def board_options(options: Qemu, firmware: Path, disk: Path, control: Path, plugs: Plugs) -> list[str]:
    """The emulator's arguments: a board with a disk, a network card, a watchdog, USB and two serial ports."""
    words = [
        *("-M", "virt", "-cpu", "cortex-a72", "-smp", str(options.cpus), "-m", str(options.memory_mb)),
        *("-accel", "tcg,thread=multi", "-bios", str(firmware), "-display", "none", "-serial", "stdio"),
        *("-qmp", f"unix:{control},server=on,wait=off", "-monitor", "none"),
        # What the guest has flushed is with this machine's kernel, and so survives the end of the emulator.
        *(
            "-drive",
            f"if=none,id=disk,file={disk},format=qcow2,cache=unsafe,discard=unmap",
            "-device",
            "virtio-blk-pci,drive=disk",
        ),
        *("-netdev", f"tap,id=wire,ifname={WIRE},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,id=card,netdev=wire,mac={MAC},romfile="),
        *("-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset"),
        *("-device", "qemu-xhci,id=usb"),
    ]
    for adapter in ADAPTERS:
        if adapter.line in plugs.serial:
            words += ["-chardev", f"serial,id={adapter.line},path={plugs.serial[adapter.line]}"]
            words += [
                "-device",
                f"usb-serial,bus=usb.0,port={adapter.port},chardev={adapter.line},serial={adapter.serial_number}",
            ]
    if plugs.hci_port:
        words += [
            "-chardev",
            f"socket,id=hci,host=127.0.0.1,port={plugs.hci_port}",
            "-device",
            "pci-serial,chardev=hci",
        ]
    return words


class Board:
    """Running from its creation until `cut`. To be created by the main thread."""

    def __init__(self, tools: Tools, options: Sequence[str], control: Path, console: Console) -> None:
        self._control = control
        control.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            tethered(tools.emulator(*options)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        self.keyboard: IO[bytes] = self._process.stdin
        self._reader = console.follow(self._process.stdout)
        self._qmp: Qmp | None = None

    @property
    def control(self) -> Qmp:
        """Raises BoxFailed."""
        if self._qmp is None:
            self._qmp = Qmp(self._control)
        return self._qmp

    def cut(self) -> None:
        """No more power."""
        if self._qmp is not None:
            self._qmp.close()
            self._qmp = None
        self._process.kill()
        self._process.wait(_END_S)
        self._reader.join(_END_S)
        self.keyboard.close()


class Qmp:
    """The emulator's control protocol: JSON lines over a Unix socket."""

    def __init__(self, path: Path) -> None:
        """Raises BoxFailed."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_ANSWER_S)
        end = time.monotonic() + _ANSWER_S
        while True:
            try:
                self._socket.connect(str(path))
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise BoxFailed(f"the emulator doesn't answer on {path}: {error}") from None
                time.sleep(0.1)
        self._lines = self._socket.makefile("rb")
        self._events: list[dict[str, Any]] = []
        self._lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: Any) -> Any:
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        while True:
            answer = self._read(command)
            if "error" in answer:
                raise BoxFailed(f"the emulator refuses {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self._events.append(answer)

    def wait(self, event: str, **about: Any) -> None:
        """Until it has told an event with this data, which it may have done meanwhile."""
        events, self._events = self._events, []
        while True:
            for told in events:
                if told["event"] == event and about.items() <= told.get("data", {}).items():
                    return
            events = [self._read(event)]

    def _read(self, what: str) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise BoxFailed(f"the emulator ended, and {what} never came")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
