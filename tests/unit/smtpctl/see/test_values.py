"""smtpctl/see/values.py: fields as text and for JSON, secrets masked, nothing that commands a terminal."""

import json
from typing import Any, NamedTuple

import pytest
from traffic import envelope

from imsg.message import I64, U32, Id32, Id64, Opt, kind_of, message
from smtpctl.see.values import LONGEST, MASKED, plain_fields, shown_fields, text_of
from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.links import LOOKUP, PONY


class Inner(NamedTuple):
    name: str
    number: U32


@message(3, PONY, LOOKUP, secret=("password", "key"))
class Everything(NamedTuple):
    password: str
    key: Opt[bytes]
    session: Id64
    msgid: Opt[Id32]
    number: I64
    sure: bool
    data: bytes
    address: MailAddress
    inner: Inner
    many: list[U32]
    envelope: Opt[Envelope]


ITEM = Everything(
    "hunter2",
    b"hunter3",
    7,
    None,
    -5,
    True,
    b"abc",
    MailAddress("a", "b.c"),
    Inner("", 3),
    list(range(10)),
    None,
)


def texts(item: Any = ITEM, *, full: bool = False) -> dict[str, str]:
    return {name: text for name, _, text in shown_fields(kind_of(item), item, full=full)}


def test_as_text() -> None:
    assert texts() == {
        "password": MASKED,
        "key": MASKED,
        "session": "0000000000000007",
        "msgid": "-",
        "number": "-5",
        "sure": "yes",
        "data": "<3 bytes>",
        "address": "a@b.c",
        "inner": "(number=3)",
        "many": "[0, 1, 2, 3, 4, 5, 6, 7, +2]",
        "envelope": "-",
    }
    full = texts(full=True)
    assert full["inner"] == "(name='' number=3)" and full["many"].endswith("8, 9]")
    assert texts(ITEM._replace(address=EMPTY, msgid=0xCB4DE24F))["address"] == "<>"


def test_an_envelope() -> None:
    known = envelope(0xCB4DE24F00000001, "a@b.c", "d@e.f")._replace(errorline="450 \x1b no")
    text = texts(ITEM._replace(envelope=known))["envelope"]
    assert text == r"(cb4de24f00000001 mda a@b.c → d@e.f '450 \x1b no')"
    assert "ttl=345600" in texts(ITEM._replace(envelope=known), full=True)["envelope"]


def test_for_json() -> None:
    found = plain_fields(kind_of(ITEM), ITEM)
    assert json.loads(json.dumps(found)) == {
        "password": MASKED,
        "key": MASKED,
        "session": "0000000000000007",
        "msgid": None,
        "number": -5,
        "sure": True,
        "data": {"bytes": 3},
        "address": "a@b.c",
        "inner": {"name": "", "number": 3},
        "many": list(range(10)),
        "envelope": None,
    }


def test_secrets_are_nowhere() -> None:
    for full in (False, True):
        assert "hunter" not in str(texts(full=full))
    assert "hunter" not in str(plain_fields(kind_of(ITEM), ITEM))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("word", "word"),
        ("/home/you", "/home/you"),
        ("", "''"),
        ("two words", "'two words'"),
        ("a=b", "'a=b'"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("\u202ex", r"'\u202ex'"),
        ("\udcff", r"'\udcff'"),
    ],
)
def test_texts(text: str, shown: str) -> None:
    assert text_of(text) == shown
    assert text_of(text).isprintable()


def test_long_texts_are_cut() -> None:
    assert text_of("x" * 200) == "x" * LONGEST + "…"
    assert text_of("x" * 200, True) == "x" * 200
