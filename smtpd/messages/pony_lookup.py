"""pony and lookup: names, recipients, users, where to relay (numbers 0x04xx).

`status` is "ok", "none" (surely not there), "tempfail" (ask again later) or "permfail".
"""

from typing import NamedTuple

from imsg.message import I64, U16, U32, Id64, message
from smtpd.mail.envelope import Envelope

from .links import LOOKUP, PONY

LOCAL_LISTENER = 0xFFFF_FFFF
"""In place of an index in Config.listeners: its socket_listener, the one of local submission."""


@message(0x0401, LOOKUP, PONY)
class ReverseNameFound(NamedTuple):
    """Reply to ReverseName. `name`: a host name that resolves back to the address, "" otherwise."""

    reqid: U32
    status: str
    name: str


@message(0x0402, PONY, LOOKUP, reply=ReverseNameFound)
class ReverseName(NamedTuple):
    """The name of an SMTP client (forward-confirmed). `address`: numeric, IPv6 without brackets.

    `session`: whose client it is, for who follows a mail's way.
    """

    address: str
    session: Id64 = 0


@message(0x0403, LOOKUP, PONY)
class RecipientExpanded(NamedTuple):
    """Reply to ExpandRecipient: the envelopes are with queue, or nothing is.

    `reply`: the SMTP reply line for the client when `status` is "tempfail" or "permfail", such as
    "550 Invalid recipient: <a@b>"; `evpids`: of the envelopes made, for the log.
    """

    reqid: U32
    status: str
    reply: str
    evpids: list[Id64]


@message(0x0404, PONY, LOOKUP, reply=RecipientExpanded)
class ExpandRecipient(NamedTuple):
    """RCPT TO: find the rule, expand aliases, submit the envelopes to queue.

    `session`: of the SMTP client. `generation`: the configuration it began with. `listener`: index in
    Config.listeners, or LOCAL_LISTENER. `tls`: whether the session is encrypted. `envelope`: what is known of
    every envelope to be made (evpid holds the msgid and a low half of 0; `rcpt` as the client gave it).
    """

    session: Id64
    generation: U32
    listener: U32
    tls: bool
    envelope: Envelope


@message(0x0405, LOOKUP, PONY)
class UserFound(NamedTuple):
    """Reply to FindUser."""

    reqid: U32
    status: str
    username: str
    uid: I64
    gid: I64
    directory: str


@message(0x0406, PONY, LOOKUP, reply=UserFound)
class FindUser(NamedTuple):
    """The uid, gid and home of a user. `table`: a userbase table's name, or "" for the system's users.

    `evpid`: of the envelope it was first asked for.
    """

    generation: U32
    table: str
    username: str
    evpid: Id64 = 0


class MxHost(NamedTuple):
    """One host to try. `addresses`: numeric, in the order to try; empty when the name did not resolve."""

    preference: U16
    name: str
    addresses: list[str]


@message(0x0407, LOOKUP, PONY)
class HostsFound(NamedTuple):
    """Reply to FindMx and FindHost, best preference first. `error`: text for the log and the envelope.

    `secure`: the resolver said that the answer is authenticated (the AD bit, RFC 4035 3.2.3).
    """

    reqid: U32
    status: str
    error: str
    secure: bool
    hosts: list[MxHost]


@message(0x0408, PONY, LOOKUP, reply=HostsFound)
class FindMx(NamedTuple):
    """The mail exchangers of a domain (RFC 5321 5.1), with their addresses."""

    domain: str


@message(0x0409, PONY, LOOKUP, reply=HostsFound)
class FindHost(NamedTuple):
    """The addresses of one host, named or numeric."""

    name: str


@message(0x040C, LOOKUP, PONY, secret=("username", "password"))
class CredentialsFound(NamedTuple):
    """Reply to FindCredentials. Some services make one secret both the name and the password."""

    reqid: U32
    status: str
    username: str
    password: str


@message(0x040D, PONY, LOOKUP, reply=CredentialsFound)
class FindCredentials(NamedTuple):
    """What to log in with at another host. `table`: of a relay action's `auth`; `label`: of a relay URL."""

    generation: U32
    table: str
    label: str


@message(0x040A, LOOKUP, PONY)
class FoundInTable(NamedTuple):
    """Reply to FindInTable: the value as the table has it."""

    reqid: U32
    status: str
    value: str


@message(0x040B, PONY, LOOKUP, reply=FoundInTable)
class FindInTable(NamedTuple):
    """A value for a relay action out of one of its tables.

    `service`: "relayhost" (a URL as in `relay host`), "source" (a numeric address) or "addrname" (the HELO
    name for a source address). With an empty `key` the next entry of a list in turn, else what the table maps
    the key to.
    """

    generation: U32
    table: str
    service: str
    key: str
