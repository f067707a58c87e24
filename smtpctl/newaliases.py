"""newaliases(8): what was changed in the aliases file becomes visible to the daemon.

usage: newaliases [-f file]

The table "aliases" of the configuration says where the file is, /etc/mail/aliases or /etc/aliases if it does
not. A table of type db gets its database made anew (makemap -t aliases), one that is a text file is checked
and the daemon, if it runs, told to read it again (smtpctl update table aliases). Exit status 0, 1 for any
failure.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from smtpd.config.errors import ConfigErrors
from smtpd.config.machine import Machine
from smtpd.config.parse import Options, parse_file
from smtpd.messages.client_configuration import ClientUpdateTable
from smtpd.protocol.berkeley_hash import write

from .client import Client, ControlError, NotRunning
from .makemap import ALIASES, SUFFIX, MapError, count, make
from .places import Places

TABLE = "aliases"
FILES = (Path("/etc/mail/aliases"), Path("/etc/aliases"))
CONFIGURATIONS = (Path("/etc/smtpd.conf"), Path("/etc/mail/smtpd.conf"))

_USAGE = "usage: newaliases [-f file]"


class _Making(Machine):
    """This system, with an empty database for any that may not be there yet."""

    def read(self, path: str, limit: int | None = None) -> bytes:
        return write([]) if path.endswith(SUFFIX) else super().read(path, limit)


class _Usage(Exception):
    """The command line means nothing."""


def main(argv: Sequence[str], places: Places) -> int:
    """The exit status. `argv` is without the program's name."""
    try:
        configuration = _parse(argv) or _configuration(places)
        source, database = find(configuration)
        number = make(source, database, ALIASES) if database else count(source, ALIASES)
    except _Usage:
        print(_USAGE, file=sys.stderr)
        return 1
    except ConfigErrors as errors:
        print(f"newaliases: {errors.errors[0]}", file=sys.stderr)
        return 1
    except MapError as error:
        print(f"newaliases: {error}", file=sys.stderr)
        return 1
    print(f"{source}: {number} aliases")
    return _tell(places)


def _parse(argv: Sequence[str]) -> str:
    """The file of -f, or ""; _Usage."""
    match list(argv):
        case []:
            return ""
        case ["-f", file]:
            return file
        case [word] if word.startswith("-f") and len(word) > 2:
            return word[2:]
    raise _Usage


def _configuration(places: Places) -> str:
    if places.state is not None:
        return os.path.join(places.state, "smtpd.conf")
    return str(next((path for path in CONFIGURATIONS if path.exists()), CONFIGURATIONS[0]))


def find(configuration: str) -> tuple[str, str]:
    """The text file, and the database that is made of it, "" for none. ConfigErrors, MapError."""
    options = Options(machine=_Making(), load=False)
    table = parse_file(configuration, options=options).tables.get(TABLE)
    if table is None:
        return str(next((path for path in FILES if path.exists()), FILES[0])), ""
    if table.backend == "static" and table.config:
        return table.config, ""
    if table.backend == "db":
        return table.config.removesuffix(SUFFIX), table.config
    raise MapError(f"table {TABLE} of {configuration} is not kept in a file")


def _tell(places: Places) -> int:
    try:
        with Client(places.socket) as client:
            client.ask(ClientUpdateTable(TABLE))
    except NotRunning:
        return 0
    except ControlError as error:
        print(f"newaliases: the daemon has not read it: {error}", file=sys.stderr)
        return 1
    return 0
