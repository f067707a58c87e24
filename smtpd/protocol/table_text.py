"""The text format of table files (table(5)): a list with one value a line, or a mapping of keys to values.

Holds the reader of such a text; the bytes come from the caller. Both the configuration, which must know what
kind of table a file holds, and the tables themselves read it. Must not open files or know services.

* Blank lines and lines that begin with "#" hold nothing; white space around a line is dropped.
* The first entry decides: with a blank, tab or colon in it the file is a mapping, otherwise a list. A
  comment "# @list" before it makes it a list.
* A key in brackets ends at the "]", so that an IPv6 address may be one. A mapping's line without a value,
  or a bracket without its end, makes the whole file malformed.
* Keys are in lower case (ASCII); a key of more than 1023 bytes is left out; a key's last line counts.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

KEY_MAX = 1023

LIST, HASH = "list", "hash"

_MAPPING = re.compile(rb"([^ \t:]*)[ \t:][ \t]*(.*)", re.DOTALL)


class TableTextError(Exception):
    """A line, counted from 1, cannot be an entry."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


class TableText(NamedTuple):
    """What a file holds: its kind (an empty file is a mapping) and its entries (values None in a list)."""

    kind: str
    entries: dict[str, str | None]


def read_entries(data: bytes, kind: str = "") -> Iterator[tuple[int, str, bytes, bytes | None]]:
    """Entries as (line, kind, key, value) in the order of the file, keys as written; TableTextError.

    `kind` is what the file holds where that is known before.
    """
    split = _MAPPING.match
    for number, line in enumerate(data.split(b"\n"), 1):
        line = line.strip()
        if b"\0" in line:
            # A C string ends there.
            line = line.split(b"\0", 1)[0].strip()
        if not line:
            continue
        first = line[0]
        if first == 0x23:
            if not kind and line[1:].lstrip() == b"@list":
                kind = LIST
            continue
        if first == 0x5B:
            end = line.find(b"]") + 1
            if not end:
                raise TableTextError(number, 'invalid map entry: no "]" after "["')
            key, value = line[:end], line[end + 1 :].lstrip(b" \t")
            mapping = end < len(line)
        elif kind == LIST:
            key, value, mapping = line, b"", False
        else:
            match = split(line)
            mapping = match is not None
            key, value = match.groups() if match is not None else (line, b"")
        if not kind:
            kind = HASH if mapping else LIST
        if kind == LIST:
            yield number, LIST, line, None
        elif value:
            yield number, HASH, key, value
        else:
            raise TableTextError(number, "invalid map entry: a key without a value")


def kind_of(data: bytes) -> str:
    """Whether the text is a list or a mapping; TableTextError when any line of it is malformed."""
    kind = HASH
    for entry in read_entries(data):
        kind = entry[1]
    return kind


def parse(data: bytes) -> TableText:
    """The text's kind and entries, keys in lower case; TableTextError."""
    kind = HASH
    entries: dict[str, str | None] = {}
    for _, found, key, value in read_entries(data):
        kind = found
        if len(key) <= KEY_MAX:
            # bytes.lower() changes ASCII letters only.
            entries[key.lower().decode("utf-8", "surrogateescape")] = (
                None if value is None else value.decode("utf-8", "surrogateescape")
            )
    return TableText(kind, entries)
