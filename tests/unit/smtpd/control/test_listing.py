"""smtpd/control/listing.py, in a whole process whose peers the test holds (conftest.py)."""

from typing import Any

import pytest

from imsg import MessageError
from smtpd.control import listing
from smtpd.control.listing import PAGE
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.client_control import ClientDone
from smtpd.messages.client_queue import ClientShowQueue, QueueRow
from smtpd.messages.control_queue import DescribeEnvelopes, EnvelopesDescribed
from smtpd.messages.control_scheduler import EnvelopesListed, EnvelopeState, ListEnvelopes


def envelope(evpid: int, errorline: str = "") -> Envelope:
    return Envelope(
        evpid=evpid,
        type="mta",
        sender=MailAddress("ann", "example.org"),
        rcpt=MailAddress("bob", "example.net"),
        dest=MailAddress("bob", "example.net"),
        errorline=errorline,
    )


class Spool:
    """scheduler and queue, as far as a list is concerned."""

    def __init__(self, bench: Any, evpids: list[int]) -> None:
        self.evpids = evpids
        self.gone: set[int] = set()
        self.frame = 7
        self.errorline = ""
        bench.answers[ListEnvelopes] = self.list
        bench.answers[DescribeEnvelopes] = self.describe

    def list(self, name: str, peerid: int, message: ListEnvelopes) -> EnvelopesListed:
        assert name == "scheduler"
        found = [
            evpid
            for evpid in sorted(self.evpids)
            if evpid >= message.start and (not message.msgid or evpid >> 32 == message.msgid)
        ]
        page = found[: message.most]
        states = [EnvelopeState(evpid, "mta", "pending", False, 0, 5) for evpid in page]
        return EnvelopesListed(peerid, page[-1] + 1 if len(found) > len(page) else 0, states)

    def describe(self, name: str, peerid: int, message: DescribeEnvelopes) -> EnvelopesDescribed:
        assert name == "queue"
        taken = message.evpids[: self.frame]
        there = [envelope(evpid, self.errorline) for evpid in taken if evpid not in self.gone]
        return EnvelopesDescribed(peerid, len(taken), there)


def test_from_somewhere_on(bench: Any) -> None:
    Spool(bench, [2**32 + number for number in range(1, 300)])
    rows = bench.ask(bench.connect(), ClientShowQueue(0, 2**32 + 290))
    assert [row.envelope.evpid - 2**32 for row in rows[:-1]] == list(range(290, 300))
    assert rows[-1] == ClientDone(0, "", 10)


def test_an_empty_queue(bench: Any) -> None:
    Spool(bench, [])
    assert bench.ask(bench.connect(), ClientShowQueue(0)) == [ClientDone(0, "", 0)]
    assert bench.heard["queue"] == []


def test_all_envelopes_in_order_whatever_the_pages(bench: Any) -> None:
    evpids = [number << 32 | 1 for number in range(1, 2 * PAGE + 10)]
    Spool(bench, evpids)
    replies = bench.ask(bench.connect(), ClientShowQueue(0), turns=200)
    assert [reply.envelope.evpid for reply in replies[:-1]] == evpids
    assert all(reply.state.evpid == reply.envelope.evpid for reply in replies[:-1])
    assert replies[0] == QueueRow(
        0, EnvelopeState(evpids[0], "mta", "pending", False, 0, 5), envelope(evpids[0])
    )
    assert replies[-1] == ClientDone(0, "", len(evpids))
    assert len(bench.heard["scheduler"]) == 3
    assert max(len(asked.evpids) for asked in bench.heard["queue"]) <= PAGE


def test_of_one_message(bench: Any) -> None:
    Spool(bench, [1 << 32 | 1, 2 << 32 | 1, 2 << 32 | 2, 3 << 32 | 1])
    replies = bench.ask(bench.connect(), ClientShowQueue(2))
    assert [reply.envelope.evpid for reply in replies[:-1]] == [2 << 32 | 1, 2 << 32 | 2]


def test_what_left_the_queue_meanwhile_is_left_out(bench: Any) -> None:
    spool = Spool(bench, [number << 32 | 1 for number in range(1, 30)])
    spool.gone = set(spool.evpids[1:28])
    replies = bench.ask(bench.connect(), ClientShowQueue(0))
    assert [reply.envelope.evpid >> 32 for reply in replies[:-1]] == [1, 29]
    assert replies[-1].number == 2


def test_an_envelope_too_long_with_its_state_loses_its_long_texts(bench: Any) -> None:
    spool = Spool(bench, [1 << 32 | 1])
    # As much as fits into queue's reply, but not into the row, which has the state as well.
    spool.errorline = "x" * 16_000
    while True:
        try:
            CATALOGUE.encode(EnvelopesDescribed(1, 1, [envelope(1 << 32 | 1, spool.errorline + "x")]))
        except MessageError:
            break
        spool.errorline += "x"
    (row, done) = bench.ask(bench.connect(), ClientShowQueue(0))
    assert row.envelope.errorline == ""
    assert row.envelope.dest.user == "bob"
    assert done == ClientDone(0, "", 1)


@pytest.mark.parametrize("name", ["scheduler", "queue"])
def test_a_process_that_is_gone(bench: Any, name: str) -> None:
    Spool(bench, [1 << 32 | 1])
    bench.ends.pop(name).close()
    (done,) = bench.ask(bench.connect(), ClientShowQueue(0))
    assert done.error == f"{'the scheduler' if name == 'scheduler' else 'queue'} does not answer"


def test_a_process_that_hangs(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "ANSWER_SECONDS", 0.02)
    (done,) = bench.ask(bench.connect(), ClientShowQueue(0), turns=2000)
    assert done.error == "the scheduler does not answer"


def test_queue_that_answers_nothing_does_not_go_round_for_ever(bench: Any) -> None:
    spool = Spool(bench, [1 << 32 | 1])
    spool.frame = 0
    (done,) = bench.ask(bench.connect(), ClientShowQueue(0))
    assert done.error == "queue does not answer"


def test_a_client_that_does_not_read_holds_its_list_up(bench: Any) -> None:
    spool = Spool(bench, [number << 32 | 1 for number in range(1, 20_001)])
    spool.frame = PAGE
    client = bench.connect()
    client.put(ClientShowQueue(0))
    client.flush()
    bench.turn(400)
    asked = len(bench.heard["scheduler"])
    bench.turn(400)
    assert len(bench.heard["scheduler"]) == asked < 40, "no page is asked for before there is room"
    rows = 0
    for _ in range(5000):
        bench.turn(1)
        received = client.receive()
        rows += len(received)
        if received and isinstance(received[-1][1], ClientDone):
            break
    assert rows == 20_001
