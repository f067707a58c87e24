"""The TLS contexts of relay actions: versions, ciphers, our certificate, whom we trust, what we ask of hosts.

Made before the root directory changes, from the configuration that parent read; only the certificates of the
system's authorities are taken in when the first host is to be verified by them, for that takes a while.
Defaults are those of OpenSMTPD's mta_setup_dispatcher.  Nothing here connects.
"""

import ssl
import warnings
from typing import NamedTuple

from smtpd.config.keypair import KeyRefused, load_authorities, load_pair
from smtpd.config.model import Config, RelayAction
from smtpd.config.tls import cipher_string, parse_protocols
from smtpd.mproc.log import Log

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep the certificates of all authorities, after what OpenSSL and $SSL_CERT_FILE say."""

_VERSIONS = {
    "tlsv1.0": (ssl.TLSVersion.TLSv1, ssl.OP_NO_TLSv1),
    "tlsv1.1": (ssl.TLSVersion.TLSv1_1, ssl.OP_NO_TLSv1_1),
    "tlsv1.2": (ssl.TLSVersion.TLSv1_2, ssl.OP_NO_TLSv1_2),
    "tlsv1.3": (ssl.TLSVersion.TLSv1_3, ssl.OP_NO_TLSv1_3),
}


class _Key(NamedTuple):
    ciphers: str
    protocols: str
    pki: str
    ca: str
    verify: bool


class ClientContexts:
    """Contexts by what an action asks for. KeyRefused when a key or certificate cannot be used."""

    def __init__(self, config: Config, log: Log) -> None:
        self._config = config
        self._log = log
        self._made: dict[_Key, ssl.SSLContext] = {}
        self._without_authorities: set[_Key] = set()
        for action in config.actions.values():
            if isinstance(action, RelayAction):
                for verify in (False, True):
                    self._make(_key(config, action, verify))
        self._bundle = _read_bundle() if self._without_authorities else b""

    def find(self, action: RelayAction, verify: bool) -> ssl.SSLContext:
        """For a connection of this action. `verify`: without a certificate that is valid and the host's own
        there is no connection.
        """
        key = _key(self._config, action, verify)
        context = self._made[key]
        if key in self._without_authorities:
            self._without_authorities.discard(key)
            self._trust_the_system(context)
        return context

    def _make(self, key: _Key) -> None:
        if key in self._made:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = key.verify
        context.verify_mode = ssl.CERT_REQUIRED if key.verify else ssl.CERT_NONE
        context.options |= ssl.OP_NO_RENEGOTIATION
        set_versions(context, parse_protocols(key.protocols))
        context.set_ciphers(cipher_string(key.ciphers))
        if key.pki:
            pki = self._config.pkis[key.pki]
            load_pair(context, pki.cert, pki.key)
        if key.verify and key.ca:
            load_authorities(context, self._config.cas[key.ca].cert)
        elif key.verify:
            self._without_authorities.add(key)
        self._made[key] = context

    def _trust_the_system(self, context: ssl.SSLContext) -> None:
        fault = "there is none"
        if self._bundle:
            try:
                load_authorities(context, self._bundle)
                return
            except KeyRefused as refused:
                fault = str(refused)
        self._log.warn(f"the system's certificate authorities: {fault}: no host can be verified by them")


def set_versions(context: ssl.SSLContext, versions: frozenset[str]) -> None:
    """Allow these versions of TLS and no other; `versions` as parse_protocols has them, at least one."""
    with warnings.catch_warnings():
        # who asks for the old ones by their name gets them
        warnings.simplefilter("ignore", DeprecationWarning)
        allowed = [version for name, (version, _) in _VERSIONS.items() if name in versions]
        context.minimum_version, context.maximum_version = allowed[0], allowed[-1]
        for name, (version, option) in _VERSIONS.items():
            if name not in versions and allowed[0] < version < allowed[-1]:
                context.options |= option


def _key(config: Config, action: RelayAction, verify: bool) -> _Key:
    ciphers = action.tls_ciphers or config.smtp.ciphers
    return _Key(ciphers, action.tls_protocols, action.pki, action.ca if verify else "", verify)


def _read_bundle() -> bytes:
    """The certificates of the system's authorities, b"" when there are none."""
    for path in (ssl.get_default_verify_paths().cafile, *BUNDLES):
        if path:
            try:
                with open(path, "rb") as file:
                    return file.read()
            except OSError:
                continue
    return b""
