"""smtpctl/output.py."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpctl.output import Output, duration, plural, printable, vis


class Streams:
    def __init__(self, *, as_json: bool = False) -> None:
        self.bytes, self.errors = io.BytesIO(), io.BytesIO()
        wrap = {"encoding": "utf-8", "errors": "surrogateescape", "write_through": True}
        self.output = Output(
            as_json=as_json,
            out=io.TextIOWrapper(self.bytes, **wrap),  # type: ignore[arg-type]
            err=io.TextIOWrapper(self.errors, **wrap),  # type: ignore[arg-type]
        )

    @property
    def out(self) -> str:
        return self.bytes.getvalue().decode("utf-8", "surrogateescape")


def test_text() -> None:
    streams = Streams()
    streams.output.row("one|two", {"a": 1})
    streams.output.row(["three", "four"], {})
    streams.output.row([], {})
    streams.output.text("five")
    assert streams.output.done("command succeeded") == 0
    assert streams.output.failed("") == 1
    assert streams.output.failed("no \x1b[2J") == 1
    streams.output.raw([b"\xff\x00", b"\n"])
    streams.output.complain("wrong\nline")
    lines = ("one|two", "three", "four", "five", "command succeeded", "command failed")
    assert streams.out == "\n".join(lines) + "\ncommand failed: no \\x1b[2J\n\udcff\x00\n"
    assert streams.errors.getvalue() == b"wrong\\x0aline\n"


def test_json_is_an_object_a_line() -> None:
    streams = Streams(as_json=True)
    streams.output.row("one|two", {"a": 1, "b": "caf\xe9\udcff\n", "c": None})
    streams.output.text("a heading")
    streams.output.done("2 envelopes removed", 2)
    streams.output.failed("no such thing")
    assert [json.loads(line) for line in streams.out.splitlines()] == [
        {"a": 1, "b": "caf\xe9\udcff\n", "c": None},
        {"done": True, "number": 2},
        {"done": False, "error": "no such thing"},
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Connection refused", "Connection refused"),
        ("a|b\tc", "a|b\tc"),
        ("back\\slash", "back\\\\slash"),
        ("\x00\x1b\x7f\r", "\\^@\\^[\\^?\\^M"),
        ("\xe9", "\\M-C\\M-)"),
        ("\udcff\udc80\udca0", "\\M^?\\M^@\\240"),
    ],
)
def test_vis(text: str, shown: str) -> None:
    assert vis(text) == shown


@given(st.binary())
def test_vis_is_ascii_and_loses_nothing(data: bytes) -> None:
    shown = vis(data.decode("utf-8", "surrogateescape"))
    assert shown.isascii()
    assert all(char.isprintable() or char in "\t\n" for char in shown)
    assert unvis(shown) == data


def unvis(text: str) -> bytes:
    """strunvis(3) for what vis writes."""
    out = bytearray()
    i = 0
    while i < len(text):
        if text[i] != "\\":
            out.append(ord(text[i]))
            i += 1
        elif text[i + 1] == "\\":
            out.append(ord("\\"))
            i += 2
        elif text[i + 1].isdigit():
            out.append(int(text[i + 1 : i + 4], 8))
            i += 4
        else:
            meta = 0x80 if text[i + 1] == "M" else 0
            i += 2 if meta else 1
            if text[i] == "-":
                out.append(meta | ord(text[i + 1]))
            else:
                out.append(meta | (0x7F if text[i + 1] == "?" else ord(text[i + 1]) - 0x40))
            i += 2
    return bytes(out)


def test_durations_as_opensmtpd_writes_them() -> None:
    times = {0: "0s", 59: "59s", 60: "1m", 3661: "1h1m1s", 86400: "1d", 90061: "1d1h1m1s", -61: "-1m1s"}
    assert {seconds: duration(seconds) for seconds in times} == times


def test_plural() -> None:
    assert [plural(number, "envelope") for number in (0, 1, 2)] == ["0 envelope", "1 envelope", "2 envelopes"]


@given(st.text())
def test_printable_never_holds_a_control_character(text: str) -> None:
    assert all(char.isprintable() or "\udc80" <= char <= "\udcff" for char in printable(text))
