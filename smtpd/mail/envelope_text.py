"""The text of an envelope in the spool: OpenSMTPD's version 3, byte for byte.

Lines of "field: value", each ended by a line feed, in a fixed order; fields that are empty or 0 are left out
where OpenSMTPD leaves them out. What OpenSMTPD 6.8 and 7.8 write is read. Text that is none of this raises
EnvelopeError and nothing else. There is no way to write a line feed in a value: `encode` refuses it.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from . import address
from .address import EMPTY, MailAddress
from .envelope import (
    BOUNCE,
    DELAYED,
    DELIVERED,
    FAILED,
    FLAG_AUTHENTICATED,
    FLAG_BOUNCE,
    FLAG_INTERNAL,
    FLAGS_STORED,
    LIMITS,
    MDA,
    MTA,
    RET_FULL,
    RET_HDRS,
    Envelope,
    too_long,
)

VERSION = 3

TEXT_MAX = 16384
"""Bytes of an envelope's text; OpenSMTPD reads about half of this."""

_TIME_MAX = 2**63 - 1
_BLANKS = " \t\v\f\r"


class EnvelopeError(ValueError):
    """The text is no envelope, or the envelope cannot be written as text. Says why in a few words."""


# text -> Envelope

_TYPES = {name: name for name in (MDA, MTA, BOUNCE)}
_BOUNCE_TYPES = {
    "failed": FAILED,
    "error": FAILED,
    "delayed": DELAYED,
    "warn": DELAYED,
    "delivered": DELIVERED,
    "dsn": DELIVERED,
}
_RETS = {"hdrs": RET_HDRS, "full": RET_FULL}
_FLAGS = {
    "authenticated": FLAG_AUTHENTICATED,
    "bounce": FLAG_BOUNCE,
    "internal": FLAG_INTERNAL,
    "enqueued": 0,  # of old releases, without a meaning now
    "": 0,
}
_NUMBERS = {
    "ctime": ("ctime", _TIME_MAX),
    "last-try": ("last_try", _TIME_MAX),
    "last-bounce": ("last_bounce", _TIME_MAX),
    "ttl": ("ttl", _TIME_MAX),
    "retry": ("retry", 0xFFFF),
    "dsn-notify": ("dsn_notify", 0xFF),
    "esc-class": ("esc_class", 0xFF),
    "esc-code": ("esc_code", 0xFF),
    "bounce-delay": ("bounce_delay", _TIME_MAX),
    "bounce-ttl": ("bounce_ttl", _TIME_MAX),
}
_TEXTS = {name.replace("_", "-"): (name, limit) for name, limit in LIMITS.items()}
_ADDRESSES = ("sender", "rcpt", "dest")
_WORDS = {
    "type": ("type", _TYPES),
    "bounce-type": ("bounce_type", _BOUNCE_TYPES),
    "dsn-ret": ("dsn_ret", _RETS),
}
_FIELDS = frozenset(("version", "flags", "sockaddr", *_NUMBERS, *_TEXTS, *_ADDRESSES, *_WORDS))


def decode(evpid: int, data: bytes) -> Envelope:
    """The envelope `evpid` from the bytes of its file. Raises EnvelopeError."""
    if len(data) > TEXT_MAX:
        raise EnvelopeError("envelope too large")
    fields = _split(data.decode("utf-8", "surrogateescape"))
    version = fields.pop("version", None)
    if version is None:
        raise EnvelopeError("no version")
    if _number("version", version, 64) != VERSION:
        raise EnvelopeError(f"version {version[:20]!r} is not {VERSION}")
    values: dict[str, object] = {}
    for field, text in fields.items():
        if field in _NUMBERS:
            name, most = _NUMBERS[field]
            values[name] = _number(field, text, most)
        elif field in _TEXTS:
            name, limit = _TEXTS[field]
            if len(text) * 3 > limit and len(text.encode("utf-8", "surrogateescape")) > limit:
                raise EnvelopeError(f"{field} too long")
            values[name] = text
        elif field in _ADDRESSES:
            values[field] = _address(field, text)
        elif field in _WORDS:
            name, words = _WORDS[field]
            word = words.get(address.lower(text))
            if word is None:
                raise EnvelopeError(f"bad {field} {text[:40]!r}")
            values[name] = word
        elif field == "flags":
            values["flags"] = _flags(text)
        else:
            values["sockaddr"] = _sockaddr(text)
    if "type" not in values:
        raise EnvelopeError("no type")
    if values["type"] == BOUNCE:
        values.setdefault("bounce_type", FAILED)
    return Envelope(evpid, **values)  # type: ignore[arg-type]


def _split(text: str) -> dict[str, str]:
    if not text.endswith("\n"):
        raise EnvelopeError("the last line has no end" if text else "empty")
    if "\0" in text:
        raise EnvelopeError("a NUL byte")
    fields: dict[str, str] = {}
    for line in text[:-1].split("\n"):
        name, colon, value = line.partition(":")
        if name not in _FIELDS:
            name = address.lower(name.rstrip(_BLANKS))
            if not colon or name not in _FIELDS:
                raise EnvelopeError(f"not a field: {line[:40]!r}")
        elif not colon:
            raise EnvelopeError(f"no value: {line[:40]!r}")
        fields[name] = value.lstrip(_BLANKS)
    return fields


