"""A configuration in the making.

Holds `Draft`: what the statements read so far have declared, as the frozen values of `model`, with helpers
for tables and filter chains that get a name of their own; and `finish`, which gives those names in a fixed
order and freezes the whole. Must not read words or judge them.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from smtpd.config import model
from smtpd.config.machine import Machine
from smtpd.config.model import (
    ANYDESTINATION,
    ANYHOST,
    BUILTIN_TABLES,
    GETPWNAM,
    LOCALHOST,
    LOCALNAMES,
    Action,
    Ca,
    Config,
    Filter,
    Listener,
    LocalAction,
    MdaLimits,
    MtaLimits,
    Pki,
    Place,
    Processor,
    QueueSettings,
    RelayAction,
    Rule,
    SchedulerLimits,
    SmtpSettings,
    SrsSettings,
    Table,
)

KEY_MAX = 1023
"""Longest key of a table in bytes; OpenSMTPD warns of a longer one and leaves it out."""


class Draft:
    """Everything declared so far, by name where there is one."""

    def __init__(self, machine: Machine) -> None:
        self.hostname = machine.hostname()
        self.admd = ""
        self.listeners: list[Listener] = []
        self.socket_listener: Listener | None = None
        self.tables: dict[str, Table] = builtin_tables(machine, self.hostname)
        self.actions: dict[str, Action] = {}
        self.rules: list[Rule] = []
        self.filters: dict[str, Filter] = {}
        self.processors: dict[str, Processor] = {}
        self.pkis: dict[str, Pki] = {}
        self.cas: dict[str, Ca] = {}
        self.mda_wrappers: dict[str, str] = {}
        self.mta_limits: dict[str, MtaLimits] = {model.DEFAULT_LIMITS: MtaLimits()}
        self.mta_max_deferred = 100
        self.mda = MdaLimits()
        self.scheduler = SchedulerLimits()
        self.smtp = SmtpSettings()
        self.queue = QueueSettings()
        self.srs = SrsSettings()
        self.srs_key_given = False
        self.bounce_warn: tuple[int, ...] = (4 * 3600,)
        self.broken: set[tuple[str, str]] = set()
        """Kind and name of what a refused statement would have declared: not to be missed elsewhere."""
        self._tables = 0
        self._chains = 0

    def inline_table(
        self, entries: Iterable[tuple[str, str | None]], place: Place, on_skipped: Callable[[str], None]
    ) -> Table:
        """A table spelled in place, under a name of its own."""
        table = static_table(f"<dynamic:{self._tables}>", entries, place, on_skipped)
        self._tables += 1
        self.tables[table.name] = table
        return table

    def chain_name(self) -> str:
        """A name for a chain spelled in place."""
        while True:
            self._chains += 1
            name = f"<dynchain:{self._chains:08x}>"
            if name not in self.filters:
                return name

    def finish(self, generation: int) -> Config:
        """The configuration, tables and chains without names of their own numbered in the order of
        listeners, filters, actions and rules; tables that nothing refers to any more are left out."""
        socket_listener = self.socket_listener or Listener(
            on="socket", socket=True, port=0, hostname=self.hostname
        )
        chains: dict[str, str] = {}
        for name in [
            socket_listener.filter,
            *(listener.filter for listener in self.listeners),
            *(action.filter for action in self.actions.values() if isinstance(action, RelayAction)),
        ]:
            if name.startswith("<dynchain:") and name not in chains:
                chains[name] = f"<dynchain:{len(chains) + 1:08x}>"
        declared = [f for f in self.filters.values() if f.name not in chains]
        spelled = [replace(self.filters[old], name=new) for old, new in chains.items()]
        names = _Renamer(chains)
        tables = _Renamer({})
        listeners = tuple(_listener(listener, tables, names) for listener in self.listeners)
        filters = {f.name: _filter(f, tables) for f in declared + spelled}
        actions = {name: _action(action, tables, names) for name, action in self.actions.items()}
        rules = tuple(_rule(rule, tables) for rule in self.rules)
        kept = {name: table for name, table in self.tables.items() if not name.startswith("<dynamic:")}
        for old, new in tables.names.items():
            kept[new] = replace(self.tables[old], name=new)
        return Config(
            generation=generation,
            hostname=self.hostname,
            admd=self.admd,
            listeners=listeners,
            socket_listener=replace(socket_listener, filter=names(socket_listener.filter)),
            tables=kept,
            actions=actions,
            rules=rules,
            filters=filters,
            processors=self.processors,
            pkis=self.pkis,
            cas=self.cas,
            mda_wrappers=self.mda_wrappers,
            mta_limits=self.mta_limits,
            mta_max_deferred=self.mta_max_deferred,
            mda=self.mda,
            scheduler=self.scheduler,
            smtp=self.smtp,
            queue=self.queue,
            srs=self.srs,
            bounce_warn=self.bounce_warn,
        )


def static_table(
    name: str,
    entries: Iterable[tuple[str, str | None]],
    place: Place,
    on_skipped: Callable[[str], None],
) -> Table:
    """A table of the text: keys in lower case (ASCII), the last value counts, too long keys are left out."""
    content: dict[str, str | None] = {}
    kind = "none"
    for key, value in entries:
        if kind == "none":
            kind = "list" if value is None else "hash"
        if len(key.encode("utf-8", "surrogateescape")) > KEY_MAX:
            on_skipped(key)
            continue
        content[lowercase(key)] = value
    return Table(name=name, backend="static", kind=kind, entries=tuple(content.items()), place=place)


_UPPER = {c: c + 32 for c in range(ord("A"), ord("Z") + 1)}


def lowercase(text: str) -> str:
    """ASCII letters in lower case, as tolower(3) in the C locale."""
    return text.translate(_UPPER)


def builtin_tables(machine: Machine, hostname: str) -> dict[str, Table]:
    """The tables that need no declaration."""
    addresses = [
        f"[{item.address}]" if item.family == "inet6" else item.address
        for item in machine.interface_addresses()
    ]
    lists = {
        LOCALNAMES: ["localhost", hostname, *addresses],
        ANYHOST: ["local", "0.0.0.0/0", "::/0"],
        LOCALHOST: ["local", *addresses],
        ANYDESTINATION: ["*"],
    }
    tables = {
        name: static_table(name, [(key, None) for key in keys], model.NOWHERE, lambda key: None)
        for name, keys in lists.items()
    }
    tables[GETPWNAM] = Table(name=GETPWNAM, backend="getpwnam")
    return {name: tables[name] for name in BUILTIN_TABLES}


class _Renamer:
    """New names of tables spelled in place (numbered as they are met) or of chains (given)."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def __call__(self, name: str) -> str:
        if name.startswith("<dynamic:") and name not in self.names:
            self.names[name] = f"<dynamic:{len(self.names)}>"
        return self.names.get(name, name)


_LISTENER_TABLES = ("auth_table", "hostname_table", "sender_table")
_ACTION_TABLES: dict[type[Action], tuple[str, ...]] = {
    LocalAction: ("alias", "virtual", "userbase"),
    RelayAction: ("helo_src", "src", "host", "auth"),
}


def _listener(listener: Listener, tables: _Renamer, chains: _Renamer) -> Listener:
    changes: dict[str, Any] = {name: tables(getattr(listener, name)) for name in _LISTENER_TABLES}
    return replace(listener, filter=chains(listener.filter), **changes)


def _filter(item: Filter, tables: _Renamer) -> Filter:
    condition = item.condition
    if condition is None or not condition.table:
        return item
    return replace(item, condition=condition._replace(table=tables(condition.table)))


def _action(action: Action, tables: _Renamer, chains: _Renamer) -> Action:
    changes: dict[str, Any] = {name: tables(getattr(action, name)) for name in _ACTION_TABLES[type(action)]}
    if isinstance(action, RelayAction):
        changes["filter"] = chains(action.filter)
    return replace(action, **changes)


def _rule(rule: Rule, tables: _Renamer) -> Rule:
    return replace(rule, criteria=tuple(c._replace(table=tables(c.table)) for c in rule.criteria))
