"""Certificates for tests: an authority of one's own, and what it signs."""

import datetime
import ssl
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

type Key = ec.EllipticCurvePrivateKey


class Pair:
    """A certificate and its key, in files `cert` and `key`."""

    def __init__(self, folder: Path, name: str, certificate: x509.Certificate, key: Key) -> None:
        self.certificate = certificate
        self.cert = folder / f"{name}.crt"
        self.key = folder / f"{name}.key"
        self.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key.touch(0o600)
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def server(self, clients: Path | None = None) -> ssl.SSLContext:
        """For a server; with `clients` it takes only those that this authority (a file) has signed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        if clients is not None:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class Authority:
    """`cert`: the file that holds its certificate. Its files are in `folder`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._name, self._name, self._key, days=30)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.cert = Pair(folder, name, builder.sign(self._key, hashes.SHA256()), self._key).cert

    def sign(self, *names: str, days: int = 30) -> Pair:
        """A pair for these host names and addresses; with negative `days` it is over since so long."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        builder = _builder(subject, self._name, key, days)
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
        certificate = builder.add_extension(alternatives, critical=False).sign(self._key, hashes.SHA256())
        return Pair(self._folder, f"{names[0]}{days}", certificate, key)


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=90))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
