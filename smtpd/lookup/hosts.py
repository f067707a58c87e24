"""The hosts file (hosts(5)): names for addresses and the other way round, read again when it changes.

It is looked at when somebody asks, and no more than every few seconds. Nothing here asks anybody. A file that
is gone or may not be read any more changes nothing: what was known stays in force.
"""

import os
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

CHECK_SECONDS = 5.0
"""How often the file is looked at, at most."""

SIZE_MAX = 16_777_216
"""Bytes of it that are read; hosts files that keep off advertisers have some hundred thousand lines."""

_NAMES_MAX = 64  # names of one line
_DEFAULT = "127.0.0.1 localhost\n::1 localhost\n"


class Hosts:
    """Without a file there is localhost."""

    def __init__(self, path: Path = Path("/etc/hosts"), clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._seen: tuple[int, ...] = ()
        self._looked = clock()
        self._addresses: dict[str, list[str]] = {}
        self._names: dict[str, str] = {}
        self._parse(_DEFAULT)
        self._read()

    def addresses(self, name: str) -> list[str]:
        """Those of a name in lower case, in the file's order."""
        self._look()
        return self._addresses.get(name, [])

    def name(self, address: str) -> str:
        """The first name of an address, "" without one."""
        self._look()
        return self._names.get(address, "")

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked >= CHECK_SECONDS:
            self._looked = now
            self._read()

    def _read(self) -> None:
        try:
            found = os.stat(self._path)
            seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if seen == self._seen:
                return
            with open(self._path, encoding="utf-8", errors="replace") as file:
                text = file.read(SIZE_MAX)
        except OSError:
            return
        self._seen = seen
        self._parse(text)

    def _parse(self, text: str) -> None:
        self._addresses, self._names = {}, {}
        for line in text.splitlines():
            address, *names = line.partition("#")[0].split()[: _NAMES_MAX + 1] or [""]
            try:
                address = str(ip_address(address))
            except ValueError:
                continue
            for name in names:
                self._addresses.setdefault(name.lower(), []).append(address)
            if names:
                self._names.setdefault(address, names[0])
