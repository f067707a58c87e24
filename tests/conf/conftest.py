"""The files that the configurations in tests/conf name, made anew for a test run."""

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smtpd.protocol import berkeley_hash

TEXTS = {
    "list": "example.org\n*.example.net\n",
    "map": "# aliases\nroot:\tjoe\n\n  jane   joe, jim\n",
    "listed": "# @list\na b\nc: d\n",
    "empty": "",
    "malformed": "a b\nc\n",
    "listen.conf": "listen on lo port 2525\n",
    "comment.conf": "# nothing\n",
    "nonewline.conf": "bounce warn-interval 1h",
    "fault.conf": "# first\n\nlisen on lo\n",
    "openquote.conf": 'mda wrapper w "open\n',
    "macro.conf": "inside = x\n",
    "usemacro.conf": "admd $outside\n",
    "half.conf": "listen on\n",
}


def _write_pair(directory: Path, cert: str, key: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.org")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(private, hashes.SHA256())
    )
    (directory / cert).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / key).write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that @DIR@ stands for."""
    directory = tmp_path_factory.mktemp("conf")
    for name, text in TEXTS.items():
        (directory / name).write_text(text)
    (directory / "map.db").write_bytes(berkeley_hash.write([(b"root\0", b"joe\0"), (b"jane\0", b"joe\0")]))
    _write_pair(directory, "cert.pem", "key.pem")
    _write_pair(directory, "ca.pem", "other-key.pem")
    (directory / "open-key.pem").write_bytes((directory / "key.pem").read_bytes())
    for path in directory.iterdir():
        path.chmod(0o600 if path.name.endswith("key.pem") and path.name != "open-key.pem" else 0o644)
    return directory
