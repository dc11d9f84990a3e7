"""Modbus/TCP Security: both ends prove themselves, and a failure says which side refused and which file to mend."""

from __future__ import annotations

import datetime
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from drivers.modbus import KIND
from gateway.driver import DeviceSilent, LinkDown
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support.mosquitto import Authority, Pair, free_port
from tests.support.raw_modbus import RawSlave

POINTS = group(point("a", "hr:100"), point("b", "hr:101"))
GOOD = (1100, 1101)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "Other CA")


@pytest.fixture(scope="module")
def device_pair(authority: Authority) -> Pair:
    return authority.issue("device", alt="IP:127.0.0.1,DNS:plc.example")


@pytest.fixture(scope="module")
def own(authority: Authority) -> Pair:
    return authority.issue("gateway")


def server(pair: Pair, ca: Path, *, highest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """What a device does: its own certificate, and ours demanded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    if highest is not None:
        context.maximum_version = highest
    return context


@pytest.fixture
async def secured(authority: Authority, device_pair: Pair) -> AsyncIterator[RawSlave]:
    slave = RawSlave()
    slave.holding[:200] = range(1000, 1200)
    slave.tls = server(device_pair, authority.certificate)
    await slave.start()
    yield slave
    await slave.stop()


def options(authority: Authority, own: Pair | None, **more: Any) -> dict[str, Any]:
    files = {} if own is None else {"certificate": own.certificate, "key": own.key}
    return {"transport": "tls", "timeout_ms": 1000, "ca": authority.certificate, **files, **more}


async def failure(plant: Plant, peer: RawSlave | int, link: dict[str, Any]) -> str:
    """What is said when connecting, or at the latest by the first read."""
    port = peer if isinstance(peer, int) else peer.port
    with pytest.raises(LinkDown) as caught:  # noqa: PT012 - with TLS 1.3 it shows only after the handshake
        device = await plant.device(port, link=link)
        await device.read(device.plan(POINTS))
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("highest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_reads_and_writes(
    plant: Plant, secured: RawSlave, authority: Authority, device_pair: Pair, own: Pair, highest: ssl.TLSVersion
) -> None:
    await secured.stop()
    secured.tls = server(device_pair, authority.certificate, highest=highest)
    await secured.start()
    device = await plant.device(secured.port, link=options(authority, own))
    assert tuple((await device.read(device.plan(POINTS))).values) == GOOD
    assert await device.write(point("a", "hr:100"), 5) == 5
    assert KIND.link_options(transport="tls", host="plc", ca=Path("/ca")).endpoint == ("plc", 802)


async def test_another_name_may_be_asked_for(plant: Plant, secured: RawSlave, authority: Authority, own: Pair) -> None:
    await plant.device(secured.port, link=options(authority, own, server_name="plc.example"))
    sentence = await failure(plant, secured, options(authority, own, server_name="other.example"))
    assert "its certificate isn't for 'other.example': set server_name" in sentence


async def test_a_device_signed_by_a_stranger_is_refused(
    plant: Plant, secured: RawSlave, stranger: Authority, own: Pair
) -> None:
    sentence = await failure(plant, secured, options(stranger, own))
    assert f"its certificate isn't signed by a CA in {stranger.certificate}" in sentence


async def test_a_device_whose_certificate_has_expired_is_refused(
    plant: Plant, secured: RawSlave, authority: Authority, own: Pair, device_pair: Pair, tmp_path: Path
) -> None:
    await secured.stop()
    secured.tls = server(dated(device_pair, authority, tmp_path, -9, -2), authority.certificate)
    await secured.start()
    assert "its certificate has expired" in await failure(plant, secured, options(authority, own))


@pytest.mark.parametrize("highest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_device_that_hangs_up_without_a_word(
    plant: Plant,
    secured: RawSlave,
    authority: Authority,
    stranger: Authority,
    device_pair: Pair,
    highest: ssl.TLSVersion,
) -> None:
    await secured.stop()
    secured.tls = server(device_pair, authority.certificate, highest=highest)
    await secured.start()
    assert "set certificate and key" in await failure(plant, secured, options(authority, None))
    other = stranger.issue("gateway")
    sentence = await failure(plant, secured, options(authority, other))
    assert f"the CA of our certificate {other.certificate}" in sentence


async def test_a_port_without_tls(plant: Plant, slave: RawSlave, authority: Authority, own: Pair) -> None:
    sentence = await failure(plant, slave, options(authority, own, connect_timeout_ms=500))
    assert "TLS" in sentence or "didn't accept the connection within" in sentence


async def test_too_old_a_tls_is_refused(
    plant: Plant, secured: RawSlave, authority: Authority, device_pair: Pair, own: Pair
) -> None:
    await secured.stop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(device_pair.certificate, device_pair.key)
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    secured.tls = context
    await secured.start()
    assert "can't be spoken to by TLS" in await failure(plant, secured, options(authority, own))


# -- our own files, told before anything is sent


def dated(pair: Pair, authority: Authority, directory: Path, first_day: int, last_day: int) -> Pair:
    """The same certificate with other dates, in days from now."""
    old = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    ca = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    key = serialization.load_pem_private_key((authority.certificate.parent / "ca.key").read_bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=ca.subject,
        subject_name=old.subject,
        public_key=old.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now + datetime.timedelta(days=first_day),
        not_valid_after=now + datetime.timedelta(days=last_day),
        extensions=[*old.extensions],
    )
    path = directory / f"{pair.certificate.stem}-dated.crt"
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))  # type: ignore[arg-type]
    return Pair(path, pair.key)


async def test_files_that_are_no_use_are_named(
    plant: Plant, secured: RawSlave, authority: Authority, own: Pair, device_pair: Pair, tmp_path: Path
) -> None:
    missing, torn, locked = tmp_path / "missing", tmp_path / "torn", tmp_path / "locked.key"
    torn.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    subprocess.run(
        ["openssl", "pkey", "-in", own.key, "-aes256", "-passout", "pass:x", "-out", locked],
        check=True,
        capture_output=True,
    )

    async def told(own: Pair, **more: Any) -> str:
        return await failure(plant, secured, options(authority, own, **more))

    assert await told(own, ca=missing) == (
        f"the CA file {missing} can't be used (No such file or directory): mend the path or the file"
    )
    assert f"the CA file {torn} can't be used" in await told(own, ca=torn)
    assert f"the certificate {missing} can't be used (No such file" in await told(Pair(missing, own.key))
    assert f"{torn} holds no certificate in PEM form" in await told(Pair(torn, own.key))
    assert f"{missing} can't be used (No such file" in await told(Pair(own.certificate, missing))
    assert f"the private key in {locked} needs a password" in await told(Pair(own.certificate, locked))
    assert (
        f"the private key in {device_pair.key} doesn't belong to {own.certificate}: give the key of this certificate"
        in await told(Pair(own.certificate, device_pair.key))
    )
    assert "our certificate" in await told(dated(own, authority, tmp_path, -9, -2))
    assert "expired on" in await told(dated(own, authority, tmp_path, -9, -2))
    assert "is only valid from" in await told(dated(own, authority, tmp_path, 2, 9))
    assert secured.connections == 0


async def test_a_renewed_certificate_needs_no_restart(
    plant: Plant, secured: RawSlave, authority: Authority, own: Pair, tmp_path: Path
) -> None:
    mine = dated(own, authority, tmp_path, -9, -2)
    await failure(plant, secured, options(authority, mine))
    mine.certificate.write_bytes(own.certificate.read_bytes())
    await plant.buses[0].connect()


@pytest.fixture
def openssl(authority: Authority, device_pair: Pair) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], int]]]:
    """Starts TLS servers that aren't Python's: ``openssl s_server``, which demands our certificate."""
    started = []

    def start(*more: str) -> tuple[subprocess.Popen[bytes], int]:
        port = free_port()
        process = subprocess.Popen(
            [
                *("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", device_pair.certificate, "-key"),
                *(device_pair.key, "-CAfile", authority.certificate, "-Verify", "1", "-verify_return_error", *more),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        assert process.stdout is not None
        while process.stdout.readline() != b"ACCEPT\n":
            assert process.poll() is None
        return process, port

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.integration
async def test_openssl_understands_us(plant: Plant, authority: Authority, own: Pair, openssl: Any) -> None:
    process, port = openssl()
    device = await plant.device(port, link=options(authority, own, timeout_ms=100))
    with pytest.raises(DeviceSilent):
        await device.read(device.plan(POINTS))
    await plant.buses[0].close()
    process.kill()
    assert bytes((0, 0, 0, 6, 1, 3, 0, 100, 0, 2)) in process.stdout.read()


@pytest.mark.integration
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_the_device_says_why_it_refuses_us(
    plant: Plant, authority: Authority, stranger: Authority, openssl: Any, version: str
) -> None:
    _, port = openssl(version)
    assert "set certificate and key" in await failure(plant, port, options(authority, None))
    other = stranger.issue("gateway")
    sentence = await failure(plant, port, options(authority, other))
    assert f"it doesn't trust the CA of our certificate {other.certificate}" in sentence
