"""`show queue`: the envelopes and their states; without a daemon, what the spool holds.

JSON, a line an envelope: "envelope" and "message" (ids in hex), "type" (mda, mta, bounce), "state" (pending,
inflight, held, offline), "suspended", "flags" (list of bounce, auth, internal), "source" (local, inet4,
inet6), "sender", "recipient" (of RCPT TO), "destination" (after aliases), "created", "expires", "last_try"
(Unix seconds; 0: never), "tries", "next_try" (Unix second; null unless pending), "since" (Unix second; null
unless inflight or held), "error" (of the last try).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from smtpd.mail.envelope import FLAG_AUTHENTICATED, FLAG_BOUNCE, FLAG_INTERNAL
from smtpd.mail.ids import format_evpid, format_msgid, msgid_of

from ..invocation import Invocation
from ..matching import Option, Parameter
from ..output import vis
from .rows import Row, rows
from .selection import FILTERS, Selection
from .summary import BY, show_summary

OPTIONS = (
    *FILTERS,
    Option("by", "FIELD", f"a summary with columns of age, by {', '.join(BY)}"),
)

_FLAGS = ((FLAG_BOUNCE, "bounce"), (FLAG_AUTHENTICATED, "auth"), (FLAG_INTERNAL, "internal"))


def show_queue(invocation: Invocation, parameters: Sequence[Parameter], options: Mapping[str, str]) -> int:
    """show queue [MSGID]."""
    msgid = parameters[0].value if parameters else 0
    selection = Selection(options, invocation.now)
    wanted = (row for row in rows(invocation, msgid) if selection.wants(row))
    if "by" in options:
        return show_summary(invocation, options["by"], wanted)
    for row in wanted:
        invocation.output.row(line(row, invocation.now), values(row))
    return 0


def line(row: Row, now: int) -> str:
    """The fourteen fields of smtpctl(8)."""
    envelope, state = row
    flags = flag_names(envelope.flags)
    last_try = envelope.last_try
    if state is None:
        runstate = "offline|"
    elif state.state == "inflight":
        # The time of the try under way is not in the envelope's file before it has failed.
        last_try = state.time
        runstate = f"inflight|{now - state.time}"
    else:
        runstate = f"pending|{state.time - now}"
    if state is not None and state.suspended:
        flags.append("suspend")
    if state is not None and state.state == "held":
        flags.append("hold")
    fields = (
        format_evpid(envelope.evpid),
        source(envelope.sockaddr),
        envelope.type,
        ",".join(flags),
        str(envelope.sender),
        str(envelope.rcpt),
        str(envelope.dest),
        str(envelope.ctime),
        str(envelope.ctime + envelope.ttl),
        str(last_try),
        str(envelope.retry),
        runstate,
        vis(envelope.errorline),
    )
    return "|".join(fields)


def values(row: Row) -> dict[str, Any]:
    """The same for --json."""
    envelope, state = row
    pending = state is not None and state.state == "pending"
    return {
        "envelope": format_evpid(envelope.evpid),
        "message": format_msgid(msgid_of(envelope.evpid)),
        "type": envelope.type,
        "state": row.runstate,
        "suspended": state is not None and state.suspended,
        "flags": flag_names(envelope.flags),
        "source": source(envelope.sockaddr),
        "sender": envelope.sender.path,
        "recipient": envelope.rcpt.path,
        "destination": envelope.dest.path,
        "created": envelope.ctime,
        "expires": envelope.ctime + envelope.ttl,
        "last_try": envelope.last_try,
        "tries": envelope.retry,
        "next_try": state.time if state is not None and pending else None,
        "since": state.time if state is not None and not pending else None,
        "error": envelope.errorline,
    }


def flag_names(flags: int) -> list[str]:
    """The flags of an envelope's file, in OpenSMTPD's order."""
    return [name for bit, name in _FLAGS if flags & bit]


def source(sockaddr: str) -> str:
    """The address family of the client that sent the mail."""
    if sockaddr == "local":
        return "local"
    if sockaddr.startswith("["):
        return "inet6"
    return "inet4" if sockaddr else "?"
