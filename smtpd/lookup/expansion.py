"""From a recipient to envelopes: rules, aliases, virtual domains, users, .forward (aliases(5), forward(5)).

A breadth-first walk over nodes. What was found before is not walked again, depth and number of nodes are
bounded, so loops of aliases end. Every step can be told (steps.py), for the trace and for those who ask why.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from smtpd.config.model import Config, LocalAction, RelayAction
from smtpd.mail.address import MailAddress, lower
from smtpd.mail.envelope import FLAG_INTERNAL, MDA, MTA, Envelope
from smtpd.mail.ids import msgid_of
from smtpd.protocol import aliases, srs
from smtpd.protocol.aliases import Recipient

from .rules import Rules, Subject, TableTempfail
from .steps import FOUND, REFUSED, Asked, GaveUp, Repeated, Tell, Walked

DEPTH_MAX = 10
NODES_MAX = 10_000

TEMPFAIL = "tempfail"
PERMFAIL = "permfail"
OK = "ok"

_EXPANSION_TEMPFAIL = "424 4.2.4 Mailing list expansion problem"
_EXPANSION_PERMFAIL = "524 5.2.4 Mailing list expansion problem"
_DEFAULT_REPLY = {TEMPFAIL: "451 Temporary failure", PERMFAIL: "550 Invalid recipient"}

MBOX_COMMAND = "/usr/libexec/smtpd/mail.mboxfile -f %{mbox.from} "
"""How delivery to a file is written in an envelope; OpenSMTPD's words, so that either can deliver it."""

NOBODY = "_smtpd"
"""The user that a command or file in a system alias is delivered as."""


class UserInfo(NamedTuple):
    """A user that mail can be delivered to (table.5, "Userinfo tables")."""

    username: str
    uid: int
    gid: int
    directory: str


class Tables(Protocol):
    """What expansion needs of the tables; all raise TableTempfail."""

    async def match(self, table: str, service: str, key: str) -> bool:
        """Whether the table holds the key."""

    async def alias(self, table: str, key: str) -> list[Recipient] | None:
        """The recipients behind a key, or None."""

    async def user(self, table: str, name: str) -> UserInfo | None:
        """A user, or None."""


class Forwards(Protocol):
    """Where .forward files come from."""

    async def read(self, user: UserInfo, msgid: int) -> list[Recipient] | None:
        """The recipients in a user's .forward, None when there is no file. TableTempfail; ForwardRefused.

        `msgid`: of the mail it is read for, 0 for none.
        """


class Includes(Protocol):
    """Where `:include:` files come from."""

    def read(self, path: str) -> list[Recipient]:
        """The recipients in the file; what cannot be read or parsed is logged and left out."""


class ForwardRefused(Exception):
    """A .forward that may not be used: wrong owner, writable by others, a link."""


class Outcome(NamedTuple):
    """`status`: "ok" with at least one envelope, or "tempfail" or "permfail" with `reply` (an SMTP reply)."""

    status: str
    reply: str
    envelopes: list[Envelope]


