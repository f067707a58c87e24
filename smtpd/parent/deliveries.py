"""The part of parent that starts what delivers mail with a user's rights: agents and commands.

Parent decides as whom: never as root, and when the daemon serves its caller alone, as nobody else. It sees
neither the mail nor what a command says.
"""

import asyncio
import grp
import os
import pwd
import signal
from typing import TYPE_CHECKING

from smtpd.config.model import LocalAction
from smtpd.mail.status import OK, PERMFAIL, TEMPFAIL
from smtpd.messages.delivery import AgentExited, StartAgent
from smtpd.messages.links import PONY
from smtpd.messages.parent_pony import (
    AgentOpened,
    CommandOpened,
    CommandOutput,
    DeliveryExited,
    KillDelivery,
    OpenAgent,
    OpenCommand,
)
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .delivery_command import (
    CommandError,
    Runner,
    RunningCommand,
    command_line,
    environment,
)
from .delivery_starter import Starter

if TYPE_CHECKING:
    from .process import Process

COMMAND_SECONDS = 330.0
"""After this a command ends even if pony does not ask for it; pony asks after 300 s."""

MAIL_FOLDER = "/var/mail"
MAIL_GROUP = "mail"
"""Who may write to MAIL_FOLDER (Debian policy 11.6)."""

MAILBOX_ALONE = "mbox"
"""A mailbox's name in its home, when the daemon serves its caller alone."""

_KILL_SECONDS = 5.0
_NO_ID = 0xFFFFFFFF
"""(uid_t)-1 and above stand for nobody: setuid(2) takes it as "no change"."""


class Refused(Exception):
    """No delivery as that user, now or later."""


