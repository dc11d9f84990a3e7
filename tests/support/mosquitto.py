"""A private Mosquitto for one test: its own directory, a free port on the loopback, ended with the test.

Used as a context manager (``with Mosquitto(tmp_path) as broker:``) or with :meth:`Mosquitto.start` and
:meth:`Mosquitto.stop`. A broker that was stopped or killed starts again on the same port. Everything blocks for some
tens of milliseconds at most, so it may be called from asynchronous tests too.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

HOST = "127.0.0.1"
_START_TIMEOUT_S = 10.0
_ATTEMPTS = 5


def find_mosquitto() -> str | None:
    """Where the broker is installed, or None. Debian keeps it out of an ordinary user's PATH."""
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def free_port() -> int:
    """A TCP port on the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: Path
    key: Path


class Authority:
    """A throw-away certificate authority, made with the openssl command."""

    def __init__(self, directory: Path, name: str = "Test CA") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = directory / "ca.key"
        self.certificate = directory / "ca.crt"
        _new_key(self._key)
        _openssl(
            "req", "-x509", "-new", "-key", self._key, "-out", self.certificate, "-days", "2", "-subj", f"/CN={name}"
        )

    def issue(self, name: str, *, alt: str | None = None, days: int = 2) -> Pair:
        """A certificate for `name`; `alt` is a subjectAltName such as ``IP:127.0.0.1,DNS:localhost``."""
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        _new_key(pair.key)
        _openssl("req", "-new", "-key", pair.key, "-out", request, "-subj", f"/CN={name}")
        extensions.write_text(f"subjectAltName={alt}\n" if alt else "")
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
            *("-out", pair.certificate, "-days", str(days), "-extfile", extensions),
        )
        return pair


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """TLS on the broker's listener."""

    server: Pair
    ca: Path
    """Whom the broker trusts to sign client certificates."""
    require_certificate: bool = False


class Mosquitto:
    """One broker process.

    `acl` is the text of an ACL file (None: everything is allowed); `users` maps names to passwords (None: anonymous);
    `extra` are further lines of configuration, such as ``max_inflight_messages 5``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        persistence: bool = False,
        acl: str | None = None,
        users: Mapping[str, str] | None = None,
        tls: BrokerTls | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        self.host = HOST
        self.port = 0
        self._directory = directory / "mosquitto"
        self._directory.mkdir(parents=True, exist_ok=True)
        self._persistence = persistence
        self._acl = acl
        self._users = users
        self._tls = tls
        self._extra = tuple(extra)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self._directory / "mosquitto.log"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the broker isn't running"
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the broker has said so far, over all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> Mosquitto:
        """Start, and return when it accepts connections. Raises RuntimeError with the broker's own words."""
        program = find_mosquitto()
        if program is None:
            raise RuntimeError("mosquitto isn't installed: apt-get install mosquitto")
        assert self._process is None, "the broker is already running"
        keep_port = self.port != 0
        for _ in range(_ATTEMPTS):
            if not keep_port:
                self.port = free_port()
            self._write_configuration()
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [program, "-c", str(self._directory / "mosquitto.conf"), "-v"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            if self._wait_ready():
                return self
            # Another process took the port between our probe and the broker's bind: try the next.
            self._end(signal.SIGKILL)
        raise RuntimeError(f"mosquitto did not start:\n{self.log[-2000:]}")

    def stop(self) -> None:
        """Orderly end; persistence is saved, wills are published. Does nothing when it isn't running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """The broker's machine loses power, as far as its clients can see."""
        self._end(signal.SIGKILL)

    def reload(self, *, acl: str | None = None) -> None:
        """Read the configuration again, with a new ACL text where given; returns when the broker says it did."""
        if acl is not None:
            self._acl = acl
            (self._directory / "acl").write_text(acl)
        already = self.log.count("Reloading config")
        os.kill(self.pid, signal.SIGHUP)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while self.log.count("Reloading config") == already:
            if time.monotonic() > deadline:
                raise RuntimeError("mosquitto did not reload its configuration")
            time.sleep(0.005)

    def freeze(self) -> None:
        """Stop the process without ending it: connections stay up and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_ready(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.005)
            else:
                # Somebody else may be listening there, and our broker about to end because of it.
                time.sleep(0.005)
                return self._process.poll() is None
        return False

    def _write_configuration(self) -> None:
        lines = [
            f"listener {self.port} {HOST}",
            f"allow_anonymous {str(self._users is None).lower()}",
            "set_tcp_nodelay true",
            "sys_interval 0",
            # Not 0 for unlimited: 2.0.11 then ends the connection after every publish that it refuses.
            "max_queued_messages 1000000",
            f"persistence {str(self._persistence).lower()}",
        ]
        if os.geteuid() == 0:
            # Otherwise it becomes the user mosquitto, who can't read a test's private directory.
            lines.append("user root")
        if self._persistence:
            lines.append(f"persistence_location {self._directory}/")
        if self._acl is not None:
            (self._directory / "acl").write_text(self._acl)
            lines.append(f"acl_file {self._directory / 'acl'}")
        if self._users is not None:
            lines.append(f"password_file {self._write_passwords(self._users)}")
        if self._tls is not None:
            lines += [
                f"cafile {self._tls.ca}",
                f"certfile {self._tls.server.certificate}",
                f"keyfile {self._tls.server.key}",
                f"require_certificate {str(self._tls.require_certificate).lower()}",
            ]
        (self._directory / "mosquitto.conf").write_text("\n".join([*lines, *self._extra]) + "\n")

    def _write_passwords(self, users: Mapping[str, str]) -> Path:
        path = self._directory / "passwords"
        path.write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
        path.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True, capture_output=True)
        return path


def _new_key(path: Path) -> None:
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, stdin=subprocess.DEVNULL)
