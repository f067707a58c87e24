"""smtpctl/commands/watch.py: messages as they pass, and why it ends."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from traffic import MESSAGES_OF_A_MAIL, Traffic

from smtpctl.commands import watch
from smtpctl.see import ending
from smtpctl.see.ending import Enough
from smtpctl.see.pace import BACKLOG, Pace
from smtpctl.see.processors import Processors
from smtpctl.see.seen import Seen
from smtpd.messages.client_control import ClientSetTrace


class Watching:
    """In place of see.watching.Watching: one mail, then nothing more."""

    begun: tuple[Any, ...] = ()
    rests: ClassVar[list[tuple[float, int]]] = []
    too_much = 0
    step = 0
    lost = 0
    why = ""
    began = False

    def __init__(self, path: Path, kinds: Any, *, seconds: int) -> None:
        Watching.begun = (set(kinds), seconds)
        self._left = list(Traffic().mail(0xCB4DE24F, 7))
        self.over = False

    def rest(self, seconds: float, most: int) -> int:
        Watching.rests.append((seconds, most))
        self.lost += self.too_much
        return self.too_much

    def look(self) -> list[Seen]:
        step = Watching.step or len(self._left)
        new, self._left = self._left[:step], self._left[step:]
        self.over = not self._left
        return new

    def last(self) -> list[Seen]:
        new, self._left = self._left, []
        return new

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Idle(Processors):
    """Those of a machine that does nothing else."""

    def idle(self) -> float:
        return 1.0


@pytest.fixture(autouse=True)
def watching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "Watching", Watching)
    monkeypatch.setattr(watch, "give_way", lambda: None)
    monkeypatch.setattr(watch, "Pace", lambda *, rests: Pace(rests=rests, processors=Idle()))


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
    assert end == {"done": True, "number": 2, "lost": 4, "left_out": 0, "reason": reason}
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(smtpctl: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """What was on the tapes is shown, and what is not in time is counted: none of it is dropped."""
    monkeypatch.setattr(Watching, "step", 20)
    look = Watching.look

    def told(self: Watching) -> list[Seen]:
        os.kill(os.getpid(), number)
        return look(self)

    monkeypatch.setattr(Watching, "look", told)
    status, out, err = smtpctl("trace", "imsg", "--watch")
    assert (status, err) == (0, f"{MESSAGES_OF_A_MAIL} messages; ended: interrupted\n")
    assert len([line for line in out.splitlines() if not line.startswith("──")]) == MESSAGES_OF_A_MAIL
    monkeypatch.setattr(ending, "SECONDS", 0.0)
    sightings = len(list(Traffic().mail(1, 7)))
    assert smtpctl("trace", "imsg", "--watch").err == (
        f"0 messages, {sightings} not seen: this end was too slow; ended: interrupted\n"
    )
    summary = json.loads(smtpctl("--json", "trace", "imsg", "--watch").out)
    assert summary == {
        "done": True, "number": 0, "lost": sightings, "left_out": 0, "reason": "interrupted"
    }  # fmt: skip


def test_interrupted_while_nobody_reads(smtpctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not taken is no more shown than what was not looked at; twice is enough."""
    for enough, status in ((Enough(stuck=True), 0), (Enough(stuck=False), 130)):

        def stuck(_self: Any, enough: Enough = enough) -> None:
            raise enough

        with monkeypatch.context() as patched:
            patched.setattr(watch.Showing, "flush", stuck)
            patched.setattr(Watching, "step", 20)
            result = smtpctl("trace", "imsg", "--watch")
        assert result.status == status
        found = re.fullmatch(
            r"0 messages, (\d+) not seen: this end was too slow; ended: interrupted\n", result.err
        )
        assert (found is not None) == enough.stuck
        assert found is None or int(found[1]) > MESSAGES_OF_A_MAIL


def test_what_is_left_out_is_no_fault(smtpctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watching, "lost", 9)

    class Resting(Pace):
        def looked(self, lost: int) -> str:
            self.left_out = 7
            return ""

    monkeypatch.setattr(watch, "Pace", Resting)
    assert smtpctl("trace", "imsg", "--watch", "--count=2").err == (
        "2 messages, 7 left out: this machine was busy, 2 not seen: this end was too slow; "
        "ended: the limit of 2 messages (--count=0 for none)\n"
    )
    monkeypatch.setattr(Watching, "lost", 7)
    assert "too slow" not in smtpctl("trace", "imsg", "--watch").err
    summary = json.loads(smtpctl("--json", "trace", "imsg", "--watch").out.splitlines()[-1])
    assert (summary["lost"], summary["left_out"]) == (7, 7)


def test_without_watch_it_turns_lines_on(smtpctl: Any, daemon: Any) -> None:
    assert smtpctl("trace", "imsg").status == 0
    assert daemon.asked == [ClientSetTrace("imsg", True)]


@pytest.mark.parametrize(
    "words", ["smtp --watch", "imsg --full", "imsg --watch --colour=red", "imsg --watch --count=x"]
)
def test_what_means_nothing(smtpctl: Any, daemon: Any, words: str) -> None:
    assert smtpctl("trace", *words.split()).status == 64
    assert daemon.asked == []


@pytest.mark.parametrize(("words", "rests"), [((), True), (("--between=pony,queue",), False)])
def test_whoever_watches_everything_takes_rests(
    smtpctl: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], rests: bool
) -> None:
    class Slowly(Pace):
        def shown(self) -> None:
            assert self._rests is rests
            self.rest = 0.125

    monkeypatch.setattr(Watching, "step", 18)
    monkeypatch.setattr(Watching, "too_much", 2000)
    monkeypatch.setattr(watch, "Pace", Slowly)
    Watching.rests.clear()
    said = smtpctl("trace", "imsg", "--watch", *words).err.splitlines()
    assert Watching.rests == [(0.125, BACKLOG)] * 2
    assert said[0].startswith("2000 left out here: this machine is busy; ")
    assert said[1] == "2000 left out here: this machine is busy"
    assert ", 4000 left out: this machine was busy; ended: " in said[2]
