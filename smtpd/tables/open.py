"""A table of any backend, from what the configuration says of it.

Holds `open_table`. Must not know the configuration: the caller takes the values out of it.
"""

from collections.abc import Callable, Sequence

from smtpd.tables.db import DbTable
from smtpd.tables.entries import Entry
from smtpd.tables.file import FileTable
from smtpd.tables.getpwnam import GetpwnamTable
from smtpd.tables.proc import Connect, ProcTable
from smtpd.tables.service import Table
from smtpd.tables.static import StaticTable


def open_table(
    name: str,
    backend: str,
    config: str,
    entries: Sequence[Entry],
    *,
    delimiter: str,
    connect: Connect,
    log: Callable[[str], None],
) -> Table:
    """The table: `backend` is "static" (with `entries`, or the text file `config`), "db", "getpwnam", "proc".

    `delimiter` is that of subaddresses; `connect` starts the program of a "proc" table, `log` is told what
    goes wrong with it. TableFault when a file cannot be used; ValueError for another backend.
    """
    if backend == "static":
        if config:
            return FileTable(name, config, delimiter)
        return StaticTable(name, entries, delimiter)
    if backend == "db":
        return DbTable(name, config, delimiter)
    if backend == "getpwnam":
        return GetpwnamTable(name)
    if backend == "proc":
        return ProcTable(name, connect, log)
    raise ValueError(f"no such backend: {backend}")
