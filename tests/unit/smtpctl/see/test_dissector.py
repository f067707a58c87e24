"""smtpctl/see/dissector.py: the plugin knows every kind, every field and what is secret."""

import re
from typing import NamedTuple

import pytest

from imsg.message import U32, Catalogue, Id64, Opt, message
from smtpctl.see import dissector
from smtpctl.see.pcapng import ENDS
from smtpd.mail.address import MailAddress
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import LOOKUP, PONY


@message(2, LOOKUP, PONY)
class Checked(NamedTuple):
    reqid: U32
    ok: bool


@message(3, PONY, LOOKUP, reply=Checked, secret=("password",))
class Check(NamedTuple):
    session: Opt[Id64]
    password: str
    addresses: list[MailAddress]


def test_every_kind_is_in_it() -> None:
    text = dissector.lua()
    assert "--[[" not in text
    assert f'local DIGEST = "{CATALOGUE.digest()}"' in text
    found = re.findall(r'^  \[(\d+)\] = \{ name = "(\w+)", reply = (\d+), ', text, re.MULTILINE)
    assert [(int(number), name) for number, name, _ in found] == [
        (number, CATALOGUE.by_number[number].name) for number in sorted(CATALOGUE.by_number)
    ]
    for number, name, reply in found:
        kind = CATALOGUE.by_name[name]
        answer = CATALOGUE.by_number[int(reply)].cls if int(reply) else None
        assert (kind.number, kind.reply) == (int(number), answer)
    for index, end in enumerate(ENDS):
        assert f'[{index}] = "{end}"' in text


def test_a_kind_with_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dissector, "CATALOGUE", Catalogue([Checked, Check]))
    text = dissector.lua()
    assert (
        '  [2] = { name = "Checked", reply = 0, fields = { '
        '{ name = "reqid", base = "int" }, { name = "ok", base = "bool" } } },\n'
        '  [3] = { name = "Check", reply = 2, fields = { '
        '{ name = "session", base = "int", hex = 16 }, '
        '{ name = "password", secret = true, base = "str" }, '
        '{ name = "addresses", base = "list", item = { name = "addresses", base = "tuple", fields = { '
        '{ name = "user", base = "str" }, { name = "domain", base = "str" } } } } } },\n'
    ) in text


def test_brackets_are_balanced() -> None:
    kinds = dissector.lua().split("local KINDS", 1)[1].split("\n}\n", 1)[0]
    assert kinds.count("{") == kinds.count("}") + 1
