"""One agent: serves pony's deliveries to one user until pony closes the socket.

Deliveries are taken in batches, as they lie in the socket.  All of a batch are written, then each file is
made durable (in threads, so that the waits overlap and the file system can join them), then each folder
once, then all are answered.  While a batch waits for the disk the next one gathers.
"""

import os
import select
import socket
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from imsg import Catalogue, Channel, ChannelClosed, FrameError, MessageError
from smtpd.delivery.maildir import Delivery, DeliveryError, Maildir, sync_folder
from smtpd.mail.status import OK, TEMPFAIL
from smtpd.messages import delivery
from smtpd.messages.delivery import DeliverMaildir, MaildirDelivered

THREADS = 8
"""Files that are made durable at the same time."""

BATCH = 64
"""Deliveries that are taken together."""

CATALOGUE = Catalogue((delivery,))

type _Outcome = tuple[str, str]
type _Request = tuple[int, DeliverMaildir, int]


def serve(pony: socket.socket) -> int:
    """Serve until the socket's other end is closed; the exit status."""
    agent = Agent(pony)
    try:
        return agent.serve()
    finally:
        agent.close()


class Agent:
    """The loop around a socket."""

    def __init__(self, pony: socket.socket) -> None:
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
                for _, message, peerid, descriptor in received:
                    if not isinstance(message, DeliverMaildir) or descriptor is None:
                        return 1
                    requests.append((peerid, message, descriptor))
            if requests and not self._answer(self._deliver(requests)):
                return 0

    def close(self) -> None:
        """Close the socket and end the threads."""
        self._channel.close()
        for _ in range(self._syncers):
            self._work.put(None)

    def _deliver(self, requests: list[_Request]) -> list[MaildirDelivered]:
        """A batch, from writing to the last fsync."""
        outcomes: dict[int, _Outcome] = {}
        written: dict[int, Delivery] = {}
        for peerid, message, descriptor in requests:
            try:
                written[peerid] = self._write(message, descriptor)
            except DeliveryError as error:
                outcomes[peerid] = (error.status, str(error))
            except OSError as error:
                outcomes[peerid] = (TEMPFAIL, f"maildir: {error.strerror}")
            finally:
                os.close(descriptor)
        moved = self._sync_files(written, outcomes)
        for folder, peerids in moved.items():
            outcome = _attempt(partial(sync_folder, folder))
            for peerid in peerids:
                outcomes[peerid] = outcome
        return [MaildirDelivered(peerid, *outcomes[peerid]) for peerid, _, _ in requests]

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

    def _answer(self, answers: list[MaildirDelivered]) -> bool:
        """Send all; False when nobody listens any more."""
        try:
            for answer in answers:
                self._channel.put(answer)
            while not self._channel.flush():
                select.select((), (self._channel,), ())
        except (ChannelClosed, OSError):
            return False
        return True


def _attempt(step: Callable[[], None]) -> _Outcome:
    try:
        step()
    except OSError as error:
        return TEMPFAIL, f"maildir: {error.strerror}"
    return OK, ""
