"""How a certificate and its key, and the certificates of authorities, get into a TLS context: from memory.

Every key that the daemon uses goes through load_pair(), so that another process can hold the keys one day.
The ssl module takes keys from files alone; ours are memory files, which nobody else can open by a name.
Must not read the configuration's files: who calls has their bytes.
"""

import os
import ssl


class KeyRefused(Exception):
    """The TLS library does not take it; the text says why, without a byte of the key."""


def load_pair(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    """Have `context` show a certificate (PEM, with those that lead to its authority) and prove it with its
    key (PEM, not encrypted). KeyRefused. Needs /proc: call it before the root directory changes.
    """
    descriptors: list[int] = []
    try:
        for name, data in (("smtpd-cert", cert), ("smtpd-key", key)):
            fd = os.memfd_create(name, os.MFD_CLOEXEC)
            descriptors.append(fd)
            os.write(fd, data)
        first, second = (f"/proc/self/fd/{fd}" for fd in descriptors)
        context.load_cert_chain(first, second, password=_no_password)
    except ssl.SSLError as error:
        raise KeyRefused((error.reason or "not usable").replace("_", " ").lower()) from None
    except (OSError, ValueError) as error:
        raise KeyRefused(getattr(error, "strerror", None) or str(error)) from None
    finally:
        for fd in descriptors:
            os.close(fd)


def load_authorities(context: ssl.SSLContext, certificates: bytes) -> None:
    """Have `context` trust these certificates (PEM; what stands between them is passed over). KeyRefused."""
    try:
        context.load_verify_locations(cadata=certificates.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise KeyRefused(getattr(error, "reason", None) or str(error)) from None


def _no_password() -> str:
    # without this, OpenSSL would ask at the terminal
    raise ValueError("the key is encrypted")
