"""The configuration as frozen values: what smtpd.conf(5) says, after every name in it was resolved.

Field names follow smtpd.conf(5) and OpenSMTPD's structs (sc_*, struct listener, dispatcher, rule,
filter_config, mta_limits). Nothing here reads a file, asks the machine or knows the language's syntax.

Conventions: an empty string is "not given"; times are seconds, sizes are bytes; a field named `table` or
ending in `_table` (and `alias`, `virtual`, ... of an action) holds the name of an entry of `Config.tables`.
Tables that the text spells in place get the names `<dynamic:0>`, `<dynamic:1>`, ... and chains spelled in
place `<dynchain:00000001>`, ...; the built-in ones are `<localhost>`, `<anyhost>`, `<localnames>`,
`<anydestination>` and `<getpwnam>`. `place` tells where a thing was declared; it takes no part in
comparisons, and neither does what was loaded from the files that the text names.

The mappings are plain dicts that nobody changes after the parser made them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

LOCALHOST = "<localhost>"
ANYHOST = "<anyhost>"
LOCALNAMES = "<localnames>"
ANYDESTINATION = "<anydestination>"
GETPWNAM = "<getpwnam>"

BUILTIN_TABLES = (LOCALNAMES, ANYHOST, LOCALHOST, ANYDESTINATION, GETPWNAM)
"""Tables that exist without being declared, in the order in which they are made."""

DEFAULT_LIMITS = "default"
"""The key of the `mta limit` values that hold for every domain without its own."""


class Place(NamedTuple):
    """Where a statement was read: the file as named to the parser, and the line counted from 1."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


NOWHERE = Place()


class ListenAddress(NamedTuple):
    """One address a listener binds: `inet4` or `inet6`, the numeric address (an IPv6 link-local one with
    its `%scope`), the port, and whether it is the loopback address (OpenSMTPD's `local` flag)."""

    family: str
    address: str
    port: int
    local: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A `listen on` statement; `socket` is True for `listen on socket`, whose `on` is "socket"."""

    on: str
    """Interface, interface group, address or host name as written."""
    socket: bool = False
    family: str = ""
    """"inet4", "inet6" or "" for both."""
    port: int = 25
    """The port in force: as given, else 465 with smtps and 25 otherwise; 0 for the socket."""
    smtps: bool = False
    starttls: bool = False
    tls_require: bool = False
    tls_verify: bool = False
    tls_ciphers: str = ""
    tls_protocols: str = ""
    pkis: tuple[str, ...] = ()
    ca: str = ""
    auth: bool = False
    """AUTH is offered (`auth` or `auth-optional`)."""
    auth_require: bool = False
    """No transaction without AUTH (`auth`)."""
    auth_table: str = ""
    """Credentials table; "" asks the system's own users."""
    tag: str = ""
    hostname: str = ""
    """The name in the banner: as given, else the server's."""
    hostname_table: str = ""
    sender_table: str = ""
    masquerade: bool = False
    filter: str = ""
    mask_src: bool = False
    received_auth: bool = False
    no_dsn: bool = False
    proxy_v2: bool = False
    addresses: tuple[ListenAddress, ...] = field(default=(), compare=False)
    """What `on` meant on this machine when the text was read."""
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A `table` statement, a table spelled in place, or a built-in one."""

    name: str
    backend: str
    """"static" (in the text, or a text file when `config` is set), "db", "getpwnam" or "proc"."""
    config: str = ""
    """Absolute path for static and db; for proc the program's short name, `NAME` or `NAME:/path`."""
    kind: str = "dynamic"
    """"list" or "hash" for static tables ("none" for an empty one), "dynamic" for the others."""
    entries: tuple[tuple[str, str | None], ...] = ()
    """Content of a table in the text: lower-case keys without duplicates, values None in a list."""
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAction:
    """`action NAME` mbox, maildir, lmtp, mda, forward-only or expand-only."""

    name: str
    method: str
    """One of the six words above."""
    argument: str = ""
    """maildir: the path ("" is ~/Maildir); lmtp: the destination; mda: the command. With %{formats}."""
    junk: bool = False
    rcpt_to: bool = False
    """lmtp rcpt-to: RCPT TO carries the whole address instead of the user."""
    alias: str = ""
    virtual: str = ""
    userbase: str = GETPWNAM
    user: str = ""
    wrapper: str = ""
    """Name of an entry of `Config.mda_wrappers`."""
    ttl: int = 0
    """Seconds; 0 is the queue's own."""
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAction:
    """`action NAME relay`."""

    name: str
    helo: str = ""
    helo_src: str = ""
    src: str = ""
    """Table of source addresses."""
    mail_from: str = ""
    host: str = ""
    """Table of relay URLs to fetch from in turn (`host`), or to look a domain up in (`domain`)."""
    host_is_domain: bool = False
    backup: bool = False
    backup_mx: str = ""
    """The name of this exchanger when it is not the server's."""
    tls: bool = False
    """TLS is required."""
    tls_verify: bool = False
    """The certificate must verify as well (`tls` without `no-verify`)."""
    tls_ciphers: str = ""
    tls_protocols: str = ""
    pki: str = ""
    ca: str = ""
    auth: str = ""
    """Table of credentials by label."""
    filter: str = ""
    srs: bool = False
    ttl: int = 0
    place: Place = field(default=NOWHERE, compare=False, repr=False)


