"""The Sender Rewriting Scheme as OpenSMTPD speaks it (srs.c): forwarded mail leaves under an address of ours.

    SRS0=HHHH=TT=domain=user@forwarder                     the first to forward
    SRS1=HHHH=first-forwarder==HHHH=TT=domain=user@us      those after it

HHHH: the first four characters of SHA-1 over key and rest, in URL-safe base64. TT: days since 1970, modulo
1024, two digits of base 32. Written addresses have "=" for a separator; what is read may have "+" or "-"
where that cannot be told from what was hashed. Which mail is rewritten is not decided here.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode

from smtpd.mail.address import MailAddress, parse

HASH_CHARACTERS = 4
ADDRESS_MAX = 255
"""Bytes of a rewritten address; a sender that would need more keeps its own."""

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_DAYS = 1024
_SEPARATORS = "=+-"
_SKIP = HASH_CHARACTERS + 1
_FUTURE_DAYS = 1
"""A time stamp may be so far ahead: the clocks of two hosts."""


class SrsError(ValueError):
    """The address looks rewritten, but not by us, or too long ago; the text says which."""


def is_rewritten(user: str) -> bool:
    """Whether a local part begins as a rewritten one."""
    return user[:5].upper() in ("SRS0=", "SRS1=")


def encode(sender: str, domain: str, key: str, day: int) -> str:
    """The address to forward mail from `sender` under. `domain`: of the address it was sent to here; `day`:
    days since 1970.

    The sender itself where the rewritten address would be too long, or where what looks like SRS1 is not.
    """
    try:
        address = parse(sender[5:] if is_rewritten(sender) else sender)
    except ValueError:
        return sender
    kind = sender[:5].upper()
    prefix = "SRS1="
    if kind == "SRS0=":
        rest = f"{address.domain}=={address.user}@{domain}"
    elif kind == "SRS1=":
        whole = f"{address.user}@{domain}"
        if len(whole) < _SKIP or whole[HASH_CHARACTERS] not in _SEPARATORS:
            return sender
        rest = whole[_SKIP:]
    else:
        prefix = "SRS0="
        stamp = _DIGITS[day % _DAYS >> 5] + _DIGITS[day & 31]
        rest = f"{stamp}={address.domain}={address.user}@{domain}"
    made = f"{prefix}{_hash(key, rest)}={rest}"
    return sender if len(_bytes(made)) > ADDRESS_MAX else made


def decode(address: MailAddress, keys: tuple[str, ...], ttl_days: int, day: int) -> MailAddress:
    """The address behind a rewritten one; for SRS1, the SRS0 address at the first forwarder.

    `keys`: any of them may have been used. `day`: days since 1970. SrsError.
    """
    kind, text = address.user[:5].upper(), str(address)[5:]
    digest, rest = text[:HASH_CHARACTERS], text[_SKIP:]
    if not is_rewritten(address.user) or len(text) < _SKIP:
        raise SrsError("not a rewritten address")
    if not any(hmac.compare_digest(_bytes(_hash(key, rest)), _bytes(digest)) for key in keys):
        raise SrsError("the hash is not ours")
    if kind == "SRS0=":
        if len(rest) < 3:
            raise SrsError("no time stamp")
        stamp, rest = rest[:2], rest[3:]
    try:
        inner = parse(rest)
    except ValueError as error:
        raise SrsError(str(error)) from None
    domain, separator, user = inner.user.partition("=")
    if not separator:
        raise SrsError("no separator")
    if kind == "SRS1=":
        # "=HHHH=TT=...": the hash is the first forwarder's, who alone can check it
        stamp, end = user[6:8], user[8:9]
        if not end or end not in _SEPARATORS:
            raise SrsError("no time stamp")
        user = f"SRS0{user}"
    _check_age(stamp, ttl_days, day)
    if len(_bytes(user)) + len(_bytes(domain)) + 1 > ADDRESS_MAX:
        raise SrsError("address too long")
    return MailAddress(user, domain)


def _check_age(stamp: str, ttl_days: int, day: int) -> None:
    high, low = _DIGITS.find(stamp[0]), _DIGITS.find(stamp[1])
    if high < 0 or low < 0:
        raise SrsError("no time stamp")
    age = (day - (high << 5 | low)) % _DAYS
    if age > ttl_days and age < _DAYS - _FUTURE_DAYS:
        raise SrsError(f"{age} days old")


def _hash(key: str, rest: str) -> str:
    # SHA-1 is the scheme's; four characters of it decide over a bounce, not over a secret
    digest = hashlib.sha1(_bytes(key) + _bytes(rest), usedforsecurity=False).digest()
    return urlsafe_b64encode(digest)[:HASH_CHARACTERS].decode("ascii")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
