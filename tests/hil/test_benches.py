"""The benches' parts: what a file declares, what a console is waited for, whose ports are open, a shell by SSH."""

from __future__ import annotations

import getpass
import io
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.benches import mdns, timeserver
from hil.benches.arrivals import Arrivals, NotArrived
from hil.benches.bench import BoxFailed, Plugs
from hil.benches.console import Console, Silent
from hil.benches.declaration import DIRECTORY, BenchInvalid, Part, Qemu, Ssh, declared
from hil.benches.ports import open_ports
from hil.benches.qemu.board import ADAPTERS, board_options
from hil.benches.shell import Shell, new_key
from hil.benches.ssh import SshBench, line_words
from hil.benches.timeserver import TimeServer
from hil.plant.config import LINES, gateway_config
from hil.plant.maps import ONE_OF_EACH

HOST = "127.0.0.1"
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


# -- declarations


DESK = (DIRECTORY / "ssh.toml").read_text().replace("192.0.2.", "10.0.0.")
"""The template, filled in."""


@pytest.mark.parametrize("name", ["local", "qemu", "desk"])
def test_every_bench_of_ours_is_declared_soundly_and_says_why_it_cannot(tmp_path: Path, name: str) -> None:
    path = tmp_path / "desk.toml" if name == "desk" else DIRECTORY / f"{name}.toml"
    if name == "desk":
        path.write_text(DESK)
    declaration = declared(str(path))
    assert declaration.about
    assert all(len(reason) > 10 for reason in declaration.cannot.values())
    if name != "desk":
        assert declared(name) == declaration


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "name one of"),
        ("about = ", "isn't TOML"),
        ('about = "x"\n[bench]\nkind = "cloud"', "bench"),
        ('about = "x"\n[bench]\nkind = "ssh"', r"bench\.host is missing; docs/how-to"),
        ((DIRECTORY / "ssh.toml").read_text(), r"bench\.host: 192\.0\.2\.20 is the address of an example: write"),
        (DESK.replace("fieldbus =", "feldbus ="), r"bench\.serial: it names .* feldbus: name checkweigher1, fieldbus"),
        (DESK.replace("power =", "# power ="), r"bench\.power_off, bench\.power_on: write both commands"),
        (DESK.replace("slots =", "# slots ="), r"bench\.bundles\.good: name the file"),
        (DESK.replace("clock =", "# clock ="), r"cannot\.clock: no program can do that"),
        (DESK.replace("[bench]", "[bench]\ncolour = 1"), r"there is no setting bench\.colour; docs/how-to"),
        ('about = "x"\n[bench]\nkind = "local"\n[cannot]\nfly = "no wings"', "cannot.fly"),
        ('about = "x"\ncolour = 1\n[bench]\nkind = "local"', "colour"),
    ],
)
def test_a_bench_that_cannot_be_used_is_one_clear_sentence(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BenchInvalid, match=said) as error:
        declared(str(path))
    assert "\n" not in str(error.value)


# -- the console


def test_a_console_is_waited_for_line_by_line_and_keeps_all_with_its_times(tmp_path: Path) -> None:
    console = Console(tmp_path / "logs" / "console.log")
    console.feed(b"U-Boot 2025.01\r\n\x1b[1mlog")
    assert console.wait("U-Boot (.*)", 1)[1] == "2025.01"
    assert console.wait("log", 1)[0] == "log", "an unfinished line counts"
    mark = console.mark()
    console.feed(b"in: \r\nU-Boot again\n")
    assert console.wait("U-Boot (.*)", 1, mark)[1] == "again"
    with pytest.raises(Silent, match="never") as silent:
        console.wait("never", 0.05)
    assert "U-Boot again" in str(silent.value)
    console.note("power off")
    console.close()
    lines = (tmp_path / "logs" / "console.log").read_text().splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == [
        "U-Boot 2025.01",
        "login:",
        "U-Boot again",
        "--- power off",
    ]
    assert all(float(line.split()[0]) >= 0 for line in lines)


def test_a_console_follows_streams_and_says_whose_line_it_is(tmp_path: Path) -> None:
    console = Console(tmp_path / "console.log")
    console.follow(io.BufferedReader(io.BytesIO(b"one\ntwo\n")), "page").join(5)
    assert console.wait("one", 1).string == "page: one"
    assert console.wait("two", 1).string == "page: two"
    threading.Timer(0.05, console.feed, [b"late\n"]).start()
    assert console.wait("late", 5)
    console.close()


