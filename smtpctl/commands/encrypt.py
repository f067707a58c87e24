"""encrypt: a password as crypt(3) stores it, for a table of credentials. Needs no daemon and no rights.

The method is the C library's best (yescrypt where there is one) unless --method names another. JSON: an
object with "hash" for each password. Nothing is kept or logged.
"""

import ctypes
import ctypes.util
import getpass
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from ..invocation import Invocation
from ..matching import Option, Parameter

METHODS = {
    "yescrypt": "$y$",
    "gost-yescrypt": "$gy$",
    "scrypt": "$7$",
    "bcrypt": "$2b$",
    "sha512": "$6$",
    "sha256": "$5$",
}
"""Prefixes of crypt(5)."""

OPTIONS = (
    Option("method", "NAME", f"one of {', '.join(METHODS)}"),
    Option("rounds", "N", "the cost, as the method counts it (crypt(5))"),
)

LONGEST = 512
"""Octets of a passphrase that crypt(3) takes."""

_SETTING_SIZE = 192  # CRYPT_GENSALT_OUTPUT_SIZE


class _CannotEncrypt(Exception):
    """The text says why."""


def encrypt(invocation: Invocation, parameters: Sequence[Parameter], options: Mapping[str, str]) -> int:
    """encrypt [STRING]: without it, a password a line from standard input."""
    method = options.get("method", "")
    rounds = options.get("rounds", "0")
    if method and method not in METHODS:
        return invocation.output.failed(f"no such method: {method}; there are {', '.join(METHODS)}")
    if not (rounds.isascii() and rounds.isdigit() and len(rounds) < 10):
        return invocation.output.failed(f"no number of rounds: {rounds}")
    passwords = iter((os.fsencode(parameters[0].value),)) if parameters else _from_standard_input()
    try:
        library = _library()
        for password in passwords:
            hashed = _hash(library, password, METHODS.get(method), int(rounds))
            invocation.output.row(hashed, {"hash": hashed})
    except _CannotEncrypt as error:
        return invocation.output.failed(str(error))
    return 0


def _from_standard_input() -> Iterator[bytes]:
    """A password a line; from a terminal one, not shown while it is typed."""
    if sys.stdin.isatty():
        yield getpass.getpass().encode("utf-8", "surrogateescape")
        return
    for line in sys.stdin.buffer:
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def _library() -> ctypes.CDLL:
    name = ctypes.util.find_library("crypt") or "libcrypt.so.1"
    try:
        library = ctypes.CDLL(name, use_errno=True)
        library.crypt_gensalt_rn.restype = ctypes.c_char_p
        library.crypt_gensalt_rn.argtypes = (
            ctypes.c_char_p,
            ctypes.c_ulong,
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_int,
        )
        library.crypt.restype = ctypes.c_char_p
        library.crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
    except (OSError, AttributeError):
        raise _CannotEncrypt("no library with crypt_gensalt(3): install libcrypt1 (libxcrypt)") from None
    return library


def _hash(library: ctypes.CDLL, password: bytes, prefix: str | None, rounds: int) -> str:
    if b"\0" in password:
        raise _CannotEncrypt("a password cannot hold a NUL")
    if len(password) > LONGEST:
        raise _CannotEncrypt(f"a password is longer than {LONGEST} bytes")
    setting = ctypes.create_string_buffer(_SETTING_SIZE)
    start = None if prefix is None else prefix.encode()
    if library.crypt_gensalt_rn(start, rounds, None, 0, setting, _SETTING_SIZE) is None:
        raise _CannotEncrypt(f"{prefix or 'the default method'} with {rounds} rounds: {_reason()}")
    hashed: bytes | None = library.crypt(password, setting.value)
    if hashed is None or hashed.startswith(b"*"):
        raise _CannotEncrypt(f"crypt(3): {_reason()}")
    return hashed.decode("ascii")


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
