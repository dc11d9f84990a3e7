"""Where things are on a box, below one root, so that a test can have a box of its own in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The paths of docs/explanation/appliance.md. `root` is ``/`` on a box."""

    root: Path = Path("/")

    @property
    def data(self) -> Path:
        """The partition that outlives releases."""
        return self.root / "data"

    @property
    def identity(self) -> Path:
        """What makes this box this box: kept by a factory reset, destroyed by a wipe."""
        return self.data / "identity"

    @property
    def hostname(self) -> Path:
        return self.identity / "hostname"

    @property
    def machine_id(self) -> Path:
        return self.identity / "machine-id"

    @property
    def host_key(self) -> Path:
        return self.identity / "ssh" / "ssh_host_ed25519_key"

    @property
    def authorized_keys(self) -> Path:
        """Who may come in by SSH. Without this file nothing listens on port 22."""
        return self.data / "config" / "ssh" / "authorized_keys"

    @property
    def localtime(self) -> Path:
        """Where ``/etc/localtime`` leads: nowhere, which is UTC, or to a file of the time zone database."""
        return self.data / "config" / "localtime"

    @property
    def timezone_before(self) -> Path:
        """Where it led before a change that isn't confirmed: after a power cut it leads there again."""
        return self.localtime.with_name("localtime.before")

    @property
    def runtime(self) -> Path:
        """What is gone after a restart."""
        return self.root / "run"

    @property
    def erase(self) -> Path:
        """What is to be destroyed at the next start."""
        return self.data / ".erase"

    @property
    def appliance(self) -> Path:
        """The appliance's own state."""
        return self.data / "appliance"

    @property
    def update(self) -> Path:
        """What updates need to remember; the gateway's user may write here, and root reads nothing but small files."""
        return self.appliance / "update"

    @property
    def incoming(self) -> Path:
        """Bundles on their way."""
        return self.update / "incoming"

    @property
    def trial(self) -> Path:
        return self.update / "trial.json"

    @property
    def kept(self) -> Path:
        """What had proved itself last, or was chosen."""
        return self.update / "kept.json"

    @property
    def fallen_log(self) -> Path:
        """The end of the log of the latest trial that failed: whatever else remembers it is in memory."""
        return self.update / "fallen.log"

    @property
    def floor(self) -> Path:
        """The oldest version that may still be installed, one line."""
        return self.update / "floor"

    @property
    def before(self) -> Path:
        """Configuration and accounts as the release that ran before left them."""
        return self.update / "before"

    @property
    def boot_id(self) -> Path:
        """Of this start, as the kernel made it."""
        return self.root / "proc" / "sys" / "kernel" / "random" / "boot_id"

    @property
    def cmdline(self) -> Path:
        """What the boot loader told the kernel, the slot among it."""
        return self.root / "proc" / "cmdline"

    @property
    def release(self) -> Path:
        """What names the release of this slot."""
        return self.root / "usr" / "lib" / "tidegate" / "appliance" / "release"

    @property
    def rauc_conf(self) -> Path:
        return self.root / "etc" / "rauc" / "system.conf"

    @property
    def networks(self) -> Path:
        """What was set of the network. What the release ships is in ``/usr/lib/systemd/network``."""
        return self.root / "etc" / "systemd" / "network"

    @property
    def update_url(self) -> Path:
        """Where updates are looked for, one line; without this file nowhere."""
        return self.data / "config" / "update-url"

    @property
    def time_servers(self) -> Path:
        return self.root / "etc" / "systemd" / "timesyncd.conf.d" / "servers.conf"
