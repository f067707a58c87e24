"""explain ENVELOPE-ID: why an envelope waits, when it goes next, what holds it, and its last tries.

JSON, one object: "evpid", "type" (mta, mda, bounce), "action", "sender", "rcpt", "dest", "state" (pending,
due, held, inflight, leaving), "suspended" (paused by itself), "type_paused" (with all of its type), "retry"
(tries so far), "created", "last_try", "next_try", "since" (in its state), "expires", "error" (of the last
try), "place" (relay, session, user, or "" when it is not with pony), "name" (of the relay or user), "host",
"reasons" (a list of {"what", "name", "number"}: limit, delay, first, lookup, error), "routes" (disabled: as
of show routes: "id", "source", "destination", "timeout"), "paused_sources" ("source", "domain"), "tries" (the
last ones, as far as pony remembers them: "time", "source", "host", "status"). Times are Unix seconds, null
where there is none. The exit status is 1 for an id that is not in the queue.
"""

import time
from collections.abc import Iterator
from typing import Any

from smtpd.messages.client_configuration import ClientExplainEnvelope, EnvelopeExplained
from smtpd.messages.control_tries import Hindered, Hindrance, Try

from ..invocation import Invocation
from ..output import duration, plural

type Line = tuple[str, str]

_ERRORS = {
    "mx": "its domain has no host to send to",
    "family": "its hosts have no address of a family that can be used",
    "net": "no host can be reached: all routes are disabled for now",
    "source": "the source address cannot be used",
    "paused": "connections from this source are paused",
}
_LOOKUPS = {"mx": "the hosts of its domain", "source": "a source address", "credentials": "the credentials"}
_NOBODY = Hindered("", "", "", [], [], [], [])
_TRIES = {"mta": "Transfers to other hosts", "mda": "Deliveries to local users", "bounce": "Bounces"}


def explain_envelope(invocation: Invocation, evpid: int) -> int:
    """explain ENVELOPE-ID."""
    for row in invocation.client.rows(ClientExplainEnvelope(evpid)):
        if invocation.output.as_json:
            invocation.output.row("", values(row))
            continue
        for text, style in lines(row):
            invocation.output.line(text, style)
    return 0


def values(row: EnvelopeExplained) -> dict[str, Any]:
    """For --json."""
    envelope, waits = row.envelope, row.waits
    hindered = row.hindered or _NOBODY
    pending = waits.state == "pending" and not waits.suspended
    return {
        "evpid": f"{envelope.evpid:016x}",
        "type": envelope.type,
        "action": envelope.dispatcher,
        "sender": envelope.sender.path,
        "rcpt": envelope.rcpt.path,
        "dest": envelope.dest.path,
        "state": waits.state,
        "suspended": waits.suspended,
        "type_paused": waits.paused,
        "retry": waits.retry,
        "created": envelope.ctime,
        "last_try": envelope.last_try or None,
        "next_try": waits.time if pending else None,
        "since": None if waits.state == "pending" else waits.time,
        "expires": waits.expire,
        "error": envelope.errorline,
        "place": hindered.place,
        "name": hindered.name,
        "host": hindered.host,
        "reasons": [each._asdict() for each in hindered.hindrances],
        "routes": [
            {"id": r.id, "source": r.source, "destination": r.destination, "timeout": r.timeout}
            for r in hindered.routes
        ],
        "paused_sources": [each._asdict() for each in hindered.paused],
        "tries": [each._asdict() for each in hindered.tries],
    }


