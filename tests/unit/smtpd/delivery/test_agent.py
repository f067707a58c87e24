"""An agent in a thread, this side being pony."""

import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imsg import Channel, ChannelClosed
from smtpd.delivery.agent import CATALOGUE, serve
from smtpd.messages.delivery import DeliverMaildir, MaildirDelivered

CONTENT = b"Subject: hi\n\nbody\n"


class Pony:
    """The other end of an agent."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.channel = Channel(ours, CATALOGUE)
        self.status: list[int] = []
        self.thread = threading.Thread(target=lambda: self.status.append(serve(theirs)))
        self.thread.start()

    def ask(self, path: str, content: bytes = CONTENT, headers: bytes = b"", loop: str = "") -> int:
        fd = os.memfd_create("message")
        os.write(fd, content)
        return self.channel.put(DeliverMaildir(path, "", False, headers, loop), fd)

    def answers(self, count: int) -> list[MaildirDelivered]:
        self.channel.flush()
        found: list[MaildirDelivered] = []
        while len(found) < count:
            assert select.select([self.socket], [], [], 10)[0]
            found += [message for _, message, _, _ in self.channel.receive()]
        return found

    def close(self) -> None:
        self.channel.close()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def pony() -> Iterator[Pony]:
    pony = Pony()
    yield pony
    pony.close()


def mails(path: Path) -> list[bytes]:
    return [p.read_bytes() for p in (path / "new").iterdir()]


def test_one_delivery(pony: Pony, tmp_path: Path) -> None:
    number = pony.ask(str(tmp_path / "m"), headers=b"Delivered-To: a@b\n")
    assert pony.answers(1) == [MaildirDelivered(number, "ok", "")]
    assert mails(tmp_path / "m") == [b"Delivered-To: a@b\n" + CONTENT]


def test_a_batch_to_two_maildirs(pony: Pony, tmp_path: Path) -> None:
    numbers = [pony.ask(str(tmp_path / f"m{n % 2}"), b"%d\n" % n) for n in range(50)]
    answers = pony.answers(50)
    assert {answer.reqid for answer in answers} == set(numbers)
    assert {answer.status for answer in answers} == {"ok"}
    assert sorted(mails(tmp_path / "m0") + mails(tmp_path / "m1")) == sorted(b"%d\n" % n for n in range(50))
    assert not list((tmp_path / "m0" / "tmp").iterdir())


def test_good_and_bad_in_one_batch(pony: Pony, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    good = pony.ask(str(tmp_path / "m"))
    bad = pony.ask(str(tmp_path / "file"))
    relative = pony.ask("m")
    loop = pony.ask(str(tmp_path / "m"), b"Delivered-To: a@b\n\n", loop="a@b")
    answers = {answer.reqid: answer for answer in pony.answers(4)}
    assert answers[good].status == "ok"
    assert answers[bad].status == "tempfail" and answers[bad].error.startswith("maildir: ")
    assert answers[relative].status == "permfail"
    assert answers[loop].status == "loop"
    assert mails(tmp_path / "m") == [CONTENT]


def test_a_folder_that_cannot_be_made_durable(
    pony: Pony, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: str) -> None:
        raise OSError(5, "Input/output error")

    pony.ask(str(tmp_path / "m"))
    assert pony.answers(1)[0].status == "ok"
    monkeypatch.setattr("smtpd.delivery.agent.sync_folder", broken)
    pony.ask(str(tmp_path / "m"))
    (answer,) = pony.answers(1)
    assert (answer.status, answer.error) == ("tempfail", "maildir: Input/output error")


def test_many_paths(pony: Pony, tmp_path: Path) -> None:
    for n in range(120):
        pony.ask(str(tmp_path / f"m{n}"))
    assert {answer.status for answer in pony.answers(120)} == {"ok"}


def test_garbage_ends_the_agent(pony: Pony) -> None:
    pony.socket.send(b"x" * 64)
    pony.thread.join(10)
    assert pony.status == [1]


def test_a_message_of_the_wrong_kind_ends_the_agent(pony: Pony) -> None:
    pony.channel.put(MaildirDelivered(1, "ok", ""))
    pony.channel.flush()
    pony.thread.join(10)
    assert pony.status == [1]


def test_it_ends_with_pony(tmp_path: Path) -> None:
    pony = Pony()
    pony.ask(str(tmp_path / "m"))
    assert pony.answers(1)
    pony.close()
    assert pony.status == [0]


def test_no_descriptor_is_left_open(pony: Pony, tmp_path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    for n in range(8):
        pony.ask(str(tmp_path / "m"), loop="" if n % 2 else "a@b")
    pony.answers(8)
    before = count()
    for n in range(8):
        pony.ask(str(tmp_path / "m") if n % 2 else "relative")
    pony.answers(8)
    assert count() <= before


def test_closed_channel_is_reported() -> None:
    pony = Pony()
    pony.socket.shutdown(socket.SHUT_WR)
    pony.thread.join(10)
    assert pony.status == [0]
    with pytest.raises(ChannelClosed):
        pony.channel.receive()
    pony.channel.close()
