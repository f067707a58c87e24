"""All tables of one configuration, as rules and expansion ask them.

Tables whose content is in memory answer at once, without a turn of the loop: they are most of what mail asks.
The others (a database, the users of the system, programs) are waited for by who asks, and by nobody else.
"""

import asyncio
import concurrent.futures.thread  # noqa: F401  (files are read again in threads: nothing can be imported then)
import re
import socket
from collections.abc import Awaitable, Callable

from smtpd.config.model import GETPWNAM, Config, LocalAction, Table
from smtpd.mproc.log import Log
from smtpd.protocol.aliases import AliasError, Recipient, parse_line
from smtpd.tables import service as questions
from smtpd.tables.db import DbTable
from smtpd.tables.file import TableFault
from smtpd.tables.getpwnam import GetpwnamTable
from smtpd.tables.index import Entry
from smtpd.tables.open import open_table
from smtpd.tables.proc import ProcTable
from smtpd.tables.service import TemporaryFailure, key_fault
from smtpd.tables.static import StaticTable

from .expansion import UserInfo
from .rules import TableTempfail
from .users import CallerUsers

HIDDEN = "********"
"""In place of a password."""

_SECRET = frozenset({"credentials", "auth"})

type OpenProgram = Callable[[str], Awaitable[socket.socket]]
"""A connected socket to a new program of the table of that name; OSError when there is none."""


class TableSet:
    """The tables by name. `homes`: where every user's home is when the caller is all of them, else ""."""

    def __init__(self, config: Config, log: Log, homes: str, program: OpenProgram) -> None:
        self._log = log
        self._config = config.tables
        self._delimiter = config.smtp.sub_addr_delim
        self._callers = CallerUsers(homes) if homes else None
        self._program = program
        self._quick: dict[str, StaticTable] = {}
        self._slow: dict[str, questions.Table] = {GETPWNAM: GetpwnamTable(GETPWNAM)}
        self._faults: dict[str, str] = {}
        self._updating: dict[str, asyncio.Lock] = {}
        self._services = services_of(config)
        for table in config.tables.values():
            if fault := self._open(table):
                self._log.warn(f"table {table.name}: {fault}")

    def _open(self, table: Table) -> str:
        """Take a table into service: "", or why it cannot be. Its questions fail for the time being, then."""
        name = table.name
        try:
            opened = open_table(
                name,
                table.backend,
                table.config,
                table.entries,
                delimiter=self._delimiter,
                connect=lambda: self._program(name),
                log=self._log.warn,
            )
        except TableFault as fault:
            self._faults[name] = str(fault)
            self._log.trace("tables", f"{name} ({table.backend}): {fault}")
            return str(fault)
        self._log.trace("tables", f"{name} ({table.backend}): in service")
        self._faults.pop(name, None)
        if isinstance(opened, StaticTable):
            for service in self._services.get(name, ()):
                opened.index(service)  # of a large table this takes seconds, which mail shall not wait
        if isinstance(opened, StaticTable) and not isinstance(opened, DbTable):
            self._quick[name] = opened
        else:
            self._slow[name] = opened
        return ""

    def begin(self) -> None:
        """Have the programs started; who asks one that is not there yet waits for it."""
        for table in self._slow.values():
            if isinstance(table, ProcTable):
                table.start()

    async def close(self) -> None:
        """Let go of the programs and of what is being read."""
        for table in self._slow.values():
            await table.close()

    async def update(self, table: str) -> str:
        """Read a table's source again: "", or why it answers as before."""
        if table not in self._config:
            return f"no such table: {table}"
        async with self._updating.setdefault(table, asyncio.Lock()):
            if table in self._faults:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(None, self._open, self._config[table])
            fault = await (self._quick.get(table) or self._slow[table]).update()
            self._log.trace("tables", f"{table}: {fault or 'updated'}")
            return fault

    # questions

    async def match(self, table: str, service: str, key: str) -> bool:
        """See rules.Matcher."""
        quick = self._quick.get(table)
        if quick is not None:
            return self._find(quick, service, key) is not None
        answer = await self._backend(table).check(service, key)
        return self._told(table, service, key, answer, "none" if answer is False else "found")

    async def alias(self, table: str, key: str) -> list[Recipient] | None:
        """See expansion.Tables."""
        found = await self.value(table, "alias", key)
        if found is None:
            return None
        try:
            return parse_line(found)
        except AliasError as error:
            self._log.warn(f"table {table}: {key}: {error}")
            raise TableTempfail(f"{table}: {key}: {error}") from None

    async def user(self, table: str, name: str) -> UserInfo | None:
        """See expansion.Tables."""
        table = table or GETPWNAM
        if self._callers is not None and isinstance(self._slow.get(table), GetpwnamTable):
            return self._callers.find(name)
        found = await self.value(table, "userinfo", name)
        return None if found is None else parse_userinfo(name, found)

    async def value(self, table: str, service: str, key: str) -> str | None:
        """What a key is mapped to, or None. TableTempfail."""
        quick = self._quick.get(table)
        if quick is not None:
            found = self._find(quick, service, key)
            return None if found is None else found[1] or ""
        answer = await self._backend(table).lookup(service, key)
        return self._told(table, service, key, answer, "none" if answer is None else f'"{answer}"')

    async def fetch(self, table: str, service: str) -> str | None:
        """The next entry of a list, in turn; None when it is empty. TableTempfail."""
        quick = self._quick.get(table)
        if quick is not None:
            return quick.turn()
        answer = await self._backend(table).fetch(service)
        return self._told(table, service, "", answer, "none" if answer is None else f'"{answer}"')

    def _backend(self, table: str) -> questions.Table:
        backend = self._slow.get(table)
        if backend is None:
            raise TableTempfail(self._faults.get(table) or f"{table}: there is no such table")
        return backend

    def _find(self, table: StaticTable, service: str, key: str) -> Entry | None:
        if (fault := key_fault(key)) is not None:
            raise TableTempfail(f"{table.name}: {fault.reason}")
        found = table.find(service, key)
        if self._log.tracing_lookup:
            answer = "none" if found is None else "found" if found[1] is None else f'"{found[1]}"'
            self._trace(table.name, service, key, answer)
        return found

    def _told[T](self, table: str, service: str, key: str, answer: T | TemporaryFailure, words: str) -> T:
        """The answer, told to the trace. A failure is told in the log: mail waits because of it."""
        if isinstance(answer, TemporaryFailure):
            shown = HIDDEN if service == "auth" else repr(key[:80])
            self._log.warn(f"{shown} as {service} in table {table}: {answer.reason}")
            raise TableTempfail(answer.reason)
        if self._log.tracing_lookup:
            self._trace(table, service, key, words)
        return answer

    def _trace(self, table: str, service: str, key: str, answer: str) -> None:
        """Passwords stay out: the value of credentials, and all of what auth asks."""
        if service in _SECRET and answer not in ("none", "found"):
            answer = HIDDEN
        if service == "auth":
            key = HIDDEN
        self._log.trace("lookup", f'"{key}" as {service} in table {table}: {answer}')


