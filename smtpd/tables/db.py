"""A table kept in a Berkeley DB file made by makemap(8).

Holds `DbTable`: the file is read whole, and again when its time of change is another one (looked at with each
question, as OpenSMTPD does). Must not write.
"""

import asyncio
import os

from smtpd.protocol.berkeley_hash import FormatError, read
from smtpd.tables.entries import Entries
from smtpd.tables.file import TableFault
from smtpd.tables.service import TemporaryFailure
from smtpd.tables.static import StaticTable

SET = b"<set>"
"""The value makemap gives to the keys of a list."""


def load(path: str) -> tuple[tuple[int, int, int], Entries]:
    """What tells this file from a later one under its name, and its entries; TableFault."""
    try:
        with open(os.fsencode(path), "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read()
        entries = Entries((_plain(key).lower(), _value(value)) for key, value in read(data))
    except FormatError as error:
        raise TableFault(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        raise TableFault(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return (status.st_ino, status.st_mtime_ns, status.st_size), entries


def _plain(item: bytes) -> bytes:
    """A key or value without the NUL that makemap puts behind it."""
    return item.split(b"\0", 1)[0]


def _value(item: bytes) -> bytes | None:
    value = _plain(item)
    return None if value == SET else value


class DbTable(StaticTable):
    """The table in the Berkeley DB file at `path`, read when made; TableFault when it cannot be."""

    def __init__(self, name: str, path: str, delimiter: str = "+") -> None:
        self.path = path
        self._version, entries = load(path)
        self._refused = self._version
        """The file that could not be read, not to be tried with every question."""
        self._reading: asyncio.Task[str] | None = None
        super().__init__(name, entries, delimiter)

    async def check(self, service: str, key: str) -> bool | TemporaryFailure:
        """See service.Table."""
        return await self._current() or await super().check(service, key)

    async def lookup(self, service: str, key: str) -> str | None | TemporaryFailure:
        """See service.Table."""
        return await self._current() or await super().lookup(service, key)

    async def fetch(self, service: str) -> str | None | TemporaryFailure:
        """See service.Table."""
        return await self._current() or await super().fetch(service)

    async def update(self) -> str:
        """See service.Table: the file is read in a thread; questions that come meanwhile wait for it."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())
        return await asyncio.shield(self._reading)

    async def close(self) -> None:
        """See service.Table."""
        if self._reading is not None:
            self._reading.cancel()

    async def _current(self) -> TemporaryFailure | None:
        """Read the file again if it is another one. A file that cannot be read leaves the table as it is; one
        that is not there is a failure."""
        try:
            status = os.stat(os.fsencode(self.path))
        except OSError as error:
            return TemporaryFailure(f"table {self.name}: {self.path}: {error.strerror}")
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        if version != self._version and version != self._refused and await self.update():
            self._refused = version
        return None

    async def _read(self) -> str:
        loop = asyncio.get_running_loop()
        try:
            version, entries = await loop.run_in_executor(None, load, self.path)
            indexes = await loop.run_in_executor(None, self.made_anew, entries)
        except TableFault as fault:
            return str(fault)
        finally:
            self._reading = None
        self.replace(entries, indexes)
        self._version = version
        return ""
