"""The real RAUC with a boot loader and slots that are files: a service on a private bus, and bundles signed for it.

RAUC 1.13 comes from this machine's packages where they have it, else from the toolbox that images are built with. It
mounts bundles, so it needs root and loop devices; bundles are of the plain format, as not every kernel has dm-verity.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import random
import re
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate" / "image"
_LOADER = "lib64/ld-linux-x86-64.so.2"
_POLICY = Path(__file__).parents[2] / "image/appliance/files/etc/dbus-1/system.d/tidegate-rauc.conf"
_OF_RAUC = """
  <policy context="default"><allow send_destination="de.pengutronix.rauc"/></policy>
  <policy user="root"><allow own="de.pengutronix.rauc"/></policy>
"""
"""As RAUC's package has it."""
_BUS = """
<busconfig>
  <type>system</type>
  <listen>unix:abstract={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  {rauc}
  {ours}
</busconfig>
"""
_BOOT = """#!/bin/sh
# A boot loader whose state is files: RAUC's interface for custom ones.
cd {state} || exit 1
case $1 in
  get-primary) cat primary;;
  set-primary) echo "$2" > primary; echo good > "state-$2";;
  get-state) cat "state-$2";;
  set-state) echo "$3" > "state-$2";;
  get-current) cat current;;
  *) exit 1;;
esac
"""


@dataclass(frozen=True, slots=True)
class Signer:
    """A key with its certificate, PEM files."""

    key: Path
    certificate: Path


def rauc_command() -> Sequence[str] | None:
    """How RAUC of at least 1.13 is run here. None: it is nowhere."""
    if (own := shutil.which("rauc")) is not None and _version([own]) >= (1, 13):
        return [own]
    for toolbox in sorted(_CACHE.glob("toolbox-*")):
        command = [*_in(toolbox), str(toolbox / "usr/bin/rauc")]
        if (toolbox / "usr/bin/rauc").exists() and _version(command) >= (1, 13):
            return command
    return None


def _in(toolbox: Path) -> list[str]:
    """A program of another Debian, without a chroot: with that one's loader and libraries."""
    return [str(toolbox / _LOADER), "--library-path", str(toolbox / "usr/lib/x86_64-linux-gnu")]


def _version(command: Sequence[str]) -> tuple[int, ...]:
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else ()


class RaucBox:
    """A box in a directory: two slots, a boot loader's state, RAUC's own, and who may sign."""

    def __init__(self, directory: Path, command: Sequence[str]) -> None:
        self.directory = directory
        self._command = command
        self.command = [*command, f"--conf={directory}/system.conf"]
        """How its RAUC is asked without the service."""
        self.boot = directory / "boot"
        self.conf = directory / "system.conf"
        directory.joinpath("data").mkdir(parents=True)
        self.boot.mkdir()
        for name, text in (("primary", "A"), ("current", "A"), ("state-A", "good"), ("state-B", "bad")):
            (self.boot / name).write_text(f"{text}\n")
        for name in "AB":
            (directory / f"slot-{name}.img").write_bytes(bytes(1 << 20))
        backend = directory / "backend"
        backend.write_text(_BOOT.format(state=self.boot))
        backend.chmod(0o755)
        self._tools = directory / "tools"
        self._tools.mkdir()
        if len(command) > 1 and shutil.which("mksquashfs") is None:
            program = Path(command[-1]).with_name("mksquashfs")
            wrapper = self._tools / "mksquashfs"
            wrapper.write_text(f'#!/bin/sh\nexec {" ".join(command[:-1])} {program} "$@"\n')
            wrapper.chmod(0o755)
        self.authority = _authority(directory, "authority")
        self.release_key = signer(directory, "release", self.authority)
        self.configure()

    def configure(self, floor: str = "0.1.0", keys: str = "") -> None:
        """Write ``system.conf``, which RAUC reads when it starts."""
        self.conf.write_text(
            f"[system]\ncompatible=tidegate-test\nbootloader=custom\nbundle-formats=plain verity\n"
            f"mountprefix={self.directory}/mnt\ndata-directory={self.directory}/data\nmin-bundle-version={floor}\n{keys}"
            f"[handlers]\nbootloader-custom-backend={self.directory}/backend\n"
            f"[keyring]\npath={self.authority.certificate}\ncheck-purpose=codesign\nuse-bundle-signing-time=true\n"
            + "".join(
                f"[slot.rootfs.{number}]\ndevice={self.directory}/slot-{name}.img\ntype=raw\nbootname={name}\n"
                for number, name in enumerate("AB")
            )
        )

    def bundle(
        self,
        version: str = "0.2.0",
        *,
        compatible: str = "tidegate-test",
        by: Signer | None = None,
        size: int = 1 << 19,
    ) -> Path:
        """A signed bundle with an image of `size` bytes."""
        by = by or self.release_key
        number = len([*self.directory.glob("*.raucb")])
        content, path = self.directory / f"content-{number}", self.directory / f"{version}-{number}.raucb"
        content.mkdir()
        (content / "rootfs.img").write_bytes(version.encode().ljust(16, b".") + random.randbytes(size - 16))
        said = f"version={version}\n" if version else ""
        (content / "manifest.raucm").write_text(
            f"[update]\ncompatible={compatible}\n{said}[bundle]\nformat=plain\n[image.rootfs]\nfilename=rootfs.img\n"
        )
        command = [*self._command, "bundle", f"--cert={by.certificate}", f"--key={by.key}", str(content), str(path)]
        subprocess.run(command, check=True, capture_output=True, env=self._environment())
        return path

    def boots(self, slot: str) -> None:
        """A restart, as far as RAUC can see one."""
        (self.boot / "current").write_text(f"{slot}\n")

    def said(self, name: str) -> str:
        return (self.boot / name).read_text().strip()

    @asynccontextmanager
    async def service(self, address: str) -> AsyncIterator[None]:
        """RAUC on the bus, from its start to its end."""
        command = [
            *self._command, f"--conf={self.conf}", f"--override-boot-slot={self.said('current')}", "service",
        ]  # fmt: skip
        environment = {**self._environment(), "DBUS_SYSTEM_BUS_ADDRESS": address}
        with (self.directory / "rauc.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdout=log, stderr=asyncio.subprocess.STDOUT
            )
        try:
            await _named(address, process)
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self._tools}:/usr/sbin:/sbin:{os.environ['PATH']}"}


