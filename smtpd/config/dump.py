"""A Config as smtpd.conf text again: normalized, one statement a line, in an order in which it can be read.

Holds `dump`. Values that are the defaults are left out, and tables and chains without a name stand where they
are used. Reading the text gives the same Config; with secrets masked, the same but for them. Must not ask the
machine anything.
"""

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from smtpd.config import timespan
from smtpd.config.draft import KEY_MAX
from smtpd.config.keywords import KEYWORDS
from smtpd.config.model import (
    ANYDESTINATION,
    ANYHOST,
    BUILTIN_TABLES,
    DEFAULT_LIMITS,
    GETPWNAM,
    LOCALHOST,
    LOCALNAMES,
    Config,
    Criterion,
    Filter,
    Listener,
    LocalAction,
    MtaLimits,
    Processor,
    RelayAction,
    Rule,
    Table,
)
from smtpd.config.settings import KEYS_MDA, KEYS_MTA, KEYS_SCHEDULER, KEYS_SMTP

MASK = "********"

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/@%+*~-]*|[0-9]+(?:\.[0-9]+)+(?:/[0-9]+)?", re.ASCII)
_UNUSABLE_KEY = "x" * (KEY_MAX + 1)


def quoted(text: str) -> str:
    """An argument: bare where it can be, else in quotes.

    In quotes a backslash guards only a quote, a blank or a tab. An argument that ends in a backslash cannot
    be written in quotes, nor did it come from there.
    """
    if text.endswith("\\"):
        return text.replace("\\", "\\\\")
    if _BARE.fullmatch(text) and text not in KEYWORDS:
        return text
    parts = []
    last = ""
    for c in text:
        parts.append("\\" + c if c == '"' or (c in " \t" and last == "\\") else c)
        last = c
    return '"' + "".join(parts) + '"'


def dump(config: Config, secrets: bool = False) -> str:
    """The configuration as text; keys and passwords only with `secrets`."""
    return "".join(line + "\n" for line in _Dump(config, secrets).lines())


