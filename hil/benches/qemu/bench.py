"""The bench of the emulated board."""

from __future__ import annotations

import mmap
import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from hil.benches.bench import CLAIM_CODE, Bench, BoxFailed, Plugs, Ran, Wiring
from hil.benches.console import Console, Silent
from hil.benches.declaration import Declaration, Part, Qemu, Release
from hil.benches.page import Page, Unanswered
from hil.benches.ports import open_ports
from hil.benches.qemu import network
from hil.benches.qemu.board import ADAPTERS, STICK_PORT, Board, board_options
from hil.benches.qemu.bundles import Bundles
from hil.benches.qemu.tools import find_tools
from hil.benches.shell import Shell, new_key
from hil.benches.timeserver import TimeServer

IMAGES = Path("build/image")
STARTS = r"^U-Boot \d{4}\.\d\d"
"""The first line of every start."""
_STICK_MB = 512
_DOWN_S = 120.0
_RADIO_UNIT = """\
[Service]
ExecStart=/usr/bin/btattach -B /dev/ttyS0 -S 115200 -P h4
Restart=always
[Install]
WantedBy=multi-user.target
"""
_ATTACH_RADIO = """\
set -e
systemctl is-active --quiet bench-radio && exit 0
cat > /etc/systemd/system/bench-radio.service <<'UNIT'
{unit}UNIT
systemctl daemon-reload
systemctl enable --now bench-radio
"""


