"""What a process measures of itself while `smtpctl profile` is on (smtpctl(8)), and how control asks for it.

imsg: the time in each handler, and how long replies take (handling.py). mproc: the share of time the loop
is busy, how late it comes to what is due, what waits in both directions of each link, and the oldest
unanswered request. queue: what the spool's operations cost (the queue process adds that). Bounds: MOST_ROWS
different things.
"""

import fcntl
import struct
import termios
import time
from asyncio import TimerHandle
from collections.abc import Callable
from typing import TYPE_CHECKING

from imsg import KindCount, Recorder
from imsg.histogram import Histogram
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_observation import (
    PROFILED,
    Bucket,
    GetProfile,
    ProfilePart,
    ProfileRow,
    SetProfile,
)

from .dispatch import handles
from .peer import Peer

if TYPE_CHECKING:
    from .process import Process

SAMPLE_SECONDS = 0.5
"""Between two looks at what waits, and two foldings: what is measured meanwhile is kept value by value, some
thousand. One timer for all, for a process that is woken pays more than for what it then does.
"""

MOST_ROWS = 2000
ROOM = 12000
"""Bytes of rows that surely fit a frame, by the estimate of `_size`."""

type Key = tuple[str, str, str, str]  # subsystem, what, peer, name


def profile_row(key: Key, histogram: Histogram) -> ProfileRow:
    """A histogram as it is sent."""
    buckets = [Bucket(index, min(count, 2**32 - 1)) for index, count in sorted(histogram.buckets.items())]
    total, most = min(histogram.total, 2**64 - 1), min(histogram.most, 2**64 - 1)
    return ProfileRow(*key, histogram.count, total, most, buckets)


class Profile:
    """The measures of a process: a histogram for each thing."""

    def __init__(self) -> None:
        self._histograms: dict[Key, Histogram] = {}
        self._samples: dict[Key, list[int]] = {}
        self.left_out = 0

    def samples(self, subsystem: str, what: str, peer: str, name: str) -> list[int]:
        """A list to append values to, which is much quicker than `add`; `fold` empties it."""
        return self._samples.setdefault((subsystem, what, peer, name), [])

    def fold(self) -> None:
        """Take the samples into the histograms."""
        for key, values in self._samples.items():
            if values:
                histogram = self._histogram(key)
                if histogram is not None:
                    histogram.extend(values)
                values.clear()

    def add(self, subsystem: str, what: str, peer: str, name: str, value: int) -> None:
        """One value. Things beyond MOST_ROWS are counted, not measured."""
        histogram = self._histogram((subsystem, what, peer, name))
        if histogram is not None:
            histogram.add(value)

    def _histogram(self, key: Key) -> Histogram | None:
        histogram = self._histograms.get(key)
        if histogram is None:
            if len(self._histograms) >= MOST_ROWS:
                self.left_out += 1
                return None
            histogram = self._histograms[key] = Histogram()
        return histogram

    def forget(self, subsystem: str) -> None:
        """Begin a subsystem from nothing."""
        for key in self._samples:
            if key[0] == subsystem:
                self._samples[key].clear()
        for key in [key for key in self._histograms if key[0] == subsystem]:
            del self._histograms[key]

    def rows(self) -> list[ProfileRow]:
        """All of it, in the order of the keys."""
        self.fold()
        return [profile_row(key, histogram) for key, histogram in sorted(self._histograms.items())]


