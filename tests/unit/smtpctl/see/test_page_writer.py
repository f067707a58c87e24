"""smtpctl/see/page_writer.py: one file without network, with all messages in it, whatever they hold."""

import base64
import gzip
import json
import re
from array import array
from html.parser import HTMLParser
from io import StringIO
from typing import Any

import pytest
from traffic import MESSAGES_OF_A_MAIL, START, Traffic

from smtpctl.see import page_writer
from smtpctl.see.flow import join
from smtpctl.see.joining import Message
from smtpctl.see.page_writer import IS_REPLY, write_page
from smtpctl.see.seen import Seen

MSGID, SESSION = 0xCB4DE24F, 0xCA5D4878260E45A8
COLUMNS = [(name, code, array(code).itemsize) for name, code in page_writer._COLUMNS]


class Page(HTMLParser):
    """Elements that were begun, and the text of scripts by their id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, str] = {}
        self._id = ""
        self.title = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._id = dict(attrs).get("id") or tag

    def handle_data(self, data: str) -> None:
        self.blocks[self._id] = self.blocks.get(self._id, "") + data

    def unpacked(self, name: str) -> bytes:
        return gzip.decompress(base64.b64decode(self.blocks[name]))

    def columns(self, number: int, count: int) -> dict[str, "array[Any]"]:
        data, at = self.unpacked(f"c{number}"), 0
        found = {}
        for name, code, size in COLUMNS:
            found[name] = array(code, data[at : at + size * count])
            at += size * count
        assert at == len(data)
        return found


def page_of(messages: list[Message], title: str = "t", **more: Any) -> Page:
    file = StringIO()
    write_page(file, messages, title, **more)
    assert "@@" not in re.sub(r"[\w+/=]{100,}", "", file.getvalue())
    return Page(file.getvalue())


def mail() -> list[Message]:
    return join(Traffic().mail(MSGID, SESSION))


def test_no_network() -> None:
    page = page_of(mail())
    policy = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy and (policy[0] or "").startswith("default-src 'none'") and "unsafe" not in (policy[0] or "")
    for tag, attributes in page.elements:
        if tag in ("script", "style") and attributes.get("type") is None:
            assert attributes["nonce"] and f"'nonce-{attributes['nonce']}'" in (policy[0] or "")
        assert tag not in ("link", "img", "iframe", "base") and not {"src", "href"} & attributes.keys()
    assert "//" not in re.sub(r"(?m)//[ /].*$", "", page.blocks["style"])


def test_what_is_in_it() -> None:
    messages = mail()
    page = page_of(messages, lost=3, pick="cb4de24f")
    head = json.loads(page.blocks["head"])
    assert (head["total"], head["lost"], head["pick"]) == (MESSAGES_OF_A_MAIL, 3, "cb4de24f")
    assert head["start"] == START / 1e6
    columns = page.columns(0, MESSAGES_OF_A_MAIL)
    payloads = page.unpacked("p0")
    for index, message in enumerate(messages):
        assert head["kinds"][columns["kind"][index]]["name"] == message.name
        ends = head["ends"][columns["from"][index]], head["ends"][columns["to"][index]]
        assert ends == (message.sender, message.receiver)
        offset = columns["offset"][index]
        assert payloads[offset : offset + columns["size"][index]] == message.payload
        assert bool(columns["flags"][index] & IS_REPLY) == (message.request is not None)
    assert columns["partner"][2] == 3 and columns["partner"][3] == 2
    ((msgid, sender, session, first, last, count, _more),) = json.loads(page.unpacked("m"))
    assert (msgid, session) == ("cb4de24f", "ca5d4878260e45a8") and "a@b.example" in sender
    assert (first, last, count) == (0, MESSAGES_OF_A_MAIL - 1, MESSAGES_OF_A_MAIL)


def test_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_writer, "CHUNK", 10)
    page = page_of(mail())
    assert [len(page.columns(number, count)["time"]) for number, count in enumerate((10, 10, 7))] == [
        10,
        10,
        7,
    ]


def test_hostile_strings_stay_text() -> None:
    hostile = '</script><script>"&'
    page = page_of([Message(Seen(1, hostile, "pony", 0, 0xFFF0, 16, 1, 2, b"</script>"))], hostile)
    plain = page_of([Message(Seen(1, "queue", "pony", 0, 0xFFF0, 16, 1, 2, b""))])
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert page.blocks["title"].strip() == hostile
    assert hostile in json.loads(page.blocks["head"])["ends"]


def test_a_length_that_lies() -> None:
    page_of([Message(Seen(1, "queue", "pony", 0, 0xFFF0, 0xFFFFFFFF, 1, 2, b""))])


def test_more_names_and_kinds_than_columns_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_writer, "MOST_KINDS", 300)
    messages = [
        Message(Seen(1, f"x{number}", "pony", 0, 0x10000 + number, 16, 1, 2, b"")) for number in range(400)
    ]
    page = page_of(messages)
    head, columns = json.loads(page.blocks["head"]), page.columns(0, 400)
    assert (len(head["ends"]), len(head["kinds"])) == (page_writer.MOST_ENDS, 300)
    assert columns["kind"][299:] == array("H", [299] * 101) and columns["kind"][5] == 5
    assert max(columns["from"]) < page_writer.MOST_ENDS


def test_nothing() -> None:
    page = page_of([])
    assert json.loads(page.blocks["head"])["total"] == 0 and json.loads(page.unpacked("m")) == []
