"""smtpd/lookup/process.py: the whole process in the hands of a test, one recipient all the way."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg import Channel
from smtpd.config import wire
from smtpd.config.model import Config, Criterion, LocalAction, RelayAction, Rule, Table
from smtpd.config.slices import slice_for
from smtpd.lookup import resolver as resolver_module
from smtpd.lookup.process import Process
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.lookup_queue import EnvelopesSubmitted, SubmitEnvelopes
from smtpd.messages.parent_lookup import ForwardOpened, OpenForward
from smtpd.messages.pony_lookup import (
    ExpandRecipient,
    FindHost,
    FindInTable,
    FindUser,
    FoundInTable,
    HostsFound,
    RecipientExpanded,
    ReverseName,
    ReverseNameFound,
    UserFound,
)
from smtpd.mproc.log import Log
from smtpd.mproc.process import channel_on
from smtpd.mproc.spawn import socketpair


def table(name: str, *entries: tuple[str, str | None]) -> Table:
    kind = "hash" if entries[0][1] is not None else "list"
    return Table(name=name, backend="static", kind=kind, entries=entries)


CONFIG = Config(
    generation=3,
    tables={
        "here": table("here", ("here.example", None)),
        "anywhere": table("anywhere", ("*", None)),
        "aliases": table("aliases", ("all", "alice, x@far.example")),
        "hosts": table("hosts", ("smtp://relay.example", None)),
    },
    actions={
        "local": LocalAction(name="local", method="maildir", alias="aliases"),
        "out": RelayAction(name="out", host="hosts"),
    },
    rules=(
        Rule(criteria=(Criterion("for-domain", False, "here"),), action="local"),
        Rule(criteria=(Criterion("for-domain", False, "anywhere"),), action="out"),
    ),
)

BASE = Envelope(evpid=0x77 << 32, type="", sockaddr="192.0.2.1", sender=MailAddress("a", "b.example"))


class Bench:
    """A lookup, and the other ends of its links. `forward`: what parent finds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, homes: str) -> None:
        self.loop = loop
        self.process = Process(loop, Log("lookup"))
        self.process.homes = homes
        self.ends: dict[str, Channel] = {}
        for name in ("parent", "control", "pony", "queue"):
            ours, theirs = socketpair()
            self.ends[name] = Channel(theirs, CATALOGUE)
            self.process.attach(name, 0, channel_on(ours.detach(), name, self.process))
        self.process.load_config(wire.dumps(slice_for(CONFIG, "lookup")))
        self.process.prepare()
        self.process.start()
        self.process.begin()
        self.forward = b""
        self.submitted: list[SubmitEnvelopes] = []

    def ask(self, message: Any) -> Any:
        """What pony is answered; the others answer meanwhile."""

        async def asked() -> Any:
            self.ends["pony"].put(message)
            self.ends["pony"].flush()
            while True:
                await asyncio.sleep(0.001)
                for _number, question, reqid, _fd in self.ends["parent"].receive():
                    assert isinstance(question, OpenForward)
                    fd = os.memfd_create("forward")
                    os.pwrite(fd, self.forward, 0)
                    self.ends["parent"].put(ForwardOpened(reqid, "ok"), fd)
                    self.ends["parent"].flush()
                for _number, question, reqid, _fd in self.ends["queue"].receive():
                    self.submitted.append(question)
                    evpids = [question.msgid << 32 | n for n, _ in enumerate(question.envelopes, 1)]
                    self.ends["queue"].put(EnvelopesSubmitted(reqid, "", evpids))
                    self.ends["queue"].flush()
                if received := self.ends["pony"].receive():
                    return received[0][1]

        return self.loop.run_until_complete(asyncio.wait_for(asked(), 10))

    def close(self) -> None:
        for peer in self.process.peers():
            peer.close()
        for end in self.ends.values():
            end.close()


@pytest.fixture
def bench(
    loop: asyncio.AbstractEventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    (tmp_path / "hosts").write_text("192.0.2.9 client.example\n")
    hosts = resolver_module.Hosts(tmp_path / "hosts")
    monkeypatch.setattr(resolver_module, "Hosts", lambda: hosts)
    handler = loop.get_exception_handler()
    bench = Bench(loop, str(tmp_path / "home"))
    loop.set_exception_handler(handler)
    yield bench
    bench.close()


def test_a_recipient_all_the_way(bench: Bench) -> None:
    envelope = BASE._replace(rcpt=MailAddress("All", "here.example"))
    reply = bench.ask(ExpandRecipient(1, 3, 0, False, envelope))
    assert reply == RecipientExpanded(1, "ok", "", [0x77 << 32 | 1, 0x77 << 32 | 2])
    (submitted,) = bench.submitted
    assert (submitted.msgid, submitted.more) == (0x77, False)
    # Breadth first: the address among the aliases is a step nearer than the user behind its .forward.
    assert [(e.type, e.dispatcher, str(e.dest), e.mda_user) for e in submitted.envelopes] == [
        ("mda", "local", "All@here.example", "alice"),
        ("mta", "out", "x@far.example", ""),
    ]


def test_through_a_forward(bench: Bench) -> None:
    bench.forward = b"bob+tag@far.example\n"
    envelope = BASE._replace(rcpt=MailAddress("alice", "here.example"))
    assert bench.ask(ExpandRecipient(1, 3, 0, False, envelope)).status == "ok"
    assert [str(envelope.dest) for envelope in bench.submitted[0].envelopes] == ["bob+tag@far.example"]


def test_a_recipient_that_is_refused(bench: Bench) -> None:
    bench.forward = b"error:550 no more\n"
    envelope = BASE._replace(rcpt=MailAddress("alice", "here.example"))
    assert bench.ask(ExpandRecipient(1, 3, 0, False, envelope)) == RecipientExpanded(
        1, "permfail", "550 no more", []
    )
    assert bench.submitted == []


def test_the_other_questions(bench: Bench, tmp_path: Path) -> None:
    home = f"{tmp_path}/home/alice"
    assert bench.ask(FindUser(3, "", "alice")) == UserFound(
        1, "ok", "alice", os.geteuid(), os.getegid(), home
    )
    assert bench.ask(ReverseName("192.0.2.9")) == ReverseNameFound(2, "ok", "client.example")
    assert bench.ask(ReverseName("local")) == ReverseNameFound(3, "none", "")
    found = bench.ask(FindHost("client.example"))
    assert isinstance(found, HostsFound) and found.hosts[0].addresses == ["192.0.2.9"]
    assert bench.ask(FindInTable(3, "hosts", "relayhost", "")) == FoundInTable(
        5, "ok", "smtp://relay.example"
    )
    assert bench.ask(FindInTable(3, "aliases", "alias", "all")) == FoundInTable(6, "tempfail", "")


def test_its_configuration(bench: Bench) -> None:
    assert bench.process.config == CONFIG and bench.process.config.generation == 3
    with pytest.raises(wire.WireError):
        bench.process.load_config(b"\xc1")
