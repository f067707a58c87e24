"""What happens to a message's header on its way in, and the form of dates."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.protocol import rfc5322
from smtpd.protocol.rfc5322 import LOOP, MALFORMED, HeaderSection, append_domain, date_text


def run(message: bytes, step: int, missing: dict[bytes, bytes] | None = None) -> tuple[bytes, str]:
    """The message cut in pieces of `step` octets, through the header section as content.py leads it."""
    section = HeaderSection(b"d.example", dict(missing or {}))
    out = b""
    for n in range(0, len(message), step):
        piece = message[n : n + step]
        out += piece if section.done else section.feed(piece)
        if section.problem:
            return out, section.problem
    if not section.done:
        out += section.finish()
    return out, section.problem


MESSAGES = [
    (b"A: b\n\nbody\n", b"A: b\n\nbody\n"),
    (b"\nbody: x\n", b"\nbody: x\n"),
    (b"", b""),
    (b"A: b\n", b"A: b\n"),
    (b"A:\n b\n\tc\nD: e\n\n", b"A:\n b\n\tc\nD: e\n\n"),
    (b": empty name\n\n", b": empty name\n\n"),
    (b"A: b\r\n\n", b"A: b\r\n\n"),
    (b"Bcc: x\n y\nA: b\nbCC: z\n\n", b"A: b\n\n"),
    (b"Bcc: x\n y\n\nBcc: z\n", b"\nBcc: z\n"),
    (b"Bcc : x\n\n", b"Bcc : x\n\n"),
    (b"To: x\n\nTo: x\n", b"To: x@d.example\n\nTo: x\n"),
    (
        b"To: x\nCC: y,\n z\nFrom: v <w>\n\n",
        b"To: x@d.example\nCC: y@d.example,\n z@d.example\nFrom: v <w@d.example>\n\n",
    ),
    (b"To: x@y\n\n", b"To: x@y\n\n"),
    (b"to:\n x\n", b"to:\n x@d.example\n"),
    (b"Reply-To: x\nSender: y\n\n", b"Reply-To: x\nSender: y\n\n"),
    (b"To: x", b""),
]


@pytest.mark.parametrize(("message", "expected"), MESSAGES)
@pytest.mark.parametrize("step", [1, 2, 1000])
def test_messages(message: bytes, expected: bytes, step: int) -> None:
    assert run(message, step) == (expected, "")


@pytest.mark.parametrize(
    "message",
    [b" x\n\n", b"\tA: b\n\n", b"no colon\n\n", b"A: b\nno colon\n\n", b"A" * 1024 + b": b\n\n"]
    + [b"To: " + b"x\n " * 40000 + b"\n\n", b"\x00\n\n"],
)
@pytest.mark.parametrize("step", [1000, 1 << 20])
def test_malformed(message: bytes, step: int) -> None:
    assert run(message, step)[1] == MALFORMED


def test_long_fields_pass() -> None:
    message = b"A: " + b"x\n " * 100000 + b"\n\n"
    assert run(message, 1000) == (message, "")
    message = b"A" * 1023 + b": b\n\n"
    assert run(message, 1000) == (message, "")


def test_hops() -> None:
    hop = b"Received: x\n\ty\n"
    assert run(hop * 99 + b"\n" + hop, 1000) == (hop * 99 + b"\n" + hop, "")
    assert run(hop * 50 + b"RECEIVED: x\n" * 50 + b"\n", 1000)[1] == LOOP


MISSING = {b"date": b"Date: now\n", b"message-id": b"Message-ID: <1>\n"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"A: b\n\nc\n", b"A: b\nDate: now\nMessage-ID: <1>\n\nc\n"),
        (b"A: b\n", b"A: b\nDate: now\nMessage-ID: <1>\n"),
        (b"DATE: x\n\n", b"DATE: x\nMessage-ID: <1>\n\n"),
        (b"Message-Id: x\nDate: y\nDate: z\n\n", b"Message-Id: x\nDate: y\nDate: z\n\n"),
        (b"To: a\n", b"To: a@d.example\nDate: now\nMessage-ID: <1>\n"),
        (b"\n", b"Date: now\nMessage-ID: <1>\n\n"),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_missing_fields(message: bytes, expected: bytes, step: int) -> None:
    assert run(message, step, MISSING) == (expected, "")


LISTS = [
    (b" a", b" a@D"),
    (b" a, b@c ,d", b" a@D, b@c ,d@D"),
    (b" A B <a>", b" A B <a@D>"),
    (b" <a >, < b>", b" <a@D >, < b@D>"),
    (b' "A, B" <a>', b' "A, B" <a@D>'),
    (b' "A \\" @, B" <a>', b' "A \\" @, B" <a@D>'),
    (b" a (c@d, (e) \\) f)", b" a@D (c@d, (e) \\) f)"),
    (b" (only)", b" (only)"),
    (b" a\\@b", b" a\\@b@D"),
    (b" group: a, b;, c", b" group: a, b;, c@D"),
    (b" undisclosed-recipients:;", b" undisclosed-recipients:;"),
    (b" <>", b" <>"),
    (b" , ,", b" , ,"),
    (b"", b""),
    # not closed: left alone
    (b" <a", b" <a"),
    (b' "a, b', b' "a, b'),
    (b" a (b, c", b" a (b, c"),
    (b" a\n\t(x\n y),\n b", b" a@D\n\t(x\n y),\n b@D"),
    (b" a b", b" a b@D"),
    (b" <a@b> c", b" <a@b> c"),
    (b" <@x,@y:a@b>", b" <@x,@y:a@b>"),
]


@pytest.mark.parametrize(("value", "expected"), LISTS)
def test_append_domain(value: bytes, expected: bytes) -> None:
    assert append_domain(value, b"D") == expected


PIECES = st.sampled_from([b'"', b"(", b")", b"<", b">", b",", b"@", b":", b";", b"\\", b" ", b"a", b"\n "])


@given(st.lists(PIECES, max_size=24).map(b"".join))
def test_nothing_is_lost(value: bytes) -> None:
    assert append_domain(value, b"\xff").replace(b"@\xff", b"") == value


@given(st.lists(PIECES, max_size=24).map(b"".join))
def test_the_quick_look_agrees(value: bytes) -> None:
    if rfc5322.all_have_domains(value):
        assert append_domain(value, b"D") == value


@given(
    st.lists(
        st.sampled_from([b"To: ", b"a", b"A: ", b"\n", b" ", b"Bcc: ", b"\n\n", b"@", b":"]), max_size=30
    )
)
def test_pieces_do_not_matter(parts: list[bytes]) -> None:
    message = b"".join(parts) + b"\n"
    whole = run(message, len(message))
    for step in (1, 3):
        cut = run(message, step)
        assert cut[1] == whole[1]
        if not whole[1]:
            assert cut == whole


def test_hostile_lists_cost_little() -> None:
    begun = time.process_time()
    run(b"".join(b"To:" + b"(,)<\\" * 12000 + b"\n" for _ in range(30)) + b"\n", 65536)
    run(b"To:" + b"," * 65000 + b"\n\n", 65536)
    assert time.process_time() - begun < 2


def test_date() -> None:
    when = time.struct_time((2024, 3, 1, 8, 5, 9, 4, 61, 0))
    assert date_text(when[:7], 3600, "CET") == "Fri, 1 Mar 2024 08:05:09 +0100 (CET)"
    assert date_text(when[:7], -12600, "NST") == "Fri, 1 Mar 2024 08:05:09 -0330 (NST)"
    assert date_text(when[:7], 0, "UTC") == "Fri, 1 Mar 2024 08:05:09 +0000 (UTC)"
