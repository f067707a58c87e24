"""`show queue`: the envelopes and their states; without a daemon, what the spool holds.

A line an envelope, as in smtpctl(8); at a terminal a table (queue_table.py). Rows come as they are read, only
sorting waits for the last one.

JSON, a line an envelope: "envelope" and "message" (ids in hex), "type" (mda, mta, bounce), "state" (pending,
inflight, held, offline), "suspended", "flags" (list of bounce, auth, internal), "source" (local, inet4,
inet6), "sender", "recipient" (of RCPT TO), "destination" (after aliases), "created", "expires", "last_try"
(Unix seconds; 0: never), "tries", "next_try" (Unix second; null unless pending), "since" (Unix second; null
unless inflight or held), "error" (of the last try).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from smtpd.mail.envelope import FLAG_AUTHENTICATED, FLAG_BOUNCE, FLAG_INTERNAL
from smtpd.mail.ids import format_evpid, format_msgid, msgid_of, parse_evpid
from smtpd.messages.control_scheduler import EnvelopeState

from ..failure import BadFilter
from ..invocation import Invocation
from ..matching import Option, Parameter
from ..output import vis
from . import queue_table
from .again import WATCH, watched
from .rows import Row, rows
from .selection import FILTERS, Selection
from .sorting import Key, sort
from .summary import BY, show_summary

SORTS: dict[str, Callable[[Row], Key]] = {
    "envelope": lambda row: format_evpid(row.envelope.evpid),
    "created": lambda row: row.envelope.ctime,
    "expires": lambda row: row.envelope.ctime + row.envelope.ttl,
    "next": lambda row: _next_try(row.state),
    "last": lambda row: row.envelope.last_try,
    "tries": lambda row: row.envelope.retry,
    "sender": lambda row: str(row.envelope.sender),
    "recipient": lambda row: str(row.envelope.dest),
    "domain": lambda row: row.envelope.dest.domain,
    "state": lambda row: row.runstate,
    "type": lambda row: row.envelope.type,
    "error": lambda row: row.envelope.errorline,
}
"""What `--sort` knows. "next": those in flight first, those without a daemon last."""

OPTIONS = (
    *FILTERS,
    Option("by", "FIELD", f"a summary with columns of age, by {', '.join(BY)}"),
    Option("sort", "FIELD", f"in the order of {', '.join(SORTS)}; -FIELD turns it round"),
    Option("limit", "N", "no more than N of them"),
    Option("after", "ENVELOPE", "only those behind this one in the order of ids: the next page of --limit"),
    WATCH,
)

_NEVER = 2**62

_FLAGS = ((FLAG_BOUNCE, "bounce"), (FLAG_AUTHENTICATED, "auth"), (FLAG_INTERNAL, "internal"))


@watched
def show_queue(invocation: Invocation, parameters: Sequence[Parameter], options: Mapping[str, str]) -> int:
    """show queue [MSGID]."""
    msgid = parameters[0].value if parameters else 0
    selection = Selection(options, invocation.now)
    limit = _number(options.get("limit", "0"))
    after = _evpid(options["after"]) if "after" in options else 0
    sort_by, backwards = _order(options.get("sort", ""))
    wanted = (row for row in rows(invocation, msgid, after and after + 1) if selection.wants(row))
    if "by" in options:
        return show_summary(invocation, options["by"], wanted)
    output, now = invocation.output, invocation.now
    table = bool(output.width) and not output.as_json

    def rendered(row: Row) -> str:
        if table:
            return queue_table.entry(output, row, now)
        return output.rendered(line(row, now), values(row))

    if sort_by is not None:
        lines = sort(((sort_by(row), rendered(row)) for row in wanted), backwards=backwards, limit=limit)
    else:
        lines = map(rendered, islice(wanted, limit or None))
    for number, text in enumerate(lines):
        if table and not number:
            output.write(queue_table.head(output))
        output.write(text)
    return 0


def _order(text: str) -> tuple[Callable[[Row], Key] | None, bool]:
    """`--sort=FIELD` or `--sort=-FIELD`; BadFilter."""
    if not text:
        return None, False
    field = text.removeprefix("-")
    if field not in SORTS:
        raise BadFilter(f"{field!r} is nothing to sort by; {', '.join(SORTS)} are")
    return SORTS[field], text != field


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadFilter(f"{text!r} is no number")
    return int(text)


def _evpid(text: str) -> int:
    try:
        if len(text) == 16:
            return parse_evpid(text)
    except ValueError:
        pass
    raise BadFilter(f"{text!r} is no envelope id (16 hex digits)")


def _next_try(state: EnvelopeState | None) -> int:
    if state is None:
        return _NEVER
    return state.time if state.state == "pending" else 0


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