class Profiling:
    """The part of every process that turns measuring on and off and says what was measured.

    `hooks`: what a process does itself when one of PROFILED begins (True) or ends (False). `collectors`:
    called before the measures are read, to add what was measured elsewhere. `sources`: give rows that are no
    measures of times.
    """

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._began: dict[str, int] = {}
        self._rows: list[ProfileRow] = []
        self._timer: TimerHandle | None = None
        self._due = 0.0
        self._sampled = 0.0  # when _cpu was
        self._cpu = (0, 0)
        self._counted: dict[int, KindCount] | None = None  # when imsg's profile began
        self._frames: list[ProfileRow] = []
        self.hooks: dict[str, Callable[[bool], None]] = {"mproc": self._sample_mproc}
        self.collectors: list[Callable[[], None]] = []
        self.sources: list[Callable[[], list[ProfileRow]]] = [self._count_frames, process.handling.rows]

    @handles(SetProfile)
    def set_profile(self, peer: Peer, message: SetProfile) -> None:
        """profile, unprofile."""
        self.profile(message.subsystem, message.on)

    @handles(GetProfile)
    def get_profile(self, peer: Peer, reqid: int, message: GetProfile) -> ProfilePart:
        """show profile: the rows are those of the moment the first of them was asked for."""
        return self.part(reqid, message.start)

    def profile(self, subsystem: str, on: bool) -> None:
        """Begin, from nothing, or end. What was measured stays until the next beginning."""
        if subsystem not in PROFILED:
            self._process.log.warn(f"nothing to profile in {subsystem}")
            return
        was_on = subsystem in self._began
        if subsystem == "imsg":
            self._frames = [] if on else self._count_frames()
            self._counted = self._counts() if on else None
            if on:
                self._process.handling.forget()
        if on:
            self._process.profile.forget(subsystem)
            self._began[subsystem] = time.monotonic_ns()
        else:
            self._began.pop(subsystem, None)
        if on == was_on:
            return
        if subsystem == "imsg":
            self._process.handling.measure(on)
        hook = self.hooks.get(subsystem)
        if hook is not None:
            hook(on)
        wanted = any(each in self.hooks for each in self._began)
        if wanted and self._timer is None:
            self._next_tick()
        elif not wanted and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def part(self, reqid: int, start: int) -> ProfilePart:
        """The rows from `start` on that fit a frame."""
        if start == 0:
            for collect in self.collectors:
                collect()
            more = [row for source in self.sources for row in source()]
            self._rows = self._process.profile.rows() + more
        rows: list[ProfileRow] = []
        room = ROOM
        for row in self._rows[start:]:
            room -= _size(row)
            if room < 0 and rows:
                break
            rows.append(row)
        end = start + len(rows)
        longest = min(self._began.values(), default=time.monotonic_ns())
        milliseconds = (time.monotonic_ns() - longest) // 1_000_000
        return ProfilePart(reqid, end if end < len(self._rows) else 0, milliseconds, rows)

    def _next_tick(self) -> None:
        self._due = time.monotonic() + SAMPLE_SECONDS  # the loop's own clock has milliseconds only
        self._timer = self._process.loop.call_later(SAMPLE_SECONDS, self._tick)

    def _tick(self) -> None:
        late = max(0.0, time.monotonic() - self._due)
        if "mproc" in self._began:
            self._sample(late)
        self._process.profile.fold()
        self._next_tick()

    # imsg: what the recorder counts anyway

    def _counts(self) -> dict[int, KindCount]:
        recorder = self._process.recorder
        return {} if recorder is None else Recorder.counts(recorder.memory)

    def _count_frames(self) -> list[ProfileRow]:
        """Frames of each kind since the profile began: `number`, and `total` bytes."""
        before = self._counted
        if before is None:
            return self._frames
        rows = []
        for number, now in sorted(self._counts().items()):
            kind = CATALOGUE.by_number.get(number)
            name = kind.name if kind is not None else f"message {number:#06x}"
            was = before.get(number, KindCount(0, 0, 0, 0))
            for what, count, size in (
                ("in", now.count_in - was.count_in, now.bytes_in - was.bytes_in),
                ("out", now.count_out - was.count_out, now.bytes_out - was.bytes_out),
            ):
                if count > 0:
                    rows.append(ProfileRow("imsg", what, "", name, count, max(size, 0), 0, []))
        return rows

    # mproc

    def _sample_mproc(self, on: bool) -> None:
        self._process.handling.follow(on)
        if on:
            self._sampled = time.monotonic()
            self._cpu = (time.thread_time_ns(), time.process_time_ns())

    def _sample(self, late: float) -> None:
        """Now and then: how late is this, what has the loop's thread worked since, what waits where."""
        profile = self._process.profile
        since, self._sampled = self._sampled, time.monotonic()
        profile.add("mproc", "late", "", "loop", int(late * 1e9))
        before, self._cpu = self._cpu, (time.thread_time_ns(), time.process_time_ns())
        period = max(1, int((self._sampled - since) * 1e9))
        profile.add("mproc", "busy", "", "loop", (self._cpu[0] - before[0]) * 1000 // period)
        profile.add("mproc", "busy", "", "all threads", (self._cpu[1] - before[1]) * 1000 // period)
        for peer in self._process.peers():
            if peer.lost:
                continue
            profile.add("mproc", "queued", peer.name, "out", peer.backlog)
            profile.add("mproc", "queued", peer.name, "in", _unread(peer))
            profile.add("mproc", "unanswered", peer.name, "requests", peer.unanswered)
            profile.add("mproc", "oldest", peer.name, "request", self._process.handling.oldest(peer))


def _unread(peer: Peer) -> int:
    """Bytes that the peer has written and this process has not read."""
    try:
        answer = fcntl.ioctl(peer.channel.fileno(), termios.FIONREAD, struct.pack("i", 0))
    except OSError:
        return 0
    unread: int = struct.unpack("i", answer)[0]
    return unread


def _size(row: ProfileRow) -> int:
    """At most so many bytes on the wire."""
    words = len(row.subsystem) + len(row.what) + len(row.peer) + len(row.name)
    return 64 + 4 * words + 9 * len(row.buckets)
