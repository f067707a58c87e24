"""parent and lookup: files that only root may open (numbers 0x03xx)."""

from typing import NamedTuple

from imsg.message import I64, U32, Id32, message

from .links import LOOKUP, PARENT


@message(0x0301, PARENT, LOOKUP, descriptor="optional")
class ForwardOpened(NamedTuple):
    """Reply to OpenForward. `status`: "ok" (with a descriptor), "none" (no file), "tempfail", "permfail"."""

    reqid: U32
    status: str


@message(0x0302, LOOKUP, PARENT, reply=ForwardOpened)
class OpenForward(NamedTuple):
    """A user's ~/.forward (forward(5)), if it belongs to the user and nobody else may write it or its folder.

    `msgid`: of the mail it is read for.
    """

    username: str
    uid: I64
    directory: str
    msgid: Id32 = 0
