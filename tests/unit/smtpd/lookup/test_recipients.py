"""smtpd/lookup/recipients.py: envelopes in frames that fit, and what pony and queue are told."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsg import Channel
from imsg.message import MAX_PAYLOAD
from smtpd.lookup.expansion import OK, PERMFAIL, TEMPFAIL, Outcome, UserInfo
from smtpd.lookup.recipients import Recipients, frames_of
from smtpd.lookup.rules import TableTempfail
from smtpd.lookup.steps import GaveUp
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import LIMITS, Envelope
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.lookup_queue import BounceExpanded, EnvelopesSubmitted, ExpandBounce, SubmitEnvelopes
from smtpd.messages.pony_lookup import ExpandRecipient, FindUser, RecipientExpanded, UserFound
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer

Run = Callable[[Any], Any]

BASE = Envelope(evpid=0xABCDEF01 << 32, type="", sender=MailAddress("from", "a.example"))

# frames


def longest(limit: int, char: str) -> str:
    return char * (limit // len(char.encode("utf-8", "surrogateescape")))


# From one to four bytes a character, and bytes that are none.
CHARS = st.sampled_from(["x", "ü", "漢", "😀", "\udcff"])


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """With fields of any length that is allowed, the longest more often than not."""
    texts = {
        name: draw(CHARS) * 0 + longest(draw(st.sampled_from([0, 10, limit])), draw(CHARS))
        for name, limit in LIMITS.items()
    }
    part = st.builds(longest, st.sampled_from([0, 10, 255]), CHARS)
    address = st.builds(MailAddress, part, part)
    number = draw(st.sampled_from([0, 2**63 - 1]))
    return Envelope(
        evpid=draw(st.sampled_from([0, 2**64 - 1])), type="bounce", sockaddr="[2001:db8::1%very-long-name]",
        sender=draw(address), rcpt=draw(address), dest=draw(address),
        ctime=number, last_try=number, last_bounce=number, ttl=number, bounce_delay=number, bounce_ttl=number,
        retry=2**16 - 1, flags=255, dsn_notify=255, dsn_ret="FULL", esc_class=255, esc_code=255,
        bounce_type="delivered", **texts,
    )  # fmt: skip


@given(st.lists(st.tuples(envelopes(), st.integers(1, 60)), max_size=5))
@settings(max_examples=60)
def test_no_frame_is_too_large(parts: list[tuple[Envelope, int]]) -> None:
    """Encoded as they are sent."""
    all_of_them = [envelope for envelope, count in parts for _ in range(count)]
    batches = frames_of(all_of_them)
    assert [envelope for batch in batches for envelope in batch] == all_of_them
    assert all(batches) or all_of_them == []
    for batch in batches:
        _number, payload = CATALOGUE.encode(SubmitEnvelopes(2**32 - 1, True, batch))
        assert len(payload) <= MAX_PAYLOAD


def test_frames_are_well_filled() -> None:
    """A usual envelope takes less than half a kilobyte: no more frames than needed."""
    usual = BASE._replace(
        type="mda", dispatcher="local", helo="client.example.org", hostname="client.example.org", tag="in",
        smtpname="mail.example.org", sockaddr="[2001:db8::1234]", rcpt=MailAddress("list", "example.org"),
        dest=MailAddress("somebody", "example.org"), mda_user="somebody",
    )  # fmt: skip
    assert len(frames_of([usual] * 15)) == 1
    assert len(frames_of([usual] * 1000)) < 60


# answers


class Expander:
    """Says what the test wants."""

    def __init__(self) -> None:
        self.outcome = Outcome(OK, "", [BASE._replace(type="mda", mda_user="alice")])
        self.asked: list[tuple[Envelope, bool, bool]] = []

    async def expand(self, envelope: Envelope, tls: bool, tell: Any) -> Outcome:
        self.asked.append((envelope, tls, tell is not None))
        if tell is not None:
            tell(GaveUp("tempfail", "451 x", "for the test"))
        return self.outcome


class Tables:
    async def user(self, table: str, name: str) -> UserInfo | None:
        if name == "down":
            raise TableTempfail("nobody answers")
        return (
            UserInfo(name, 1000, 100, f"/home/{name}")
            if name == "alice" and table in ("", "people")
            else None
        )


class Bench:
    """A Recipients, and queue's end of its link. `answers`: queue's replies, error by error."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: Run) -> None:
        ours, theirs = socket.socketpair()
        self.loop = loop
        self.run = run
        self.log = Log("lookup")
        self.queue = Channel(theirs, CATALOGUE)
        self._link = Peer(self, "queue", 0, Channel(ours, CATALOGUE))  # type: ignore[arg-type]
        self.expander = Expander()
        self.part = Recipients(self, self.expander, Tables())  # type: ignore[arg-type]
        self.submitted: list[SubmitEnvelopes] = []
        self.errors: list[str] = []

    def peer(self, name: str) -> Peer:
        assert name == "queue"
        return self._link

    def peer_lost(self, peer: Peer) -> None: ...

    def answer(self, question: Any) -> Any:
        """The reply to a handler's coroutine, with queue answering meanwhile."""

        async def both() -> Any:
            task = asyncio.ensure_future(question)
            while not task.done():
                for _number, message, reqid, _fd in self.queue.receive() if not self.queue._closed else ():
                    self.submitted.append(message)
                    error = self.errors.pop(0) if self.errors else ""
                    first = len(self.submitted) * 100
                    evpids = [] if error else [first + n for n in range(len(message.envelopes))]
                    self.queue.put(EnvelopesSubmitted(reqid, error, evpids))
                    self.queue.flush()
                await asyncio.sleep(0)
            return task.result()

        return self.run(both())

    def expand_recipient(self, **fields: Any) -> RecipientExpanded:
        message = ExpandRecipient(1, 7, 0, True, BASE)._replace(**fields)
        reply: RecipientExpanded = self.answer(self.part.expand_recipient(self._link, 9, message))
        assert len(CATALOGUE.encode(reply)[1]) <= MAX_PAYLOAD
        return reply

    def close(self) -> None:
        self._link.close()
        self.queue.close()


