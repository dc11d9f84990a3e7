"""A root shell on a box over SSH."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from hil.benches.bench import Ran

_CONNECT_S = 30


class Shell:
    """Signs in with a key for each command: a box that restarts meanwhile is nothing special."""

    def __init__(self, host: str, key: Path, user: str = "root", port: int = 22) -> None:
        self._head = [
            *(
                "ssh",
                "-F",
                "/dev/null",
                "-i",
                str(key),
                "-p",
                str(port),
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "BatchMode=yes",
            ),
            # The box makes its host keys itself, and anew after a wipe.
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
            *("-o", f"ConnectTimeout={_CONNECT_S}", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=6"),
            f"{user}@{host}",
        ]

    def command(self, command: str) -> list[str]:
        """What has the box run a command."""
        return [*self._head, command]

    def write(self, path: str, content: bytes) -> None:
        """A file on the box. Raises subprocess.CalledProcessError or TimeoutExpired."""
        subprocess.run(self.command(f"cat > {shlex.quote(path)}"), input=content, check=True, timeout=_CONNECT_S)

    def run(self, command: str, timeout_s: float, *, check: bool = True) -> Ran:
        """Raises AssertionError if it fails and should not, subprocess.TimeoutExpired."""
        ran = subprocess.run(
            self.command(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert not check or ran.returncode == 0, f"{command}: exit code {ran.returncode}\n{ran.stdout}{ran.stderr}"
        return Ran(ran.returncode, ran.stdout, ran.stderr)


def new_key(path: Path) -> str:
    """Make a key pair; the public one, as it stands in ``authorized_keys``."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(path)], check=True, capture_output=True
    )
    return path.with_suffix(".pub").read_text().strip()
