"""smtpctl/output.py."""

import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpctl.output import Output, cut, duration, plural, printable, screened, vis


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


def test_what_nobody_takes_goes_nowhere() -> None:
    """Not even what lies in a buffer is waited for."""
    pipes = [os.pipe() for _ in range(2)]
    streams = [io.TextIOWrapper(open(writing, "wb")) for _, writing in pipes]
    for _, writing in pipes:
        os.set_blocking(writing, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
    output = Output(out=streams[0], err=streams[1])
    output.text("one")
    output.abandon()
    output.flush()
    with pytest.raises(BlockingIOError):
        output.complain("two" * 10000)
    output.abandon(complaints=True)
    output.complain("three")
    for stream, (reading, _) in zip(streams, pipes, strict=True):
        stream.close()
        with open(reading, "rb") as left:
            assert set(left.read()) == {ord("x")}


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
    assert all(char.isprintable() or char == "\t" or "\udc80" <= char <= "\udcff" for char in printable(text))


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 40, **environment: str) -> Output:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Output(out=Terminal(io.BytesIO(), encoding="utf-8", write_through=True))


def written(output: Output) -> str:
    data = output._out.buffer
    assert isinstance(data, io.BytesIO)
    return data.getvalue().decode()


def test_lines_without_a_terminal_are_plain_and_whole() -> None:
    streams = Streams()
    streams.output.line("x " * 100, "good")
    streams.output.line("\x1b[2J", "bad")
    assert streams.out == "x " * 100 + "\n\\x1b[2J\n"
    assert streams.output.width == 0
    assert Streams(as_json=True).output.line("x") is None


def test_lines_on_a_terminal_are_folded_below_their_indentation(monkeypatch: pytest.MonkeyPatch) -> None:
    output = on_a_terminal(monkeypatch)
    output.line("  rule 1 does not match: from-src with something long")
    output.line("")
    output.line("  " + "x" * 50)
    lines = written(output).split("\n")
    assert lines[:3] == ["  rule 1 does not match: from-src with", "      something long", ""]
    assert all(len(line) <= 40 for line in lines)


@given(st.text(max_size=200))
def test_no_line_is_longer_than_the_terminal_and_nothing_is_lost(text: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        output = on_a_terminal(monkeypatch)
        encodable = text.encode("utf-8", "replace").decode()
        output.line(encodable)
        lines = written(output).split("\n")
    assert all(len(line) <= 40 for line in lines)
    assert "".join("".join(lines).split()) == "".join(printable(encodable).split())


def test_styles_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    output = on_a_terminal(monkeypatch)
    output.line("yes", "good")
    output.line("plain")
    assert written(output) == "\x1b[32myes\x1b[m\nplain\n"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_styles_where_they_are_not_wanted(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    output = on_a_terminal(monkeypatch, **environment)
    output.line("yes", "good")
    assert written(output) == "yes\n"


class Screen(io.TextIOWrapper):
    """A terminal of 40 columns and 5 lines that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="", write_through=True)

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        self.flush()
        self.seek(0)
        return self.read()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "5")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Screen()


def test_progress_is_for_terminals(terminal: Screen) -> None:
    Output(err=terminal).progress("a\x07")
    assert terminal.text() == "\ra\\x07\x1b[K"
    silent = Screen()
    Output(err=silent, as_json=True).progress("a")
    assert silent.text() == ""
    pipe = io.TextIOWrapper(io.BytesIO())
    Output(err=pipe).progress("a")
    pipe.flush()
    assert pipe.buffer.getvalue() == b""  # type: ignore[attr-defined]


def test_a_screen_is_painted_over(terminal: Screen) -> None:
    output = Output(out=terminal)
    with output.screen():
        output.row("one", {})
        output.text("two")
    assert terminal.text() == "\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J"


def test_a_screen_holds_so_many_lines(terminal: Screen) -> None:
    output = Output(out=terminal)
    with output.screen():
        for number in range(9):
            output.row(str(number), {})
    lines = terminal.text().splitlines()
    assert [line.partition("\x1b[K")[0] for line in lines[:4]] == [
        "\x1b[H0",
        "1",
        "2",
        "\x1b[2m... 6 more lines\x1b[m",
    ]
    assert lines[4:] == ["\x1b[J"]


def test_an_error_leaves_the_screen_as_it_is(terminal: Screen) -> None:
    output = Output(out=terminal)
    with pytest.raises(KeyError), output.screen():
        output.row("one", {})
        raise KeyError
    assert terminal.text() == ""
    output.row("two", {})
    assert terminal.text() == "two\n"


def test_without_a_terminal_a_screen_is_nothing_special(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    for _ in range(2):
        with output.screen():
            output.row("one", {})
    assert capsys.readouterr().out == "one\none\n"


def test_styles(terminal: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Output(out=terminal).styled("a\x1b", "bad") == "\x1b[31ma\\x1b\x1b[m"
    assert Output(out=terminal).styled("a", "") == "a"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Output(out=terminal).styled("a", "bad") == "a"
    assert Output().styled("a", "bad") == "a"


def test_bytes_at_a_terminal_command_nothing(terminal: Screen) -> None:
    output = Output(out=terminal)
    pieces = [b"Subject: \x1b[31mred\nM\xc3", b"\xbcnchen \x9b2J\xff\rover\n", b"\ttab \x1b]0;title\x07"]
    output.raw(pieces)
    output.row("a \udc9b31m \x9b \u202e", {})
    shown = ["Subject: \\x1b[31mred", "München \\x9b2J\\xff\\x0dover"]
    shown += ["\ttab \\x1b]0;title\\x07a \\x9b31m \\x9b \\x202e", ""]
    assert terminal.text().split("\n") == shown


def test_screened_and_printable_differ_in_bytes_that_are_no_text() -> None:
    assert printable("a\udcff\x1b") == "a\udcff\\x1b"
    assert screened("a\udcff\x1b") == "a\\xff\\x1b"
    assert screened("grüße") == printable("grüße") == "grüße"


def test_a_screen_has_no_line_that_is_longer_than_it_is_wide(terminal: Screen) -> None:
    output = Output(out=terminal)
    with output.screen():
        output.row("x" * 50, {})
        output.text(output.styled("y" * 50, "bad"))
    assert terminal.text() == f"\x1b[H{'x' * 40}\x1b[K\n\x1b[31m{'y' * 40}\x1b[m\x1b[K\n\x1b[J"


@pytest.mark.parametrize(
    ("line", "columns", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        ("日本語", 5, "日本"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("\x1b[1mab\x1b[mcd", 3, "\x1b[1mab\x1b[mc"),
        ("\x1b[1mabc\x1b[m", 1, "\x1b[1ma\x1b[m"),
        ("", 0, ""),
    ],
)
def test_cut(line: str, columns: int, shown: str) -> None:
    assert cut(line, columns) == shown


def test_after_an_interruption_a_line_begins(terminal: Screen) -> None:
    output = Output(out=terminal)
    output.text(output.styled("half", "bad")[:-3])
    output.interrupted()
    assert terminal.text() == "\x1b[31mhalf\n\x1b[m\n"
    errors = Screen()
    pipe = io.TextIOWrapper(io.BytesIO())
    Output(out=pipe, err=errors).interrupted()
    assert errors.text() == "\n"
