"""Fields of a message as text: ids in hex, addresses as addresses, what is empty left out, nothing that
commands a terminal.
"""

import re
from collections.abc import Iterator
from typing import Any

from imsg.fields import Shape
from imsg.message import Kind
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope

MASKED = "***"
LONGEST = 96
"""Characters of a text that are shown."""

_PLAIN = re.compile(r"[^\s'\"()\[\]=,]+")


def shown_fields(kind: Kind, fields: Any, *, full: bool = False) -> Iterator[tuple[str, Shape, str]]:
    """Name, shape and text of each field. `full`: also what is empty in nested ones, and long texts whole."""
    for (name, shape), value in zip(kind.fields, fields, strict=True):
        yield name, shape, MASKED if name in kind.secret else shown(shape, value, full=full)


def shown(shape: Shape, value: Any, *, full: bool = False) -> str:
    """A value as text."""
    if value is None:
        return "-"
    match shape.base:
        case "opt":
            return shown(shape.parts[0][1], value, full=full)
        case "tuple":
            if shape.cls is MailAddress:
                return text_of(_address(value), full)
            if shape.cls is Envelope and not full:
                return _envelope(value)
            words = (
                f"{name}={shown(part, item, full=full)}"
                for (name, part), item in zip(shape.parts, value, strict=True)
                if full or not _empty(item)
            )
            return f"({' '.join(words)})"
        case "list":
            most = len(value) if full else 8
            items = [shown(shape.parts[0][1], item, full=full) for item in value[:most]]
            return f"[{', '.join(items)}{f', +{len(value) - most}' if len(value) > most else ''}]"
        case "bytes":
            return f"<{len(value)} bytes>"
        case "int":
            return f"{value:0{shape.hex_digits}x}" if shape.hex_digits else str(value)
        case "bool":
            return "yes" if value else "no"
        case _:
            return text_of(value, full)


def _address(value: MailAddress) -> str:
    return f"{value.user}@{value.domain}" if value.domain or value.user else "<>"


def _envelope(value: Envelope) -> str:
    """Of its many fields those that tell it from others."""
    ways = dict.fromkeys(_address(each) for each in (value.sender, value.rcpt, value.dest))
    words = [f"{value.evpid:016x}", value.type, " → ".join(text_of(way) for way in ways)]
    if value.errorline:
        words.append(text_of(value.errorline))
    return f"({' '.join(word for word in words if word)})"


def plain_value(shape: Shape, value: Any) -> Any:
    """A value for JSON: ids as hex text, bytes as their number, addresses as text."""
    if value is None or shape.base in ("bool", "str"):
        return value
    match shape.base:
        case "opt":
            return plain_value(shape.parts[0][1], value)
        case "tuple":
            if shape.cls is MailAddress:
                return f"{value.user}@{value.domain}" if value.domain or value.user else ""
            return {
                name: plain_value(part, item) for (name, part), item in zip(shape.parts, value, strict=True)
            }
        case "list":
            return [plain_value(shape.parts[0][1], item) for item in value]
        case "bytes":
            return {"bytes": len(value)}
        case _:
            return f"{value:0{shape.hex_digits}x}" if shape.hex_digits else value


def plain_fields(kind: Kind, fields: Any) -> dict[str, Any]:
    """All fields of a message for JSON; secret ones masked."""
    return {
        name: MASKED if name in kind.secret else plain_value(shape, value)
        for (name, shape), value in zip(kind.fields, fields, strict=True)
    }


def text_of(text: str, full: bool = False) -> str:
    """A text as it is, if it is one plain word; quoted otherwise, and cut if it is long."""
    if len(text) > LONGEST and not full:
        text = text[:LONGEST] + "…"
    return text if text.isprintable() and _PLAIN.fullmatch(text) else repr(text)


def _empty(value: Any) -> bool:
    """Not worth showing: zero, no, an empty text or list, an address without anything."""
    return not value or (isinstance(value, tuple) and not any(value))
