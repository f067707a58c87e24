"""Replies of a server: whole, byte by byte, with a tail, hostile; each cutting of a stream gives the same."""

from hypothesis import given
from hypothesis import strategies as st

from smtpd.protocol.smtp.client_reply import MAX_LINE, MAX_LINES, MAX_REPLY, MAX_TEXT, Reply, ReplyReader


def read(data: bytes, step: int = 0) -> tuple[list[Reply], str]:
    reader = ReplyReader()
    replies = []
    for piece in [data[n : n + step] for n in range(0, len(data), step)] if step else [data]:
        replies += reader.feed(piece)
    return replies, reader.error


def test_one_line() -> None:
    assert read(b"250 2.1.0 Ok\r\n") == ([Reply(250, ("2.1.0 Ok",))], "")


def test_lf_only_and_without_text() -> None:
    assert read(b"250\n220 \n") == ([Reply(250, ("",)), Reply(220, ("",))], "")


def test_multi_line_and_tail() -> None:
    reader = ReplyReader()
    assert reader.feed(b"250-mx\r\n250-SIZE 10\r\n250 DSN\r\n22") == [Reply(250, ("mx", "SIZE 10", "DSN"))]
    assert reader.pending
    assert reader.feed(b"1 bye\r\n") == [Reply(221, ("bye",))]
    assert not reader.pending and reader.error == ""


def test_last_line_s_code_counts() -> None:
    assert read(b"250-a\r\n550 b\r\n")[0] == [Reply(550, ("a", "b"))]


def test_unknown_separator_ends_the_reply() -> None:
    assert read(b"250\tok\r\n")[0] == [Reply(250, ("ok",))]


def test_errors_after_whole_replies() -> None:
    assert read(b"250 ok\r\nhello\r\n250 never\r\n") == ([Reply(250, ("ok",))], "Reply code out of range")
    assert read(b"25\r\n") == ([], "Line too short")
    assert read(b"150 x\r\n") == ([], "Reply code out of range")
    assert read(b"600 x\r\n") == ([], "Reply code out of range")
    assert read("２５０ x\r\n".encode()) == ([], "Reply code out of range")
    assert read(b"\r\n") == ([], "Line too short")


def test_bounds() -> None:
    assert read(b"250 " + b"x" * (MAX_LINE - 4) + b"\n")[1] == ""
    assert read(b"250 " + b"x" * (MAX_LINE - 3) + b"\n")[1] == "Line too long"
    assert read(b"250 " + b"x" * (MAX_LINE - 3))[1] == "Line too long"
    assert read(b"250-x\r\n" * MAX_LINES + b"250 x\r\n")[1] == ""
    assert read(b"250-x\r\n" * (MAX_LINES + 1) + b"250 x\r\n")[1] == "Reply too long"
    line = b"250-" + b"x" * 1000 + b"\r\n"
    assert read(line * (MAX_REPLY // 1000 + 1))[1] == "Reply too long"


def test_nothing_after_an_error() -> None:
    reader = ReplyReader()
    reader.feed(b"hello\r\n")
    assert reader.feed(b"250 ok\r\n") == [] and reader.error


def test_discard_forgets_what_is_begun() -> None:
    reader = ReplyReader()
    reader.feed(b"250-a\r\n25")
    reader.discard()
    assert not reader.pending
    assert reader.feed(b"250 b\r\n") == [Reply(250, ("b",))]


def test_text_is_one_printable_line() -> None:
    assert Reply(550, ("5.1.1 no", "5.1.1 such user", "ask")).text() == "550 5.1.1 no such user ask"
    assert Reply(550, ("",)).text() == "550"
    assert Reply(550, ("", "")).text() == "550"
    assert read(b"550 a\tb\x00c\x1b[31m\x7f\r\n")[0][0].text() == "550 a b?c?[31m?"
    assert len(Reply(250, ("x" * 5000,)).text()) == MAX_TEXT
    assert len(Reply(250, ("x" * 800, "y" * 800)).text()) == MAX_TEXT


def test_bytes_that_are_no_utf8_survive() -> None:
    (reply,), _ = read(b"550 caf\xe9 \xc3\xa9\r\n")
    assert reply.text().encode("utf-8", "surrogateescape") == b"550 caf\xe9 \xc3\xa9"


def test_esc() -> None:
    assert Reply(250, ("2.1.5 ok",)).esc() == "2.1.5"
    assert Reply(550, ("5.7.26",)).esc() == "5.7.26"
    assert Reply(550, ("5.07.001 x",)).esc() == "5.7.1"
    assert Reply(250, ("5.1.1 does not fit the code",)).esc() == ""
    assert Reply(250, ("2.1.5ok",)).esc() == ""
    assert Reply(250, ("ok",)).esc() == ""


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_cutting_of_any_bytes(data: bytes, step: int) -> None:
    assert read(data) == read(data, step)


LINES = st.builds(
    lambda code, separator, text: (
        b"%d%c%s\r\n" % (code, separator, text.replace(b"\n", b"").replace(b"\r", b""))
    ),
    st.integers(190, 610),
    st.sampled_from(b" -"),
    st.binary(max_size=20),
)


@given(st.lists(LINES, max_size=12).map(b"".join), st.integers(1, 40))
def test_any_cutting_of_nearly_replies(data: bytes, step: int) -> None:
    replies, error = read(data)
    assert (replies, error) == read(data, step)
    for reply in replies:
        assert 200 <= reply.code <= 599
        assert "\n" not in reply.text() and "\x00" not in reply.text()
