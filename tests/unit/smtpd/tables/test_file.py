import asyncio
from pathlib import Path

import pytest

from smtpd.tables.file import FileTable, TableFault, load, parse


def test_parse() -> None:
    kind, entries = parse(b"# x\nA b\n[::1]\tc\n")
    assert (kind, list(entries)) == ("hash", [("a", "b"), ("[::1]", "c")])
    assert parse(b"")[0] == "hash"
    assert (parse(b"a b", "list")[0], list(parse(b"a b", "list")[1])) == ("list", [("a b", None)])


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"a b\nc\n")
    with pytest.raises(TableFault, match=r"t:2: invalid map entry"):
        load(str(path))
    for other in (str(tmp_path / "nope"), str(tmp_path), "a\0b"):
        with pytest.raises(TableFault):
            load(other)


def test_questions(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"example.org\n*.example.net\n")

    async def ask() -> None:
        table = FileTable("domains", str(path))
        assert table.kind == "list"
        assert await table.check("domain", "EXAMPLE.org") is True
        assert await table.check("domain", "a.example.net") is True
        assert await table.check("domain", "example.net") is False
        assert [await table.fetch("source") for _ in range(3)] == [
            "example.org",
            "*.example.net",
            "example.org",
        ]

    asyncio.run(ask())


def test_update(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"joe jim\n")

    async def ask() -> None:
        table = FileTable("aliases", str(path))
        assert await table.lookup("alias", "joe") == "jim"
        path.write_bytes(b"joe jack\nann joe\n")
        assert await table.lookup("alias", "joe") == "jim"
        assert await table.update() == ""
        assert await table.lookup("alias", "joe") == "jack"
        assert await table.lookup("alias", "ann") == "joe"

    asyncio.run(ask())


def test_a_bad_file_changes_nothing_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"joe jim\n")

    async def ask() -> None:
        table = FileTable("aliases", str(path))
        path.write_bytes(b"joe jack\nann\n")
        assert await table.update() == f"{path}:2: invalid map entry: a key without a value"
        assert await table.lookup("alias", "joe") == "jim"
        path.unlink()
        assert "No such file" in await table.update()
        assert await table.lookup("alias", "joe") == "jim"
        path.write_bytes(b"")
        assert await table.update() == ""
        assert await table.lookup("alias", "joe") is None

    asyncio.run(ask())


def test_a_list_stays_a_list(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"one\n")

    async def ask() -> None:
        table = FileTable("words", str(path))
        path.write_bytes(b"two words\n")
        assert await table.update() == ""
        assert await table.check("string", "two words") is True

    asyncio.run(ask())