def _number(field: str, text: str, most: int) -> int:
    digits = text[1:] if text[:1] == "+" else text
    if digits.isascii() and digits.isdigit() and len(digits) <= 40:
        number = int(digits)
        if number <= most:
            return number
    raise EnvelopeError(f"bad {field} {text[:40]!r}")


def _address(field: str, text: str) -> MailAddress:
    try:
        return EMPTY if text == "@" else address.parse(text)
    except ValueError:
        raise EnvelopeError(f"{field} too long") from None


def _flags(text: str) -> int:
    flags = 0
    for word in text.replace(",", " ").replace("|", " ").split(" "):
        flag = _FLAGS.get(address.lower(word))
        if flag is None:
            raise EnvelopeError(f"bad flag {word[:40]!r}")
        flags |= flag
    return flags


@lru_cache(maxsize=1024)
def _sockaddr(text: str) -> str:
    if text == "local":
        return text
    try:
        if text.startswith("[") and text.endswith("]"):
            IPv6Address(text[1:-1])
        elif text[:5].lower() == "ipv6:":  # written before release 6.6, read until 6.8
            IPv6Address(text[5:])
            return f"[{text[5:]}]"
        else:
            IPv4Address(text)
    except ValueError:
        raise EnvelopeError(f"bad sockaddr {text[:60]!r}") from None
    return text


# Envelope -> text

_FLAG_TEXTS = {
    flags: " ".join(
        word
        for flag, word in (
            (FLAG_AUTHENTICATED, "authenticated"),
            (FLAG_BOUNCE, "bounce"),
            (FLAG_INTERNAL, "internal"),
        )
        if flags & flag
    )
    for flags in range(FLAGS_STORED + 1)
}


def encode(envelope: Envelope) -> bytes:
    """The bytes of the envelope's file. Raises EnvelopeError when a value cannot be written."""
    e = envelope
    kind = e.type
    # optional lines: "" when OpenSMTPD writes none
    lines = [
        f"version: {VERSION}",
        f"dispatcher: {e.dispatcher}" if e.dispatcher else "",
        f"tag: {e.tag}" if e.tag else "",
        f"type: {kind}",
        f"smtpname: {e.smtpname}" if e.smtpname else "",
        f"helo: {e.helo}" if e.helo else "",
        f"hostname: {e.hostname}" if e.hostname else "",
        f"username: {e.username}" if e.username else "",
        f"errorline: {e.errorline}" if e.errorline else "",
        f"sockaddr: {e.sockaddr}" if e.sockaddr else "",
        f"sender: {e.sender[0]}@{e.sender[1]}",
        f"rcpt: {e.rcpt[0]}@{e.rcpt[1]}",
        f"dest: {e.dest[0]}@{e.dest[1]}",
        f"ctime: {e.ctime}",
        f"last-try: {e.last_try}",
        f"last-bounce: {e.last_bounce}",
        f"ttl: {e.ttl}",
        f"retry: {e.retry}",
        f"flags: {_FLAG_TEXTS[e.flags & FLAGS_STORED]}" if e.flags & FLAGS_STORED else "",
        f"dsn-notify: {e.dsn_notify}",
        f"dsn-ret: {e.dsn_ret}" if e.dsn_ret else "",
        f"dsn-envid: {e.dsn_envid}" if e.dsn_envid else "",
        f"dsn-orcpt: {e.dsn_orcpt}" if e.dsn_orcpt else "",
    ]
    if e.esc_class:
        lines.append(f"esc-class: {e.esc_class}")
        lines.append(f"esc-code: {e.esc_code}")
    if kind == MDA:
        if e.mda_exec:
            lines.append(f"mda-exec: {e.mda_exec}")
        if e.mda_subaddress:
            lines.append(f"mda-subaddress: {e.mda_subaddress}")
        if e.mda_user:
            lines.append(f"mda-user: {e.mda_user}")
    elif kind == BOUNCE:
        if e.bounce_type == DELAYED:
            lines.append(f"bounce-ttl: {e.bounce_ttl}")
            lines.append(f"bounce-delay: {e.bounce_delay}")
        if e.bounce_type not in _BOUNCE_TYPES:
            raise EnvelopeError(f"bad bounce-type {e.bounce_type[:40]!r}")
        lines.append(f"bounce-type: {e.bounce_type}")
    elif kind != MTA:
        raise EnvelopeError(f"bad type {kind[:40]!r}")
    lines = [line for line in lines if line]
    lines.append("")
    text = "\n".join(lines)
    if text.count("\n") != len(lines) - 1 or "\0" in text:
        raise EnvelopeError("a value holds a line feed or NUL")
    if e.dsn_ret and e.dsn_ret not in (RET_HDRS, RET_FULL):
        raise EnvelopeError(f"bad dsn-ret {e.dsn_ret[:40]!r}")
    if min(e.ctime, e.last_try, e.last_bounce, e.ttl, e.bounce_delay, e.bounce_ttl) < 0:
        raise EnvelopeError("a time before 1970")
    if e.sockaddr:
        _sockaddr(e.sockaddr)
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise EnvelopeError("a value is not encodable") from None
    long = too_long(e)
    if long:
        raise EnvelopeError(f"{long} too long")
    return data