type Action = LocalAction | RelayAction


class Criterion(NamedTuple):
    """One condition of a rule.

    what        key                                       service when `table` is set
    tag         the listener's tag                        string
    from-src    the client's address or "local"           netaddr
    from-socket true for the local socket                 -
    from-rdns   the client's host name                    netaddr; without a table: has one
    for-domain  the recipient's domain                    domain
    helo        HELO name                                 domain
    auth        the user name; false when there is none   mailaddr if it has an "@", else string
    tls         the session is encrypted                  -
    mail-from   the sender                                mailaddr
    rcpt-to     the recipient                             mailaddr

    With `regex` the service is regex. `negated` turns true and false round, but not a temporary failure.
    (`from-rdns` with a table is false, whatever `negated` says, when there is no host name.)
    """

    what: str
    negated: bool = False
    table: str = ""
    regex: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A `match` statement. It matches when all criteria do; they stand in the order in which they are to
    be evaluated (tag, from, for, helo, auth, tls, mail-from, rcpt-to), one `from-...` and one `for-...`
    always among them."""

    criteria: tuple[Criterion, ...]
    action: str = ""
    """Name of an entry of `Config.actions`; "" when `reject`."""
    reject: bool = False
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """`pki NAME cert/key/dhe`; `cert` and `key` are the files' bytes (PEM)."""

    name: str
    cert_file: str = ""
    key_file: str = ""
    dhe: str = "none"
    """"none", "auto" or "legacy"."""
    cert: bytes = field(default=b"", compare=False, repr=False)
    key: bytes = field(default=b"", compare=False, repr=False)
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ca:
    """`ca NAME cert FILE`; `cert` is the file's bytes (PEM)."""

    name: str
    cert_file: str = ""
    cert: bytes = field(default=b"", compare=False, repr=False)
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """A filter process: `proc NAME COMMAND`, or `filter NAME proc-exec COMMAND` under the filter's name."""

    name: str
    command: str
    user: str = ""
    group: str = ""
    chroot: str = ""
    place: Place = field(default=NOWHERE, compare=False, repr=False)


