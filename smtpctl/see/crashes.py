"""Crash files, as parent writes them when a process dies (smtpd/parent/crash.py): the recorders of all
processes, and where the dead one was. What is in them comes from a process that went wrong: it is taken for
hostile.
"""

import gzip
import heapq
import json
import zlib
from operator import attrgetter
from typing import NamedTuple

from imsg import Recorder, RecorderEntry
from imsg.tape import TapeReader

from .seen import Seen, from_record

MOST = 256 * 1024 * 1024
"""Bytes of a file once unpacked."""

_MOST_TIME = 1 << 33
"""Unix time in seconds."""

_TIME = attrgetter("time")
_BROKEN = (ValueError, KeyError, TypeError, OverflowError, EOFError, gzip.BadGzipFile, zlib.error)


class CrashError(ValueError):
    """Not a crash file; the text says why."""


class CrashMemory(NamedTuple):
    """The recorder of one process."""

    process: str
    pid: int
    memory: bytes


class CrashFile:
    """A crash file, read; CrashError, OSError. `time`: Unix; `offset`: Unix time minus the recorders'
    clock, ns.
    """

    def __init__(self, path: str) -> None:
        try:
            with gzip.open(path) as file:
                head = json.loads(file.readline(1 << 20))
                data = file.read(MOST)
            self.time = float(head["time"])
            self.process = _word(head["process"])
            self.pid = int(head["pid"])
            self.ending = str(head["ending"])
            self.last_words = str(head["last words"])
            self.version = str(head["smtpd"])
            self.catalogue = str(head["catalogue"])
            self.offset = int(self.time * 1e9) - int(head["monotonic"])
            if not (0 <= self.time < _MOST_TIME and abs(self.offset) < _MOST_TIME * 1_000_000_000):
                raise ValueError
            self.memories = []
            at = 0
            for name, pid, size in head["memories"]:
                self.memories.append(CrashMemory(_word(name), int(pid), data[at : at + int(size)]))
                at += int(size)
        except _BROKEN as error:
            raise CrashError(f"no crash file ({type(error).__name__})") from None

    def sightings(self) -> list[Seen]:
        """What was on the tapes, if somebody watched; in the order of time."""
        streams = []
        for each in self.memories:
            records = TapeReader(each.memory, oldest=True).read()
            streams.append([from_record(record, each.process, self.offset) for record in records])
        return list(heapq.merge(*streams, key=_TIME))

    def entries(self) -> list[tuple[int, str, RecorderEntry]]:
        """(Unix ns, process, header) of the last messages of all processes, in the order of time."""
        streams = [
            [(entry.time + self.offset, each.process, entry) for entry in Recorder.read(each.memory)]
            for each in self.memories
        ]
        return sorted((item for stream in streams for item in stream), key=lambda item: item[0])


def _word(name: object) -> str:
    """A process's name, without what commands a terminal."""
    return "".join(char if char.isprintable() else "?" for char in str(name))
