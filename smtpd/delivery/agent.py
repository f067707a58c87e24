"""One agent: serves pony's deliveries to one user until pony closes the socket.

Deliveries are taken in batches, as they lie in the socket.  Into maildirs all of a batch are written, then
each file is made durable (in threads, so that the waits overlap and the file system can join them), then each
folder once; a mailbox is locked once for a batch, and one connection to an LMTP server takes all of it.  Then
all are answered.  While a batch waits for the disk the next one gathers.
"""

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from imsg import Catalogue, Channel, ChannelClosed, FrameError, MessageError
from smtpd.delivery import lmtp, mbox
from smtpd.delivery.maildir import (
    CHUNK,
    Delivery,
    DeliveryError,
    Maildir,
    read_header,
    sync_folder,
)
from smtpd.mail.status import LOOP, OK, TEMPFAIL
from smtpd.messages import delivery
from smtpd.messages.delivery import (
    DeliverLmtp,
    DeliverMaildir,
    DeliverMbox,
    MailDelivered,
    MaildirDelivered,
)
from smtpd.protocol.delivery_headers import is_loop
from smtpd.protocol.mbox import from_line

THREADS = 8
"""Files that are made durable at the same time."""

BATCH = 64
"""Deliveries that are taken together."""

CATALOGUE = Catalogue((delivery,))

type _Outcome = tuple[str, str]
type _Answer = MaildirDelivered | MailDelivered
type _Request = tuple[int, DeliverMaildir | DeliverMbox | DeliverLmtp, int]


def serve(pony: socket.socket, mailbox: str = "", lock_gid: int = -1) -> int:
    """Serve until the socket's other end is closed; the exit status.

    `mailbox`, `lock_gid`: as in StartAgent.
    """
    agent = Agent(pony, mailbox, lock_gid)
    try:
        return agent.serve()
    finally:
        agent.close()