@pytest.fixture
def bench(loop: asyncio.AbstractEventLoop, run: Run) -> Iterator[Bench]:
    bench = Bench(loop, run)
    yield bench
    bench.close()


def test_a_recipient(bench: Bench) -> None:
    assert bench.expand_recipient() == RecipientExpanded(9, "ok", "", [100])
    assert bench.expander.asked == [(BASE, True, False)]
    assert bench.submitted == [SubmitEnvelopes(0xABCDEF01, False, bench.expander.outcome.envelopes)]


@pytest.mark.parametrize("status", [TEMPFAIL, PERMFAIL])
def test_a_recipient_that_is_refused(bench: Bench, status: str) -> None:
    bench.expander.outcome = Outcome(status, "550 because", [])
    assert bench.expand_recipient() == RecipientExpanded(9, status, "550 because", [])
    assert bench.submitted == []


def test_many_envelopes(bench: Bench) -> None:
    """In several messages, all but the last marked; and still one reply that fits."""
    many = [BASE._replace(type="mda", mda_user=f"user{number}") for number in range(9000)]
    bench.expander.outcome = Outcome(OK, "", many)
    reply = bench.expand_recipient()
    assert reply.status == "ok" and 0 < len(reply.evpids) <= 1000
    assert [envelope for message in bench.submitted for envelope in message.envelopes] == many
    assert [message.more for message in bench.submitted] == [True] * (len(bench.submitted) - 1) + [False]


@pytest.mark.parametrize("errors", [["disk full"], ["", "disk full"]])
def test_queue_takes_them_not(bench: Bench, errors: list[str]) -> None:
    """Nothing more is sent after the first error."""
    bench.expander.outcome = Outcome(OK, "", [BASE._replace(mda_user=f"u{n}") for n in range(500)])
    sent = len(errors)
    bench.errors = errors
    assert bench.expand_recipient() == RecipientExpanded(9, "tempfail", "451 Temporary failure", [])
    assert len(bench.submitted) == sent


def test_queue_is_gone(bench: Bench) -> None:
    bench.queue.close()
    assert bench.expand_recipient() == RecipientExpanded(9, "tempfail", "451 Temporary failure", [])


def test_a_bounce_comes_from_here(bench: Bench) -> None:
    message = ExpandBounce(BASE._replace(flags=2))
    assert bench.answer(bench.part.expand_bounce(bench._link, 9, message)) == BounceExpanded(9, "ok", "")
    assert bench.expander.asked == [(BASE._replace(flags=2), False, False)]
    bench.expander.outcome = Outcome(PERMFAIL, "550 no", [])
    assert bench.answer(bench.part.expand_bounce(bench._link, 9, message)) == BounceExpanded(
        9, "permfail", "550 no"
    )


@pytest.mark.parametrize(
    ("table", "name", "expected"),
    [
        ("", "alice", UserFound(9, "ok", "alice", 1000, 100, "/home/alice")),
        ("people", "alice", UserFound(9, "ok", "alice", 1000, 100, "/home/alice")),
        ("others", "alice", UserFound(9, "none", "alice", -1, -1, "")),
        ("", "bob", UserFound(9, "none", "bob", -1, -1, "")),
        ("", "down", UserFound(9, "tempfail", "down", -1, -1, "")),
    ],
)
def test_users(bench: Bench, table: str, name: str, expected: UserFound) -> None:
    assert bench.answer(bench.part.find_user(bench._link, 9, FindUser(7, table, name))) == expected


@pytest.mark.parametrize("subsystem", ["expand", "rules", "all"])
def test_steps_are_told_while_traced(bench: Bench, monkeypatch: pytest.MonkeyPatch, subsystem: str) -> None:
    lines: list[str] = []
    monkeypatch.setattr(bench.log, "_write", lambda _priority, text: lines.append(text))
    bench.log.set_trace(subsystem, True)
    bench.expand_recipient()
    assert bench.expander.asked[-1][2]
    assert (lines != []) == (subsystem != "rules")
    bench.log.set_trace(subsystem, False)
    bench.expand_recipient()
    assert not bench.expander.asked[-1][2]
