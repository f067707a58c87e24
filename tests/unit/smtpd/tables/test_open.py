import asyncio
import socket
from pathlib import Path

import pytest

from smtpd.protocol.berkeley_hash import write
from smtpd.tables.db import DbTable
from smtpd.tables.file import FileTable, TableFault
from smtpd.tables.getpwnam import GetpwnamTable
from smtpd.tables.open import open_table
from smtpd.tables.proc import ProcTable
from smtpd.tables.service import Table
from smtpd.tables.static import StaticTable


async def no_program() -> socket.socket:
    raise FileNotFoundError(2, "no program")


def made(backend: str, config: str = "") -> Table:
    return open_table(
        "t", backend, config, [("user-x", None)], delimiter="-", connect=no_program, log=lambda line: None
    )


def test_backends(tmp_path: Path) -> None:
    text, data = tmp_path / "t", tmp_path / "t.db"
    text.write_text("user\n")
    data.write_bytes(write([(b"user\0", b"x\0")]))
    kinds = [
        type(made(*arguments))
        for arguments in (
            ("static",),
            ("static", str(text)),
            ("db", str(data)),
            ("getpwnam",),
            ("proc", "ldap"),
        )
    ]
    assert kinds == [StaticTable, FileTable, DbTable, GetpwnamTable, ProcTable]
    for table in (made("static", str(text)), made("db", str(data))):
        assert asyncio.run(table.check("mailaddr", "user-tag@example.org")) is True
    with pytest.raises(TableFault):
        made("static", str(tmp_path / "nope"))
    with pytest.raises(ValueError, match="no such backend"):
        made("sql")
