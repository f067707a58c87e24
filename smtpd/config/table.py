"""The `table` statement, and tables where others use them.

Productions table, tables (tablenew, tableref), tableval_list of OpenSMTPD's grammar, and what a table may be
used for (table_check_use). Must not look anything up in a table.
"""

from smtpd.config.draft import static_table
from smtpd.config.lexer import ARROW, STRING, Token
from smtpd.config.model import Table
from smtpd.config.parser import Parser
from smtpd.protocol import berkeley_hash
from smtpd.protocol.table_text import TableTextError, kind_of

NAME_MAX = 2047
"""Longest name in bytes (LINE_MAX)."""
CONFIG_MAX = 4095
"""Longest path in bytes (PATH_MAX)."""

DYNAMIC, LIST, HASH = "dynamic", "list", "hash"

SERVICES = frozenset(
    """
    alias credentials domain netaddr userinfo source mailaddr addrname mailaddrmap relayhost string regex
    """.split()
)
"""What static and db tables serve; getpwnam serves userinfo, a program anything."""


def table(p: Parser) -> None:
    """`table NAME [BACKEND:]PATH`, `table NAME BACKEND` or `table NAME { ... }`."""
    p.take()
    name = p.string("the table's name")
    p.declares(("table", name.value))
    if p.peek().kind == STRING:
        made = _backend_table(p, name, p.take())
    else:
        _check_new(p, name)
        if p.peek().kind != "{":
            raise p.syntax_error('a backend, a file or a list in "{" and "}"')
        p.take()
        place = p.place()
        made = static_table(name.value, _entries(p), place, lambda key: _skipped(p, key))
    p.draft.tables[name.value] = made
    p.declared(("table", name.value))


def _backend_table(p: Parser, name: Token, spec: Token) -> Table:
    """A table kept elsewhere."""
    backend, config = spec.value, ""
    has_config = True
    if spec.value.startswith("/"):
        backend, config = "static", spec.value
    else:
        backend, colon, config = spec.value.partition(":")
        has_config = bool(colon)
    if has_config and not config.startswith("/"):
        hint = "a table's parameter is an absolute path" if config else ""
        raise p.fail(f"invalid backend parameter for table: {name.value}", spec, hint)
    _check_new(p, name)
    if len(config.encode("utf-8", "surrogateescape")) > CONFIG_MAX:
        raise p.fail(f"table config for table {name.value} too long", spec)
    if backend in ("static", "file"):
        kind = _file_kind(p, name, spec, config) if config else "none"
        return Table(name=name.value, backend="static", config=config, kind=kind, place=p.place())
    if backend == "db":
        _check_db(p, name, spec, config)
        return Table(name=name.value, backend="db", config=config, place=p.place())
    if backend == "getpwnam":
        if config:
            raise p.fail(f"invalid configuration file {config} for table {name.value}", spec)
        return Table(name=name.value, backend="getpwnam", place=p.place())
    if backend == "proc":
        return Table(name=name.value, backend="proc", config=config, place=p.place())
    if p.machine.table_program(backend):
        parameter = f"{backend}:{config}" if config else backend
        return Table(name=name.value, backend="proc", config=parameter, place=p.place())
    raise p.fail(
        f'table backend "{backend}" does not exist', spec, f"there is no program table-{backend} either"
    )


def _check_new(p: Parser, name: Token) -> None:
    if name.value.startswith("<dynamic:"):
        raise p.fail('names that begin with "<dynamic:" are for tables without a name', name)
    if name.value in p.draft.tables:
        raise p.fail(f'table "{name.value}" already defined', name)
    if len(name.value.encode("utf-8", "surrogateescape")) > NAME_MAX:
        raise p.fail("table name too long", name)


