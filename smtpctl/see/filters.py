"""Which messages are wanted: by kind, pair of processes, session, mail, envelope, address; requests and
replies always together.

`Selection.select` takes messages in order and gives back those to show now: a reply that is wanted brings its
request along, a request that was shown its reply.
"""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from imsg.message import Kind, kind_of
from smtpd.mail.address import MailAddress, lower
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import CLIENT, DELIVERY, PROCESSES

from ..failure import BadFilter
from ..matching import Option, similar
from .joining import Message

NAMES = (*PROCESSES, CLIENT, DELIVERY)
NEXT = "NEXT"
MOST_KEPT = 1024
"""Sessions whose first messages are kept until it is known whether the next mail is theirs."""

OPTIONS = (
    Option(
        "kind",
        "NAME",
        "only messages of this kind, with their requests or replies; * and ? work, as does a list",
    ),
    Option("between", "A,B", "only between these two processes; one name: from or to it"),
    Option("session", "ID", "only of this session"),
    Option("msgid", "ID", "only of this message"),
    Option("evpid", "ID", "only of this envelope"),
    Option("address", "ADDRESS", "only with this mail address, domain or IP address in it"),
    Option("mail", "ID", f"one mail's way: a message id, or {NEXT} for the next one that comes in"),
)


def _kinds_like(pattern: str) -> list[Kind]:
    """The kinds of this name, or that it stands for. BadFilter."""
    kinds = CATALOGUE.by_number.values()
    found = [kind for kind in kinds if fnmatch.fnmatch(kind.name.lower(), pattern.lower())]
    if not found:
        near = similar(pattern, [kind.name for kind in kinds])
        hint = f" ({' or '.join(near)}?)" if near else f"; --kind='*{pattern}*' finds part of a name"
        raise BadFilter(f"{pattern!r} is no kind of message{hint}")
    return found


def wanted_kinds(options: Mapping[str, str]) -> frozenset[int]:
    """The numbers of the kinds that may be wanted, with those they go together with; none: all. BadFilter."""
    kinds = list(CATALOGUE.by_number.values())
    if "kind" in options:
        named = [kind for pattern in options["kind"].split(",") for kind in _kinds_like(pattern)]
        return frozenset(kind.number for kind in _with_partners(named))
    if "between" in options:
        names = _names(options["between"])
        routes = [kind for kind in kinds if _passes(kind, names)]
        if not routes:
            raise BadFilter(f"{' and '.join(names)} have nothing to say to each other")
        return frozenset(kind.number for kind in routes)
    return frozenset()


def _with_partners(named: Iterable[Kind]) -> Iterator[Kind]:
    wanted = {kind.cls for kind in named}
    for kind in CATALOGUE.by_number.values():
        if kind.cls in wanted or kind.reply in wanted:
            yield kind
            if kind.reply is not None:
                yield kind_of(kind.reply)


def _names(value: str) -> tuple[str, ...]:
    names = tuple(value.replace(":", ",").split(","))
    for name in names:
        if name not in NAMES:
            raise BadFilter(f"{name!r} is no process; {', '.join(NAMES)} are")
    if not 1 <= len(set(names)) <= 2:
        raise BadFilter(f"{value!r}: two processes, such as pony,queue, or one")
    return names


def _passes(kind: Kind, names: tuple[str, ...]) -> bool:
    if len(names) == 1:
        return names[0] in (*kind.senders, *kind.receivers)
    return any(a in kind.senders and b in kind.receivers for a, b in (names, names[::-1]))


