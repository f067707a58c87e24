"""Keys and certificates into contexts, and what is refused."""

import os
import ssl
from pathlib import Path

import pytest
from certificates import Authority
from cryptography.hazmat.primitives import serialization

from smtpd.config.keypair import KeyRefused, load_authorities, load_pair


def context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def test_a_pair_and_its_faults(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, two = authority.sign("a.test"), authority.sign("b.test")
    cert, key = one.cert.read_bytes(), one.key.read_bytes()
    before = os.listdir("/proc/self/fd")
    load_pair(context(), cert, key)
    load_pair(context(), cert + authority.cert.read_bytes(), key)
    for bad_cert, bad_key, why in (
        (cert, two.key.read_bytes(), "key values mismatch"),
        (cert, b"", "."),
        (b"", key, "."),
        (cert, b"\0" * 100, "."),
    ):
        with pytest.raises(KeyRefused, match=why):
            load_pair(context(), bad_cert, bad_key)
    assert os.listdir("/proc/self/fd") == before


def test_an_encrypted_key_is_refused_without_a_question(tmp_path: Path) -> None:
    pair = Authority(tmp_path).sign("a.test")
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    with pytest.raises(KeyRefused, match="encrypted"):
        load_pair(context(), pair.cert.read_bytes(), locked)


def test_authorities(tmp_path: Path) -> None:
    one, two = Authority(tmp_path, "one"), Authority(tmp_path, "two")
    made = context()
    load_authorities(
        made, "# Főtanúsítvány\n".encode() + one.cert.read_bytes() + b"\n# \xff\n" + two.cert.read_bytes()
    )
    assert len(made.get_ca_certs()) == 2
    for bad in (b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(KeyRefused):
            load_authorities(context(), bad)
