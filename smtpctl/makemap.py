"""makemap(8): a text file of table(5) into a database for `table NAME db:FILE`.

usage: makemap [-U] [-d dbtype] [-o dbfile] [-t type] file

The format is Berkeley DB's hash, which OpenSMTPD reads too. The new database takes the old one's place when
it is whole and on disk; a fault in the text leaves the old one. "makemap hash FILE" with the text as standard
input is the real sendmail's way. Exit status 0, 1 for any failure.
"""

import contextlib
import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from smtpd.protocol.aliases import AliasError, parse_line
from smtpd.protocol.berkeley_hash import FormatError, read, write
from smtpd.protocol.table_text import HASH, LIST, TableTextError, read_entries

PLAIN, ALIASES, SET = "plain", "aliases", "set"
SUFFIX = ".db"
SET_VALUE = b"<set>"
"""The value of every key of a list."""

_USAGE = "usage: makemap [-U] [-d dbtype] [-o dbfile] [-t type] file"
_WITH_VALUE = "bCdoOt"


class MapError(Exception):
    """No map was made; the text says why."""


class Usage(Exception):
    """The command line means nothing; the text, if there is one, says why."""


class Options(NamedTuple):
    """The command line. `source`: "-" for standard input; `target`: "" for the source's name and ".db"."""

    source: str
    target: str = ""
    kind: str = PLAIN
    dump: bool = False


def main(argv: Sequence[str]) -> int:
    """The exit status. `argv` is without the program's name."""
    try:
        options = parse(argv)
        if options.dump:
            dump(options.source)
            return 0
        target = options.target or options.source + SUFFIX
        if not make(options.source, target, options.kind):
            print(f"makemap: warning: empty map created: {target}", file=sys.stderr)
    except Usage as error:
        print(f"makemap: {error}\n{_USAGE}" if str(error) else _USAGE, file=sys.stderr)
        return 1
    except MapError as error:
        print(f"makemap: {error}", file=sys.stderr)
        return 1
    return 0


def parse(argv: Sequence[str]) -> Options:
    """The options; Usage."""
    values: dict[str, str] = {}
    files: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            files += words
        elif not word.startswith("-") or word == "-":
            files += [word, *words]
        elif word[1] == "U" and len(word) == 2:
            values["U"] = ""
        elif word[1] in _WITH_VALUE:
            value = word[2:] or next(words, None)
            if value is None:
                raise Usage(f"-{word[1]} needs a value")
            values[word[1]] = value
        else:
            raise Usage(f"unknown option {word}")
    if len(files) == 2 and not values:  # the real sendmail's: makemap hash FILE < text
        _check_database(files[0])
        return Options("-", files[1] if files[1].endswith(SUFFIX) else files[1] + SUFFIX)
    if len(files) != 1:
        raise Usage("")
    _check_database(values.get("d", "hash"))
    kind = values.get("t", PLAIN)
    if kind not in (PLAIN, ALIASES, SET):
        raise Usage(f"unsupported type '{kind}'; {ALIASES} and {SET} are there")
    if files[0] == "-" and "o" not in values and "U" not in values:
        raise Usage("-o says where the map of standard input goes")
    return Options(files[0], values.get("o", ""), kind, "U" in values)


def _check_database(kind: str) -> None:
    if kind == "btree":
        raise Usage("unsupported DB type 'btree': tables read hash databases")
    if kind != "hash":
        raise Usage(f"unsupported DB type '{kind}'")


def make(source: str, target: str, kind: str) -> int:
    """Make the map; how many entries it has. MapError."""
    data, status = _read(source)
    pairs = dict(_pairs(source, data, kind))
    file, name = _temporary(target)
    try:
        with os.fdopen(file, "wb") as stream:
            if status is not None:
                os.fchmod(file, status.st_mode & 0o7777)
                if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file, status.st_uid, status.st_gid)
            stream.write(write(pairs.items(), os.urandom(20)))
            stream.flush()
            os.fsync(file)
        os.rename(name, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise MapError(f"{target}: {error.strerror}") from None
    return len(pairs)


def count(source: str, kind: str) -> int:
    """How many entries a text has that is not made into a map. MapError."""
    return len(dict(_pairs(source, _read(source)[0], kind)))


def _temporary(target: str) -> tuple[int, str]:
    try:
        # a device, for one, would be replaced; a folder is refused below
        if os.path.exists(target) and not (os.path.isfile(target) or os.path.isdir(target)):
            raise MapError(f"{target} is no file")
        return tempfile.mkstemp(prefix=Path(target).name + ".", dir=Path(target).parent)
    except OSError as error:
        raise MapError(f"{target}: {error.strerror}") from None


def _read(source: str) -> tuple[bytes, os.stat_result | None]:
    """The text, and whose it is (None for standard input)."""
    if source == "-":
        return sys.stdin.buffer.read(), None
    try:
        with open(source, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return file.read(), os.fstat(file.fileno())
    except BlockingIOError:
        raise MapError(f"{source} is locked") from None
    except OSError as error:
        raise MapError(f"{source}: {error.strerror}") from None


def _pairs(source: str, data: bytes, kind: str) -> Iterator[tuple[bytes, bytes]]:
    """The entries as they are in the database, with a NUL behind key and value. MapError."""
    known: set[bytes] = set()
    number = 0
    try:
        for number, _, key, value in read_entries(data, LIST if kind == SET else HASH):
            key = key.lower()
            if key in known:
                raise MapError(f"{source}:{number}: duplicate entry for {key.decode('utf-8', 'replace')}")
            known.add(key)
            if kind == ALIASES and not parse_line((value or b"").decode("utf-8", "surrogateescape")):
                raise AliasError("no recipient")
            yield key + b"\0", (SET_VALUE if value is None else value) + b"\0"
    except TableTextError as error:
        raise MapError(f"{source}:{error.line}: {error.message}") from None
    except AliasError as error:
        raise MapError(f"{source}:{number}: invalid entry: {error}") from None


def dump(path: str) -> None:
    """A database as text on standard output, a tab between key and value. MapError."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        lines = [b"\t".join(item.removesuffix(b"\0") for item in pair) + b"\n" for pair in read(data)]
    except OSError as error:
        raise MapError(f"{path}: {error.strerror}") from None
    except FormatError as error:
        raise MapError(f"{path}: {error}") from None
    sys.stdout.flush()
    sys.stdout.buffer.writelines(lines)
    sys.stdout.buffer.flush()
