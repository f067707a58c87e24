"""A task with its message's content: what a session has under way, and the one that comes after it.

The content is opened ahead, while another mail is still being sent.  How it is sent is not known here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from smtpd.mail.envelope import Envelope
from smtpd.mail.status import TEMPFAIL
from smtpd.messages.pony_queue import MessageOpened, OpenMessage
from smtpd.protocol.smtp.client_events import Mail

from .content import Content
from .task import Task, rcpt_of

if TYPE_CHECKING:
    from .mta import Mta
    from .relay import Relay


class Job:
    """The `tag` of its mail. `left`: envelopes to be tried on another connection."""

    __slots__ = ("content", "left", "task")

    def __init__(self, task: Task, content: Content) -> None:
        self.task = task
        self.content = content
        self.left: list[Envelope] = []

    def mail(self) -> Mail:
        """One transaction for all envelopes of the task."""
        envelopes = self.task.envelopes
        first = envelopes[0]
        return Mail(
            self.task.sender,
            tuple([rcpt_of(envelope) for envelope in envelopes]),
            self.content.size,
            self.content.eightbit,
            first.dsn_ret,
            first.dsn_envid,
            self,
        )


class NextJob:
    """`job`: the task to be sent next, with its content; None if there is none, or (`opening`) not yet."""

    __slots__ = ("_mta", "_relay", "_then", "_wanted", "job", "opening")

    def __init__(
        self, mta: "Mta", relay: "Relay", wanted: Callable[[], bool], then: Callable[[], None]
    ) -> None:
        """`wanted`: does the session take a job still? `then`: called when there is one, or surely none."""
        self._mta = mta
        self._relay = relay
        self._wanted = wanted
        self._then = then
        self.job: Job | None = None
        self.opening = False

    def ask(self) -> None:
        """Have the relay's next task and its content, if there is one."""
        if self.job is not None or self.opening:
            return
        task = self._relay.next_task()
        if task is None:
            return
        self.opening = True
        self._relay.opening += 1
        self._mta.queue.ask(OpenMessage(task.msgid), lambda reply, fd: self._opened(task, reply, fd))

    def take(self) -> Job:
        """It is being sent."""
        job = self.job
        assert job is not None
        self.job = None
        return job

    def give_back(self) -> None:
        """It will not be sent here."""
        if self.job is not None:
            self.job.content.close()
            self._relay.put_back(self.job.task)
            self.job = None

    def _opened(self, task: Task, reply: MessageOpened | None, fd: int | None) -> None:
        self.opening = False
        self._relay.opening -= 1
        content = None
        if fd is not None:
            try:
                content = Content(fd)
            except OSError as error:
                self._mta.log.warn(f"message {task.msgid:08x}: {error.strerror}")
        if not self._wanted():
            if content is not None:
                content.close()
            self._relay.put_back(task)
            self._relay.drain()
            self._mta.relay_quiet(self._relay)
            return
        if content is None:
            self._mta.task_failed(self._relay, task, TEMPFAIL, "Could not get message fd")
        else:
            self.job = Job(task, content)
        self._then()
