"""Sorting results of any number in bounded memory: in runs on disk, merged (`show queue --sort=FIELD`).

A result is the line that is to be printed, with its key: text or a number. No more than RUN results are in
memory at a time, and MERGED temporary files are open.
"""

import heapq
import marshal
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import IO

RUN = 20_000
MERGED = 64
"""Runs that are merged at once; more are merged into one first."""

type Key = str | int
type Keyed = tuple[bytes, int, str]  # the key as bytes that sort like it, the order of coming, the line

_NUMBER = struct.Struct(">Q")
_SIGN = 1 << 63


def sort(results: Iterable[tuple[Key, str]], *, backwards: bool = False, limit: int = 0) -> Iterator[str]:
    """The lines in the order of their keys; those of one key stay in the order in which they came.

    `limit`: no more than so many; a small one keeps all in memory.
    """
    sign = -1 if backwards else 1  # so that equal keys stay in order when the whole is turned round
    keyed = ((_comparable(key), sign * number, line) for number, (key, line) in enumerate(results))
    if 0 < limit <= RUN:
        pick = heapq.nlargest if backwards else heapq.nsmallest
        yield from (line for _, _, line in pick(limit, keyed))
        return
    with ExitStack() as files:
        runs: list[Iterator[Keyed]] = []
        for run in _runs(keyed, backwards):
            if len(runs) == MERGED:
                runs = [_stored(heapq.merge(*runs, reverse=backwards), files)]
            runs.append(_stored(run, files))
        for number, (_, _, line) in enumerate(heapq.merge(*runs, reverse=backwards), 1):
            yield line
            if number == limit:
                return


def _runs(keyed: Iterable[Keyed], backwards: bool) -> Iterator[list[Keyed]]:
    run: list[Keyed] = []
    for one in keyed:
        run.append(one)
        if len(run) == RUN:
            yield sorted(run, reverse=backwards)
            run = []
    if run:
        yield sorted(run, reverse=backwards)


def _stored(run: Iterable[Keyed], files: ExitStack) -> Iterator[Keyed]:
    """The same out of a temporary file."""
    import tempfile  # here: only long results need it, and it takes long to load

    file = files.enter_context(tempfile.TemporaryFile())
    for key, number, line in run:
        marshal.dump((key, number, line.encode("utf-8", "surrogateescape")), file)
    file.seek(0)
    return _read(file)


def _read(file: IO[bytes]) -> Iterator[Keyed]:
    while True:
        try:
            key, number, line = marshal.load(file)
        except EOFError:
            return
        yield key, number, line.decode("utf-8", "surrogateescape")


def _comparable(key: Key) -> bytes:
    if isinstance(key, int):
        return _NUMBER.pack(key + _SIGN)
    return key.encode("utf-8", "surrogateescape")
