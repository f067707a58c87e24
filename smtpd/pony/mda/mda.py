"""The part of pony that delivers to users of this machine: envelopes in, results to queue.

Each user has a queue of its own, so one who receives much, or whose disk hangs, holds up nobody else.
Limits, results and log lines are those of OpenSMTPD's mda.c.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable

from smtpd.config.model import LocalAction
from smtpd.mail.duration import duration
from smtpd.mail.envelope import Envelope
from smtpd.mail.ids import msgid_of
from smtpd.mail.status import (
    DESTINATION_MAILBOX_HAS_MOVED,
    LOOP,
    OK,
    OTHER_ADDRESS_STATUS,
    OTHER_MAIL_SYSTEM_STATUS,
    PERMFAIL,
    STATUS_PERMFAIL,
    STATUS_TEMPFAIL,
    TEMPFAIL,
)
from smtpd.messages.links import LOOKUP, PARENT, QUEUE
from smtpd.messages.parent_pony import (
    CommandOpened,
    CommandOutput,
    DeliveryExited,
    KillDelivery,
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
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.mproc.process import Process
from smtpd.protocol.delivery_headers import delivery_headers, header_of, is_loop
from smtpd.protocol.mda_variables import FormatError

from ..tries import Tries
from .agents import MBOX, Agent, Agents
from .command import CHUNK, Command
from .requests import method_of, request_for
from .user import MdaUser, UserInfo, UserKey

LINGER_SECONDS = 5.0
"""How long a user stays known when nothing is to be delivered: the next mail needs no lookup."""

HEADER_MAX = 1048576
"""Bytes of a message that are searched for a Delivered-To line."""


_COMMANDS = ("mda", "maildir", "lmtp")
"""What can be a command; the last two are one inside of a wrapper only."""


class _Run:
    """A command on its way from its envelope to its end."""

    __slots__ = ("command", "content", "envelope", "user")

    def __init__(self, user: MdaUser, envelope: Envelope, content: int) -> None:
        self.user = user
        self.envelope = envelope
        self.content = content
        self.command: Command | None = None


class Mda:
    """All local deliveries of this process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._loop = process.loop
        self._log = process.log
        self._stat = process.stat
        self._config = process.config
        self._limits = process.config.mda
        self._delimiter = process.config.smtp.sub_addr_delim
        self._agents = Agents(
            process.loop,
            process.log,
            lambda: process.peer(PARENT),
            self._limits.max_session,
            process.recorder,
        )
        self.tries = Tries()
        self._users: dict[UserKey, MdaUser] = {}
        self._runs: dict[int, _Run] = {}
        self._commands = 0
        self._waiting: deque[MdaUser] = deque()  # for a command's place
        self._sweeping: asyncio.TimerHandle | None = None
        self._stopping = False
        self._finished: asyncio.Event | None = None
        self._in_flight = 0

    # messages

    @handles(DeliverMda)
    def deliver_mda(self, peer: Peer, message: DeliverMda) -> None:
        """An envelope is due."""
        envelope = message.envelope
        action = self._action(envelope)
        if action is None:
            error = f'no local action "{envelope.dispatcher}"'
            self._result(0, envelope, TEMPFAIL, error, f"Error ({error})")
            return
        user = self._user(action, envelope.mda_user, envelope.evpid)
        if not user.holdq.admit(len(user.queue)):
            peer.send(HoldEnvelope(envelope.evpid, user.id))
            return
        user.queue.append(envelope)
        self._stat.add("mda.envelope")
        self._stat.add("mda.pending")
        if user.runner is not None:
            self._drain(user)

    @handles(CommandOutput)
    def command_output(self, peer: Peer, message: CommandOutput, fd: int | None) -> None:
        """What a command says."""
        run = self._runs.get(message.delivery)
        if fd is None:
            return
        if run is None or run.command is None:
            os.close(fd)
        else:
            run.command.output(fd)

    @handles(DeliveryExited)
    def delivery_exited(self, peer: Peer, message: DeliveryExited) -> None:
        """A command or an agent ended."""
        run = self._runs.pop(message.delivery, None)
        if run is None or run.command is None:
            self._agents.exited(message.delivery, message.status)
            return
        status, error, text = run.command.ended(message.status)
        self._command_done(run.user, run.envelope, status, error, text)

    async def stop(self) -> None:
        """Begin nothing more, wait for what is under way. The caller bounds the time; cancelled, commands are
        killed before they take the end of their input for the end of the mail.
        """
        self._stopping = True
        for user in self._users.values():
            user.queue.clear()
        self._finished = asyncio.Event()
        try:
            if self._in_flight:
                await self._finished.wait()
        finally:
            for delivery in self._runs:
                self._process.peer(PARENT).send(KillDelivery(delivery))
            self._agents.close()
            if self._sweeping is not None:
                self._sweeping.cancel()

    def waiting_for(self, evpid: int, holdq: int) -> tuple[str, list[tuple[str, int]]] | None:
        """The user whose mail waits (or is held in the hold queue), and the limits of `mda limit` that are
        reached."""
        limits = self._limits
        for user in self._users.values():
            reached = {
                "task-hiwat": (limits.task_hiwat, user.id == holdq),
                "max-session-per-user": (limits.max_user_session, user.commands >= limits.max_user_session),
                "max-session": (limits.max_session, self._commands >= limits.max_session),
            }
            if user.id == holdq or any(envelope.evpid == evpid for envelope in user.queue):
                return user.key.name, [(name, most) for name, (most, is_so) in reached.items() if is_so]
        return None

    # users

    def _action(self, envelope: Envelope) -> LocalAction | None:
        action = self._config.actions.get(envelope.dispatcher)
        return action if isinstance(action, LocalAction) else None

    def _user(self, action: LocalAction, name: str, evpid: int) -> MdaUser:
        key = UserKey(action.userbase, name, action.user)
        user = self._users.get(key)
        if user is None:
            user = self._users[key] = MdaUser(int.from_bytes(os.urandom(8)), key, self._limits)
            self._stat.add("mda.user")
            self._find(user, key.table, name, evpid, lambda info: self._found(user, info, evpid))
            if self._sweeping is None:
                self._sweeping = self._loop.call_later(LINGER_SECONDS, self._sweep)
        user.idle_since = self._loop.time()
        return user

    def _found(self, user: MdaUser, info: UserInfo, evpid: int) -> None:
        user.info = info
        if user.key.runner:
            self._find(user, "", user.key.runner, evpid, lambda runner: self._runner_found(user, runner))
        else:
            self._runner_found(user, info)

    def _runner_found(self, user: MdaUser, runner: UserInfo) -> None:
        user.runner = runner
        self._drain(user)

    def _find(
        self, user: MdaUser, table: str, name: str, evpid: int, then: Callable[[UserInfo], None]
    ) -> None:
        def found(reply: UserFound | None) -> None:
            if reply is not None and reply.status == OK:
                then(UserInfo(reply.username, reply.uid, reply.gid, reply.directory))
            elif reply is None or reply.status == TEMPFAIL:
                self._fail(user, TEMPFAIL, "Temporary failure in user lookup", OTHER_ADDRESS_STATUS)
            else:
                self._fail(user, PERMFAIL, "Permanent failure in user lookup", DESTINATION_MAILBOX_HAS_MOVED)

        self._process.peer(LOOKUP).ask(FindUser(self._config.generation, table, name, evpid), found)

    def _fail(self, user: MdaUser, status: str, error: str, esc_code: int) -> None:
        """There is no such user: all that waits fails."""
        while user.queue:
            envelope = user.queue.popleft()
            self._stat.sub("mda.envelope")
            self._stat.sub("mda.pending")
            self._result(user.id, envelope, status, error, error, esc_code)
        self._forget(user)

    def _forget(self, user: MdaUser) -> None:
        del self._users[user.key]
        self._stat.sub("mda.user")
        if user.holdq.drained():
            self._release(user, 0)

    def _release(self, user: MdaUser, number: int) -> None:
        self._process.peer(QUEUE).send(ReleaseHold("mda", user.id, number))

    def _sweep(self) -> None:
        """Forget users for whom there was nothing to do lately."""
        self._sweeping = None
        before = self._loop.time() - LINGER_SECONDS
        for user in [user for user in self._users.values() if user.idle and user.runner is not None]:
            if user.idle_since <= before:
                self._forget(user)
        if self._users:
            self._sweeping = self._loop.call_later(LINGER_SECONDS, self._sweep)

    # deliveries

    def _drain(self, user: MdaUser) -> None:
        """Begin what may be begun for a user."""
        while user.queue and not self._stopping:
            action = self._action(user.queue[0])
            method = method_of(action, user.queue[0])
            if action is None or not method:
                if user.commands >= self._limits.max_user_session:
                    return
                if self._commands >= self._limits.max_session:
                    if not user.waiting:
                        user.waiting = True
                        self._waiting.append(user)
                    return
                self._run_command(user, self._take(user))
            elif not self._deliver(user, action, method):
                return

    def _take(self, user: MdaUser) -> Envelope:
        envelope = user.queue.popleft()
        user.in_flight += 1
        self._in_flight += 1
        self._stat.sub("mda.pending")
        self._stat.add("mda.running")
        if released := user.holdq.taken(len(user.queue)):
            self._release(user, released)
        return envelope

    def _done(self, user: MdaUser, envelope: Envelope, status: str, error: str, text: str) -> None:
        """A delivery that was begun is over."""
        user.in_flight -= 1
        user.idle_since = self._loop.time()
        self._in_flight -= 1
        self._stat.sub("mda.running")
        self._stat.sub("mda.envelope")
        self._result(user.id, envelope, status, error, text)
        if self._finished is not None and not self._in_flight:
            self._finished.set()

    def _open_message(self, envelope: Envelope, then: Callable[[int | None], None]) -> None:
        def opened(reply: MessageOpened | None, fd: int | None) -> None:
            if reply is not None and reply.error and fd is not None:
                os.close(fd)
                fd = None
            then(fd)

        self._process.peer(QUEUE).ask(OpenMessage(msgid_of(envelope.evpid)), opened)

    # agents

    def _deliver(self, user: MdaUser, action: LocalAction, method: str) -> bool:
        """Begin one, if the user's agent is there and has a place."""
        assert user.runner is not None and user.info is not None
        # a mailbox is its owner's, whoever the action says delivers
        runner = user.info if method == MBOX else user.runner
        agent = self._agents.find(runner, method)
        if agent is None:
            if not user.waiting:
                user.waiting = True
                self._agents.open(
                    runner,
                    lambda *opened: self._agent_opened(user, method, *opened),
                    user.queue[0].evpid,
                    method,
                )
            return False
        if agent.full:
            return False
        envelope = self._take(user)
        try:
            request = request_for(action, method, user.info, user.runner, envelope, self._delimiter)
        except FormatError as error:
            self._done(user, envelope, PERMFAIL, str(error), f"Error ({error})")
            return True
        agent.reserve()

        def opened(fd: int | None) -> None:
            if fd is None:
                agent.release()
                over(TEMPFAIL, "Cannot get message fd")
            else:
                agent.deliver(request, fd, over)

        def over(status: str, error: str) -> None:
            if status == OK:
                text = "Delivered"
            elif status == LOOP:
                text = "Loop detected"
            else:
                text = f"Error ({error})"
            self._done(user, envelope, status, error, text)
            self._drain(user)

        self._open_message(envelope, opened)
        return True

    def _agent_opened(self, user: MdaUser, method: str, agent: Agent | None, status: str, error: str) -> None:
        user.waiting = False
        if agent is not None:
            self._drain(user)
            return
        while user.queue:
            if method_of(self._action(user.queue[0]), user.queue[0]) != method:
                break
            self._done(user, self._take(user), status, error, f"Error ({error})")
        self._drain(user)

    # commands

    def _run_command(self, user: MdaUser, envelope: Envelope) -> None:
        user.commands += 1
        self._commands += 1
        action = self._action(envelope)
        if action is None or not (envelope.mda_exec or action.method in _COMMANDS):
            # mbox with a wrapper: OpenSMTPD 7.8 has no command for that either, and fails for the time being
            method = action.method if action is not None else "delivery"
            error = f"{method} {'with a wrapper ' if action and action.wrapper else ''}is not available"
            self._loop.call_soon(self._command_done, user, envelope, TEMPFAIL, error, f"Error ({error})")
            return
        self._open_message(envelope, lambda fd: self._command_message(user, envelope, fd))

    def _command_message(self, user: MdaUser, envelope: Envelope, content: int | None) -> None:
        error = "Cannot get message fd"
        if content is not None:
            try:
                if not is_loop(_header(content), str(envelope.dest)):
                    self._open_command(_Run(user, envelope, content))
                    return
                os.close(content)
                self._command_done(user, envelope, LOOP, "", "Loop detected")
                return
            except OSError as failure:
                error = f"Error reading body: {failure.strerror}"
                os.close(content)
        self._command_done(user, envelope, TEMPFAIL, error, error)

    def _open_command(self, run: _Run) -> None:
        user, envelope = run.user, run.envelope
        assert user.info is not None

        def opened(reply: CommandOpened | None, fd: int | None) -> None:
            if reply is not None and reply.status == OK and fd is not None:
                delivery = reply.delivery
                headers = delivery_headers(envelope.sender, envelope.rcpt)
                self._runs[delivery] = run
                run.command = Command(
                    self._loop,
                    fd,
                    run.content,
                    headers,
                    lambda: self._agents.kill(delivery),
                    ours=reply.ours,
                )
                return
            os.close(run.content)
            status, error = (reply.status, reply.error) if reply is not None else (TEMPFAIL, "parent is gone")
            self._command_done(user, envelope, status, error, f"Error ({error})")

        request = OpenCommand(
            envelope.dispatcher,
            envelope.mda_exec,
            envelope.mda_subaddress,
            envelope.sender,
            envelope.rcpt,
            envelope.dest,
            *user.info,
            envelope.evpid,
        )
        self._process.peer(PARENT).ask(request, opened)

    def _command_done(self, user: MdaUser, envelope: Envelope, status: str, error: str, text: str) -> None:
        user.commands -= 1
        self._commands -= 1
        self._done(user, envelope, status, error, text)
        self._drain(user)
        while self._waiting and self._commands < self._limits.max_session:
            waiting = self._waiting.popleft()
            waiting.waiting = False
            self._drain(waiting)

    # results

    def _result(
        self,
        session: int,
        envelope: Envelope,
        status: str,
        error: str,
        text: str,
        esc_code: int = OTHER_MAIL_SYSTEM_STATUS,
    ) -> None:
        """Tell queue, write the log line."""
        queue = self._process.peer(QUEUE)
        evpid = envelope.evpid
        if status == OK:
            queue.send(DeliveryOk(evpid, False))
            word = "Ok"
        elif status == LOOP:
            queue.send(DeliveryLoop(evpid))
            word = "PermFail"
        elif status == PERMFAIL:
            queue.send(DeliveryPermfail(evpid, error, STATUS_PERMFAIL, esc_code))
            word = "PermFail"
        else:
            queue.send(DeliveryTempfail(evpid, error, STATUS_TEMPFAIL, esc_code))
            word = "TempFail"
            self.tries.failed(evpid, int(time.time()), "", "", error)
        if word != "TempFail":
            self.tries.forget(evpid)
        sender = envelope.sender
        self._log.info(
            f"{session:016x} mda delivery evpid={evpid:016x} "
            f"from=<{sender.path if sender.user else ''}> to=<{envelope.dest}> rcpt=<{envelope.rcpt}> "
            f"user={envelope.mda_user or envelope.dest.user} "
            f"delay={duration(int(time.time()) - envelope.ctime)} result={word} stat={text}"
        )


def _header(content: int) -> bytes:
    """The header of a message, as much of it as HEADER_MAX allows. OSError."""
    head = os.pread(content, CHUNK, 0)
    while len(header := header_of(head)) == len(head) < HEADER_MAX:
        more = os.pread(content, CHUNK, len(head))
        if not more:
            break
        head += more
    return header