class Selection:
    """The filters given as options. `over`: nothing more will be wanted. BadFilter."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._kinds = wanted_kinds(options) if "kind" in options else frozenset()
        self._between = frozenset(_names(options["between"])) if "between" in options else frozenset()
        self._session = read_id(options, "session", 16)
        self._msgid = read_id(options, "msgid", 8)
        self._evpid = read_id(options, "evpid", 16)
        self._address = _Address(options["address"]) if options.get("address") else None
        self._following: Following | None = None
        mail = options.get("mail")
        if mail is not None:
            if mail.upper() == NEXT:
                self._following = Following()
            elif len(mail) == 16:
                self._evpid = read_id(options, "mail", 16)
            else:
                self._msgid = read_id(options, "mail", 8)

    @property
    def everything(self) -> bool:
        """No filter is given."""
        return self._following is None and not any(
            (self._kinds, self._between, self._session, self._msgid, self._evpid, self._address)
        )

    @property
    def over(self) -> bool:
        """The one mail that was wanted has gone its way."""
        return self._following is not None and self._following.over

    def select(self, message: Message) -> list[Message]:
        """What to show now, in order, of this message and those before it."""
        found: list[Message] = []
        if self._following is not None:
            found += [each for each in self._following.select(message) if self._fits(each)]
        elif self._fits(message) and self._named(message):
            found.append(message)
        request = message.request
        if found and found[-1] is message and request is not None and not request.shown:
            found.insert(-1, request)
        elif not found and request is not None and request.shown:
            found.append(message)
        for each in found:
            each.shown = True
        return found

    def _fits(self, message: Message) -> bool:
        if self._kinds and message.number not in self._kinds:
            return False
        if self._between and not self._between <= {message.sender, message.receiver}:
            return False
        return self._address is None or self._address.in_message(message)

    def _named(self, message: Message) -> bool:
        if not self._session and not self._msgid and not self._evpid:
            return True
        ids = message.ids
        return (
            (not self._session or self._session in ids.sessions)
            and (not self._msgid or self._msgid in ids.msgids)
            and (not self._evpid or self._evpid in ids.evpids)
        )


class Following:
    """The way of the next mail: from its session's first message to the end of its last envelope."""

    def __init__(self) -> None:
        self._kept: dict[int, list[Message]] = {}
        self._session = 0
        self._msgid = 0
        self._waiting: set[int] = set()
        self._committed = False
        self.over = False

    def select(self, message: Message) -> list[Message]:
        """What belongs to that mail: this message, or some that came before, or nothing."""
        ids = message.ids
        if not self._session:
            if message.name == "CreateMessage" and ids.sessions:
                (self._session,) = ids.sessions
                before = self._kept.pop(self._session, [])
                self._kept.clear()
                return [*before, message]
            for session in ids.sessions:
                self._keep(session, message)
            return []
        if self._msgid and self._msgid in ids.msgids:
            self._progress(message)
            return [message]
        if self._session in ids.sessions:
            if not self._msgid:
                self._begin(message)
                return [message]
            if not ids.msgids and message.name != "CreateMessage":
                return [message]
        return []

    def _keep(self, session: int, message: Message) -> None:
        if session not in self._kept and len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept.setdefault(session, []).append(message)

    def _begin(self, message: Message) -> None:
        """The reply to CreateMessage: now the mail has a name, or there will be none."""
        if message.name == "MessageCreated":
            self._msgid = message.fields.msgid if message.fields is not None else 0
            if not self._msgid:
                self._session = 0

    def _progress(self, message: Message) -> None:
        mine = {evpid for evpid in message.own_ids.evpids if evpid >> 32 == self._msgid}
        match message.name:
            case "EnvelopesReady":
                self._committed = True
                self._waiting |= mine
            case "EnvelopeDone":
                self._waiting -= mine
                self.over = self._committed and not self._waiting
            case "RollbackMessage":
                self.over = True


class _Address:
    """A mail address, a domain, or an IP address."""

    def __init__(self, value: str) -> None:
        self._ip = ""
        self._user = self._domain = ""
        try:
            self._ip = str(ip_address(value.strip("[]")))
        except ValueError:
            user, at, domain = lower(value).rpartition("@")
            self._user, self._domain = (user, domain) if at else ("", domain)

    def in_message(self, message: Message) -> bool:
        """Whether any field of it is that address; its request and reply count."""
        messages = (message, message.request)
        return any(self._in(each.fields) for each in messages if each is not None and each.fields is not None)

    def _in(self, value: Any) -> bool:
        if isinstance(value, MailAddress):
            if self._ip or (not value.user and not value.domain):
                return False
            return lower(value.domain) == self._domain and (not self._user or lower(value.user) == self._user)
        if isinstance(value, str):
            return bool(self._ip) and value.strip("[]") == self._ip
        if isinstance(value, (tuple, list)):
            return any(self._in(item) for item in value)
        return False


def read_id(options: Mapping[str, str], name: str, digits: int) -> int:
    """An id given as an option, 0 if it is not. BadFilter."""
    text = options.get(name)
    if text is None:
        return 0
    try:
        value = int(text, 16) if len(text) == digits else 0
    except ValueError:
        value = 0
    if not value:
        raise BadFilter(f"{text!r} is no id of {digits} hex digits")
    return value
