"""Which session, message and envelopes a message between processes is about: read from its fields, by name.

Fields called `session`, `msgid`, `evpid` and `evpids` count wherever they stand, in nested tuples and lists
too; 0 is none. An evpid says its msgid as well.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from imsg.fields import Shape
from imsg.message import Kind
from smtpd.mail.ids import msgid_of

type Getter = Callable[[Any], Iterator[int]]


class Ids(NamedTuple):
    """What a message names."""

    sessions: frozenset[int]
    msgids: frozenset[int]
    evpids: frozenset[int]

    def __bool__(self) -> bool:
        return bool(self.sessions or self.msgids or self.evpids)

    def union(self, other: "Ids") -> "Ids":
        """Of both."""
        if not other:
            return self
        if not self:
            return other
        return Ids(self.sessions | other.sessions, self.msgids | other.msgids, self.evpids | other.evpids)


NONE = Ids(frozenset(), frozenset(), frozenset())


def ids_of(kind: Kind, fields: Any) -> Ids:
    """What the fields of a message of that kind name."""
    sessions, msgids, evpids = _getters(kind)
    if not sessions and not msgids and not evpids:
        return NONE
    named = frozenset(value for get in evpids for value in get(fields) if value)
    return Ids(
        frozenset(value for get in sessions for value in get(fields) if value),
        frozenset(value for get in msgids for value in get(fields) if value)
        | frozenset(msgid_of(evpid) for evpid in named),
        # the low half is 0 where an envelope is described that has no id yet
        frozenset(evpid for evpid in named if evpid & 0xFFFFFFFF),
    )


@cache
def _getters(kind: Kind) -> tuple[list[Getter], list[Getter], list[Getter]]:
    found: tuple[list[Getter], list[Getter], list[Getter]] = ([], [], [])
    _find(kind.shape, (), found)
    return found


def _find(shape: Shape, path: tuple[int | None, ...], found: tuple[list[Getter], ...]) -> None:
    """Look for ids below a shape; a None in the path stands for each item of a list."""
    for index, (name, part) in enumerate(shape.parts):
        here = (*path, index)
        while part.base in ("opt", "list"):
            here = (*here, None) if part.base == "list" else here
            part = part.parts[0][1]
        if part.base == "tuple":
            _find(part, here, found)
        elif part.base == "int":
            for names, digits, getters in zip(_NAMES, _DIGITS, found, strict=True):
                if name in names and part.hex_digits in digits:
                    getters.append(_getter(here))


_NAMES = (("session",), ("msgid",), ("evpid", "evpids"))
_DIGITS = ((16,), (8,), (16,))


def _getter(path: tuple[int | None, ...]) -> Getter:
    def get(value: Any) -> Iterator[int]:
        values = [value]
        for step in path:
            if step is None:
                values = [item for each in values if each for item in each]
            else:
                values = [each[step] for each in values if each is not None]
        return iter(values)

    return get
