"""The starter as a process of its own, as parent starts it."""

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg import Channel, ChannelClosed
from smtpd.delivery.starter import CATALOGUE
from smtpd.messages.delivery import AgentExited, DeliverMaildir, MaildirDelivered, StartAgent, StopAgent
from smtpd.mproc.spawn import environment

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")


def receive(channel: Channel) -> Any:
    """The next message."""
    while True:
        assert select.select([channel], [], [], 20)[0]
        for _, message, _, _ in channel.receive():
            return message


class Parent:
    """The starter's parent."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "smtpd.delivery", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            env=environment(),
            stderr=subprocess.PIPE,
        )
        theirs.close()
        self.channel = Channel(ours, CATALOGUE)
        self.agents: list[Channel] = []

    def start(self, number: int, directory: str, uid: int = -1, gid: int = -1) -> Channel:
        ours, theirs = socket.socketpair()
        self.channel.put(StartAgent(number, "ann", uid, gid, directory), theirs.detach())
        self.channel.flush()
        agent = Channel(ours, CATALOGUE)
        self.agents.append(agent)
        return agent

    def close(self) -> int:
        for agent in self.agents:
            agent.close()
        self.channel.close()
        status = self.process.wait(20)
        assert self.process.stderr is not None
        self.stderr = self.process.stderr.read().decode()
        self.process.stderr.close()
        return status


@pytest.fixture
def parent() -> Iterator[Parent]:
    parent = Parent()
    yield parent
    if parent.process.returncode is None:
        parent.close()


def deliver(agent: Channel, path: Path, content: bytes = b"x\n") -> MaildirDelivered:
    fd = os.memfd_create("message")
    os.write(fd, content)
    agent.put(DeliverMaildir(str(path), "", False, b"", ""), fd)
    agent.flush()
    answer = receive(agent)
    assert isinstance(answer, MaildirDelivered)
    return answer


def test_agents_come_and_go(parent: Parent, tmp_path: Path) -> None:
    one = parent.start(1, str(tmp_path))
    two = parent.start(2, "/nowhere at all")
    assert deliver(one, tmp_path / "one").status == "ok"
    assert deliver(two, tmp_path / "two").status == "ok"
    one.close()
    assert receive(parent.channel) == AgentExited(1, 0)
    two.close()
    assert receive(parent.channel) == AgentExited(2, 0)
    assert len(list(tmp_path.glob("*/new/*"))) == 2
    assert parent.close() == 0


def test_an_agent_is_stopped(parent: Parent, tmp_path: Path) -> None:
    agent = parent.start(7, str(tmp_path))
    parent.channel.put(StopAgent(8))
    parent.channel.put(StopAgent(7))
    parent.channel.flush()
    assert receive(parent.channel) == AgentExited(7, -9)
    assert select.select([agent], [], [], 20)[0]
    with pytest.raises((ChannelClosed, ConnectionResetError)):
        agent.receive()


def test_a_bad_frame_ends_the_starter(parent: Parent) -> None:
    parent.channel.sock.send(b"x" * 64)
    assert parent.process.wait(20) == 70
    parent.close()


def test_no_descriptor_of_the_starter_is_in_an_agent(parent: Parent, tmp_path: Path) -> None:
    for number in range(3):
        agent = parent.start(number, str(tmp_path))
        assert deliver(agent, tmp_path / "m").status == "ok"
    children = Path(f"/proc/{parent.process.pid}/task/{parent.process.pid}/children").read_text().split()
    assert len(children) == 3
    for pid in children:
        sockets = [
            fd
            for fd in Path(f"/proc/{pid}/fd").iterdir()
            if os.readlink(fd).startswith(("socket:", "anon_inode:[pid"))
        ]
        assert len(sockets) == 1, pid


def status_of(pid: str) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@root_only
def test_an_agent_has_the_user_s_rights_only(parent: Parent, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o5 != 0o5:
            folder.chmod(folder.stat().st_mode | 0o5)
        if folder.parent == Path("/tmp"):
            break
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    agent = parent.start(1, str(home), NOBODY, NOBODY)
    assert deliver(agent, home / "Maildir").status == "ok"
    (mail,) = (home / "Maildir" / "new").iterdir()
    assert (mail.stat().st_uid, mail.stat().st_gid) == (NOBODY, NOBODY)

    (pid,) = Path(f"/proc/{parent.process.pid}/task/{parent.process.pid}/children").read_text().split()
    status = status_of(pid)
    assert status["Uid"].split() == [str(NOBODY)] * 4
    assert status["Gid"].split() == [str(NOBODY)] * 4
    assert status["Groups"] == ""
    assert (status["CapEff"], status["CapPrm"], status["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")
    assert status["Umask"] == "0077"
    assert os.readlink(f"/proc/{pid}/cwd") == str(home)

    theirs = tmp_path / "root's"
    theirs.mkdir(mode=0o700)
    answer = deliver(agent, theirs / "Maildir")
    assert (answer.status, answer.error) == ("tempfail", "maildir: Permission denied")


@root_only
def test_no_agent_as_root(parent: Parent, tmp_path: Path) -> None:
    parent.start(1, str(tmp_path), 0, 0)
    assert receive(parent.channel) == AgentExited(1, 70)
    parent.close()
    assert "no agent runs as root" in parent.stderr
