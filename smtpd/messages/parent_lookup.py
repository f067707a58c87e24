"""parent and lookup: files that only root may open, and the programs of tables (numbers 0x03xx)."""

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


@message(0x0303, PARENT, LOOKUP, descriptor="optional")
class TableProcOpened(NamedTuple):
    """Reply to OpenTableProc: a descriptor with the program behind it, or none and the `error`."""

    reqid: U32
    error: str


@message(0x0304, LOOKUP, PARENT, reply=TableProcOpened)
class OpenTableProc(NamedTuple):
    """Start the program of a table (smtpd-tables(7)); the one that runs for it, if any, is ended."""

    table: str