class _Dump:
    def __init__(self, config: Config, secrets: bool) -> None:
        self._config = config
        self._secrets = secrets
        self._credentials = {listener.auth_table for listener in config.listeners} | {
            action.auth for action in config.actions.values() if isinstance(action, RelayAction)
        }

    def lines(self) -> Iterator[str]:
        config = self._config
        yield from self._settings()
        for table in config.tables.values():
            if table.name not in BUILTIN_TABLES and not table.name.startswith("<dynamic:"):
                yield self._table_statement(table)
        for ca in config.cas.values():
            yield f"ca {quoted(ca.name)} cert {quoted(ca.cert_file)}"
        for pki in config.pkis.values():
            given = {"cert": pki.cert_file, "key": pki.key_file, "dhe": pki.dhe if pki.dhe != "none" else ""}
            yield _join(f"pki {quoted(pki.name)}", *(f"{k} {quoted(v)}" for k, v in given.items() if v))
        for name, command in config.mda_wrappers.items():
            yield f"mda wrapper {quoted(name)} {quoted(command)}"
        executed = {f.name for f in config.filters.values() if f.processor == f.name}
        for process in config.processors.values():
            if process.name not in executed:
                yield f"proc {quoted(process.name)} {_process(process)}"
        for item in config.filters.values():
            if not item.name.startswith("<dynchain:"):
                yield self._filter_statement(item)
        yield self._listener(config.socket_listener)
        for listener in config.listeners:
            yield self._listener(listener)
        for action in config.actions.values():
            yield self._local(action) if isinstance(action, LocalAction) else self._relay(action)
        for rule in config.rules:
            yield self._rule(rule)

    def _settings(self) -> Iterator[str]:
        config, default = self._config, Config()
        if config.admd:
            yield f"admd {quoted(config.admd)}"
        if config.bounce_warn != default.bounce_warn:
            yield "bounce warn-interval " + ", ".join(timespan.span(delay) for delay in config.bounce_warn)
        yield from _limits("mda limit", config.mda, KEYS_MDA)
        if config.mta_max_deferred != default.mta_max_deferred:
            yield f"mta max-deferred {config.mta_max_deferred}"
        # A domain begins with the values for all as they are so far: while they are the program's, it is they
        # that it differs from.
        for domain, limits in config.mta_limits.items():
            if domain != DEFAULT_LIMITS:
                yield from _mta_limits(f"mta limit for domain {quoted(domain)}", limits, always=True)
        yield from _mta_limits("mta limit", config.mta_limits[DEFAULT_LIMITS])
        if config.queue.compression:
            yield "queue compression"
        if config.queue.encryption:
            key = config.queue.key
            shown = key if self._secrets or key in ("", "stdin") else MASK * 4
            yield _join("queue encryption", quoted(shown) if shown else "")
        if config.queue.ttl != default.queue.ttl:
            yield f"queue ttl {timespan.span(config.queue.ttl)}"
        yield from _limits("scheduler limit", config.scheduler, KEYS_SCHEDULER)
        yield from _limits("smtp limit", config.smtp, KEYS_SMTP)
        if config.smtp.ciphers:
            yield f"smtp ciphers {quoted(config.smtp.ciphers)}"
        if config.smtp.max_message_size != default.smtp.max_message_size:
            yield f"smtp max-message-size {config.smtp.max_message_size}"
        if config.smtp.sub_addr_delim != default.smtp.sub_addr_delim:
            yield f"smtp sub-addr-delim {quoted(config.smtp.sub_addr_delim)}"
        yield from self._srs()

    def _srs(self) -> Iterator[str]:
        srs = self._config.srs
        used = any(isinstance(a, RelayAction) and a.srs for a in self._config.actions.values())
        if srs.key or used:
            yield f"srs key {self._secret(srs.key)}"
        if srs.key_backup:
            yield f"srs key backup {self._secret(srs.key_backup)}"
        if srs.ttl_days != type(srs)().ttl_days:
            yield f"srs ttl {srs.ttl_days}d"

    def _secret(self, text: str) -> str:
        return quoted(text if self._secrets or not text else MASK)

    def _table_statement(self, table: Table) -> str:
        head = f"table {quoted(table.name)}"
        if table.entries or table.kind in ("list", "hash") and not table.config:
            return f"{head} {{ {self._entries(table)} }}"
        if table.backend == "proc" and table.config and not table.config.startswith("/"):
            return f"{head} {quoted(table.config)}"
        backend = "file" if table.backend == "static" and table.config else table.backend
        return f"{head} {quoted(f'{backend}:{table.config}' if table.config else backend)}"

    def _entries(self, table: Table) -> str:
        entries = table.entries or ((_UNUSABLE_KEY, None if table.kind == "list" else "x"),)
        return ", ".join(
            quoted(key) if value is None else f"{quoted(key)} = {self._value(table, value)}"
            for key, value in entries
        )

    def _value(self, table: Table, value: str) -> str:
        if self._secrets or table.name not in self._credentials:
            return quoted(value)
        user, colon, _ = value.partition(":")
        return quoted(f"{user}:{MASK}" if colon else MASK)

    def _table(self, name: str) -> str:
        """A table where it is used."""
        if not name.startswith("<dynamic:"):
            return f"<{quoted(name)}>"
        table = self._config.tables[name]
        if table.kind == "list" and len(table.entries) == 1:
            return quoted(table.entries[0][0])
        return f"{{ {self._entries(table)} }}"

    def _filter(self, name: str) -> str:
        """A filter where it is used."""
        if not name:
            return ""
        if name.startswith("<dynchain:"):
            return f"filter {_chain(self._config.filters[name])}"
        return f"filter {quoted(name)}"

    def _filter_statement(self, item: Filter) -> str:
        head = f"filter {quoted(item.name)}"
        if item.type == "chain":
            return f"{head} chain {_chain(item)}"
        if item.type == "proc":
            if item.processor == item.name:
                return f"{head} proc-exec {_process(self._config.processors[item.name])}"
            return f"{head} proc {quoted(item.processor)}"
        condition = item.condition
        assert condition is not None
        return _join(
            f"{head} phase {item.phase} match",
            ("!" if condition.negated else "") + condition.what,
            "regex" if condition.regex else "",
            self._table(condition.table) if condition.table else "",
            item.decision,
            quoted(item.text) if item.decision not in ("junk", "bypass") else "",
        )

    def _listener(self, item: Listener) -> str:
        verify = " verify" if item.tls_verify else ""
        auth = "auth" if item.auth_require else "auth-optional" if item.auth else ""
        return _join(
            "listen on socket" if item.socket else f"listen on {quoted(item.on)}",
            item.family,
            "" if item.socket else f"port {item.port}",
            f"smtps{verify}" if item.smtps else "",
            f"tls-require{verify}" if item.tls_require else "tls" if item.starttls else "",
            *(f"pki {quoted(pki)}" for pki in item.pkis),
            _word("ca", item.ca),
            _word("ciphers", item.tls_ciphers),
            _word("protocols", item.tls_protocols),
            auth,
            self._table(item.auth_table) if item.auth_table else "",
            _word("tag", item.tag),
            f"hostname {quoted(item.hostname)}" if item.hostname != self._config.hostname else "",
            f"hostnames {self._table(item.hostname_table)}" if item.hostname_table else "",
            f"senders {self._table(item.sender_table)}" if item.sender_table else "",
            "masquerade" if item.masquerade else "",
            "mask-src" if item.mask_src else "",
            "received-auth" if item.received_auth else "",
            "no-dsn" if item.no_dsn else "",
            "proxy-v2" if item.proxy_v2 else "",
            self._filter(item.filter),
        )

    def _local(self, action: LocalAction) -> str:
        argued = action.method in ("lmtp", "mda") or action.argument
        userbase = action.userbase if action.userbase != GETPWNAM else ""
        return _join(
            f"action {quoted(action.name)} {action.method}",
            quoted(action.argument) if argued else "",
            "junk" if action.junk else "",
            "rcpt-to" if action.rcpt_to else "",
            f"alias {self._table(action.alias)}" if action.alias else "",
            f"virtual {self._table(action.virtual)}" if action.virtual else "",
            f"userbase {self._table(userbase)}" if userbase else "",
            _word("user", action.user),
            _word("wrapper", action.wrapper),
            f"ttl {timespan.span(action.ttl)}" if action.ttl else "",
        )

    def _relay(self, action: RelayAction) -> str:
        host = "domain" if action.host_is_domain else "host"
        return _join(
            f"action {quoted(action.name)} relay",
            f"{host} {self._table(action.host)}" if action.host else "",
            "backup" if action.backup else "",
            _word("mx", action.backup_mx),
            _word("helo", action.helo),
            f"helo-src {self._table(action.helo_src)}" if action.helo_src else "",
            f"src {self._table(action.src)}" if action.src else "",
            _word("mail-from", action.mail_from),
            _word("pki", action.pki),
            _word("ca", action.ca),
            _word("ciphers", action.tls_ciphers),
            _word("protocols", action.tls_protocols),
            ("tls" if action.tls_verify else "tls no-verify") if action.tls else "",
            f"auth {self._table(action.auth)}" if action.auth else "",
            "srs" if action.srs else "",
            self._filter(action.filter),
            f"ttl {timespan.span(action.ttl)}" if action.ttl else "",
        )

    def _rule(self, rule: Rule) -> str:
        decision = "reject" if rule.reject else f"action {quoted(rule.action)}"
        return _join("match", *(self._criterion(c) for c in rule.criteria), decision)

    def _criterion(self, criterion: Criterion) -> str:
        words = criterion.what.replace("from-", "from ").replace("for-", "for ")
        known = {
            ("from-src", ANYHOST): "from any",
            ("from-src", LOCALHOST): "from local",
            ("for-domain", ANYDESTINATION): "for any",
            ("for-domain", LOCALNAMES): "for local",
        }.get((criterion.what, criterion.table))
        table = self._table(criterion.table) if criterion.table else ""
        if criterion.regex:
            table = "regex " + table
        if known is not None and not criterion.regex:
            words, table = known, ""
        return _join(("!" if criterion.negated else "") + words, table)


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _word(option: str, value: str) -> str:
    return f"{option} {quoted(value)}" if value else ""


