import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from smtpd.protocol.berkeley_hash import write
from smtpd.tables import db
from smtpd.tables.db import DbTable
from smtpd.tables.file import TableFault
from smtpd.tables.service import TemporaryFailure


def put(path: Path, pairs: dict[str, str]) -> None:
    """A new file under the name, as makemap does it."""
    data = write((f"{key}\0".encode(), f"{value}\0".encode()) for key, value in pairs.items())
    new = path.with_name("new")
    new.write_bytes(data)
    os.replace(new, path)


def test_questions(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    put(path, {"joe": "jim", "@example.org": "all", "*.example.net": "<set>"})

    async def ask() -> None:
        table = DbTable("t", str(path))
        assert await table.lookup("alias", "JOE") == "jim"
        assert await table.lookup("alias", "ann") is None
        assert await table.check("mailaddr", "x@example.org") is True
        assert await table.check("domain", "a.example.net") is True
        assert await table.lookup("domain", "a.example.net") == ""
        assert await table.fetch("source") in ("joe", "@example.org", "*.example.net")
        await table.close()

    asyncio.run(ask())


def test_another_file_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.db"
    put(path, {"joe": "jim"})
    reads = []
    load = db.load
    monkeypatch.setattr(db, "load", lambda name: reads.append(name) or load(name))

    async def ask() -> None:
        table = DbTable("t", str(path))
        put(path, {"joe": "jack"})
        answers = await asyncio.gather(*(table.lookup("alias", "joe") for _ in range(5)))
        assert answers == ["jack"] * 5
        assert len(reads) == 2
        await table.close()

    asyncio.run(ask())


def test_a_bad_file_leaves_the_table_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.db"
    put(path, {"joe": "jim"})
    reads = []
    load = db.load
    monkeypatch.setattr(db, "load", lambda name: reads.append(name) or load(name))

    async def ask() -> None:
        table = DbTable("t", str(path))
        path.write_bytes(b"joe: jack\n")
        assert await table.lookup("alias", "joe") == "jim"
        assert await table.lookup("alias", "joe") == "jim"
        assert len(reads) == 2
        assert await table.update() == f"{path}: too small for a Berkeley DB"
        path.unlink()
        failure = await table.lookup("alias", "joe")
        assert isinstance(failure, TemporaryFailure)
        assert "No such file" in failure.reason
        put(path, {"joe": "jack"})
        assert await table.lookup("alias", "joe") == "jack"
        await table.close()

    asyncio.run(ask())


def test_no_table_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(TableFault, match="No such file"):
        DbTable("t", str(tmp_path / "nope"))


MAKEMAP = shutil.which("makemap", path="/usr/sbin:/usr/bin:/usr/local/sbin")


@pytest.mark.skipif(MAKEMAP is None, reason="no makemap is installed here")
def test_files_of_makemap(tmp_path: Path) -> None:
    assert MAKEMAP is not None
    text = tmp_path / "aliases"
    text.write_text("root:\tJoe, ann\n" + "".join(f"user{n}\t{'x' * (n % 5000)}y\n" for n in range(500)))
    path = tmp_path / "aliases.db"
    subprocess.run([MAKEMAP, "-o", str(path), str(text)], check=True, capture_output=True, timeout=30)

    async def ask() -> None:
        table = DbTable("t", str(path))
        assert len(table.entries) == 501
        assert await table.lookup("alias", "root") == "Joe, ann"
        assert await table.lookup("alias", "user499") == "x" * 499 + "y"
        await table.close()

    asyncio.run(ask())


@pytest.mark.skipif(MAKEMAP is None, reason="no makemap is installed here")
def test_makemap_reads_what_we_write(tmp_path: Path) -> None:
    assert MAKEMAP is not None
    path = tmp_path / "t.db"
    pairs = {f"key{n}": "v" * (n % 3000 + 1) for n in range(700)}
    put(path, pairs)
    run = subprocess.run([MAKEMAP, "-U", str(path)], check=True, capture_output=True, timeout=30)
    assert dict(line.split("\t") for line in run.stdout.decode().splitlines()) == pairs
