"""smtpctl/composition.py."""

import io
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpctl.composition import LINE_SPLIT, BadMessage, Composition, addresses


def compose(data: bytes) -> Composition:
    return Composition(io.BytesIO(data), io.BytesIO())


def content(data: bytes, sender: str = "ann@example.org", fullname: str = "Ann") -> bytes:
    return b"".join(compose(data).lines(sender, fullname))


def without_date(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    dates = [line for line in lines if line.startswith(b"Date: ")]
    assert len(dates) == 1
    lines.remove(dates[0])
    return lines


def test_missing_fields_are_added_behind_the_others() -> None:
    data = b"Subject: hello\nTo: bob@example.net\n\nHi\n"
    assert without_date(content(data)) == [
        b"Subject: hello",
        b"To: bob@example.net",
        b"From: Ann <ann@example.org>",
        b"",
        b"Hi",
        b"",
    ]


def test_what_is_there_stays() -> None:
    data = b"From: x@example.org\nDate: long ago\nMessage-ID: <1@x>\nX-Odd:y\n\nbody\n"
    assert content(data) == data


@pytest.mark.parametrize(
    ("fullname", "shown"),
    [
        ("", b"<ann@example.org>"),
        ("Ann Example", b"Ann Example <ann@example.org>"),
        ("Dr. Ann", b'"Dr. Ann" <ann@example.org>'),
        ('A "B" \\', b'"A \\"B\\" \\\\" <ann@example.org>'),
        ("Ann\nBcc: x", b'"Ann Bcc: x" <ann@example.org>'),
        ("\xc9va", b"\xc3\x89va <ann@example.org>"),
    ],
)
def test_the_name_of_the_author(fullname: str, shown: bytes) -> None:
    assert b"\nFrom: " + shown + b"\n" in b"\n" + content(b"\n", fullname=fullname)


def test_bcc_return_path_and_the_line_of_an_mbox_are_dropped() -> None:
    data = (
        b"From ann Mon Jan  1 00:00:00 2024\nReturn-Path: <x@y>\nTo: a@x\nbCC: b@x,\n\tc@x\nSubject: s\n\n"
        b"From here on: body\n"
    )
    composition = compose(data)
    assert composition.recipients == ["a@x", "b@x", "c@x"]
    lines = without_date(b"".join(composition.lines("s@x", "")))
    assert lines[:3] == [b"To: a@x", b"Subject: s", b"From: <s@x>"]
    assert lines[3:] == [b"", b"From here on: body", b""]


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"", b""),
        (b"\n", b""),
        (b"just text\nmore", b"just text\nmore\n"),
        (b"two words: no field\n", b"two words: no field\n"),
        (b"\nTo: nobody\n", b"To: nobody\n"),
        (b"Subject: s\nno field\nmore\n", b"no field\nmore\n"),
        (b"Subject: s\r\n\r\none\r\n.\r\ntwo", b"one\n.\ntwo\n"),
        (b"Subject: s\n\n\n\nx\n", b"\n\nx\n"),
        (b" folded: into nothing\n", b" folded: into nothing\n"),
    ],
)
def test_where_the_body_begins(data: bytes, body: bytes) -> None:
    assert content(data).partition(b"\n\n")[2] == body


def test_the_author_and_folded_fields() -> None:
    composition = compose(b"From: Ann\n\t<ann@example.org>,\n other@x\nTo: a@x,\n  b@x\nCc: c@x\n\n")
    assert composition.author == "ann@example.org"
    assert composition.recipients == ["a@x", "b@x", "c@x"]
    assert compose(b"Subject: s\n\n").author == ""


def test_long_lines_are_encoded_and_come_back() -> None:
    body = b"x" * 3000 + b"\n= \xff\x00\ttrailing \t\n\nlast"
    data = b"MIME-Version: 1.0\nSubject: s\n\n" + body
    head, _, encoded = content(data).partition(b"\n\n")
    assert head.count(b"MIME-Version") == 1
    assert b"Content-Transfer-Encoding: quoted-printable" in head
    assert all(len(line) < 80 for line in encoded.split(b"\n"))
    assert quopri.decodestring(encoded) == body + b"\n"


def test_long_lines_of_a_message_that_says_how_it_is_encoded_pass() -> None:
    data = b"Content-Transfer-Encoding: 8bit\n\n" + b"x" * 3000 + b"\n"
    assert content(data).endswith(b"\n\n" + b"x" * 3000 + b"\n")


def test_eightbit_is_noticed_wherever_it_is() -> None:
    assert not compose(b"Subject: s\n\nx\n").eightbit
    assert compose(b"Subject: s\n\n\xc3\xa9\n").eightbit
    assert compose(b"Subject: \xc3\xa9\n\n").eightbit


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"Subject: " + b"x" * LINE_SPLIT + b"\n\n", "the field subject has a line that is too long"),
        (b"X: y\n" * 300_000, "header section is too long"),
        (b'To: "ann@example.org\n\n', "syntax error in address"),
        (b"Cc: ann@example.org (comment\n\n", "syntax error in address"),
    ],
)
def test_what_cannot_be_sent(data: bytes, reason: str) -> None:
    with pytest.raises(BadMessage, match=reason):
        compose(data)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"", []),
        (b" ann@example.org ", ["ann@example.org"]),
        (b"ann, bob@x", ["ann", "bob@x"]),
        (b"Ann <ann@x>, Bob <bob@x> junk", ["ann@x", "bob@x"]),
        (b'"Last, First" <a@x>, "b c"@x', ["a@x", '"b c"@x']),
        (b"a@x (work), (home) b@x, c(nested (comment))@x", ["a@x", "b@x", "c@x"]),
        (b'"esc \\" aped" <a@x>, (\\)) b@x', ["a@x", "b@x"]),
        (b"team: a@x, Bob <b@x>;, c@x", ["a@x", "b@x", "c@x"]),
        (b"undisclosed-recipients:;", []),
        (b"<>", []),
        (b",, a@x ,;", ["a@x"]),
        (b"\xc3\xa9@x, \xff@x", ["\xe9@x", "\udcff@x"]),
    ],
)
def test_addresses(value: bytes, found: list[str]) -> None:
    assert addresses(value) == found


@given(st.binary(max_size=200))
def test_any_input_is_taken_or_refused(data: bytes) -> None:
    try:
        composition = compose(data)
    except BadMessage:
        return
    for line in composition.lines("s@x", "n"):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1 or line.startswith(
            tuple(field + b"\n" for field in composition._fields)
        )


@given(st.lists(st.text('abc"\\(), <>', min_size=1, max_size=6), max_size=5))
def test_quoted_local_parts_survive(names: list[str]) -> None:
    quoted = ['"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"@x' for name in names]
    assert addresses(", ".join(quoted).encode()) == quoted
