"""Local deliveries, from an envelope to the message that tells queue; all around is played by the test."""

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smtpd.config.model import Config, LocalAction, MdaLimits, RelayAction
from smtpd.delivery.agent import serve
from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.parent_pony import (
    AgentOpened,
    CommandOpened,
    CommandOutput,
    DeliveryExited,
    KillDelivery,
    OpenAgent,
    OpenCommand,
)
from smtpd.messages.pony_lookup import FindUser, UserFound
from smtpd.messages.pony_queue import (
    DeliverMda,
    DeliveryLoop,
    DeliveryOk,
    DeliveryPermfail,
    DeliveryTempfail,
    HoldEnvelope,
    MessageOpened,
    OpenMessage,
    ReleaseHold,
)
from smtpd.mproc.dispatch import handlers_of
from smtpd.pony.mda import agents, mda
from smtpd.pony.mda.mda import Mda

CONTENT = b"Subject: hi\n\nbody\n"


class Bench:
    """A part with a whole world around it."""

    def __init__(self, process: Any, home: Path) -> None:
        self.process = process
        self.home = home
        self.queue, self.lookup, self.parent = (process.peer(n) for n in ("queue", "lookup", "parent"))
        self.lookup.answers[FindUser] = self.find_user
        self.queue.answers[OpenMessage] = self.open_message
        self.parent.answers[OpenAgent] = self.open_agent
        self.contents: dict[int, bytes] = {}
        self.threads: list[threading.Thread] = []
        self.evpid = 0
        self.mda = Mda(process)

    def find_user(self, request: FindUser) -> UserFound:
        if request.username in ("nobody", "broken"):
            return UserFound(
                1, "none" if request.username == "nobody" else "tempfail", request.username, -1, -1, ""
            )
        return UserFound(1, "ok", request.username, 1000, 1000, str(self.home / request.username))

    def open_message(self, request: OpenMessage) -> tuple[MessageOpened, int]:
        fd = os.memfd_create("message")
        os.write(fd, self.contents.get(request.msgid, CONTENT))
        return MessageOpened(1, ""), fd

    def open_agent(self, request: OpenAgent) -> tuple[AgentOpened, int]:
        ours, theirs = socket.socketpair()
        mailbox = ""
        if request.mbox:
            folder = self.home / request.username
            folder.mkdir(exist_ok=True)
            mailbox = f"{folder}/mbox"
        self.threads.append(threading.Thread(target=serve, args=(theirs, mailbox)))
        self.threads[-1].start()
        return AgentOpened(1, 1000 + len(self.threads), "ok", ""), ours.detach()

    def deliver(self, dispatcher: str = "maildir", user: str = "ann", **fields: Any) -> int:
        self.evpid += 1 << 32
        envelope = Envelope(self.evpid | 1, "mda", dispatcher, mda_user=user)._replace(
            sender=MailAddress("some", "sender.example"),
            rcpt=MailAddress(f"{user}+tag", "example.org"),
            dest=MailAddress(user, "example.org"),
        )
        self.mda.deliver_mda(self.queue, DeliverMda(envelope._replace(**fields)))
        return self.evpid | 1

    def results(self) -> list[Any]:
        kinds = (DeliveryOk, DeliveryTempfail, DeliveryPermfail, DeliveryLoop)
        return [message for message in self.queue.sent if isinstance(message, kinds)]

    def result(self) -> Any:
        """The next result; forgets it."""
        self.process.run_until(self.results)
        (result,) = self.results()
        self.queue.sent.clear()
        return result

    def mails(self, user: str = "ann", folder: str = "Maildir") -> list[bytes]:
        new = self.home / user / folder / "new"
        return [path.read_bytes() for path in new.iterdir()] if new.is_dir() else []

    def close(self) -> None:
        self.process.loop.run_until_complete(self.mda.stop())
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


CONFIG = Config(
    actions={
        "maildir": LocalAction(name="maildir", method="maildir"),
        "path": LocalAction(name="path", method="maildir", argument="~/%{rcpt.domain:uppercase}"),
        "bad": LocalAction(name="bad", method="maildir", argument="/x/%{nothing}"),
        "junk": LocalAction(name="junk", method="maildir", junk=True),
        "vmail": LocalAction(name="vmail", method="maildir", userbase="virtual", user="vmail"),
        "command": LocalAction(name="command", method="mda", argument="cat"),
        "mbox": LocalAction(name="mbox", method="mbox"),
        "wrapped": LocalAction(name="wrapped", method="mbox", wrapper="w"),
        "lmtp": LocalAction(name="lmtp", method="lmtp", argument="/nothing/here"),
        "out": RelayAction(name="out"),
    },
    generation=7,
)


