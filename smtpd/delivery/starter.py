"""The process that forks delivery agents: everything is loaded once, then each agent is one fork away.

It speaks with parent alone, in the frames of smtpd/messages/delivery.py, and never reads a mail.  It ends
when parent closes its socket.  It must never start a thread or an event loop: it forks.
"""

import gc
import os
import resource
import select
import signal
import socket
import time
import traceback
from typing import NoReturn

import setproctitle

from imsg import Catalogue, Channel, ChannelClosed, FrameError, MessageError
from smtpd.delivery import agent
from smtpd.messages import delivery
from smtpd.messages.delivery import AgentExited, StartAgent, StopAgent
from smtpd.mproc import privileges

EXIT_FAULT = 70
"""An agent that could not be set up ends with this (EX_SOFTWARE of sysexits.h)."""

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1)
_FILES = 512  # an agent holds two descriptors for each mail in flight

CATALOGUE = Catalogue((delivery,))


def main(fd: int) -> int:
    """Serve parent on the socket `fd` until it is closed; the exit status."""
    setproctitle.setproctitle("smtpd: delivery")
    for number in _IGNORED:  # parent decides when this ends
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(fd, False)
    os.umask(0o077)
    privileges.no_new_privs()
    if os.geteuid() == 0:  # all that forking users' agents, and ending them, takes
        privileges.keep_capabilities(
            privileges.CAP_SETUID, privileges.CAP_SETGID, privileges.CAP_KILL, privileges.CAP_SYS_CHROOT
        )
    time.localtime()  # reads the time zone, which a changed root hides
    gc.collect()
    gc.freeze()  # a collection in an agent must not copy the pages that all share
    return Starter(socket.socket(fileno=fd)).serve()


class Starter:
    """Forks, watches and stops agents as parent says."""

    def __init__(self, parent: socket.socket) -> None:
        self._channel = Channel(parent, CATALOGUE, name="parent")
        self._poll = select.poll()
        self._poll.register(parent, select.POLLIN)
        self._agents: dict[int, tuple[int, int]] = {}  # pidfd -> (agent, pid)

    def serve(self) -> int:
        """0 when parent has closed its end, EXIT_FAULT when it said what it must not."""
        while True:
            for fd, _ in self._poll.poll():
                if fd in self._agents:
                    self._reap(fd)
                    continue
                try:
                    received = self._channel.receive()
                except ChannelClosed:
                    return 0
                except (FrameError, MessageError, OSError):
                    return EXIT_FAULT
                for _, message, _, descriptor in received:
                    self._handle(message, descriptor)
            try:
                self._channel.flush()
            except OSError:
                return 0

    def _handle(self, message: object, descriptor: int | None) -> None:
        match message:
            case StartAgent() if descriptor is not None:
                self._start(message, descriptor)
            case StopAgent(number):
                for pidfd, (agent_number, _) in self._agents.items():
                    if agent_number == number:
                        signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _start(self, request: StartAgent, descriptor: int) -> None:
        try:
            pid = os.fork()
        except OSError:
            os.close(descriptor)  # pony sees the end of it
            self._channel.put(AgentExited(request.agent, EXIT_FAULT))
            return
        if pid == 0:
            self._become_agent(request, descriptor)
        os.close(descriptor)
        pidfd = os.pidfd_open(pid)
        self._agents[pidfd] = (request.agent, pid)
        self._poll.register(pidfd, select.POLLIN)

    def _become_agent(self, request: StartAgent, descriptor: int) -> NoReturn:
        """In the fork: let go of all that is the starter's, then of its rights, then serve."""
        status = EXIT_FAULT
        try:
            self._channel.close()
            for pidfd in self._agents:
                os.close(pidfd)
            setproctitle.setproctitle(f"smtpd: delivery ({request.username})")
            if request.mailbox and request.uid != -1:
                mailbox = become_mailbox(request.uid, request.gid, request.mailbox, request.lock_gid)
                status = agent.serve(socket.socket(fileno=descriptor), mailbox, request.lock_gid)
            else:
                become(request.uid, request.gid, request.directory)
                status = agent.serve(socket.socket(fileno=descriptor), request.mailbox)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _reap(self, pidfd: int) -> None:
        self._poll.unregister(pidfd)
        os.close(pidfd)
        number, pid = self._agents.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        self._channel.put(AgentExited(number, os.waitstatus_to_exitcode(status)))


def become(uid: int, gid: int, directory: str) -> None:
    """Be the user for good (a uid of -1: stay who we are), in its home if there is one."""
    _limits()
    if uid != -1:
        if uid == 0:
            raise PermissionError("no agent runs as root")
        privileges.become(uid, gid)
    privileges.no_new_privs()
    privileges.undumpable()
    try:
        os.chdir(directory)
    except OSError:
        os.chdir("/")


def become_mailbox(uid: int, gid: int, mailbox: str, lock_gid: int) -> str:
    """Be the user for good, locked into the folder of the mailbox; the mailbox's path there.

    The group that may make lock files is the saved one: it is taken on for that only. It could write to other
    users' mailboxes as well, if these have that group and let it; hence nothing else can be asked of such an
    agent. Root's has no capability left: it is the owner of root's mailbox and nothing more.
    """
    _limits()
    folder, name = os.path.split(mailbox)
    privileges.enter(folder)
    privileges.become(uid, gid, lock_gid)
    privileges.keep_capabilities()
    privileges.no_new_privs()
    privileges.undumpable()
    return f"/{name}"


def _limits() -> None:
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))