class FilterCondition(NamedTuple):
    """`what`: fcrdns, rdns, src, helo, auth, mail-from or rcpt-to; without a table fcrdns, rdns and auth ask
    whether there is one. Services as in `Criterion` (rdns: domain)."""

    what: str
    negated: bool = False
    table: str = ""
    regex: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A `filter` statement, or a chain spelled in place."""

    name: str
    type: str
    """"builtin", "proc" or "chain"."""
    phase: str = ""
    """builtin: connect, helo, ehlo, auth, mail-from, rcpt-to, data or commit."""
    condition: FilterCondition | None = None
    decision: str = ""
    """builtin: reject, disconnect, rewrite, report, junk or bypass."""
    text: str = ""
    """The decision's parameter."""
    processor: str = ""
    """proc: name of an entry of `Config.processors`."""
    chain: tuple[str, ...] = ()
    """chain: names of filters, in order."""
    smtp_in: bool = False
    """Used by a listener, directly or within a chain."""
    smtp_out: bool = False
    """Used by a relay action, directly or within a chain."""
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MtaLimits:
    """`mta limit` values, documented nowhere: the keys and defaults of OpenSMTPD's limit.c."""

    maxconn_per_host: int = 10
    maxconn_per_route: int = 5
    maxconn_per_source: int = 100
    maxconn_per_connector: int = 20
    maxconn_per_relay: int = 100
    maxconn_per_domain: int = 100
    conndelay_host: int = 0
    conndelay_route: int = 5
    conndelay_source: int = 0
    conndelay_connector: int = 0
    conndelay_relay: int = 2
    conndelay_domain: int = 0
    discdelay_route: int = 3
    max_mail_per_session: int = 100
    sessdelay_transaction: int = 0
    sessdelay_keepalive: int = 10
    max_failures_per_session: int = 25
    family: str = ""
    """"inet4", "inet6" or "" for both."""
    task_hiwat: int = 50
    task_lowat: int = 30
    task_release: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MdaLimits:
    """`mda limit` values."""

    max_session: int = 50
    max_user_session: int = 7
    task_hiwat: int = 50
    task_lowat: int = 30
    task_release: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerLimits:
    """`scheduler limit` values."""

    max_inflight: int = 5000
    max_evp_batch_size: int = 256
    max_msg_batch_size: int = 1024
    max_schedule: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """`smtp` values."""

    max_message_size: int = 35 * 1024 * 1024
    max_rcpt: int = 1000
    max_mails: int = 100
    sub_addr_delim: str = "+"
    ciphers: str = ""
    """"" is the library's HIGH:!aNULL:!MD5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """`queue` values."""

    compression: bool = False
    encryption: bool = False
    key: str = field(default="", repr=False)
    """"" asks at the terminal, "stdin" reads the key from there."""
    ttl: int = 4 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class SrsSettings:
    """`srs` values."""

    key: str = field(default="", repr=False)
    key_backup: str = field(default="", repr=False)
    ttl_days: int = 4
    """Whole days, the unit of an SRS time stamp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One whole configuration. `generation` numbers the configurations of a running daemon."""

    generation: int = field(default=0, compare=False)
    hostname: str = ""
    """The server's name: first line of the mailname file, else the machine's."""
    admd: str = ""
    """"" is the server's name."""
    listeners: tuple[Listener, ...] = ()
    """The network listeners, in order."""
    socket_listener: Listener = Listener(on="socket", socket=True, port=0)
    """The one of the local socket; it is there with or without a statement."""
    tables: Mapping[str, Table] = field(default_factory=dict)
    actions: Mapping[str, Action] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    filters: Mapping[str, Filter] = field(default_factory=dict)
    processors: Mapping[str, Processor] = field(default_factory=dict)
    pkis: Mapping[str, Pki] = field(default_factory=dict)
    cas: Mapping[str, Ca] = field(default_factory=dict)
    mda_wrappers: Mapping[str, str] = field(default_factory=dict)
    """Commands by name."""
    mta_limits: Mapping[str, MtaLimits] = field(default_factory=lambda: {DEFAULT_LIMITS: MtaLimits()})
    """By domain; DEFAULT_LIMITS is always there."""
    mta_max_deferred: int = 100
    mda: MdaLimits = MdaLimits()
    scheduler: SchedulerLimits = SchedulerLimits()
    smtp: SmtpSettings = SmtpSettings()
    queue: QueueSettings = QueueSettings()
    srs: SrsSettings = SrsSettings()
    bounce_warn: tuple[int, ...] = (4 * 3600,)
    """Seconds after which a delayed mail's sender is told, at most four."""