_SERVICES = {
    "from-src": "netaddr",
    "from-rdns": "netaddr",
    "for-domain": "domain",
    "tag": "string",
    "helo": "domain",
    "mail-from": "mailaddr",
    "rcpt-to": "mailaddr",
}
"""What rules.Rules asks a criterion's table for, where that is always the same."""


def services_of(config: Config) -> dict[str, set[str]]:
    """What tables will be asked for because of rules and local actions, by the name of the table."""
    services: dict[str, set[str]] = {}
    for rule in config.rules:
        for criterion in rule.criteria:
            service = "regex" if criterion.regex else _SERVICES.get(criterion.what)
            if criterion.table and service:
                services.setdefault(criterion.table, set()).add(service)
    for action in config.actions.values():
        if isinstance(action, LocalAction):
            for table in (action.alias, action.virtual):
                services.setdefault(table, set()).add("alias")
            services.setdefault(action.userbase, set()).add("userinfo")
    return services


_USERINFO = re.compile(r"(?P<uid>[0-9]{1,10}):(?P<gid>[0-9]{1,10}):(?P<home>/[^:]*)")


_ID_MAX = 2**32 - 2  # the last one stands for "no change" in system calls
_HOME_MAX = 4095  # PATH_MAX


def parse_userinfo(name: str, value: str) -> UserInfo:
    """The value of a userinfo table: "uid:gid:home", or "user:password:uid:gid:gecos:home:shell"."""
    match = _USERINFO.fullmatch(value)
    if match is None:
        fields = value.split(":")
        match = _USERINFO.fullmatch(":".join((*fields[2:4], fields[5]))) if len(fields) >= 6 else None
    if match is None or max(int(match["uid"]), int(match["gid"])) > _ID_MAX or len(match["home"]) > _HOME_MAX:
        raise TableTempfail(f"{name}: not a user: {value[:80]!r}")
    return UserInfo(name, int(match["uid"]), int(match["gid"]), match["home"])
