"""smtpctl and control: looking inside (numbers 0x0980 to 0x09ff). Requests end with a ClientDone as all."""

from typing import NamedTuple

from imsg.message import U8, U16, U32, U64, message

from .client_control import ClientDone
from .control_observation import ProfileRow
from .links import CLIENT, CONTROL


@message(0x0981, CONTROL, CLIENT, descriptor=True)
class RecorderRow(NamedTuple):
    """The memory of a process's recorder, to be read in place (imsg/layout.py)."""

    reqid: U32
    process: str
    instance: U8
    pid: U32
    size: U32


@message(0x0982, CLIENT, CONTROL, reply=ClientDone)
class ClientShowRecorders(NamedTuple):
    """A RecorderRow for each process; the end of the request follows at once."""


@message(0x0983, CLIENT, CONTROL, reply=ClientDone)
class ClientWatch(NamedTuple):
    """A RecorderRow for each process, and messages go on their tapes until this client is gone.

    `kinds`: the numbers of those wanted, none for all; `handlers`: also the time spent in handlers.
    `seconds`: the request ends then; 0: no such limit. It ends with an error when somebody ends all traces.
    """

    kinds: list[U16]
    handlers: bool
    seconds: U32


@message(0x0984, CLIENT, CONTROL, reply=ClientDone)
class ClientSetProfile(NamedTuple):
    """profile and unprofile of a subsystem, or "all"."""

    subsystem: str
    on: bool


@message(0x0985, CONTROL, CLIENT)
class ProfileRows(NamedTuple):
    """Some of what a process measured. `milliseconds`: for how long it has."""

    reqid: U32
    process: str
    instance: U8
    milliseconds: U64
    rows: list[ProfileRow]


@message(0x0986, CLIENT, CONTROL, reply=ClientDone)
class ClientShowProfile(NamedTuple):
    """What all processes have measured."""