class Agent:
    """The loop around a socket."""

    def __init__(self, pony: socket.socket, mailbox: str = "", lock_gid: int = -1) -> None:
        self._mailbox = mailbox
        self._lock_gid = lock_gid
        self._channel = Channel(pony, CATALOGUE, name="pony")
        self._poll = select.poll()
        self._poll.register(pony, select.POLLIN)
        self._maildirs: dict[str, Maildir] = {}
        self._syncers = 0
        self._work: SimpleQueue[tuple[int, Delivery] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[int, _Outcome]] = SimpleQueue()

    def serve(self) -> int:
        """0 when pony is gone, 1 when it said what it must not."""
        while True:
            requests: list[_Request] = []
            wait: int | None = None
            # A read ends behind a frame with a descriptor (unix(7)): a batch takes as many reads as frames.
            while len(requests) < BATCH and self._poll.poll(wait):
                wait = 0
                try:
                    received = self._channel.receive()
                except (ChannelClosed, OSError):
                    if requests:
                        break  # whoever asked may be gone, the mail is not
                    return 0
                except (FrameError, MessageError):
                    return 1
                if not all(descriptor is not None and self._may(m) for _, m, _, descriptor in received):
                    held = [fd for *_, fd in received] + [fd for *_, fd in requests]
                    for fd in held:
                        if fd is not None:
                            os.close(fd)
                    return 1
                for _, message, peerid, descriptor in received:
                    assert isinstance(message, DeliverMaildir | DeliverMbox | DeliverLmtp) and descriptor
                    requests.append((peerid, message, descriptor))
            if requests and not self._answer(self._deliver(requests)):
                return 0

    def close(self) -> None:
        """Close the socket and end the threads."""
        self._channel.close()
        for _ in range(self._syncers):
            self._work.put(None)

    def _may(self, message: object) -> bool:
        """Is it a request for this kind of agent?"""
        if self._mailbox:
            return isinstance(message, DeliverMbox) and not message.path
        return isinstance(message, DeliverMaildir | DeliverLmtp) or (
            isinstance(message, DeliverMbox) and bool(message.path)
        )

    def _deliver(self, requests: list[_Request]) -> list[_Answer]:
        """A batch, from writing to the last fsync."""
        outcomes: dict[int, _Outcome] = {}
        maildirs: list[tuple[int, DeliverMaildir, int]] = []
        mboxes: dict[str, list[tuple[int, DeliverMbox, int]]] = {}
        servers: dict[str, list[tuple[int, lmtp.Job]]] = {}
        for peerid, message, descriptor in requests:
            match message:
                case DeliverMaildir():
                    maildirs.append((peerid, message, descriptor))
                case DeliverMbox():
                    mboxes.setdefault(message.path, []).append((peerid, message, descriptor))
                case DeliverLmtp():
                    job = lmtp.Job(message.sender, message.recipient, message.headers, descriptor)
                    if outcome := _loop(message.loop, descriptor):
                        outcomes[peerid] = outcome
                    else:
                        servers.setdefault(message.destination, []).append((peerid, job))
        self._deliver_maildirs(maildirs, outcomes)
        for path, mails in mboxes.items():
            self._deliver_mbox(path, mails, outcomes)
        for destination, jobs in servers.items():
            results = lmtp.deliver(destination, [job for _, job in jobs])
            outcomes.update(zip((peerid for peerid, _ in jobs), results, strict=True))
        for _, _, descriptor in requests:
            os.close(descriptor)
        return [_answer(message)(peerid, *outcomes[peerid]) for peerid, message, _ in requests]

    def _deliver_mbox(
        self, path: str, mails: list[tuple[int, DeliverMbox, int]], outcomes: dict[int, _Outcome]
    ) -> None:
        """To one file, which is locked once."""
        now = time.asctime()
        written: list[int] = []
        failure: _Outcome = (OK, "")
        gid = -1 if path else self._lock_gid
        try:
            with mbox.opened(path or self._mailbox, gid, strict=not path) as box:
                for peerid, message, descriptor in mails:
                    if outcome := _loop(message.loop, descriptor):
                        outcomes[peerid] = outcome
                        continue
                    line = from_line(message.sender, now)
                    outcome = _attempt(partial(box.append, descriptor, line, message.headers), "mbox")
                    outcomes[peerid] = outcome
                    if outcome[0] == OK:
                        written.append(peerid)
                failure = _attempt(box.sync, "mbox")
        except DeliveryError as error:
            failure = (error.status, str(error))
        except OSError as error:
            failure = (TEMPFAIL, f"mbox: {error.strerror}")
        for peerid in [peerid for peerid, _, _ in mails if peerid not in outcomes] + written:
            outcomes[peerid] = failure

    def _deliver_maildirs(
        self, requests: list[tuple[int, DeliverMaildir, int]], outcomes: dict[int, _Outcome]
    ) -> None:
        written: dict[int, Delivery] = {}
        for peerid, message, descriptor in requests:
            try:
                written[peerid] = self._write(message, descriptor)
            except DeliveryError as error:
                outcomes[peerid] = (error.status, str(error))
            except OSError as error:
                outcomes[peerid] = (TEMPFAIL, f"maildir: {error.strerror}")
        moved = self._sync_files(written, outcomes)
        for folder, peerids in moved.items():
            outcome = _attempt(partial(sync_folder, folder))
            for peerid in peerids:
                outcomes[peerid] = outcome

    def _write(self, message: DeliverMaildir, descriptor: int) -> Delivery:
        maildir = self._maildirs.get(message.path)
        if maildir is None:
            maildir = self._maildirs[message.path] = Maildir(message.path)
            if len(self._maildirs) > 100:  # paths may be made from addresses
                self._maildirs = {message.path: maildir}
        return maildir.write(descriptor, message.headers, message.extension, message.junk, message.loop)

    def _sync_files(
        self, written: dict[int, Delivery], outcomes: dict[int, _Outcome]
    ) -> dict[str, list[int]]:
        """Make each file durable, move it to where readers look; folder -> the deliveries now in it."""
        if len(written) > 1:
            self._start_threads(min(len(written), THREADS))
            for item in written.items():
                self._work.put(item)
            done = dict(self._done.get() for _ in written)
        else:
            done = {peerid: _attempt(item.finish) for peerid, item in written.items()}
        moved: dict[str, list[int]] = {}
        for peerid, outcome in done.items():
            if outcome[0] == OK:
                moved.setdefault(written[peerid].folder, []).append(peerid)
            else:
                outcomes[peerid] = outcome
        return moved

    def _start_threads(self, wanted: int) -> None:
        while self._syncers < wanted:
            threading.Thread(target=self._sync_forever, daemon=True).start()
            self._syncers += 1

    def _sync_forever(self) -> None:
        while (work := self._work.get()) is not None:
            peerid, item = work
            self._done.put((peerid, _attempt(item.finish)))

    def _answer(self, answers: list[_Answer]) -> bool:
        """Send all; False when nobody listens any more."""
        try:
            for answer in answers:
                self._channel.put(answer)
            while not self._channel.flush():
                select.select((), (self._channel,), ())
        except (ChannelClosed, OSError):
            return False
        return True


def _attempt(step: Callable[[], None], method: str = "maildir") -> _Outcome:
    try:
        step()
    except OSError as error:
        return TEMPFAIL, f"{method}: {error.strerror}"
    return OK, ""


def _loop(loop: str, descriptor: int) -> _Outcome | None:
    """Why a mail that was here before is not delivered; None for others."""
    try:
        if loop and is_loop(read_header(descriptor, os.pread(descriptor, CHUNK, 0)), loop):
            return LOOP, "Loop detected"
    except OSError as error:
        return TEMPFAIL, f"Error reading body: {error.strerror}"
    return None


def _answer(message: object) -> type[_Answer]:
    return MaildirDelivered if isinstance(message, DeliverMaildir) else MailDelivered
