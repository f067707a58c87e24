"""A table kept in a text file (table(5)).

Holds `FileTable`: the whole file is read into memory, and read again when asked; a file that cannot be read
or is malformed changes nothing, and the caller learns why. Must not watch the file.
"""

import asyncio
import os
from collections.abc import Iterator

from smtpd.protocol.table_text import HASH, KEY_MAX, TableTextError, read_entries
from smtpd.tables.entries import Entries
from smtpd.tables.static import StaticTable


class TableFault(Exception):
    """A table's source cannot be used: why, with the path and the line where there is one."""


def load(path: str, kind: str = "") -> tuple[str, Entries]:
    """The file's kind ("list" or "hash"; the one given, if any) and its entries; TableFault."""
    try:
        with open(os.fsencode(path), "rb") as file:
            data = file.read()
        return parse(data, kind)
    except (OSError, ValueError) as error:
        raise TableFault(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    except TableTextError as error:
        raise TableFault(f"{path}:{error.line}: {error.message}") from None


def parse(data: bytes, kind: str = "") -> tuple[str, Entries]:
    """The kind and the entries of a text; TableTextError, ValueError when it is too large."""
    found = kind or HASH

    def entries() -> Iterator[tuple[bytes, bytes | None]]:
        nonlocal found
        for _, found, key, value in read_entries(data, kind):  # noqa: B007
            if len(key) <= KEY_MAX:
                yield key.lower(), value

    made = Entries(entries())
    return found, made


class FileTable(StaticTable):
    """The table in the file at `path`, read when made; TableFault when it cannot be."""

    def __init__(self, name: str, path: str, delimiter: str = "+") -> None:
        self.path = path
        self.kind, entries = load(path)
        super().__init__(name, entries, delimiter)

    async def update(self) -> str:
        """See service.Table: the file is read in a thread, and answers come from the old one meanwhile. It is
        read as the kind that it was, because what uses the table was checked against that."""
        loop = asyncio.get_running_loop()
        try:
            _, entries = await loop.run_in_executor(None, load, self.path, self.kind)
        except TableFault as fault:
            return str(fault)
        self.replace(entries, await loop.run_in_executor(None, self.made_anew, entries))
        return ""