def _chain(item: Filter) -> str:
    return "{ " + ", ".join(quoted(name) for name in item.chain) + " }"


def _process(process: Processor) -> str:
    return _join(
        quoted(process.command),
        _word("user", process.user),
        _word("group", process.group),
        _word("chroot", process.chroot),
    )


def _limits(head: str, values: Any, keys: dict[str, str]) -> Iterator[str]:
    """`head` and the keys whose values are not the defaults, if any."""
    default = {field.name: field.default for field in fields(values)}
    now = {key: getattr(values, name) for key, name in keys.items()}
    changed = [f"{key} {value}" for key, value in now.items() if value != default[keys[key]]]
    if changed:
        yield _join(head, *changed)


def _mta_limits(head: str, limits: MtaLimits, always: bool = False) -> Iterator[str]:
    default = MtaLimits()
    changed = [limits.family] if limits.family != default.family else []
    changed += [
        f"{key} {getattr(limits, name)}"
        for key, name in KEYS_MTA.items()
        if getattr(limits, name) != getattr(default, name)
    ]
    if changed or always:
        yield _join(head, *changed)


class Texts:
    """Parts of a configuration as they stand in a file, secrets masked."""

    def __init__(self, config: Config) -> None:
        self._dump = _Dump(config, secrets=False)

    def rule(self, rule: Rule) -> str:
        """A rule as a `match` statement."""
        return self._dump._rule(rule)

    def criterion(self, criterion: Criterion) -> str:
        """A condition of a rule."""
        return self._dump._criterion(criterion)

    def table(self, name: str) -> str:
        """A table where it is used: `<name>`, or its content when it was spelled in place."""
        return name if name in BUILTIN_TABLES else self._dump._table(name)
