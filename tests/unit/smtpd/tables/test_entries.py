import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.tables import entries as entries_module
from smtpd.tables.entries import Entries, entries_of

TEXT = st.text(st.characters(exclude_characters="\0"), max_size=6)


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "ab", "b", "é", "\udcff", "a\n"]) | TEXT, st.none() | TEXT))
)
def test_against_a_dict(pairs: list[tuple[str, str | None]]) -> None:
    entries = entries_of(pairs)
    expected = dict(pairs)
    assert list(entries) == list(expected.items())
    assert len(entries) == len(expected)
    for number, (key, value) in enumerate(expected.items()):
        assert entries.find(key) == entries.at(number) == (key, value)
    for key in ("c", "a\0", "\0", "abc", "aa"):
        assert entries.find(key) == ((key, expected[key]) if key in expected else None)


def test_nul_is_left_out() -> None:
    assert list(entries_of([("a\0b", None), ("a", "b\0c"), ("d", None)])) == [("d", None)]


def test_empty() -> None:
    entries = Entries([])
    assert (len(entries), list(entries), entries.find("")) == (0, [], None)


def test_a_million_would_be_compact() -> None:
    entries = Entries((b"user%05d@example.org" % number, b"box") for number in range(50_000))
    assert entries.find("user49999@example.org") == ("user49999@example.org", "box")
    assert entries.size / 50_000 < 50


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries_module, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        Entries([(b"12345678", None), (b"12345678", None), (b"x", None)])
