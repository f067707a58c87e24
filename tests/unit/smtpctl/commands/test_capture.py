"""smtpctl/commands/capture.py: what is written, where, and how it ends."""

import json
import os
import signal
from pathlib import Path
from typing import IO, Any

import pytest
from traffic import Traffic

from smtpctl.commands import capture
from smtpctl.invocation import Invocation
from smtpctl.output import Output
from smtpctl.places import find_places
from smtpctl.see import ending
from smtpctl.see.ending import Enough
from smtpctl.see.flow import flow_of, join
from smtpctl.see.pcapng import CaptureReader
from smtpctl.see.seen import Seen


class Watching:
    """In place of see.watching.Watching: two mails, ten sightings a look."""

    begun: tuple[Any, ...] = ()
    lost = 2
    why = ""
    began = False

    def __init__(self, path: Path, kinds: Any, *, handlers: bool, seconds: int) -> None:
        Watching.begun = (os.path.basename(path), set(kinds), handlers, seconds)
        traffic = Traffic()
        self._left = [*traffic.mail(0xCB4DE24F, 7), *traffic.mail(0x11111111, 8)]
        self.over = False

    def look(self) -> list[Seen]:
        new, self._left = self._left[:10], self._left[10:]
        self.over = not self._left
        return new

    def last(self) -> list[Seen]:
        new, self._left = self._left, []
        return new

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def watching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "Watching", Watching)


def read(path: Path) -> tuple[list[Seen], int]:
    with open(path, "rb") as file:
        reader = CaptureReader(file)
        return list(reader), reader.info.lost


def test_into_a_file(smtpctl: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    status, out, err = smtpctl("capture", "-w", str(path), "--seconds=5", "--handlers")
    number = len(list(Traffic().mail(1, 7))) * 2
    assert (status, err) == (0, "")
    assert out == f"{number} packets, 2 missed; ended: the limit of 5 seconds (--seconds=0 for none)\n"
    assert Watching.begun == ("smtpd.sock", set(), True, 5)
    sightings, lost = read(path)
    assert (len(sightings), lost, path.stat().st_mode & 0o777) == (number, 2, 0o600)


def test_a_filter_writes_both_ends_of_what_is_wanted(smtpctl: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    result = smtpctl("--json", "capture", "-w", str(path), "--kind=CreateMessage")
    sightings, _ = read(path)
    assert json.loads(result.out)["number"] == len(sightings) == 8
    assert [message.name for message in join(sightings)] == ["CreateMessage", "MessageCreated"] * 2
    assert all(message.waited == 50_000 for message in join(sightings))


def test_the_next_mail(smtpctl: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    assert smtpctl("capture", "-w", str(path), "--mail=next").out.endswith("ended: that mail is through\n")
    messages = join(read(path)[0])
    assert len(flow_of(messages, "cb4de24f").messages) == len(messages) == 27


def test_a_limit_and_standard_output(smtpctl: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []

    def into_a_file(path: str) -> IO[bytes]:
        opened.append(path)
        return open(tmp_path / "out", "wb")

    monkeypatch.setattr(capture, "_open", into_a_file)
    status, out, err = smtpctl("capture", "--count=3")
    assert (status, out, opened) == (0, "", ["-"])
    assert err == "3 packets, 2 missed; ended: the limit of 3 packets (--count=0 for none)\n"
    assert len(read(tmp_path / "out")[0]) == 3


def test_it_says_from_when_on_nothing_is_missed(
    smtpctl: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Watching, "began", True)
    words = "every process is watched; ends after 1000000 packets or 3600 seconds\n"
    assert smtpctl("capture", "-w", str(tmp_path / "a")).err == words


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(smtpctl: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int) -> None:
    """What was on the tapes is written, and what is not in time is counted: none of it is dropped."""
    look = Watching.look

    def told(self: Watching) -> list[Seen]:
        os.kill(os.getpid(), number)
        return look(self)

    monkeypatch.setattr(Watching, "look", told)
    whole = len(list(Traffic().mail(1, 7))) * 2
    for seconds, packets in ((60.0, whole), (0.0, 0)):
        monkeypatch.setattr(ending, "SECONDS", seconds)
        result = smtpctl("--json", "capture", "-w", str(tmp_path / "a"))
        summary = {"done": True, "number": packets, "lost": 2 + whole - packets, "reason": "interrupted"}
        assert (result.status, json.loads(result.out)) == (0, summary)
        sightings, lost = read(tmp_path / "a")
        assert (len(sightings), lost) == (packets, summary["lost"])


def test_interrupted_while_nobody_reads(
    smtpctl: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What lies in our buffer was not taken by anybody; twice is enough."""
    reading, writing = os.pipe()
    file = open(writing, "wb", 1 << 18)
    monkeypatch.setattr(capture, "_open", lambda _path: file)
    flush = capture.Writing.flush
    whole = len(list(Traffic().mail(1, 7))) * 2

    def stuck(self: capture.Writing) -> None:
        if self.number >= 20 and not given_up:
            given_up.append(True)
            capture._give_up(Invocation(find_places(None, {}), Output()), file, False)
            raise Enough(stuck=True)
        flush(self)

    given_up: list[bool] = []
    monkeypatch.setattr(capture.Writing, "flush", stuck)
    result = smtpctl("--json", "capture")
    summary = {"done": True, "number": 10, "lost": 2 + whole - 10, "reason": "interrupted"}
    assert (result.status, json.loads(result.err)) == (0, summary)
    with open(reading, "rb") as left:
        assert len(list(CaptureReader(left))) == 10


def test_what_cannot_be(smtpctl: Any, tmp_path: Path) -> None:
    assert smtpctl("capture", "-w", str(tmp_path / "none" / "a")).status == 64
    assert smtpctl("capture", "-w", str(tmp_path / "a"), "--count=x").status == 64
    assert not (tmp_path / "a").exists()
