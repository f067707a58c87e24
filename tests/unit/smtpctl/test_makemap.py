"""smtpctl/makemap.py."""

import asyncio
import fcntl
import io
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smtpctl import __main__ as program
from smtpctl.makemap import ALIASES, SET, MapError, Options, Usage, make, parse
from smtpd.protocol.berkeley_hash import read
from smtpd.tables.db import DbTable

DEBIANS = Path("/usr/sbin/makemap")


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("file", Options("file")),
        ("-t aliases file", Options("file", kind=ALIASES)),
        ("-tset -o out.db file", Options("file", "out.db", SET)),
        ("-d hash -U file.db", Options("file.db", dump=True)),
        ("-C /etc/mail/sendmail.cf -- -file", Options("-file")),
        ("-o out -", Options("-", "out")),
        ("hash file", Options("-", "file.db")),
        ("hash file.db", Options("-", "file.db")),
    ],
)
def test_the_command_line(words: str, options: Options) -> None:
    assert parse(words.split()) == options


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "^$"),
        ("a b c", "^$"),
        ("-t virtual file", "unsupported type 'virtual'"),
        ("-d btree file", "tables read hash databases"),
        ("dbm file", "unsupported DB type 'dbm'"),
        ("-t", "-t needs a value"),
        ("-x file", "unknown option -x"),
        ("-", "-o says where"),
    ],
)
def test_a_wrong_command_line(smtpctl: Any, words: str, reason: str) -> None:
    with pytest.raises(Usage, match=reason):
        parse(words.split())
    status, out, err = smtpctl(*words.split(), main=program.makemap)
    assert (status, out) == (1, "")
    assert err.endswith("usage: makemap [-U] [-d dbtype] [-o dbfile] [-t type] file\n")


def lookup(path: Path, key: str, service: str = "alias") -> Any:
    async def ask() -> Any:
        table = DbTable("t", str(path))
        try:
            return await (table.check if service == "domain" else table.lookup)(service, key)
        finally:
            await table.close()

    return asyncio.run(ask())


def test_a_map_that_the_daemons_tables_read(smtpctl: Any, tmp_path: Path) -> None:
    text = tmp_path / "aliases"
    text.write_text("# all\nRoot: joe, ann@example.org\njane\t|/bin/cat\n\nbig: a%s\n" % (", b" * 600))
    assert smtpctl("-t", "aliases", str(text), main=program.makemap) == (0, "", "")
    made = tmp_path / "aliases.db"
    assert lookup(made, "root") == "joe, ann@example.org"
    assert lookup(made, "jane") == "|/bin/cat"
    assert lookup(made, "nobody") is None
    assert dict(read(made.read_bytes()))[b"root\0"] == b"joe, ann@example.org\0"
    status, out, err = smtpctl("-U", str(made), main=program.makemap)
    assert (status, err) == (0, "")
    assert sorted(out.splitlines())[1:] == ["jane\t|/bin/cat", "root\tjoe, ann@example.org"]


def test_a_set(smtpctl: Any, tmp_path: Path) -> None:
    text = tmp_path / "domains"
    text.write_text("Example.ORG\nexample.net\n")
    assert smtpctl("-t", "set", "-o", str(tmp_path / "d.db"), str(text), main=program.makemap).status == 0
    assert lookup(tmp_path / "d.db", "example.org", "domain") is True
    assert lookup(tmp_path / "d.db", "example.com", "domain") is False


def test_standard_input_as_the_real_sendmail_has_it(
    smtpctl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"key value\n")))
    assert smtpctl("hash", str(tmp_path / "map"), main=program.makemap).status == 0
    assert dict(read((tmp_path / "map.db").read_bytes())) == {b"key\0": b"value\0"}


def test_owner_and_mode_are_the_texts(tmp_path: Path) -> None:
    text = tmp_path / "secrets"
    text.write_text("label user:password\n")
    text.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(text, 1234, 2345)
    assert make(str(text), str(tmp_path / "secrets.db"), "plain") == 1
    before, after = text.stat(), (tmp_path / "secrets.db").stat()
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (before.st_uid, before.st_gid) == (after.st_uid, after.st_gid)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("plain", "a 1\nb\n", ":2: invalid map entry"),
        ("plain", "a 1\n\nA 2\n", ":3: duplicate entry for a"),
        ("set", "a\nA\n", ":2: duplicate entry for a"),
        ("aliases", "a b\nc: d e\n", ":2: invalid entry: not a recipient"),
        ("aliases", "a ,\n", ":1: invalid entry: no recipient"),
        ("aliases", 'a: "x\n', ":1: invalid entry: a quote"),
    ],
)
def test_a_fault_leaves_the_old_map(tmp_path: Path, kind: str, text: str, reason: str) -> None:
    (tmp_path / "t").write_text(text)
    (tmp_path / "t.db").write_text("old")
    with pytest.raises(MapError, match=reason):
        make(str(tmp_path / "t"), str(tmp_path / "t.db"), kind)
    assert (tmp_path / "t.db").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["t", "t.db"]


def test_what_else_can_be_wrong(smtpctl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: str) -> str:
        status, out, err = smtpctl(*words, main=program.makemap)
        assert (status, out) == (1, "")
        return str(err)

    text = tmp_path / "t"
    assert run(str(text)) == f"makemap: {text}: No such file or directory\n"
    text.write_text("a b\n")
    assert "No such file or directory" in run("-o", str(tmp_path / "none/t.db"), str(text))
    assert run("-U", str(text)) == f"makemap: {text}: too small for a Berkeley DB\n"
    assert "No such file" in run("-U", str(tmp_path / "none"))
    with open(text, "rb") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        assert run(str(text)) == f"makemap: {text} is locked\n"
    (tmp_path / "t.db").mkdir()
    assert "Is a directory" in run(str(text))
    assert sorted(os.listdir(tmp_path / "t.db")) == []
    assert len(list(tmp_path.glob("t.db*"))) == 1


def test_an_empty_map_is_said(smtpctl: Any, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("# nothing\n")
    assert smtpctl(str(tmp_path / "t"), main=program.makemap) == (
        0,
        "",
        f"makemap: warning: empty map created: {tmp_path}/t.db\n",
    )


@pytest.mark.skipif(not DEBIANS.exists(), reason="needs Debian's opensmtpd")
def test_opensmtpd_reads_it_and_makes_the_same(tmp_path: Path) -> None:
    text = tmp_path / "t"
    text.write_text("".join(f"Key{number}: value{number}, x{number}\n" for number in range(500)))
    assert make(str(text), str(tmp_path / "ours.db"), "aliases") == 500

    def debians(*words: str) -> str:
        program_file = shutil.which(str(DEBIANS))
        assert program_file
        done = subprocess.run([program_file, *words], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout

    dumped = debians("-U", str(tmp_path / "ours.db"))
    debians("-t", "aliases", "-o", str(tmp_path / "theirs.db"), str(text))
    assert sorted(dumped.splitlines()) == sorted(debians("-U", str(tmp_path / "theirs.db")).splitlines())
    assert dict(read((tmp_path / "theirs.db").read_bytes())) == dict(
        read((tmp_path / "ours.db").read_bytes())
    )


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "pipe"
    source.write_text("a: b\n")
    os.mkfifo(target)
    with pytest.raises(MapError, match="is no file"):
        make(str(source), str(target), ALIASES)
    assert stat.S_ISFIFO(target.stat().st_mode)
