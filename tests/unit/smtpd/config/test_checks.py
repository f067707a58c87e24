import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import NameOID

from smtpd.config.checks import ciphers_fault, load, protocols_fault, queue_key_fault
from smtpd.config.machine import Machine
from smtpd.config.model import Ca, Config, Pki, Place

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


class Asked(Machine):
    def __init__(self, passphrase: bytes | None = None) -> None:
        self._passphrase = passphrase

    def passphrase(self, name: str) -> bytes | None:
        return self._passphrase


def write_pair(
    folder: Path,
    encryption: serialization.KeySerializationEncryption,
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | None = None,
) -> None:
    key = key or ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, start, start + datetime.timedelta(days=1)
    )
    (folder / "cert").write_bytes(
        builder.sign(key, hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey) else None).public_bytes(PEM)
    )
    (folder / "key").write_bytes(key.private_bytes(PEM, PKCS8, encryption))
    (folder / "key").chmod(0o600)
    (folder / "cert").chmod(0o644)


def config(folder: Path) -> Config:
    pki = Pki(name="a", cert_file=str(folder / "cert"), key_file=str(folder / "key"), place=Place("f", 7))
    return Config(pkis={"a": pki}, cas={"c": Ca(name="c", cert_file=str(folder / "cert"))})


def fault(folder: Path, machine: Machine | None = None) -> str:
    errors = load(config(folder), machine or Machine())[1]
    assert (errors[0].file, errors[0].line) == ("f", 7)
    return errors[0].message


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    write_pair(tmp_path, serialization.NoEncryption())
    return tmp_path


def test_load(pair: Path) -> None:
    loaded, errors = load(config(pair), Machine())
    assert errors == []
    assert loaded.pkis["a"].cert == loaded.cas["c"].cert == (pair / "cert").read_bytes()
    assert loaded.pkis["a"].key == (pair / "key").read_bytes()
    assert loaded == config(pair)


def damage_key(folder: Path) -> None:
    (folder / "key").write_bytes(b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")


def other_key(folder: Path) -> None:
    kept = (folder / "cert").read_bytes()
    write_pair(folder, serialization.NoEncryption())
    (folder / "cert").write_bytes(kept)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: (folder / "cert").unlink(), "failed to load"),
        (lambda folder: (folder / "key").unlink(), "failed to load"),
        (lambda folder: (folder / "key").chmod(0o604), "insecure permissions"),
        (lambda folder: (folder / "cert").write_bytes(b"x"), "no usable certificate"),
        (damage_key, "no usable private key"),
        (other_key, "is not that of the certificate"),
    ],
)
def test_faults(pair: Path, change: Callable[[Path], object], expected: str) -> None:
    change(pair)
    assert expected in fault(pair)


def test_a_told_fault_is_not_told_again(pair: Path) -> None:
    (pair / "cert").unlink()
    assert load(config(pair), Machine(), {("pki", "a"), ("ca", "c")})[1] == []
    assert len(load(config(pair), Machine(), {("pki", "a")})[1]) == 1


def test_missing_names() -> None:
    pkis = {"a": Pki(name="a"), "b": Pki(name="b", cert_file="/x")}
    messages = [error.message for error in load(Config(pkis=pkis), Machine())[1]]
    assert messages == ["pki a: missing certificate file", "pki b: missing key file"]


def test_encrypted_key(tmp_path: Path) -> None:
    write_pair(tmp_path, serialization.BestAvailableEncryption(b"word"))
    assert "needs a passphrase" in fault(tmp_path)
    assert "no usable private key" in fault(tmp_path, Asked(b"wrong"))
    loaded, errors = load(config(tmp_path), Asked(b"word"))
    assert errors == []
    assert serialization.load_pem_private_key(loaded.pkis["a"].key, None)


def test_a_key_that_is_too_weak_is_found_at_the_start(tmp_path: Path) -> None:
    write_pair(tmp_path, serialization.NoEncryption(), rsa.generate_private_key(65537, 1024))
    assert fault(tmp_path).endswith("nor its key: ee key too small")


def test_authorities_that_tls_does_not_take(pair: Path) -> None:
    text = (pair / "cert").read_bytes()
    (pair / "cert").write_bytes(text + text.replace(b"\nM", b"\nN", 1))
    errors = load(Config(cas=config(pair).cas), Machine())[1]
    assert [error.message.split(":")[0] for error in errors] == ["ca c"]


def test_chain_of_certificates(pair: Path) -> None:
    (pair / "cert").write_bytes((pair / "cert").read_bytes() * 2)
    assert load(config(pair), Machine())[1] == []


def test_queue_key() -> None:
    assert queue_key_fault("x" * 32) == queue_key_fault("stdin") == ""
    assert "3 bytes" in queue_key_fault("abc")
    assert "33 bytes" in queue_key_fault("é" + "x" * 31)


def test_words() -> None:
    assert ciphers_fault("HIGH:!aNULL") == ciphers_fault("secure") == ""
    assert ciphers_fault("NOSUCH") and ciphers_fault("a\0b")
    assert protocols_fault("tlsv1.2") == ("", "")
    assert protocols_fault("tlsv1.4") == ('failed to parse protocols "tlsv1.4"', 'did you mean "tlsv1.0"?')
    assert "no version" in protocols_fault("!all")[0]
