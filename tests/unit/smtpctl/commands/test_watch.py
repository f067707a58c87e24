"""smtpctl/commands/watch.py: messages as they pass, and why it ends."""

import json
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from traffic import MESSAGES_OF_A_MAIL, Traffic

from smtpctl.commands import watch
from smtpctl.see.seen import Seen
from smtpd.messages.client_control import ClientSetTrace


class Watching:
    """In place of see.watching.Watching: one mail, then nothing more."""

    begun: tuple[Any, ...] = ()
    waits: ClassVar[list[float]] = []
    step = 0
    lost = 0
    why = ""
    began = False

    def __init__(self, path: Path, kinds: Any, *, seconds: int) -> None:
        Watching.begun = (set(kinds), seconds)
        self._left = list(Traffic().mail(0xCB4DE24F, 7))
        self.over = False

    def look(self, seconds: float) -> list[Seen]:
        Watching.waits.append(seconds)
        step = Watching.step or len(self._left)
        new, self._left = self._left[:step], self._left[step:]
        self.over = not self._left
        return new

    def end(self) -> None:
        self.lost += 2

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def watching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "Watching", Watching)
    monkeypatch.setattr(watch, "give_way", lambda: None)
    monkeypatch.setattr(watch, "end_on_sigterm", lambda: None)


def test_lines(smtpctl: Any) -> None:
    status, out, err = smtpctl("trace", "imsg", "--watch")
    lines = [line for line in out.splitlines() if not line.startswith("──")]
    assert (status, len(lines)) == (0, MESSAGES_OF_A_MAIL)
    assert err == f"{MESSAGES_OF_A_MAIL} messages; ended: the limit of 600 seconds (--seconds=0 for none)\n"
    assert "\x1b" not in out and "\x1b[" in smtpctl("trace", "imsg", "--watch", "--colour=always").out


def test_as_json_with_a_limit(smtpctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watching, "lost", 4)
    *rows, end = map(json.loads, smtpctl("--json", "trace", "imsg", "--watch", "--count=2").out.splitlines())
    assert [row["kind"] for row in rows] == ["ReverseName", "ReverseNameFound"]
    reason = "the limit of 2 messages (--count=0 for none)"
    assert end == {"done": True, "number": 2, "lost": 4, "reason": reason}
    assert smtpctl("trace", "imsg", "--watch").err.splitlines() == [
        "4 not seen here: this end is too slow",
        "27 messages, 4 not seen: this end was too slow; ended: the limit of 600 seconds "
        "(--seconds=0 for none)",
    ]


def test_filters_and_the_end_of_a_mail(smtpctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = smtpctl("trace", "imsg", "--watch", "--kind=CreateMessage", "--seconds=7").out
    assert out.count("\n") >= 2 and "ReverseName" not in out
    assert len(Watching.begun[0]) == 2 and Watching.begun[1] == 7
    assert smtpctl("trace", "imsg", "--watch", "--mail=next").err.endswith("ended: that mail is through\n")
    assert Watching.begun[0] == set()
    monkeypatch.setattr(Watching, "why", "all traces were ended")
    assert smtpctl("trace", "imsg", "--watch").err.endswith("ended: all traces were ended\n")


def test_it_says_from_when_on_nothing_is_missed(smtpctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watching, "began", True)
    began, end = smtpctl("trace", "imsg", "--watch", "--count=0").err.splitlines()
    assert began == "every process is watched; ends after 600 seconds"
    assert end.startswith(f"{MESSAGES_OF_A_MAIL} messages; ended: ")


def test_interrupted(smtpctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_self: Watching, _seconds: float) -> list[Seen]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Watching, "look", interrupt)
    assert smtpctl("trace", "imsg", "--watch").err == (
        "0 messages, 2 not seen: this end was too slow; ended: interrupted\n"
    )


def test_without_watch_it_turns_lines_on(smtpctl: Any, daemon: Any) -> None:
    assert smtpctl("trace", "imsg").status == 0
    assert daemon.asked == [ClientSetTrace("imsg", True)]


@pytest.mark.parametrize(
    "words", ["smtp --watch", "imsg --full", "imsg --watch --colour=red", "imsg --watch --count=x"]
)
def test_what_means_nothing(smtpctl: Any, daemon: Any, words: str) -> None:
    assert smtpctl("trace", *words.split()).status == 64
    assert daemon.asked == []


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How idle the machine is said to be."""
    said = [0.0]
    monkeypatch.setattr(watch.Processors, "idle", lambda _self: said[0])
    return said


def test_whoever_watches_everything_on_a_busy_machine_takes_rests(
    smtpctl: Any, monkeypatch: pytest.MonkeyPatch, idle: list[float]
) -> None:
    """In proportion to the work, which a clock that is ours measures here."""
    monkeypatch.setattr(Watching, "step", 18)
    work = [0.01]
    ticks = count()
    monkeypatch.setattr(watch.time, "thread_time", lambda: work[0] * next(ticks))
    for work[0], expected in ((0.01, 0.01 * watch.REST), (0.0001, 0.02), (5.0, watch.REST_MOST)):
        Watching.waits.clear()
        smtpctl("trace", "imsg", "--watch")
        assert Watching.waits == pytest.approx([0.02, expected, expected])
    for words, part in ((("--between=pony,queue",), 0.0), ((), watch.IDLE)):
        idle[0] = part
        Watching.waits.clear()
        smtpctl("trace", "imsg", "--watch", *words)
        assert Watching.waits == [0.02] * 3


def test_how_idle_processors_are(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([(100, 1000), (140, 1100), (140, 1100), (150, 1200), (0, 0)])
    monkeypatch.setattr(watch.Processors, "_read", lambda _self: next(told))
    processors = watch.Processors()
    assert [processors.idle() for _ in range(4)] == [0.4, 0.0, 0.1, 0.0]
    monkeypatch.undo()
    idle, whole = watch.Processors()._read()
    assert 0 <= idle <= whole and whole > 0
