import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.protocol.table_text import TableText, TableTextError, kind_of, parse


@pytest.mark.parametrize(
    ("text", "kind", "entries"),
    [
        (b"", "hash", {}),
        (b"# nothing\n\n  \n", "hash", {}),
        (b"a\nB\n", "list", {"a": None, "b": None}),
        (b"a b\nC: d\ne:f", "hash", {"a": "b", "c": "d", "e": "f"}),
        (b" a \t b c  \r\n", "hash", {"a": "b c"}),
        (b"a:\tb", "hash", {"a": "b"}),
        (b"a : b", "hash", {"a": ": b"}),
        (b"a\nb c\n", "list", {"a": None, "b c": None}),
        (b"# @list\na b\n", "list", {"a b": None}),
        (b"#@list\na:b\n", "list", {"a:b": None}),
        (b"#  @list \na b\n", "list", {"a b": None}),
        (b"a b\n# @list\nc d\n", "hash", {"a": "b", "c": "d"}),
        (b"[::1] localhost\n[::2]:x\n", "hash", {"[::1]": "localhost", "[::2]": "x"}),
        (b"[::1]\n", "list", {"[::1]": None}),
        (b"# @list\n[::1]/8 x\n", "list", {"[::1]/8 x": None}),
        (b"a b\nA c\n", "hash", {"a": "c"}),
        ("é Ü\n".encode(), "hash", {"é": "Ü"}),
        (b"\xff x", "hash", {"\udcff": "x"}),
        (b":x", "hash", {"": "x"}),
        (b"a\0b\n", "list", {"a": None}),
        (b"k" * 1024 + b" v\na b\n", "hash", {"a": "b"}),
        (b"k" * 1023 + b" v\n", "hash", {"k" * 1023: "v"}),
    ],
)
def test_text(text: bytes, kind: str, entries: dict[str, str | None]) -> None:
    assert parse(text) == TableText(kind, entries)
    assert kind_of(text) == kind


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"a b\nc\n", 2),
        (b"a b\n\n# x\nc:  \n", 4),
        (b"[::1\n", 1),
        (b"a\n[::1\n", 2),
        (b"a:\n", 1),
    ],
)
def test_malformed(text: bytes, line: int) -> None:
    for read in (parse, kind_of):
        with pytest.raises(TableTextError) as caught:
            read(text)
        assert caught.value.line == line


LINE = st.binary(max_size=20).map(lambda line: line.replace(b"\n", b""))


@given(st.lists(LINE, max_size=8))
def test_any_lines(lines: list[bytes]) -> None:
    text = b"\n".join(lines)
    try:
        found = parse(text)
    except TableTextError as error:
        assert 1 <= error.line <= len(lines)
        return
    assert found.kind in ("list", "hash")
    assert all((value is None) == (found.kind == "list") for value in found.entries.values())
    assert parse(text + b"\n") == found


@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9@.]{1,8}", fullmatch=True),
        st.from_regex(r"[a-z][a-z ]{0,5}[a-z]", fullmatch=True),
    )
)
def test_what_is_written_is_read(entries: dict[str, str]) -> None:
    text = "".join(f"{key}:\t{value.strip()}\n" for key, value in entries.items())
    assert parse(text.encode()).entries == {key: value.strip() for key, value in entries.items()}