# -- arrivals


def test_arrivals_tell_live_from_late_and_what_is_lacking() -> None:
    arrivals = Arrivals()
    body = b'{"value":%d,"quality":%d,"timestamp_ms":%d,"boot":2,"seq":1%s}'
    arrivals.take("uns/v1/a/b/tank1/level", body % (1, 0, 1000, b""), False)
    arrivals.take("uns/v1/a/b/tank1/flow", body % (1, 0x80310000, 1000, b""), False)
    arrivals.take("uns/v1/a/b/tank1/level", body % (2, 0, 2000, b',"hist":true'), False)
    arrivals.take("uns/v1/a/b/tank1/level", body % (3, 0, 3000, b""), True)
    arrivals.take("uns/v1/a/b/gw1/_state", b'{"state":"offline"}', False)
    assert [value.value for value in arrivals.wait_for_good("tank1", 1, 1)] == [1]
    assert (arrivals.values, arrivals.backfilled, arrivals.said_offline) == (3, 1, 1)
    assert arrivals.newest_ms(2, "tank1") == 2000
    with pytest.raises(LookupError, match="no value of tank2 came of boot 2"):
        arrivals.newest_ms(2, "tank2")
    assert [value.value for value in arrivals.good("tank1")] == [1]
    with pytest.raises(NotArrived, match=r"2 good values of tank1; there are: /level=1 .*, /flow=1 \(0x80310000\)"):
        arrivals.wait_for_good("tank1", 2, 0.05)


# -- the emulated board


def test_the_emulated_board_has_the_plants_cables_and_the_watchdog() -> None:
    plugs = Plugs({"fieldbus": "/dev/pts/7", "checkweigher1": "/dev/pts/8"}, 4711)
    words = " ".join(board_options(Qemu(kind="qemu"), Path("u-boot.bin"), Path("disk.qcow2"), Path("qmp"), plugs))
    assert "serial,id=fieldbus,path=/dev/pts/7" in words
    assert "port=4711" in words
    assert "-device i6300esb -action watchdog=reset" in words
    assert {adapter.line for adapter in ADAPTERS} == plugs.serial.keys()


# -- ports and time


def test_open_ports_are_found_and_no_others() -> None:
    with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as two, socket.socket() as closed:
        closed.bind((HOST, 0))
        found = open_ports(HOST)
        assert {one.getsockname()[1], two.getsockname()[1]} <= set(found)
        assert closed.getsockname()[1] not in found


def test_the_time_server_tells_this_machines_time_unless_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeserver, "_PORT", 0)
    server = TimeServer(HOST)
    server.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((HOST, server.port))
        client.settimeout(5)
        request = bytes([0x23]) + bytes(39) + b"client's"
        client.send(request)
        answer = client.recv(512)
        assert answer[0] & 7 == 4
        assert answer[24:32] == b"client's"
        seconds, fraction = struct.unpack(">II", answer[40:48])
        assert abs(seconds - 2_208_988_800 + fraction / (1 << 32) - time.time()) < 5
        server.quiet = True
        client.send(request)
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(512)
    server.stop()


def test_a_name_is_found_by_multicast_dns_or_it_is_said_that_nobody_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as box:
        box.bind((HOST, 0))
        box.settimeout(5)
        monkeypatch.setattr(mdns, "_GROUP", HOST)
        monkeypatch.setattr(mdns, "_PORT", box.getsockname()[1])
        monkeypatch.setattr(mdns, "_ANSWER_S", 0.5)

        def answer(record: bytes) -> None:
            query, asking = box.recvfrom(512)
            assert query[12:] == b"\x08tidegate\x05local\0\0\1\0\1"
            box.sendto(query[:2] + b"\x84\0\0\1\0\1\0\0\0\0" + query[12:] + record, asking)

        thread = threading.Thread(target=answer, args=(b"\xc0\x0c\0\1\x80\1\0\0\0\x78\0\4\xc0\0\2\7",))
        thread.start()
        assert mdns.find("tidegate.local", HOST) == "192.0.2.7"
        thread.join()
        monkeypatch.setattr(mdns, "_TRIES", 1)
        assert mdns.find("nobody.local", HOST) is None


