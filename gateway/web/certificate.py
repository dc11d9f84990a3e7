"""The page's TLS certificate: made on the spot for this one device, replaceable by any other.

Making one needs a library that would stay in memory for nothing, so it is a program of its own:
``python -m gateway.web.certificate DIRECTORY``, and with ``--about`` one that tells of it as JSON. What is used while
the page is open is the standard library's.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.ops.files import write_atomically

VALID_DAYS = 3650
"""Nobody renews it, and a browser that was told to trust it shouldn't be asked again and again."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate (with those that lead to its authority) and its key, both PEM."""

    certificate: Path
    key: Path

    @classmethod
    def of(cls, directory: Path) -> Pair:
        """The pair in the page's directory."""
        return cls(directory / "tls" / "certificate.pem", directory / "tls" / "key.pem")

    def replace(self, other: Pair) -> None:
        """Take the files of another pair. Raises OSError."""
        certificate, key = other.certificate.read_bytes(), other.key.read_bytes()
        self.keep(certificate, key)

    def keep(self, certificate: bytes, key: bytes) -> None:
        """Write both, the key for its owner alone. Raises OSError."""
        self.key.parent.mkdir(parents=True, exist_ok=True)
        self.key.parent.chmod(0o711)
        write_atomically(self.key, key, 0o600)
        write_atomically(self.certificate, certificate)
        self.certificate.chmod(0o644)  # whatever the umask: every visitor is shown it, and the gateway tells its end

    def changed_ns(self) -> int:
        """When a file was last changed; 0: one is missing."""
        try:
            return max(self.certificate.stat().st_mtime_ns, self.key.stat().st_mtime_ns)
        except OSError:
            return 0

    def exists(self) -> bool:
        return self.certificate.exists() and self.key.exists()

    def context(self) -> ssl.SSLContext:
        """What the server speaks. Raises OSError or ssl.SSLError for a pair that can't be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # TLS 1.2 only with forward secrecy and authenticated encryption; 1.3 has nothing else.
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self.certificate, self.key)
        return context


def ensure(directory: Path) -> Pair:
    """The pair in `directory`, made now if there is none. Raises OSError or subprocess.CalledProcessError."""
    pair = Pair.of(directory)
    if not pair.exists():
        subprocess.run([sys.executable, "-m", "gateway.web.certificate", str(directory)], check=True)
    return pair


def names() -> tuple[list[str], list[str]]:
    """(host names, addresses) this machine may be opened by."""
    host = socket.gethostname().lower() or "tidegate"
    short = host.partition(".")[0]
    hosts = list(dict.fromkeys([f"{short}.local", short, host, "localhost"]))
    addresses = {"127.0.0.1", "::1"}
    with contextlib.suppress(OSError):
        for *_, place in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
            addresses.add(str(place[0]).partition("%")[0])
    for target in (("192.0.2.1", 9), ("2001:db8::1", 9)):  # reserved for documentation: nothing is sent
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(target)
            addresses.add(probe.getsockname()[0])
    return hosts, sorted(addresses)


def make(directory: Path) -> None:
    """A fresh key and a certificate signed by it, for this machine's names and addresses. Raises OSError."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    hosts, addresses = names()
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    # A board without a battery may think it is 1970: valid from the start of time, as far as TLS can tell.
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    end = max(start + datetime.timedelta(days=60 * 365), datetime.datetime.now(datetime.UTC))
    names_and_addresses: list[x509.GeneralName] = [
        *(x509.DNSName(host) for host in hosts),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names_and_addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    Pair.of(directory).keep(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def about(certificate: Path) -> dict[str, object]:
    """What is to be known of the first certificate in a file, JSON-ready. Raises OSError or ValueError."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    found = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = [str(name.value) for name in names]
    except x509.ExtensionNotFound:
        hosts = []
    return {
        "fingerprint": found.fingerprint(hashes.SHA256()).hex(),
        "subject": found.subject.rfc4514_string(),
        "issuer": found.issuer.rfc4514_string(),
        "hosts": hosts,
        "not_before_s": found.not_valid_before_utc.timestamp(),
        "not_after_s": found.not_valid_after_utc.timestamp(),
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--about", directory]:
            print(json.dumps(about(Pair.of(Path(directory)).certificate)))  # noqa: T201 - what whoever started us reads
        case [directory]:
            make(Path(directory))
