"""The part of every process that puts its messages on the recorder's tape while somebody looks.

The tape lies in memory that watchers read in place (imsg/tape.py): nothing is sent, and no watcher can hold
up this process. What goes on it is decided by the declarations: secret fields never, a payload once, where
it is received (or where it is sent, if the other end has no tape), and nothing that is itself about
watching.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from imsg.layout import KINDS, SECRET_FIELDS, TAPED, TAPED_IN, TAPED_OUT
from imsg.message import Kind
from smtpd.messages import client_observation, control_observation
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_observation import SetTape, WipeTape
from smtpd.messages.links import PROCESSES

from .dispatch import handles
from .peer import Peer

if TYPE_CHECKING:
    from .process import Process

_OURS = (control_observation.__name__, client_observation.__name__)


def rule_of(kind: Kind) -> int:
    """What of a kind goes on the tape (imsg/layout.py); 0: nothing."""
    if kind.cls.__module__ in _OURS or kind.number >= KINDS:
        return 0
    rule = TAPED
    if any(name in PROCESSES for name in kind.receivers):
        rule |= TAPED_IN
    if any(name not in PROCESSES for name in kind.receivers):
        rule |= TAPED_OUT
    if any(name not in PROCESSES for name in kind.senders):
        rule |= TAPED_IN
    names = [name for name, _ in kind.fields]
    for name in kind.secret:
        index = names.index(name)
        if index >= SECRET_FIELDS:
            return TAPED  # its header alone
        rule |= 1 << index
    return rule


def rules(numbers: Iterable[int] = ()) -> dict[int, int]:
    """The rules of the kinds with these numbers, or of all."""
    wanted = frozenset(numbers)
    every = {number: rule_of(kind) for number, kind in CATALOGUE.by_number.items()}
    return {number: rule for number, rule in every.items() if rule and (not wanted or number in wanted)}


class Taping:
    """What of this process's messages is on the tape: what watchers want, and all while `trace imsg` is
    on.
    """

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._watched = False
        self._kinds: tuple[int, ...] = ()

    @handles(SetTape)
    def set_tape(self, peer: Peer, message: SetTape) -> None:
        """Watchers came, went, or want something else."""
        self.watch(message)

    @handles(WipeTape)
    def wipe_tape(self, peer: Peer, message: WipeTape) -> None:
        """Nobody is to see any more what was there."""
        self.wipe()

    def watch(self, message: SetTape) -> None:
        """As `set_tape`, for the process that watchers talk to."""
        self._watched = message.on
        self._kinds = tuple(message.kinds)
        self._process.handling.mark(message.on and message.handlers)
        self.apply()

    def wipe(self) -> None:
        """Forget what is on the tape."""
        if self._process.recorder is not None:
            self._process.recorder.tape_wipe()

    def apply(self) -> None:
        """Turn the tape on or off, as watchers and `trace imsg` want it."""
        recorder = self._process.recorder
        if recorder is None:
            return
        if self._process.log.tracing_imsg:
            recorder.tape_on(rules())
        elif self._watched:
            recorder.tape_on(rules(self._kinds))
        else:
            recorder.tape_off()
