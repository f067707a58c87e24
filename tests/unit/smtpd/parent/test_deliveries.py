"""The part of parent that starts deliveries: as whom, with what, and what pony is told."""

import asyncio
import os
import pwd
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imsg import Channel
from imsg.message import Kind
from smtpd.config.model import Config, LocalAction
from smtpd.delivery.starter import CATALOGUE
from smtpd.mail.address import MailAddress
from smtpd.messages.delivery import AgentExited, DeliverMaildir
from smtpd.messages.parent_pony import (
    AgentOpened,
    CommandOpened,
    CommandOutput,
    DeliveryExited,
    KillDelivery,
    OpenAgent,
    OpenCommand,
)
from smtpd.mproc.dispatch import handlers_of
from smtpd.mproc.log import Log
from smtpd.parent import deliveries as module
from smtpd.parent.deliveries import Deliveries, Refused

ME, MY_GROUP = os.geteuid(), os.getegid()
CONFIG = Config(
    actions={
        "cat": LocalAction(
            name="cat", method="mda", argument="cat; echo for $USER in %{user.directory}; exit 3"
        ),
        "sleep": LocalAction(name="sleep", method="mda", argument="sleep 60"),
        "other": LocalAction(name="other", method="mda", argument="id -u", user="nobody"),
        "gone": LocalAction(name="gone", method="mda", argument="id -u", user="no such user"),
        "maildir": LocalAction(name="maildir", method="maildir"),
        "wrapped": LocalAction(name="wrapped", method="maildir", wrapper="w"),
    },
    mda_wrappers={"w": "exit 1; %{mda}"},
)


class Pony:
    """pony's end: keeps messages with their descriptors."""

    name = "pony"

    def __init__(self) -> None:
        self.sent: list[tuple[Any, int | None]] = []

    def send(self, message: Any, fd: int | None = None) -> int:
        self.sent.append((message, fd))
        return 1

    def take(self) -> tuple[Any, int | None]:
        return self.sent.pop(0)


class Bench:
    """A parent around the part."""

    def __init__(self, loop: asyncio.AbstractEventLoop, separated: bool, homes: str) -> None:
        self.pony = Pony()
        self.loop = loop
        process: Any = SimpleNamespace(
            loop=loop,
            log=Log("test"),
            config=CONFIG,
            places=SimpleNamespace(separated=separated, homes=homes),
            peer=lambda name: {"pony": self.pony}[name],
            handler=self.handler,
            recorder=None,
        )
        self.process = process
        self.deliveries = Deliveries(process)

    def handler(self, kind: Kind) -> Callable[..., Any] | None:
        return getattr(self.deliveries, handlers_of(Deliveries)[kind.number])  # type: ignore[no-any-return]

    def run_until(self, condition: Callable[[], object]) -> None:
        async def wait() -> None:
            async with asyncio.timeout(20):
                while not condition():
                    await asyncio.sleep(0.005)

        self.loop.run_until_complete(wait())

    def command(self, dispatcher: str, uid: int = ME, **fields: Any) -> CommandOpened | None:
        request = OpenCommand(
            dispatcher,
            "",
            "",
            MailAddress("a", "x"),
            MailAddress("b", "y"),
            MailAddress("b", "y"),
            "bob",
            uid,
            MY_GROUP,
            "/tmp",
        )
        return self.deliveries.open_command(self.pony, 5, request._replace(**fields))  # type: ignore[arg-type]

    def agent(self, uid: int = ME, gid: int = MY_GROUP, directory: str = "/tmp") -> AgentOpened | None:
        return self.deliveries.open_agent(self.pony, 5, OpenAgent("bob", uid, gid, directory))  # type: ignore[arg-type]


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    loop = asyncio.new_event_loop()
    before = len(os.listdir("/proc/self/fd"))
    made: list[Bench] = []

    def make(separated: bool = False, homes: str = "") -> Bench:
        made.append(Bench(loop, separated, homes))
        return made[-1]

    yield make
    try:
        for bench in made:
            bench.deliveries.close()
            starter = f"/proc/{bench.deliveries._starter.pid}"
            bench.run_until(lambda starter=starter: not os.path.exists(starter))  # ended, and asked how
            bench.run_until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    finally:
        loop.close()


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KILL_SECONDS", 0.2)


