"""What each process may know of the configuration (DESIGN 4: secrets only to those that use them).

Holds `slice_for`. A slice is a Config as well, with the rest at its defaults, so that a process reads
`config.actions` whatever its slice is. Must not hold any other knowledge about the processes.
"""

from collections.abc import Callable
from dataclasses import replace

from smtpd.config.model import Ca, Config, Pki, QueueSettings, RelayAction, SrsSettings, Table


def slice_for(config: Config, process: str) -> Config:
    """The part of `config` for the process of that name ("parent", "control", "lookup", "pony", "queue",
    "scheduler"); KeyError for another name."""
    return _SLICES[process](config)


def _parent(config: Config) -> Config:
    return config


def _control(config: Config) -> Config:
    return Config(generation=config.generation, hostname=config.hostname)


def _lookup(config: Config) -> Config:
    """Tables with their contents, rules, actions, filters; no keys but those that undo SRS."""
    return replace(
        config,
        pkis={name: _without_key(pki) for name, pki in config.pkis.items()},
        cas={name: _without_cert(ca) for name, ca in config.cas.items()},
        queue=_without_queue_key(config),
        mda_wrappers={},
    )


def _rewriting(config: Config) -> SrsSettings:
    """Only the key to rewrite with, and only where an action does."""
    used = any(isinstance(action, RelayAction) and action.srs for action in config.actions.values())
    return SrsSettings(key=config.srs.key if used else "")


def _pony(config: Config) -> Config:
    """Listeners, actions, limits, keys of the TLS contexts, SRS; of tables the lists of hosts to relay to, of
    others the names; no rules.
    """
    relays = [action for action in config.actions.values() if isinstance(action, RelayAction)]
    hosts = {action.host for action in relays if not action.host_is_domain}
    return replace(
        config,
        tables={
            name: table if name in hosts and table.kind == "list" else _without_entries(table)
            for name, table in config.tables.items()
        },
        rules=(),
        processors={},
        queue=_without_queue_key(config),
        srs=_rewriting(config),
    )


def _queue(config: Config) -> Config:
    """The queue's own settings, and what a bounce says."""
    return Config(
        generation=config.generation,
        hostname=config.hostname,
        smtp=config.smtp,
        queue=config.queue,
        bounce_warn=config.bounce_warn,
        actions=config.actions,
    )


def _scheduler(config: Config) -> Config:
    return Config(
        generation=config.generation,
        hostname=config.hostname,
        scheduler=config.scheduler,
        queue=_without_queue_key(config),
        bounce_warn=config.bounce_warn,
    )


def _without_key(pki: Pki) -> Pki:
    return replace(pki, cert=b"", key=b"")


def _without_cert(ca: Ca) -> Ca:
    return replace(ca, cert=b"")


def _without_entries(table: Table) -> Table:
    return replace(table, entries=())


def _without_queue_key(config: Config) -> QueueSettings:
    return replace(config.queue, key="")


_SLICES: dict[str, Callable[[Config], Config]] = {
    "parent": _parent,
    "control": _control,
    "lookup": _lookup,
    "pony": _pony,
    "queue": _queue,
    "scheduler": _scheduler,
}