class Deliveries:
    """Agents and commands by number."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._loop = process.loop
        self._starter = Starter(process.loop, process.log, process.handler, process.recorder)
        self._commands: dict[int, RunningCommand] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._last = 0

    @handles(OpenAgent)
    def open_agent(self, peer: Peer, reqid: int, message: OpenAgent) -> AgentOpened | None:
        """A socket to a new agent of the user, or why not."""
        number = self._number()
        try:
            runner = self._runner(
                "", message.username, message.uid, message.gid, message.directory, message.mbox
            )
            uid, gid = (-1, -1) if runner.uid is None or runner.gid is None else (runner.uid, runner.gid)
            mailbox, lock_gid = self._mailbox(message.username, runner) if message.mbox else ("", -1)
            fd = self._starter.start(
                StartAgent(number, message.username, uid, gid, runner.directory, mailbox, lock_gid)
            )
        except Refused as error:
            return AgentOpened(reqid, 0, PERMFAIL, str(error))
        except OSError as error:
            return AgentOpened(reqid, 0, TEMPFAIL, f"cannot start a delivery agent: {error.strerror}")
        self._process.log.debug(f"delivery agent {number} for {message.username}")
        peer.send(AgentOpened(reqid, number, OK, ""), fd)
        return None

    @handles(OpenCommand)
    def open_command(self, peer: Peer, reqid: int, message: OpenCommand) -> CommandOpened | None:
        """The pipes of a command started for one mail, or why not."""
        try:
            line = command_line(self._process.config, message)
            action = self._process.config.actions[message.dispatcher]
            user = action.user if isinstance(action, LocalAction) else ""
            runner = self._runner(user, message.username, message.uid, message.gid, message.directory)
            command = RunningCommand(line.text, environment(message, runner.directory), runner)
        except (CommandError, Refused, ValueError) as error:
            return CommandOpened(reqid, 0, PERMFAIL, str(error))
        except KeyError as error:
            return CommandOpened(reqid, 0, TEMPFAIL, f"not in the configuration: {error.args[0]}")
        except OSError as error:
            return CommandOpened(reqid, 0, TEMPFAIL, f"cannot run a command: {error.strerror}")
        number = self._number()
        self._commands[number] = command
        self._loop.add_reader(command.pidfd, self._command_exited, number)
        self._timers[number] = self._loop.call_later(COMMAND_SECONDS, self._kill, number, command)
        self._process.log.debug(
            f"delivery command {number} for {message.username}, pid {command.process.pid}"
        )
        peer.send(CommandOpened(reqid, number, OK, "", line.ours), command.input)
        peer.send(CommandOutput(number), command.output)
        command.input = command.output = -1
        return None

    @handles(KillDelivery)
    def kill_delivery(self, peer: Peer, message: KillDelivery) -> None:
        """End it."""
        command = self._commands.get(message.delivery)
        if command is not None:
            self._kill(message.delivery, command)
        else:
            self._starter.stop(message.delivery)

    @handles(AgentExited)
    def agent_exited(self, peer: Peer, message: AgentExited) -> None:
        """The starter tells how an agent ended: pony wants to know."""
        self._starter.exited(message.agent)
        self._tell(message.agent, message.status)

    def close(self) -> None:
        """The daemon stops: end commands, let go of the starter."""
        for command in self._commands.values():
            command.kill(signal.SIGTERM)
        self._starter.close()

    def _number(self) -> int:
        self._last = self._last % 0xFFFFFFFF + 1
        return self._last

    def _mailbox(self, name: str, runner: Runner) -> tuple[str, int]:
        """Where the mailbox is, and the group that may make lock files there."""
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise Refused(f"no mailbox has such a name: {name}")
        if runner.uid is None:
            return os.path.join(runner.directory, MAILBOX_ALONE), -1
        try:
            gid = grp.getgrnam(MAIL_GROUP).gr_gid
        except KeyError:
            gid = -1
        return os.path.join(MAIL_FOLDER, name), gid

    def _runner(
        self, user: str, username: str, uid: int, gid: int, directory: str, mbox: bool = False
    ) -> Runner:
        """As whom, and where. `user`: the action's own user, who takes the place of the mail's. `mbox`: for
        the system's mailbox of that name, whose owner the system knows; root has one as well."""
        if not self._process.places.separated:
            if uid != os.geteuid():
                raise Refused(f"not started as root: cannot deliver to {username}")
            if os.path.dirname(directory) == self._process.places.homes:
                # Homes below the state folder are made when needed: a command must not run anywhere else.
                os.makedirs(directory, mode=0o700, exist_ok=True)
            return Runner(None, None, directory)
        if user:
            try:
                found = pwd.getpwnam(user)
            except KeyError:
                raise Refused(f"delivery user '{user}' does not exist") from None
            uid, gid, directory = found.pw_uid, found.pw_gid, found.pw_dir
        if mbox:
            try:
                found = pwd.getpwnam(username)
            except (KeyError, ValueError):
                raise Refused(f"unknown name: {username}") from None
            return Runner(found.pw_uid, found.pw_gid, found.pw_dir)
        if not 0 < uid < _NO_ID or not 0 <= gid < _NO_ID:
            raise Refused(f"MDA not allowed to deliver to: {username}")
        return Runner(uid, gid, directory)

    def _kill(self, number: int, command: RunningCommand) -> None:
        if self._commands.get(number) is command:
            command.kill(signal.SIGTERM)
            self._timers[number].cancel()
            self._timers[number] = self._loop.call_later(_KILL_SECONDS, self._kill_hard, number, command)

    def _kill_hard(self, number: int, command: RunningCommand) -> None:
        if self._commands.get(number) is command:
            command.kill(signal.SIGKILL)

    def _command_exited(self, number: int) -> None:
        command = self._commands.pop(number)
        self._timers.pop(number).cancel()
        self._loop.remove_reader(command.pidfd)
        os.close(command.pidfd)
        status = command.process.wait()
        self._tell(number, status)
        self._loop.call_later(_KILL_SECONDS, command.close)  # see RunningCommand: pony may write still

    def _tell(self, number: int, status: int) -> None:
        try:
            pony = self._process.peer(PONY)
        except KeyError:
            return  # it is being started again
        pony.send(DeliveryExited(number, status))
