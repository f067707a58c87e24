"""control and pony: accepting of SMTP sessions (numbers 0x088x)."""

from typing import NamedTuple

from imsg.message import U32, message

from .links import CONTROL, PONY


@message(0x0881, CONTROL, PONY)
class PauseSmtp(NamedTuple):
    """Accept no new SMTP sessions; those that are there go on."""


@message(0x0882, CONTROL, PONY)
class ResumeSmtp(NamedTuple):
    """Accept again."""


@message(0x0883, PONY, CONTROL, descriptor="optional")
class SessionOpened(NamedTuple):
    """Reply to OpenSession. The descriptor is the client's end of the session; none with an `error`."""

    reqid: U32
    error: str


@message(0x0884, CONTROL, PONY, reply=SessionOpened)
class OpenSession(NamedTuple):
    """An SMTP session for a user of this machine. `uid`: who that is, as the kernel says."""

    uid: U32
