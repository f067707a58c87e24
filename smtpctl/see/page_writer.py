"""A capture as one HTML page without network: pick a mail, zoom, hide a process, click a message for its
fields.

The page (page/) draws what is visible out of columns of numbers. They come in chunks, gzip in base64, so
that the first are on the screen while the last are still being read; payloads are apart, and unpacked when
somebody looks.

What the messages hold is never markup: it is packed, and shown as text by the script. The page's policy
lets nothing be loaded, and no script run but those with the page's own nonce (Content Security Policy 7.1).
"""

import base64
import gzip
import html
import json
import secrets
from array import array
from collections.abc import Iterator
from importlib import resources
from typing import IO, Any

from imsg.fields import Shape
from smtpd.mail.address import MailAddress
from smtpd.mail.ids import format_msgid
from smtpd.messages.catalogue import CATALOGUE

from .drawing import colour_of
from .flow import column_of
from .joining import Message
from .origins import Origins

CHUNK = 20000
MOST_ENDS, MOST_KINDS = 250, 60000
"""Columns of the page hold no more; only a tape full of nonsense has so many."""

IS_REPLY = 16
_DESCRIPTOR = 2
_NONE = 0xFFFFFFFF
_FILES = ("data.js", "view.js", "act.js")

# Names and types of the columns, in the order in which they lie in a chunk: the widest first.
_COLUMNS = (
    ("time", "d"), ("wait", "I"), ("peerid", "I"), ("pid", "I"), ("partner", "i"), ("mail", "I"),
    ("offset", "I"), ("kind", "H"), ("length", "H"), ("size", "H"), ("from", "B"), ("to", "B"),
    ("flags", "B"),
)  # fmt: skip