class _Failure(Exception):
    """Ends an expansion. `reply`: for the client, `reason`: for those who ask why."""

    def __init__(self, status: str, reason: str, reply: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.reply = reply or _DEFAULT_REPLY[status]


@dataclass(slots=True, eq=False)
class _Node:
    number: int
    recipient: Recipient
    parent: "_Node | None" = None
    action: str = ""
    depth: int = 0
    same_user: bool = False
    forwarded: bool = False
    user: UserInfo | None = None
    subaddress: str = ""

    def origin(self) -> "_Node":
        """The address that led here."""
        node = self
        while node.recipient.kind != aliases.ADDRESS:
            assert node.parent is not None, "a walk begins with an address"
            node = node.parent
        return node


@dataclass(slots=True)
class _Walk:
    """One expansion under way."""

    envelope: Envelope
    tls: bool
    tell: Tell | None
    queue: deque[_Node] = field(default_factory=deque)
    seen: set[tuple[object, ...]] = field(default_factory=set)
    envelopes: list[Envelope] = field(default_factory=list)
    made: set[Envelope] = field(default_factory=set)

    def insert(self, recipient: Recipient, parent: _Node | None, action: str) -> None:
        """Walk there too, unless that was done or the bounds are reached."""
        depth = 0 if parent is None else parent.depth + 1
        node = _Node(len(self.seen) + 1, recipient, parent, action, depth)
        text = recipient.text
        if parent is not None and recipient.kind == aliases.USERNAME:
            node.same_user = parent.recipient.kind == aliases.USERNAME and parent.recipient.text == text
        context: tuple[object, ...] = ()
        if parent is not None:
            context = (parent.origin().number,)
            if recipient.kind in (aliases.FILENAME, aliases.FILTER):
                context += (_nearest_user(parent),)
        key = (recipient.kind, node.same_user, text, *context)
        if key in self.seen:
            if self.tell is not None:
                self.tell(Repeated(recipient))
            return
        if len(self.seen) >= NODES_MAX:
            raise _Failure(TEMPFAIL, f"more than {NODES_MAX} recipients", _EXPANSION_TEMPFAIL)
        self.seen.add(key)
        self.queue.append(node)


def _nearest_user(node: _Node | None) -> str:
    while node is not None and node.recipient.kind != aliases.USERNAME:
        node = node.parent
    return node.recipient.text if node is not None else NOBODY


class Expander:
    """Expands recipients by one configuration."""

    def __init__(
        self,
        config: Config,
        rules: Rules,
        tables: Tables,
        forwards: Forwards,
        includes: Includes,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._config = config
        self._rules = rules
        self._tables = tables
        self._forwards = forwards
        self._includes = includes
        self._warn = warn
        self._srs_keys = tuple(key for key in (config.srs.key, config.srs.key_backup) if key)
        self._delimiter = config.smtp.sub_addr_delim

    async def expand(self, envelope: Envelope, tls: bool, tell: Tell | None = None) -> Outcome:
        """The envelopes for `envelope.rcpt`. Never raises for what tables, users or files hold."""
        walk = _Walk(envelope, tls, tell)
        try:
            walk.insert(Recipient(aliases.ADDRESS, str(envelope.rcpt), envelope.rcpt), None, "")
            while walk.queue:
                await self._step(walk, walk.queue.popleft())
            if not walk.envelopes:
                raise _Failure(PERMFAIL, "nothing to deliver to is left", _EXPANSION_PERMFAIL)
        except TableTempfail as error:
            failure = _Failure(TEMPFAIL, str(error))
        except _Failure as error:
            failure = error
        else:
            return Outcome(OK, "", walk.envelopes)
        if tell is not None:
            tell(GaveUp(failure.status, failure.reply, failure.reason))
        return Outcome(failure.status, failure.reply, [])

    async def _step(self, walk: _Walk, node: _Node) -> None:
        if walk.tell is not None:
            parent = 0 if node.parent is None else node.parent.number
            walk.tell(Walked(node.number, parent, node.recipient, node.depth))
        if node.depth >= DEPTH_MAX:
            raise _Failure(PERMFAIL, f"{DEPTH_MAX} steps from the first address", _EXPANSION_PERMFAIL)
        match node.recipient.kind:
            case aliases.ADDRESS:
                await self._address(walk, node)
            case aliases.USERNAME:
                await self._username(walk, node)
            case aliases.FILENAME | aliases.FILTER:
                self._external(walk, node)
            case aliases.ERROR:
                action = self._config.actions[node.action]
                if isinstance(action, LocalAction) and action.method == "forward-only":
                    raise _Failure(TEMPFAIL, "the action is forward-only")
                text = node.recipient.text
                raise _Failure(TEMPFAIL if text.startswith("4") else PERMFAIL, "an alias says so", text)

    async def _address(self, walk: _Walk, node: _Node) -> None:
        self._undo_srs(walk, node)
        address = node.recipient.address
        envelope = walk.envelope._replace(dest=address)
        if node.parent is not None:
            envelope = envelope._replace(flags=envelope.flags | FLAG_INTERNAL)
        matched = await self._rules.match(Subject(envelope, walk.tls), walk.tell)
        if matched is None:
            raise _Failure(PERMFAIL, "no rule matches")
        number, rule = matched
        if rule.reject:
            raise _Failure(PERMFAIL, f"rule {number} rejects it")
        node.action = rule.action
        action = self._config.actions[rule.action]
        if isinstance(action, RelayAction):
            self._submit(walk, node, MTA, address)
        elif action.virtual:
            found = await self._virtual(action.virtual, address)
            if not found:
                raise _Failure(PERMFAIL, f"{address} is not in {action.virtual}", _EXPANSION_PERMFAIL)
            self._insert(walk, found, node)
        else:
            walk.insert(Recipient(aliases.USERNAME, lower(address.user)), node, node.action)

    def _undo_srs(self, walk: _Walk, node: _Node) -> None:
        """A bounce to an address that we forwarded mail under goes to who had sent that mail.

        As from here, because the hash says that we were there before: other hosts' bounces may be relayed.
        """
        address = node.recipient.address
        if not self._config.srs.key or walk.envelope.sender.user or not srs.is_rewritten(address.user):
            return
        day = int(time.time()) // 86400
        try:
            decoded = srs.decode(address, self._srs_keys, self._config.srs.ttl_days, day)
        except srs.SrsError as error:
            self._warn(f"SRS failed to decode: {address}: {error}")
            if walk.tell is not None:
                walk.tell(Asked("srs", "srs", str(address), REFUSED, str(error)))
            return
        if walk.tell is not None:
            walk.tell(Asked("srs", "srs", str(address), FOUND, str(decoded)))
        walk.envelope = walk.envelope._replace(flags=walk.envelope.flags | FLAG_INTERNAL)
        node.recipient = Recipient(aliases.ADDRESS, str(decoded), decoded)

    async def _username(self, walk: _Walk, node: _Node) -> None:
        action = self._config.actions[node.action]
        assert isinstance(action, LocalAction), "a user is the recipient of a local action"
        name = node.recipient.text
        if not node.same_user and (action.alias or action.virtual):
            found: list[Recipient] | None
            if action.virtual:
                found = await self._virtual(action.virtual, MailAddress(name, ""))
            else:
                found = await self._alias(action.alias, name)
            if found:
                self._insert(walk, found, node)
                return
        if self._delimiter in name:
            name, _, node.subaddress = name.partition(self._delimiter)
        node.user = await self._tables.user(action.userbase, name)
        if node.user is None:
            raise _Failure(PERMFAIL, f"no user {name} in {action.userbase}")
        if node.same_user and node.parent is not None and node.parent.forwarded:
            self._deliver(walk, node, name)
        elif action.user and action.user != name:
            self._deliver(
                walk, node, name
            )  # delivered as somebody else: the user's own .forward does not count
        else:
            await self._forward(walk, node, name, action)

    async def _forward(self, walk: _Walk, node: _Node, name: str, action: LocalAction) -> None:
        assert node.user is not None, "looked up before"
        node.forwarded = True
        try:
            found = await self._forwards.read(node.user, msgid_of(walk.envelope.evpid))
        except TableTempfail as error:
            raise _Failure(TEMPFAIL, str(error), _EXPANSION_TEMPFAIL) from None
        except ForwardRefused:
            raise _Failure(PERMFAIL, f".forward of {name} is not secure", _EXPANSION_PERMFAIL) from None
        if found:
            # The name without its subaddress: what a .forward leads back to is the same user.
            node.recipient = Recipient(aliases.USERNAME, name)
            self._insert(walk, found, node, includes=False)
        elif action.method == "forward-only":
            reason = f"no .forward of {name}, and the action is forward-only"
            raise _Failure(TEMPFAIL, reason, _EXPANSION_TEMPFAIL)
        elif action.method == "expand-only":
            reason = f"no .forward of {name}, and the action is expand-only"
            raise _Failure(PERMFAIL, reason, _EXPANSION_PERMFAIL)
        else:
            self._deliver(walk, node, name)

    def _external(self, walk: _Walk, node: _Node) -> None:
        action = self._config.actions[node.action]
        assert isinstance(action, LocalAction) and node.parent is not None, (
            "files and commands come from aliases"
        )
        owner = node.parent.user
        if owner is not None and owner.uid == 0:
            raise _Failure(TEMPFAIL, "nothing runs as root because of a .forward")
        if action.method == "forward-only":
            raise _Failure(TEMPFAIL, "the action is forward-only")
        text = node.recipient.text
        self._submit(
            walk,
            node,
            MDA,
            node.origin().recipient.address,
            mda_user=owner.username if owner is not None else NOBODY,
            mda_exec=f"{MBOX_COMMAND}{text}" if node.recipient.kind == aliases.FILENAME else text,
        )

    def _deliver(self, walk: _Walk, node: _Node, name: str) -> None:
        self._submit(
            walk,
            node,
            MDA,
            node.origin().recipient.address,
            mda_user=name,
            mda_subaddress=node.subaddress,
        )

    def _submit(
        self,
        walk: _Walk,
        node: _Node,
        type: str,
        dest: MailAddress,
        *,
        mda_user: str = "",
        mda_subaddress: str = "",
        mda_exec: str = "",
    ) -> None:
        action = self._config.actions[node.action]
        envelope = walk.envelope._replace(
            type=type,
            dispatcher=node.action,
            dest=dest,
            ttl=action.ttl or self._config.queue.ttl,
            mda_user=mda_user,
            mda_subaddress=mda_subaddress,
            mda_exec=mda_exec,
        )
        if envelope in walk.made:  # by two ways to the very same: once is enough
            return
        walk.made.add(envelope)
        walk.envelopes.append(envelope)
        if walk.tell is not None:
            walk.tell(envelope)

    # aliases

    def _insert(self, walk: _Walk, found: list[Recipient], node: _Node, *, includes: bool = True) -> None:
        for recipient in found:
            if recipient.kind != aliases.INCLUDE:
                walk.insert(recipient, node, node.action)
            elif includes:
                for included in self._includes.read(recipient.text):
                    if included.kind != aliases.INCLUDE:  # an included file includes nothing
                        walk.insert(included, node, node.action)

    async def _alias(self, table: str, name: str) -> list[Recipient] | None:
        """aliases(5): the name with its subaddress, then without."""
        keys = [name] if self._delimiter in name else []
        return await self._first_of(table, [*keys, name.partition(self._delimiter)[0]])

    async def _virtual(self, table: str, address: MailAddress) -> list[Recipient] | None:
        """table(5), "Virtual domains": from the whole address down to the catch-alls."""
        user, domain = address.lowered()
        bare, delimiter, tag = user.partition(self._delimiter)
        keys = []
        if tag:
            keys.append(f"{bare}{delimiter}{tag}@{domain}")
        keys.append(f"{bare}@{domain}")
        if tag:
            keys.append(f"{bare}{delimiter}{tag}")
        keys.append(bare)
        if domain:
            keys += [f"@{domain}", "@"]
        return await self._first_of(table, keys)

    async def _first_of(self, table: str, keys: list[str]) -> list[Recipient] | None:
        """The recipients behind the first key that there is."""
        for key in keys:
            try:
                found = await self._tables.alias(table, key)
            except TableTempfail as error:
                raise _Failure(TEMPFAIL, str(error), _EXPANSION_TEMPFAIL) from None
            if found is not None:
                return found
        return None