def lines(row: EnvelopeExplained) -> Iterator[Line]:
    """In plain words."""
    envelope, waits = row.envelope, row.waits
    hindered = row.hindered or _NOBODY
    rcpt = f", sent to <{envelope.rcpt.path}>" if envelope.rcpt != envelope.dest else ""
    yield (
        f'{envelope.evpid:016x}: {envelope.type}, action "{envelope.dispatcher}", '
        f"from <{envelope.sender.path}> to <{envelope.dest.path}>{rcpt}",
        "bold",
    )
    yield from _state(row, hindered)
    for each in hindered.hindrances:
        yield f"  {_hindrance(each)}", ""
    for route in hindered.routes:
        left = f" for {duration(route.timeout)} more" if route.timeout >= 0 else ""
        again = f"smtpctl resume route {route.id}"
        yield f"  The route {route.source} <-> {route.destination} is disabled{left} ({again}).", "bad"
    for paused in hindered.paused:
        again = f"smtpctl resume mta from {paused.source} for {paused.domain}"
        source = paused.source or "the system's address"
        yield f"  Connections from {source} for {paused.domain} are paused ({again}).", "bad"
    if waits.state != "leaving":
        yield f"  {_expiry(row)}", ""
    if row.hindered is None:
        yield "  What holds it beyond that is not known: pony does not answer.", "bad"
    yield from _history(row, hindered.tries)


def _state(row: EnvelopeExplained, hindered: Hindered) -> Iterator[Line]:
    waits, evpid = row.waits, f"{row.envelope.evpid:016x}"
    since = f" since {_moment(waits.time)}"
    what = _TRIES.get(waits.type, "Deliveries")
    if waits.suspended:
        yield f"  It is paused by itself (smtpctl resume envelope {evpid}).", "bad"
    if waits.paused:
        yield f"  {what} are paused for all (smtpctl resume {waits.type}).", "bad"
    if waits.state == "leaving":
        yield f"  It is being removed or has expired{since}.", ""
    elif waits.state == "inflight":
        yield f"  {_in_flight(hindered)}{since}.", "good"
    elif waits.state == "held":
        who = hindered.name or "its destination"
        yield (
            f"  It is held{since}: {who} has as many waiting as may. It goes when they have gone.",
            "",
        )
    elif waits.state == "due":
        full = waits.inflight >= waits.most
        why = f": scheduler limit max-inflight {waits.most} is reached" if full else ""
        yield f"  It is due{since}{'' if waits.paused else why}.", ""
    elif not waits.suspended:
        left = waits.time - row.now
        when = f"in {duration(left)}, at {_moment(waits.time)}" if left > 0 else "now"
        yield f"  It waits for its next try: {when} (smtpctl schedule {evpid}).", ""


def _in_flight(hindered: Hindered) -> str:
    if hindered.place == "session":
        return f"It is being transferred to {hindered.host} by {hindered.name}"
    if hindered.place == "relay":
        return f"It waits for a connection of {hindered.name}"
    if hindered.place == "user":
        return f"It waits for the deliveries to {hindered.name} before it"
    return "It is being worked on"


def _hindrance(each: Hindrance) -> str:
    match each.what:
        case "limit":
            return f"The limit {each.name} {each.number} is reached."
        case "delay":
            return f"The next connection may be made in {duration(max(each.number, 0))}."
        case "first":
            return f"A first connection to {each.name} is being tried; others follow when it is good."
        case "lookup":
            return f"The daemon is looking up {_LOOKUPS.get(each.name, each.name)}."
        case _:
            return f"For now {_ERRORS.get(each.name, each.name)}."


def _expiry(row: EnvelopeExplained) -> str:
    waits = row.waits
    left = waits.expire - row.now
    when = f"in {duration(left)}, at {_moment(waits.expire)}" if left > 0 else "now"
    if waits.state == "pending" and not waits.suspended and waits.expire <= waits.time:
        return f"There is no try before it expires: {when}; then its sender is told."
    return f"It expires {when}."


def _history(row: EnvelopeExplained, tries: list[Try]) -> Iterator[Line]:
    retry, envelope = row.waits.retry, row.envelope
    if not retry and not tries:
        yield "  It was not tried yet.", ""
        return
    last = f", the last at {_moment(envelope.last_try)}" if envelope.last_try else ""
    yield f"  It failed {plural(retry, 'time')}{last}.", ""
    if not tries and envelope.errorline:
        yield f"    {envelope.errorline}", "bad"
    for each in tries:
        where = f"{each.source} -> {each.host}: " if each.host else ""
        yield f"    {_moment(each.time)}  {where}{each.status}", "bad"


def _moment(when: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