class _Indexes(dict[Any, int]):
    """Things numbered in the order in which they came; those beyond `most` have the number of the last."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def add(self, thing: Any) -> None:
        if thing not in self and len(self) < self._most:
            self[thing] = len(self)

    def __missing__(self, _thing: Any) -> int:
        return len(self) - 1


class _Mail:
    """A mail in the list. `more`: messages that belong to it beside those that name it first."""

    __slots__ = ("count", "first", "last", "more", "number", "session")

    def __init__(self, number: int, first: int) -> None:
        self.number = number
        self.first = self.last = first
        self.count = 0
        self.session = 0
        self.more: list[int] = []

    def add(self, index: int) -> None:
        self.first = min(self.first, index)
        self.last = max(self.last, index)
        self.count += 1


def write_page(file: IO[str], messages: list[Message], title: str, *, lost: int = 0, pick: str = "") -> None:
    """Write the page. `messages`: in the order of time; `pick`: the msgid (hex) to show first."""
    ends = _Indexes(MOST_ENDS)
    kinds = _Indexes(MOST_KINDS)
    for message in messages:
        ends.add(message.sender)
        ends.add(message.receiver)
        kinds.add(message.number)
    start = messages[0].time if messages else 0
    mails, mail_of = _mails(messages)
    head = {
        "total": len(messages),
        "chunk": CHUNK,
        "start": start / 1e6,
        "startMicro": start // 1000 % 1_000_000,
        "span": max((message.end for message in messages), default=start) - start,
        "lost": lost,
        "pick": pick,
        "ends": list(ends),
        "order": [ends[name] for name in sorted(ends, key=column_of)],
        "used": list(ends.values()),
        "colours": [colour_of(name) for name in ends],
        "kinds": [_kind(number) for number in kinds],
    }
    page = _read("page.html")
    before, after = page.split("@@CHUNKS@@")
    script = "\n".join(_read(name) for name in _FILES)
    before = before.replace("@@STYLE@@", _read("style.css")).replace("@@SCRIPT@@", script)
    nonce = secrets.token_urlsafe(16)
    before = before.replace("@@NONCE@@", nonce)
    after = after.replace("@@NONCE@@", nonce)
    before = before.replace("@@HEAD@@", _json(head)).replace("@@TITLE@@", html.escape(title))
    file.write(before)
    listed = [
        [
            format_msgid(mail.number),
            name,
            f"{mail.session:016x}",
            mail.first,
            mail.last,
            mail.count,
            mail.more,
        ]
        for mail, name in mails
    ]
    file.write(_block("m", json.dumps(listed).encode()) + f'<script nonce="{nonce}">mailList();</script>\n')
    for number, (columns, payloads) in enumerate(_chunks(messages, ends, kinds, mail_of, start)):
        file.write(_block(f"p{number}", payloads))
        file.write(_block(f"c{number}", columns) + f'<script nonce="{nonce}">chunk({number});</script>\n')
    file.write(after)


def _mails(messages: list[Message]) -> tuple[list[tuple[_Mail, str]], array[int]]:
    """The mails with what they are called, and for each message the number of its mail, from 1 on; 0:
    none.
    """
    origins = Origins(most=1 << 62)
    mails: dict[int, _Mail] = {}
    order: dict[int, int] = {}
    of_session: dict[int, list[int]] = {}
    mail_of = array("I", bytes(4 * len(messages)))
    for index, message in enumerate(messages):
        origins.learn(message)
        ids = message.ids
        for position, msgid in enumerate(sorted(ids.msgids)):
            mail = mails.get(msgid)
            if mail is None:
                mail = mails[msgid] = _Mail(msgid, index)
                order[msgid] = len(order)
                for session in ids.sessions:
                    mail.session = session
                    for early in of_session.get(session, ()):
                        mail.more.append(early)
                        mail.add(early)
            mail.add(index)
            if position == 0:
                mail_of[index] = order[msgid] + 1
            else:
                mail.more.append(index)
        if not ids.msgids:
            for session in ids.sessions:
                of_session.setdefault(session, []).append(index)
        for each in (message, message.request, message.reply):
            if each is not None:
                each.forget()
    return [(mail, origins.sender(mail.number)) for mail in mails.values()], mail_of


def _chunks(
    messages: list[Message], ends: "_Indexes", kinds: "_Indexes", mail_of: array[int], start: int
) -> Iterator[tuple[bytes, bytes]]:
    where = {id(message): index for index, message in enumerate(messages)}
    for first in range(0, len(messages), CHUNK):
        columns: dict[str, array[Any]] = {name: array(code) for name, code in _COLUMNS}
        payloads = bytearray()
        for index, message in enumerate(messages[first : first + CHUNK], first):
            partner = message.reply if message.reply is not None else message.request
            waited = message.waited
            payload = message.payload or b""
            for name, value in (
                ("time", float(message.time - start)),
                ("wait", _NONE if waited is None else min(waited, _NONE - 1)),
                ("peerid", message.peerid),
                ("pid", message.pid),
                ("partner", -1 if partner is None else where.get(id(partner), -1)),
                ("mail", mail_of[index]),
                ("offset", len(payloads)),
                ("kind", kinds[message.number]),
                ("length", min(message.length, 0xFFFF)),
                ("size", len(payload)),
                ("from", ends[message.sender]),
                ("to", ends[message.receiver]),
                (
                    "flags",
                    (_DESCRIPTOR if message.descriptor else 0)
                    | (IS_REPLY if message.request is not None else 0),
                ),
            ):
                columns[name].append(value)
            payloads += payload
        yield b"".join(columns[name].tobytes() for name, _ in _COLUMNS), bytes(payloads)


def _kind(number: int) -> dict[str, Any]:
    kind = CATALOGUE.by_number.get(number)
    if kind is None:
        return {"name": f"message {number:#06x}", "fields": []}
    return {"name": kind.name, "fields": [_shape(name, part) for name, part in kind.shape.parts]}


def _shape(name: str, shape: Shape) -> list[Any]:
    """[name, base, what is inside] for data.js."""
    while shape.base == "opt":
        shape = shape.parts[0][1]
    if shape.base == "int":
        return [name, "int", shape.hex_digits]
    if shape.base == "list":
        return [name, "list", _shape("", shape.parts[0][1])]
    if shape.base == "tuple":
        if shape.cls is MailAddress:
            return [name, "address"]
        return [name, "tuple", [_shape(inner, part) for inner, part in shape.parts]]
    return [name, shape.base]


def _block(name: str, data: bytes) -> str:
    packed = base64.b64encode(gzip.compress(data, 6)).decode("ascii")
    return f'<script type="text/plain" id="{name}">{packed}</script>\n'


def _json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value).replace("<", "\\u003c")


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")