async def _named(address: str, process: asyncio.subprocess.Process) -> None:
    """Until RAUC has its name on the bus."""
    from dbus_fast.aio import MessageBus
    from dbus_fast.message import Message

    bus = await MessageBus(bus_address=address).connect()
    try:
        ended = asyncio.ensure_future(process.wait())
        while not ended.done():
            ask = Message("org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner", signature="s",
                          body=["de.pengutronix.rauc"])  # fmt: skip
            reply = await bus.call(ask)
            if reply is not None and reply.body == [True]:
                ended.cancel()
                return
            await asyncio.wait({ended}, timeout=0.05)
        raise AssertionError("RAUC ended at once: see rauc.log")
    finally:
        bus.disconnect()


@asynccontextmanager
async def bus_of_a_box(directory: Path, user: str = "root") -> AsyncIterator[str]:
    """A bus with RAUC's policy and ours, `user` standing for the gateway's. Yields its address."""
    socket, configuration = f"tidegate-test-{uuid.uuid4().hex}", directory / "bus.conf"  # anybody can reach it
    ours = re.search(r"<busconfig>(.*)</busconfig>", _POLICY.read_text(), re.DOTALL)
    assert ours is not None
    mine = ours[1].replace('user="tidegate"', f'user="{user}"')
    configuration.write_text(_BUS.format(socket=socket, rauc=_OF_RAUC, ours=mine))
    daemon = await asyncio.create_subprocess_exec(
        "dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile", "--print-address",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert daemon.stdout is not None
        address = (await daemon.stdout.readline()).decode().strip()
        assert address, "dbus-daemon didn't start"
        yield address
    finally:
        daemon.terminate()
        await daemon.wait()


def signer(
    directory: Path, name: str, issuer: Signer, *, purpose: bool = True, days: tuple[int, int] = (-1, 1)
) -> Signer:
    """A key for signing releases, whose certificate is good from and until so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.load_pem_x509_certificate(issuer.certificate.read_bytes())
    builder = _certificate(name, key, authority.subject, days).add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    builder = builder.add_extension(_usage(authority=False), critical=True)
    oid = ExtendedKeyUsageOID.CODE_SIGNING if purpose else ExtendedKeyUsageOID.SERVER_AUTH
    builder = builder.add_extension(x509.ExtendedKeyUsage([oid]), critical=True)
    signing = serialization.load_pem_private_key(issuer.key.read_bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    return _kept(directory, name, key, builder.sign(signing, hashes.SHA256()))


def _authority(directory: Path, name: str) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _certificate(name, key, subject, (-4000, 4000)).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    builder = builder.add_extension(_usage(authority=True), critical=True)
    return _kept(directory, name, key, builder.sign(key, hashes.SHA256()))


def stranger(directory: Path) -> Signer:
    """Somebody whom the box doesn't know."""
    return signer(directory, "stranger", _authority(directory, "elsewhere"))


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, days: tuple[int, int]
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * _DAY)
        .not_valid_after(now + days[1] * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _kept(directory: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Signer:
    made = Signer(directory / f"{name}.key.pem", directory / f"{name}.cert.pem")
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return made