# -- serial lines


def test_both_ends_of_a_serial_line_are_set_alike() -> None:
    """The gateway's configuration says so even where it is the default; this machine's end is socat's."""
    paths = {line: f"/dev/{line}" for line in LINES}
    ports = {device.endpoint: 1 for device in ONE_OF_EACH if device.endpoint not in LINES}
    text = gateway_config(ports, paths, broker_port=1, data_dir=Path("/data"), devices=ONE_OF_EACH)
    links = {link["name"]: link for link in tomllib.loads(text)["link"]}
    for line, characters in LINES.items():
        assert (links[line]["baud"], links[line]["parity"]) == (characters.baud, characters.parity)
    assert line_words(LINES["fieldbus"]) == "raw,echo=0,cs8,parenb=1,parodd=0,b19200"
    assert line_words(LINES["checkweigher1"]) == "raw,echo=0,cs8,parenb=0,b9600"


# -- a shell by SSH


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Its port, and the key that it lets in."""
    assert SSHD is not None
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    allowed = new_key(tmp_path / "key")
    new_key(tmp_path / "host")
    (tmp_path / "allowed").write_text(f"{allowed}\n")
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    config = tmp_path / "sshd_config"
    config.write_text(
        f"ListenAddress {HOST}:{port}\nHostKey {tmp_path / 'host'}\nAuthorizedKeysFile {tmp_path / 'allowed'}\n"
        f"PidFile none\nStrictModes no\nPasswordAuthentication no\nUsePAM no\nPermitRootLogin prohibit-password\n"
    )
    with (tmp_path / "sshd.log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stdout=log, stderr=log)
    try:
        for _ in range(200):
            with socket.socket() as client:
                if client.connect_ex((HOST, port)) == 0:
                    break
            time.sleep(0.02)
        yield port, tmp_path / "key"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.integration
@pytest.mark.skipif(SSHD is None, reason="sshd isn't installed: apt-get install openssh-server")
def test_a_real_gateways_bench_signs_in_runs_writes_and_says_what_failed(
    tmp_path: Path, sshd: tuple[int, Path]
) -> None:
    port, key = sshd
    shell = Shell(HOST, key, getpass.getuser(), port)
    shell.write(f"{tmp_path}/it's there", b"\x00content")
    assert (tmp_path / "it's there").read_bytes() == b"\x00content"
    with pytest.raises(AssertionError, match="exit code 3\nsaid"):
        shell.run("echo said; exit 3", 30)

    declaration = tmp_path / "desk.toml"
    declaration.write_text(
        f'about = "loopback"\n[bench]\nkind = "ssh"\nhost = "{HOST}"\nhere = "{HOST}"\nport = {port}\nkey = "{key}"\n'
        f'user = "{getpass.getuser()}"\ncommand_line = ["echo", "Claim it with 7H2K-9QRM-4TWX-B0ZC:"]\n'
        f'power_off = "touch {tmp_path}/off"\npower_on = "touch {tmp_path}/on"\noff_s = 0\n'
        f'[bench.serial]\nfieldbus = "/dev/ttyUSB0"\ncheckweigher1 = "/dev/ttyUSB1"\n'
        f'[bench.cable]\nfieldbus = "{tmp_path}/cable"\ncheckweigher1 = "{tmp_path}/cable"\n'
        "[cannot]\n" + "".join(f'{part} = "nobody does it"\n' for part in (*Ssh.impossible, Part.SLOTS))
    )
    with SshBench("desk", declared(str(declaration)), tmp_path, tmp_path / "console.log") as bench:
        assert bench.run("uname -s").out.strip() == "Linux"
        assert bench.tidegate("status", "it's").out.endswith("status it's\n")
        assert bench.claim_code() == "7H2K-9QRM-4TWX-B0ZC"
        with pytest.raises(BoxFailed, match=r"bench\.cable: the cable of \w+ ended with exit code 1"):
            bench.connect(Plugs({"fieldbus": "/dev/null", "checkweigher1": "/dev/null"}))
        bench.power_off()
        assert (tmp_path / "off").exists()
        bench.put_back()
        assert (tmp_path / "on").exists()
    assert "uname -s: 0" in (tmp_path / "console.log").read_text()