def _file_kind(p: Parser, name: Token, spec: Token, path: str) -> str:
    """Whether the file holds a list or a mapping; Fault when it cannot be read or holds something else."""
    try:
        return kind_of(p.machine.read(path))
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    except TableTextError as error:
        reason = f"line {error.line}: {error.message}"
    raise p.fail(f"invalid configuration file {path} for table {name.value}", spec, reason)


def _check_db(p: Parser, name: Token, spec: Token, path: str) -> None:
    """Fault when the file cannot be read or is no database of makemap's."""
    try:
        for _ in berkeley_hash.read(p.machine.read(path)):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise p.fail(f"invalid configuration file {path} for table {name.value}", spec, reason) from None


def tables(p: Parser, what: str) -> Table:
    """A table in place (`WORD` or `{ ... }`) or by name (`<NAME>`); `what` says what the argument means."""
    token = p.peek()
    if token.kind == STRING:
        p.take()
        entries: list[tuple[str, str | None]] = [(token.value, None)]
        return p.draft.inline_table(entries, p.place(), lambda key: _skipped(p, key))
    if token.kind == "<":
        p.take()
        name = p.string("a table's name")
        if p.peek().kind != ">":
            raise p.syntax_error('">" to end the table\'s name')
        p.take()
        found = p.draft.tables.get(name.value)
        if found is None:
            raise p.missing("table", name, f"no such table: {name.value}", p.draft.tables)
        return found
    if token.kind == "{":
        p.take()
        entries = _entries(p)
        return p.draft.inline_table(entries, p.place(), lambda key: _skipped(p, key))
    raise p.syntax_error(f"{what} or a table")


def _entries(p: Parser) -> list[tuple[str, str | None]]:
    """The rest of `{ a, b }` or `{ a = b, c = d }`, whose brace was taken."""
    entries: list[tuple[str, str | None]] = []
    mapping = False
    p.newlines()
    while True:
        key = p.string("a table's value")
        assign = p.peek().kind in ("=", ARROW)
        if entries and assign != mapping:
            wanted = '"=" and a value, as in the entries before,' if mapping else "another value of the list"
            raise p.syntax_error(wanted)
        mapping = assign
        if mapping:
            p.take()
            entries.append((key.value, p.string("the key's value").value))
        else:
            entries.append((key.value, None))
        if p.peek().kind == ",":
            p.take()
            p.newlines()
            if p.peek().kind == "}":
                raise p.syntax_error("another entry after the comma")
        else:
            p.newlines()
        if p.peek().kind == "}":
            p.take()
            return entries


def _skipped(p: Parser, key: str) -> None:
    p.warn(f'failed to add "{key[:40]}...": longer than the key of a table may be')


def check_use(p: Parser, table: Table, message: str, kinds: tuple[str, ...], *services: str) -> None:
    """Fault with `message` ("{}" is the table's name) when a table is of none of the kinds or serves none of
    the services (table_check_use)."""
    if not usable(table, kinds, services):
        raise p.fail(message.format(f'"{table.name}"'), None, _why_unusable(table, kinds, services))


def usable(table: Table, kinds: tuple[str, ...], services: tuple[str, ...]) -> bool:
    """Whether a table is of one of the kinds and serves one of the services (table_check_use)."""
    return table.kind in kinds and any(serves(table, service) for service in services)


def serves(table: Table, service: str) -> bool:
    """Whether a table's backend answers for a service."""
    if table.backend == "proc":
        return True
    if table.backend == "getpwnam":
        return service == "userinfo"
    return service in SERVICES


def _why_unusable(table: Table, kinds: tuple[str, ...], services: tuple[str, ...]) -> str:
    if table.kind in kinds:
        return f"its backend {table.backend} does not serve {' or '.join(services)}"
    if table.kind == "none":
        return "the table is empty"
    if table.kind == HASH:
        return "it is a mapping of keys to values, a list is wanted" + (
            ' ("# @list" at the top makes a file one)' if table.config else ""
        )
    if table.kind == LIST:
        return "it is a list, a mapping of keys to values is wanted"
    return ""
