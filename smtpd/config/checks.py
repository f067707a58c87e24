"""Checks that have to wait until every statement was read, or that read other files than the configuration.

Holds those of TLS words and of the queue's key, and `load` with those of certificates and keys. OpenSMTPD
makes them when it starts, some only when one of its processes dies of them. Must not read words.
"""

import ssl
from collections.abc import Collection
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from smtpd.config.errors import ConfigError, did_you_mean
from smtpd.config.keypair import KeyRefused, load_authorities, load_pair
from smtpd.config.machine import Machine
from smtpd.config.model import Ca, Config, Pki, Place
from smtpd.config.tls import PROTOCOLS, cipher_string, parse_protocols, unknown_protocol

QUEUE_KEY_BYTES = 32
CERT_MODE = 0o755
KEY_MODE = 0o740


def queue_key_fault(key: str) -> str:
    """What is wrong with the queue's key, "" when nothing is."""
    size = len(key.encode("utf-8", "surrogateescape"))
    if key == "stdin" or size == QUEUE_KEY_BYTES:
        return ""
    return f"invalid key for queue encryption: {size} bytes, {QUEUE_KEY_BYTES} are wanted"


def protocols_fault(text: str) -> tuple[str, str]:
    """What is wrong with a `protocols` string and a hint, "" when nothing is."""
    word = unknown_protocol(text)
    if word:
        return f'failed to parse protocols "{text}"', did_you_mean(word.removeprefix("!"), PROTOCOLS)
    return ("", "") if parse_protocols(text) else (f'protocols "{text}" allow no version of TLS', "")


def ciphers_fault(text: str) -> str:
    """What is wrong with a `ciphers` string, "" when the TLS library finds a cipher for it."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(cipher_string(text))
    except (ssl.SSLError, ValueError):
        return f'no ciphers for "{text}"'
    return ""


def load(
    config: Config, machine: Machine, broken: Collection[tuple[str, str]] = ()
) -> tuple[Config, list[ConfigError]]:
    """The configuration with what its certificate and key files hold, and the faults of these; `broken` are
    entries (kind and name) with a fault already told."""
    errors: list[ConfigError] = []
    pkis: dict[str, Pki] = {}
    cas: dict[str, Ca] = {}
    for name, pki in config.pkis.items():
        if ("pki", name) in broken:
            continue
        try:
            pkis[name] = _load_pki(pki, machine)
        except _Unusable as fault:
            errors.append(_error(pki.place, fault, name))
    for name, ca in config.cas.items():
        if ("ca", name) in broken:
            continue
        try:
            cas[name] = replace(ca, cert=_authorities(f"ca {name}", ca.cert_file, machine))
        except _Unusable as fault:
            errors.append(_error(ca.place, fault, name))
    return (config if errors else replace(config, pkis=pkis, cas=cas)), errors


class _Unusable(Exception):
    """A file holds no certificate or key that can be used: why."""


def _error(place: Place, fault: _Unusable, word: str) -> ConfigError:
    return ConfigError(place.file, place.line, str(fault), word)


def _load_pki(pki: Pki, machine: Machine) -> Pki:
    who = f"pki {pki.name}"
    if not pki.cert_file:
        raise _Unusable(f"{who}: missing certificate file")
    if not pki.key_file:
        raise _Unusable(f"{who}: missing key file")
    cert = _certificates(who, pki.cert_file, machine)
    key = _read(who, pki.key_file, KEY_MODE, machine)
    try:
        try:
            private = serialization.load_pem_private_key(key, None)
        except TypeError:
            # The file is encrypted.
            passphrase = machine.passphrase(pki.name)
            if passphrase is None:
                raise _Unusable(f"{who}: the key in {pki.key_file} needs a passphrase") from None
            private = serialization.load_pem_private_key(key, passphrase)
            key = private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise _Unusable(f"{who}: no usable private key in {pki.key_file}") from None
    public = x509.load_pem_x509_certificates(cert)[0].public_key()
    if _public_bytes(public) != _public_bytes(private.public_key()):
        raise _Unusable(f"{who}: the key in {pki.key_file} is not that of the certificate in {pki.cert_file}")
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert, key)
    except KeyRefused as refused:
        raise _Unusable(f"{who}: TLS takes neither {pki.cert_file} nor its key: {refused}") from None
    return replace(pki, cert=cert, key=key)


def _certificates(who: str, path: str, machine: Machine) -> bytes:
    """The bytes of a file with at least one certificate."""
    data = _read(who, path, CERT_MODE, machine)
    try:
        x509.load_pem_x509_certificates(data)[0].public_key()
    except (ValueError, IndexError, UnsupportedAlgorithm):
        raise _Unusable(f"{who}: no usable certificate in {path}") from None
    return data


def _authorities(who: str, path: str, machine: Machine) -> bytes:
    """The same, and TLS takes all there are."""
    data = _certificates(who, path, machine)
    try:
        load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), data)
    except KeyRefused as refused:
        raise _Unusable(f"{who}: TLS does not take the certificates in {path}: {refused}") from None
    return data


def _read(who: str, path: str, mode: int, machine: Machine) -> bytes:
    try:
        return machine.read_guarded(path, mode)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _Unusable(f"{who}: failed to load {path}: {reason}") from None


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
