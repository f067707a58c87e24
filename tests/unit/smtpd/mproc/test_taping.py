"""smtpd/mproc/taping.py: what goes on the tape, and while whom."""

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from imsg import Recorder, layout
from imsg.layout import MIN_TAPE, TAPED, TAPED_IN, TAPED_OUT
from imsg.message import kind_of, message
from imsg.tape import TapeReader
from smtpd.messages import client_observation, control_observation
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.client_control import ClientDone, ClientPause
from smtpd.messages.control_observation import SetTape, WipeTape
from smtpd.messages.pony_queue import CommitMessage, CreateMessage
from smtpd.mproc.log import Log
from smtpd.mproc.process import Process
from smtpd.mproc.taping import rule_of, rules

from .conftest import rest_of

CREATE, COMMIT = kind_of(CreateMessage).number, kind_of(CommitMessage).number


def test_a_payload_is_taped_once() -> None:
    assert rule_of(kind_of(CreateMessage)) == TAPED | TAPED_IN, "between processes: where it arrives"
    assert rule_of(kind_of(ClientDone)) == TAPED | TAPED_OUT, "to one without a tape: where it is sent"
    assert rule_of(kind_of(ClientPause)) == TAPED | TAPED_IN


def test_whoever_watches_does_not_see_himself() -> None:
    every = rules()
    for kind in CATALOGUE.by_number.values():
        ours = kind.cls.__module__ in (control_observation.__name__, client_observation.__name__)
        assert (kind.number in every) == (not ours)
        assert rule_of(kind) == every.get(kind.number, 0)
    assert rules([CREATE]) == {CREATE: TAPED | TAPED_IN}
    assert rules([kind_of(SetTape).number]) == {}


@message(0x0FFE, "pony", "lookup", secret=("password", "key"))
class Login(NamedTuple):
    """With secrets."""

    password: str
    user: str
    key: bytes


_wide: Any = NamedTuple("Wide", [(f"field{number}", str) for number in range(49)])
Wide: Any = message(0x0FFD, "pony", "lookup", secret=("field48",))(_wide)


def test_secret_fields_are_masked() -> None:
    assert rule_of(kind_of(Login)) == TAPED | TAPED_IN | 0b101
    assert rule_of(kind_of(Wide)) == TAPED, "no rule can mask the field, so none is shown"
    for kind in CATALOGUE.by_number.values():
        hidden = {name for index, (name, _) in enumerate(kind.fields) if rule_of(kind) >> index & 1}
        assert hidden >= set(kind.secret) or rule_of(kind) in (TAPED, 0)


class Queue(Process):
    """A process without anything of its own."""

    NAME = "queue"
    parts = (rest_of("queue", Process),)


class Bench:
    """A process with a recorder."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        handler = loop.get_exception_handler()
        self.recorder = Recorder(bytearray(Recorder.size(16, MIN_TAPE)), entries=16)
        self.process = Queue(loop, Log("queue"), self.recorder)
        self.taping = self.process.taping
        loop.set_exception_handler(handler)

    def taped(self) -> set[int]:
        """The kinds that go on the tape."""
        if not self.recorder.taping:
            return set()
        kinds = layout.KIND.iter_unpack(self.recorder.memory[layout.KINDS_AT : layout.NOTE_AT])
        return {number for number, counts in enumerate(kinds) if counts[4] & TAPED}

    def handling(self) -> bool:
        """Whether the marks of handlers go on it as well."""
        return self.process.handling.on

    def frame(self) -> None:
        channel = self.recorder.channel("pony")
        self.recorder.write(0, channel, [CREATE], [17], [1], [1], [False], [b"\x91\x07"])


@pytest.fixture
def bench(loop: asyncio.AbstractEventLoop) -> Iterator[Bench]:
    yield Bench(loop)


def set_tape(bench: Bench, *message: Any) -> None:
    bench.taping.set_tape(None, SetTape(*message))  # type: ignore[arg-type]


def test_watchers_come_and_go(bench: Bench) -> None:
    assert bench.taped() == set()
    set_tape(bench, True, False, [CREATE, COMMIT])
    assert bench.taped() == {CREATE, COMMIT} and not bench.handling()
    set_tape(bench, True, True, [])
    assert bench.taped() == set(rules()) and bench.handling()
    set_tape(bench, False, False, [])
    assert bench.taped() == set() and not bench.handling()


def test_a_trace_of_imsg_wants_everything(bench: Bench) -> None:
    bench.process.log.set_trace("imsg", True)
    bench.process.trace_changed()
    assert bench.taped() == set(rules())
    set_tape(bench, True, False, [CREATE])
    assert bench.taped() == set(rules())
    bench.process.log.set_trace("imsg", False)
    bench.process.trace_changed()
    assert bench.taped() == {CREATE}, "the watcher is still there"


def test_wiped(bench: Bench) -> None:
    set_tape(bench, True, False, [])
    bench.frame()
    (record,) = TapeReader(bench.recorder.memory, oldest=True).read()
    assert (record.type, record.payload) == (CREATE, b"\x91\x07")
    bench.taping.wipe_tape(None, WipeTape())  # type: ignore[arg-type]
    assert TapeReader(bench.recorder.memory, oldest=True).read() == []
    assert b"\x91\x07" not in bytes(bench.recorder.memory[Recorder.size(16) :])
    assert bench.recorder.taping, "what comes from now on is taped"


def test_a_process_without_a_recorder(loop: asyncio.AbstractEventLoop) -> None:
    handler = loop.get_exception_handler()
    process = Queue(loop, Log("queue"))
    loop.set_exception_handler(handler)
    process.taping.watch(SetTape(True, False, []))
    process.taping.wipe()
    assert process.recorder is None