def test_a_command(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    assert bench.command("cat") is None
    (opened, stdin), (output, stdout) = bench.pony.take(), bench.pony.take()
    assert opened == CommandOpened(5, 1, "ok", "") and output == CommandOutput(1)
    assert stdin is not None and stdout is not None
    os.write(stdin, b"mail\n")
    os.close(stdin)
    bench.run_until(lambda: bench.pony.sent)
    assert bench.pony.take() == (DeliveryExited(1, 3), None)
    assert os.read(stdout, 1000) == b"mail\nfor bob in /tmp\n"
    os.close(stdout)


def test_our_own_program_in_a_wrapper(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    assert bench.command("wrapped") is None
    assert bench.pony.sent[0][0] == CommandOpened(5, 1, "ok", "", ours=True)
    finish(bench, 1)


def test_what_cannot_be_run(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    assert bench.command("maildir") == CommandOpened(5, 0, "permfail", 'action "maildir" has no command')
    missing = bench.command("unknown")
    assert missing is not None and missing.status == "tempfail"
    assert bench.command("cat", mda_exec="%{nonsense}") == CommandOpened(
        5, 0, "permfail", "mda command line could not be expanded: unknown specifier 'nonsense'"
    )
    nul = bench.command("cat", mda_exec="a", username="x\0")
    assert nul is not None and nul.status == "permfail"
    assert bench.pony.sent == []


def test_no_process_to_be_had(make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: Any, **__: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", no)
    bench = make_bench()
    assert bench.command("cat") == CommandOpened(
        5, 0, "tempfail", "cannot run a command: Resource temporarily unavailable"
    )
    assert bench.agent() == AgentOpened(
        5, 0, "tempfail", "cannot start a delivery agent: Resource temporarily unavailable"
    )


def finish(bench: Bench, status: int) -> None:
    bench.run_until(lambda: any(isinstance(message, DeliveryExited) for message, _ in bench.pony.sent))
    *opened, (exited, _) = bench.pony.sent
    assert exited == DeliveryExited(1, status)
    for _, fd in opened:
        if fd is not None:
            os.close(fd)


def test_pony_has_it_killed(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.command("sleep")
    bench.deliveries.kill_delivery(bench.pony, KillDelivery(99))  # type: ignore[arg-type]
    bench.deliveries.kill_delivery(bench.pony, KillDelivery(1))  # type: ignore[arg-type]
    finish(bench, -15)


def test_one_that_does_not_mind_is_killed_harder(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.command("sleep", mda_exec="trap '' TERM; echo; while :; do sleep 0.1; done")
    stdout = bench.pony.sent[1][1]
    bench.run_until(lambda: select.select([stdout], [], [], 0)[0])
    bench.deliveries.kill_delivery(bench.pony, KillDelivery(1))  # type: ignore[arg-type]
    finish(bench, -9)


def test_its_time_is_up_whatever_pony_does(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMAND_SECONDS", 0.1)
    bench = make_bench()
    bench.command("sleep")
    finish(bench, -15)


def test_close_ends_commands(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.command("sleep")
    bench.deliveries.close()
    finish(bench, -15)


def test_an_agent(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    bench = make_bench()
    assert bench.agent(directory=str(tmp_path)) is None
    opened, fd = bench.pony.take()
    assert opened == AgentOpened(5, 1, "ok", "") and fd is not None
    agent = Channel(socket.socket(fileno=fd), CATALOGUE)
    message = os.memfd_create("message")
    agent.put(DeliverMaildir(str(tmp_path / "m"), "", False, b"x\n", ""), message)
    agent.flush()
    bench.run_until(lambda: select.select([agent], [], [], 0)[0])
    assert agent.receive()[0][1].status == "ok"
    bench.deliveries.kill_delivery(bench.pony, KillDelivery(1))  # type: ignore[arg-type]
    bench.run_until(lambda: bench.pony.sent)
    assert bench.pony.take() == (DeliveryExited(1, -9), None)
    agent.close()


def test_the_caller_alone_gets_mail(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    text = "not started as root: cannot deliver to bob"
    assert bench.command("cat", uid=ME + 1) == CommandOpened(5, 0, "permfail", text)
    assert bench.agent(uid=ME + 1) == AgentOpened(5, 0, "permfail", text)


@pytest.mark.parametrize(
    ("uid", "gid"), [(0, 0), (0, 1000), (-1, 1000), (1000, -1), (0xFFFFFFFF, 1000), (2**40, 1)]
)
def test_nobody_becomes_root(make_bench: Callable[..., Bench], uid: int, gid: int) -> None:
    bench = make_bench(separated=True)
    text = "MDA not allowed to deliver to: bob"
    assert bench.command("cat", uid=uid, gid=gid) == CommandOpened(5, 0, "permfail", text)
    assert bench.agent(uid, gid) == AgentOpened(5, 0, "permfail", text)
    assert bench.pony.sent == []


def test_the_action_s_user(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(separated=True)
    nobody = pwd.getpwnam("nobody")
    runner = bench.deliveries._runner("nobody", "bob", 1000, 1000, "/home/bob")
    assert runner == (nobody.pw_uid, nobody.pw_gid, nobody.pw_dir)
    with pytest.raises(Refused, match="delivery user 'no such user' does not exist"):
        bench.deliveries._runner("no such user", "bob", 1000, 1000, "/home/bob")
    with pytest.raises(Refused, match="not allowed"):
        bench.deliveries._runner("root", "bob", 1000, 1000, "/home/bob")
    gone = bench.command("gone", uid=1000)
    assert gone is not None and gone.status == "permfail"


@pytest.mark.skipif(ME != 0, reason="needs to be root")
def test_with_the_rights_of_the_action_s_user(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(separated=True)
    assert bench.command("other", uid=1000, gid=1000) is None
    (_, stdin), (_, stdout) = bench.pony.take(), bench.pony.take()
    assert stdin is not None and stdout is not None
    bench.run_until(lambda: bench.pony.sent)
    assert os.read(stdout, 100) == f"{pwd.getpwnam('nobody').pw_uid}\n".encode()
    os.close(stdin)
    os.close(stdout)


def test_pony_is_not_there(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()

    def gone(name: str) -> Any:
        raise KeyError(name)

    bench.process.peer = gone
    bench.deliveries.agent_exited(bench.pony, AgentExited(1, 0))  # type: ignore[arg-type]
    assert bench.pony.sent == []