class QemuBench(Bench):
    """See :class:`hil.benches.bench.Bench`. Every switch is the emulator's."""

    def __init__(self, name: str, declaration: Declaration, directory: Path, log: Path) -> None:
        """Enters the network: see :mod:`hil.benches.qemu.network`. Raises BoxFailed."""
        super().__init__(name, declaration, directory)
        assert isinstance(declaration.bench, Qemu)
        self.options = declaration.bench
        self.tools = find_tools()
        self.image = find_image(self.options.variant)
        self.disk = directory / "disk.qcow2"
        self._bundles = Bundles(self.image, self.options.variant)
        self._plugs = Plugs()
        self._board: Board | None = None
        self._cut = False
        self._stick = False
        self._stack = ExitStack()
        network.enter()
        self.console = Console(log)
        self._stack.callback(self.console.close)
        size = f"{self.options.disk_mb}M"
        base = ("-b", str(self.image.absolute()), "-F", "raw")
        self.tools.run("qemu-img", "create", "-q", "-f", "qcow2", *base, str(self.disk), size)
        self.private_key = directory / "key"
        self.public_key = new_key(self.private_key)
        self.shell = Shell(network.BOX, self.private_key)
        self._stack.callback(network.lease(directory).stop)
        self.time_server = TimeServer(network.HERE)
        self.time_server.start()
        self._stack.callback(self.time_server.stop)
        self._stack.callback(self.power_off)

    @property
    def here(self) -> str:
        return network.HERE

    @property
    def page(self) -> Page:
        return Page(f"https://{network.BOX}", 60.0)

    @property
    def board(self) -> Board:
        assert self._board is not None, "it is off"
        return self._board

    def connect(self, plugs: Plugs) -> Wiring:
        self._plugs = plugs
        return Wiring(network.HERE, {adapter.line: adapter.device for adapter in ADAPTERS}, "/var/lib/tidegate")

    def power_on(self, *, since: str | None = None) -> None:
        assert self._board is None, "it is on"
        self.console.note("power on" + (f", at {since}" if since else ""))
        control = self.directory / "qmp"
        options = board_options(self.options, self.tools.firmware, self.disk, control, self._plugs)
        options += ["-rtc", f"base={since or 'utc'}"]
        self._board = Board(self.tools, options, control, self.console)

    def power_off(self) -> None:
        board, self._board = self._board, None
        self._cut = self._stick = False
        if board is not None:
            board.cut()
            self.console.note("power off")

    def restart(self) -> None:
        started = self.expect_start()
        self.console.note("restart")
        self.run("systemctl reboot", check=False)
        started(_DOWN_S)

    def expect_start(self) -> Callable[[float], None]:
        mark = self.console.mark()

        def wait(timeout_s: float) -> None:
            self._heard(STARTS, timeout_s * self.declaration.patience, mark)

        return wait

    def wait_until_up(self) -> None:
        try:
            self.page.wait(self.options.boot_s)
        except Unanswered as error:
            raise BoxFailed(f"{error}\n{self.console.tail()}") from None

    def claim_code(self, mark: int = 0) -> str:
        return self._heard(CLAIM_CODE, self.options.boot_s, mark)[1]

    def provision(self, files: Mapping[str, bytes]) -> None:
        """On a stick, as whoever has no keyboard at hand does it."""
        place = self.directory / "provisioning"
        place.mkdir(exist_ok=True)
        for name, content in files.items():
            (place / name).write_bytes(content)
        self.insert_stick({name: place / name for name in files})

    def ready(self) -> None:
        """The kernel is told that its serial port is a Bluetooth adapter: again in each slot, and after a reset."""
        if Part.RADIO not in self.declaration.cannot:
            self.run(_ATTACH_RADIO.format(unit=_RADIO_UNIT))

    def open_ports(self) -> list[int]:
        return open_ports(network.BOX)

    @property
    def time_hidden(self) -> bool:
        return self.time_server.quiet

    def hide_time(self) -> None:
        self.time_server.quiet = True

    def tell_time(self) -> None:
        """It asks at once: by itself it would after minutes, since it has asked in vain for so long."""
        self.time_server.quiet = False
        self.run("systemctl try-restart systemd-timesyncd")

    def bundle(self, release: Release) -> Path:
        return self._bundles.get(release)

    def download(self) -> Path:
        return self.image.with_name(f"{self.image.name}.zst")

    def remains(self, text: bytes) -> bool:
        raw = self.directory / "remains.img"
        self.tools.run("qemu-img", "convert", "-O", "raw", str(self.disk), str(raw))
        try:
            with raw.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as disk:
                return disk.find(text) >= 0
        finally:
            raw.unlink()

    def run(self, command: str, *, timeout_s: float = 120.0, check: bool = True) -> Ran:
        return self.shell.run(command, timeout_s * self.declaration.patience, check=check)

    def tidegate(self, *arguments: str) -> Ran:
        return self.run(shlex.join(["tidegate", *arguments]), check=False)

    def put_back(self) -> None:
        self.time_server.quiet = False
        if self._board is None:
            self.power_on()
            return  # with its cable, and without a stick
        if self._cut:
            self.restore_network()
        if self._stick:
            self.remove_stick()

    def cut_network(self) -> None:
        self._cut = True
        self.console.note("the network cable is pulled")
        self.board.control.ask("set_link", name="card", up=False)

    def restore_network(self) -> None:
        self._cut = False
        self.console.note("the network cable is back")
        self.board.control.ask("set_link", name="card", up=True)

    def insert_stick(self, files: Mapping[str, Path]) -> None:
        stick = self.directory / "stick.img"
        stick.unlink(missing_ok=True)
        with stick.open("wb") as image:
            image.truncate(_STICK_MB << 20)
        self.tools.run("mkfs.vfat", "-n", "STICK", stick)
        for folder in sorted({str(Path(name).parent) for name in files} - {"."}):
            self.tools.run("mmd", "-i", stick, f"::{folder}")
        for name, source in files.items():
            self.tools.run("mcopy", "-i", stick, source, f"::{name}")
        self.console.note(f"a stick is put in: {', '.join(files)}")
        self._stick = True
        self.board.control.ask("blockdev-add", **{"driver": "raw", "node-name": "stick", "file": _file_node(stick)})
        where = {"bus": "usb.0", "port": STICK_PORT}
        self.board.control.ask("device_add", driver="usb-storage", id="stick", drive="stick", **where)

    def remove_stick(self) -> None:
        self.console.note("the stick is pulled out")
        self._stick = False
        self.board.control.ask("device_del", id="stick")
        self.board.control.wait("DEVICE_DELETED", device="stick")
        self.board.control.ask("blockdev-del", **{"node-name": "stick"})

    def close(self) -> None:
        self._stack.close()

    def _heard(self, pattern: str, timeout_s: float, mark: int) -> re.Match[str]:
        try:
            return self.console.wait(pattern, timeout_s, mark)
        except Silent as error:
            raise BoxFailed(str(error)) from None


def find_image(variant: str) -> Path:
    """The newest that was built. Raises BoxFailed."""
    found = sorted(IMAGES.glob(f"tidegate-{variant}-arm64-*.img"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise BoxFailed(f"there is no image of {variant} in {IMAGES}: run make image IMAGE='build --variant {variant}'")
    return found[-1]


def _file_node(path: Path) -> dict[str, str]:
    return {"driver": "file", "filename": str(path)}