@pytest.fixture
def make_bench(make_process: Callable[[Config], Any], tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(config: Config = CONFIG) -> Bench:
        made.append(Bench(make_process(config), tmp_path))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def test_a_maildir(bench: Bench) -> None:
    evpid = bench.deliver()
    assert bench.result() == DeliveryOk(evpid, False)
    headers = b"Return-Path: <some@sender.example>\nDelivered-To: ann+tag@example.org\n"
    assert bench.mails() == [headers + CONTENT]
    (line,) = bench.process.log.lines
    assert re.fullmatch(
        rf"[0-9a-f]{{16}} mda delivery evpid={evpid:016x} from=<some@sender.example> to=<ann@example.org> "
        r"rcpt=<ann\+tag@example.org> user=ann delay=\S+ result=Ok stat=Delivered",
        line,
    )
    counters = dict(bench.process.stat.items())
    assert counters == {"mda.envelope": 0, "mda.pending": 0, "mda.running": 0, "mda.user": 1}


def test_a_burst_for_two_users(bench: Bench) -> None:
    evpids = {bench.deliver(user=user) for user in ("ann", "bob") * 25}
    bench.process.run_until(lambda: len(bench.results()) == 50)
    assert {result.evpid for result in bench.results()} == evpids
    assert len(bench.mails("ann")) == len(bench.mails("bob")) == 25
    # one lookup and one agent each
    assert len(bench.threads) == 2


def test_where_a_maildir_is(bench: Bench) -> None:
    bench.deliver("path")
    bench.result()
    assert len(bench.mails("ann", "EXAMPLE.ORG")) == 1
    bench.deliver("bad")
    assert isinstance(bench.result(), DeliveryPermfail)


def test_the_action_s_user_delivers(bench: Bench) -> None:
    asked: list[FindUser] = []
    find = bench.find_user
    bench.lookup.answers[FindUser] = lambda request: asked.append(request) or find(request)
    bench.deliver("vmail")
    assert isinstance(bench.result(), DeliveryOk)
    assert len(bench.mails("vmail")) == 1
    assert [each[:3] for each in asked] == [(7, "virtual", "ann"), (7, "", "vmail")]
    assert len({each.evpid for each in asked}) == 1 and asked[0].evpid


def test_junk_and_subaddress(bench: Bench) -> None:
    bench.contents[1] = b"X-Spam: yes\n\nbuy\n"
    bench.deliver("junk")
    bench.result()
    assert len(bench.mails("ann", "Maildir/.Junk")) == 1
    (bench.home / "ann" / "Maildir" / ".tag").mkdir()
    bench.deliver(mda_subaddress="tag", sender=EMPTY)
    bench.result()
    assert bench.mails("ann", "Maildir/.tag") == [b"Delivered-To: ann+tag@example.org\n" + CONTENT]


def test_a_loop(bench: Bench) -> None:
    bench.contents[1] = bench.contents[2] = b"Delivered-To: ann@example.org\n\n"
    evpid = bench.deliver()
    assert bench.result() == DeliveryLoop(evpid)
    assert "result=PermFail stat=Loop detected" in bench.process.log.lines[-1]
    evpid = bench.deliver("command")
    assert bench.result() == DeliveryLoop(evpid)


def test_users_that_are_not_there(bench: Bench) -> None:
    evpid = bench.deliver(user="nobody")
    assert bench.result() == DeliveryPermfail(evpid, "Permanent failure in user lookup", 5, 16)
    evpid = bench.deliver(user="broken")
    assert bench.result() == DeliveryTempfail(evpid, "Temporary failure in user lookup", 4, 10)
    bench.lookup.answers[FindUser] = lambda request: None
    evpid = bench.deliver(user="late")
    _, then = bench.lookup.asked.pop()
    then(None)
    assert bench.result() == DeliveryTempfail(evpid, "Temporary failure in user lookup", 4, 10)
    assert bench.process.stat.get("mda.user") == 0
    assert bench.process.stat.get("mda.envelope") == 0


@pytest.mark.parametrize("dispatcher", ["gone", "out"])
def test_no_such_action(bench: Bench, dispatcher: str) -> None:
    evpid = bench.deliver(dispatcher)
    assert bench.result() == DeliveryTempfail(evpid, f'no local action "{dispatcher}"', 4, 30)


def test_a_method_that_is_not_there(bench: Bench) -> None:
    evpid = bench.deliver("wrapped")
    assert bench.result() == DeliveryTempfail(evpid, "mbox with a wrapper is not available", 4, 30)


def test_mailbox(bench: Bench) -> None:
    evpids = [bench.deliver("mbox"), bench.deliver("mbox")]
    bench.process.run_until(lambda: len(bench.results()) == 2)
    assert sorted(bench.results()) == [DeliveryOk(evpid, False) for evpid in evpids]
    content = (bench.home / "ann" / "mbox").read_bytes()
    assert content.count(b"\nDelivered-To: ann+tag@example.org\nSubject: hi\n\nbody\n\n") == 2
    assert content.startswith(b"From some@sender.example ")


def test_a_named_file(bench: Bench) -> None:
    (bench.home / "ann").mkdir()
    named = f"/usr/libexec/smtpd/mail.mboxfile -f %{{mbox.from}} {bench.home}/ann/saved"
    evpid = bench.deliver("mbox", mda_exec=named)
    assert bench.result() == DeliveryOk(evpid, False)
    assert b"\nSubject: hi\n\nbody\n\n" in (bench.home / "ann" / "saved").read_bytes()
    bench.contents[(bench.evpid >> 32) + 1] = b"Delivered-To: ann@example.org\n\n"
    evpid = bench.deliver("mbox", mda_exec=named)
    assert bench.result() == DeliveryLoop(evpid)


def test_lmtp(bench: Bench) -> None:
    evpid = bench.deliver("lmtp")
    result = bench.result()
    assert result == DeliveryTempfail(evpid, "lmtp: No such file or directory", 4, 30)


def test_no_content(bench: Bench) -> None:
    bench.queue.answers[OpenMessage] = lambda request: (MessageOpened(1, "corrupt"), None)
    for dispatcher in ("maildir", "command"):
        evpid = bench.deliver(dispatcher)
        assert bench.result() == DeliveryTempfail(evpid, "Cannot get message fd", 4, 30)
    bench.queue.answers[OpenMessage] = lambda request: (None, None)
    bench.deliver()
    assert isinstance(bench.result(), DeliveryTempfail)


def test_no_agent(bench: Bench) -> None:
    bench.parent.answers[OpenAgent] = lambda request: (AgentOpened(1, 0, "permfail", "not allowed"), None)
    evpids = [bench.deliver(), bench.deliver()]
    bench.process.run_until(lambda: len(bench.results()) == 2)
    assert bench.results() == [DeliveryPermfail(evpid, "not allowed", 5, 30) for evpid in evpids]
    assert "result=PermFail stat=Error (not allowed)" in bench.process.log.lines[-1]


def test_holding_and_releasing(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(replace(CONFIG, mda=MdaLimits(task_hiwat=3, task_lowat=1, task_release=1)))
    bench.lookup.answers[FindUser] = lambda request: None
    taken = [bench.deliver() for _ in range(3)]
    held = [bench.deliver() for _ in range(2)]
    holds = bench.queue.of(HoldEnvelope)
    assert [hold.evpid for hold in holds] == held
    ((request, then),) = bench.lookup.asked
    then(bench.find_user(request))
    bench.process.run_until(lambda: len(bench.results()) == 3)
    assert {result.evpid for result in bench.results()} == set(taken)
    releases = bench.queue.of(ReleaseHold)
    assert releases[0].type == "mda" and {release.holdq for release in releases} == {holds[0].holdq}
    assert sum(release.number for release in releases) >= 2
    bench.deliver()
    bench.process.run_until(lambda: len(bench.results()) == 4)


def test_a_user_who_is_gone_lets_all_go(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(replace(CONFIG, mda=MdaLimits(task_hiwat=1)))
    bench.lookup.answers[FindUser] = lambda request: None
    bench.deliver(user="nobody")
    bench.deliver(user="nobody")
    ((request, then),) = bench.lookup.asked
    then(bench.find_user(request))
    hold, release = bench.queue.of(HoldEnvelope)[0], bench.queue.of(ReleaseHold)[-1]
    assert release == ReleaseHold("mda", hold.holdq, 0)


def test_users_are_forgotten_after_a_while(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mda, "LINGER_SECONDS", 0.05)
    bench.deliver()
    bench.result()
    assert bench.process.stat.get("mda.user") == 1
    bench.process.run_until(lambda: bench.process.stat.get("mda.user") == 0)


def test_more_than_an_agent_takes_at_a_time(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "WINDOW", 3)
    bench = make_bench()
    for _ in range(20):
        bench.deliver()
    bench.process.run_until(lambda: len(bench.results()) == 20)
    assert len(bench.mails()) == 20


# commands


class Commands:
    """parent's part for commands: pipes whose other ends the test holds."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.requests: list[OpenCommand] = []
        self.ends: dict[int, tuple[int, int]] = {}
        bench.parent.answers[OpenCommand] = self.open

    def open(self, request: OpenCommand) -> tuple[CommandOpened, int]:
        self.requests.append(request)
        delivery = len(self.requests)
        stdin, ours = os.pipe()
        theirs, stdout = os.pipe()
        self.ends[delivery] = (stdin, stdout)
        self.bench.process.loop.call_soon(self.output, delivery, theirs)
        return CommandOpened(1, delivery, "ok", ""), ours

    def output(self, delivery: int, fd: int) -> None:
        # behind the reply, as on a channel
        self.bench.process.loop.call_soon(
            self.bench.mda.command_output, self.bench.parent, CommandOutput(delivery), fd
        )

    def exit(self, delivery: int, status: int, says: bytes = b"") -> bytes:
        """What it was given."""
        stdin, stdout = self.ends.pop(delivery)
        os.write(stdout, says)
        os.set_blocking(stdin, False)
        given = os.read(stdin, 65536)
        self.bench.mda.delivery_exited(self.bench.parent, DeliveryExited(delivery, status))
        os.close(stdin)
        os.close(stdout)
        return given

    def wait(self, number: int) -> None:
        self.bench.process.run_until(lambda: len(self.requests) == number)
        self.bench.process.turn(0.01)


def test_a_command(bench: Bench) -> None:
    commands = Commands(bench)
    evpid = bench.deliver("command", mda_subaddress="tag")
    commands.wait(1)
    given = commands.exit(1, 0)
    assert given == b"Return-Path: <some@sender.example>\nDelivered-To: ann+tag@example.org\n" + CONTENT
    assert bench.result() == DeliveryOk(evpid, False)
    (request,) = commands.requests
    assert request == OpenCommand(
        "command",
        "",
        "tag",
        MailAddress("some", "sender.example"),
        MailAddress("ann+tag", "example.org"),
        MailAddress("ann", "example.org"),
        "ann",
        1000,
        1000,
        str(bench.home / "ann"),
        evpid,
    )


def test_a_command_that_fails(bench: Bench) -> None:
    commands = Commands(bench)
    evpid = bench.deliver("maildir", mda_exec="procmail")
    commands.wait(1)
    commands.exit(1, 75, b"no space\n")
    assert bench.result() == DeliveryTempfail(evpid, '"no space"', 4, 30)
    assert 'result=TempFail stat=Error (temporary failure: "no space")' in bench.process.log.lines[-1]
    assert commands.requests[0].mda_exec == "procmail"


def test_a_command_that_cannot_be_run(bench: Bench) -> None:
    bench.parent.answers[OpenCommand] = lambda request: (CommandOpened(1, 0, "permfail", "not as root"), None)
    evpid = bench.deliver("command")
    assert bench.result() == DeliveryPermfail(evpid, "not as root", 5, 30)
    bench.parent.answers[OpenCommand] = lambda request: (None, None)
    evpid = bench.deliver("command")
    assert bench.result() == DeliveryTempfail(evpid, "parent is gone", 4, 30)


def test_limits_of_commands(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(replace(CONFIG, mda=MdaLimits(max_session=3, max_user_session=2)))
    commands = Commands(bench)
    for _ in range(3):
        bench.deliver("command", "ann")
    commands.wait(2)  # no third for one user
    bench.deliver("command", "bob")
    bench.deliver("command", "joe")
    commands.wait(3)  # no fourth in all
    assert [request.username for request in commands.requests] == ["ann", "ann", "bob"]
    commands.exit(1, 0)
    commands.wait(4)
    commands.exit(3, 0)
    commands.wait(5)
    assert {request.username for request in commands.requests[3:]} == {"ann", "joe"}
    for delivery in (2, 4, 5):
        commands.exit(delivery, 0)
    assert len(bench.results()) == 5
    assert bench.process.stat.get("mda.running") == 0


def test_words_about_processes_nobody_knows(bench: Bench) -> None:
    read, write = os.pipe()
    os.close(write)
    bench.mda.command_output(bench.parent, CommandOutput(99), read)
    bench.mda.delivery_exited(bench.parent, DeliveryExited(99, 1))
    assert bench.results() == []


def test_stop_waits_for_what_is_under_way(bench: Bench) -> None:
    evpids = {bench.deliver() for _ in range(5)}
    bench.process.run_until(lambda: bench.process.stat.get("mda.running"))
    bench.process.loop.run_until_complete(bench.mda.stop())
    assert {result.evpid for result in bench.results()} <= evpids
    assert bench.process.stat.get("mda.running") == 0


def test_stop_kills_what_does_not_end(bench: Bench) -> None:
    commands = Commands(bench)
    bench.deliver("command")
    commands.wait(1)
    task = bench.process.loop.create_task(bench.mda.stop())
    bench.process.turn(0.01)
    assert not task.done()
    task.cancel()
    bench.process.turn(0.01)
    assert bench.parent.of(KillDelivery) == [KillDelivery(1)]
    commands.exit(1, -15)
    assert isinstance(bench.result(), DeliveryTempfail)


def test_messages_handled() -> None:
    assert set(handlers_of(Mda).values()) == {"deliver_mda", "command_output", "delivery_exited"}
