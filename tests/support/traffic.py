"""Sightings of mails on their way through the processes, as many as wanted, without a daemon."""

from collections.abc import Iterator
from typing import Any

from smtpctl.see.seen import DESCRIPTOR, HANDLED, OUT, Seen
from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages import delivery, lookup_queue, parent_lookup, parent_pony, pony_lookup, pony_queue
from smtpd.messages import queue_scheduler as qs
from smtpd.messages.catalogue import CATALOGUE

START = 1_700_000_000_000_000_000
PIDS = {"parent": 100, "lookup": 102, "pony": 103, "queue": 104, "scheduler": 105, "delivery": 200}
PROCESSES = ("parent", "control", "lookup", "pony", "queue", "scheduler")
_BLANK = {str: "", int: 0}


def envelope(evpid: int, sender: str, rcpt: str) -> Envelope:
    """An envelope for delivery to a local user."""
    fields: dict[str, Any] = dict.fromkeys(Envelope._fields, 0)
    texts = (
        "type dispatcher tag smtpname helo hostname username errorline sockaddr dsn_ret dsn_envid dsn_orcpt"
    )
    fields |= dict.fromkeys((*texts.split(), "mda_exec", "mda_subaddress", "mda_user", "bounce_type"), "")
    to = MailAddress(*rcpt.split("@"))
    fields |= {
        "evpid": evpid,
        "type": "mda",
        "dispatcher": "local",
        "sockaddr": "192.0.2.1",
        "sender": MailAddress(*sender.split("@")) if sender else EMPTY,
        "rcpt": to,
        "dest": to,
        "ctime": 1_700_000_000,
        "ttl": 345600,
    }
    return Envelope(**fields)


class Traffic:
    """Makes messages: the running numbers of all channels, and the clock. `step`: ns between two messages."""

    def __init__(self, step: int = 100_000, *, handlers: bool = False) -> None:
        self.now = START
        self._step = step
        self._handlers = handlers
        self._numbers: dict[tuple[str, str], int] = {}

    def pass_(self, sender: str, receiver: str, message: Any, *, fd: bool = False) -> Iterator[Seen]:
        """The sightings of one message: sent, received, handled."""
        number, payload = CATALOGUE.encode(message)
        key = sender, receiver
        peerid = self._numbers[key] = self._numbers.get(key, 0) % 0xFFFFFF + 1
        flags = DESCRIPTOR if fd else 0
        pid = PIDS[sender]
        header = (number, len(payload) + 16, peerid, pid)
        between = sender in PROCESSES and receiver in PROCESSES
        if sender in PROCESSES:
            yield Seen(self.now, sender, receiver, flags | OUT, *header, None if between else payload)
        self.now += self._step // 2
        if receiver in PROCESSES:
            yield Seen(self.now, receiver, sender, flags, *header, payload)
            if self._handlers:
                took = (self._step // 4).to_bytes(8, "little")
                yield Seen(self.now + 10, receiver, sender, HANDLED, number, 0, 0, 0, took)
        self.now += self._step - self._step // 2

    def last(self, sender: str, receiver: str) -> int:
        """The peerid of the last message on a channel."""
        return self._numbers.get((sender, receiver), 0)

    def ask(
        self, sender: str, receiver: str, request: Any, reply: Any, *, fd: bool = False
    ) -> Iterator[Seen]:
        """A request and its reply; `reply` without its reqid."""
        yield from self.pass_(sender, receiver, request)
        reqid = self.last(sender, receiver)
        yield from self.pass_(receiver, sender, reply(reqid), fd=fd)

    def mail(self, msgid: int, session: int, sender: str = "a@b.example") -> Iterator[Seen]:
        """A whole mail to a local user: 27 messages."""
        evpid = msgid << 32 | 0x1234567
        known = envelope(evpid, sender, "you@localhost")
        unknown = known._replace(evpid=msgid << 32, type="")
        times = qs.EnvelopeTimes(evpid, "mda", 1_700_000_000, 345600, 0, 0, 0)
        ask = self.ask
        yield from ask(
            "pony",
            "lookup",
            pony_lookup.ReverseName("192.0.2.1", session),
            lambda n: pony_lookup.ReverseNameFound(n, "ok", "client.example"),
        )
        yield from ask(
            "pony", "queue", pony_queue.CreateMessage(session), lambda n: pony_queue.MessageCreated(n, msgid)
        )
        yield from self.pass_("pony", "lookup", pony_lookup.ExpandRecipient(session, 0, 0, False, unknown))
        expand = self.last("pony", "lookup")
        yield from ask(
            "lookup",
            "parent",
            parent_lookup.OpenForward("you", 1000, "/home/you", msgid),
            lambda n: parent_lookup.ForwardOpened(n, "none"),
        )
        yield from ask(
            "lookup",
            "queue",
            lookup_queue.SubmitEnvelopes(msgid, False, [unknown]),
            lambda n: lookup_queue.EnvelopesSubmitted(n, "", [evpid]),
        )
        yield from self.pass_("lookup", "pony", pony_lookup.RecipientExpanded(expand, "ok", "", [evpid]))
        opened = pony_queue.OpenIncoming(msgid)
        yield from ask("pony", "queue", opened, lambda n: pony_queue.IncomingOpened(n, ""), fd=True)
        yield from ask(
            "pony", "queue", pony_queue.CommitMessage(msgid), lambda n: pony_queue.MessageCommitted(n, "")
        )
        yield from self.pass_("queue", "scheduler", qs.EnvelopesReady([times]))
        yield from self.pass_("scheduler", "queue", qs.DeliverEnvelopes("mda", [evpid]))
        yield from self.pass_("queue", "pony", pony_queue.DeliverMda(known))
        yield from ask(
            "pony",
            "lookup",
            pony_lookup.FindUser(0, "", "you", evpid),
            lambda n: pony_lookup.UserFound(n, "ok", "you", 1000, 1000, "/home/you"),
        )
        yield from ask(
            "pony",
            "parent",
            parent_pony.OpenAgent("you", 1000, 1000, "/home/you", evpid),
            lambda n: parent_pony.AgentOpened(n, 1, "ok", ""),
            fd=True,
        )
        content = pony_queue.OpenMessage(msgid)
        yield from ask("pony", "queue", content, lambda n: pony_queue.MessageOpened(n, ""), fd=True)
        deliver = delivery.DeliverMaildir("/home/you/Maildir", "", False, b"x: y\n", "you@localhost", evpid)
        yield from ask("pony", "delivery", deliver, lambda n: delivery.MaildirDelivered(n, "ok", ""))
        yield from self.pass_("pony", "queue", pony_queue.DeliveryOk(evpid, False))
        yield from self.pass_("queue", "scheduler", qs.EnvelopeDone(evpid, "ok"))

    def mails(self, number: int) -> Iterator[Seen]:
        """So many mails, one after the other, each with a session of its own."""
        for index in range(number):
            msgid = 0x10000000 + index * 7919 % 0xE0000000
            yield from self.mail(msgid, 0xABC00000000000 + index, f"user{index}@b.example")


MESSAGES_OF_A_MAIL = 27
