"""All tables of one configuration, as rules and expansion ask them."""

import re
from collections.abc import Mapping

from smtpd.config.model import GETPWNAM, Config, Table
from smtpd.mproc.log import Log
from smtpd.protocol.aliases import AliasError, Recipient, parse_line
from smtpd.tables.index import Entry
from smtpd.tables.static import StaticTable

from .expansion import UserInfo
from .rules import TableTempfail
from .users import CallerUsers, SystemUsers


class TableSet:
    """The tables by name."""

    def __init__(self, config: Config, log: Log, homes: str) -> None:
        self._log = log
        self._delimiter = config.smtp.sub_addr_delim
        self._users: CallerUsers | SystemUsers = CallerUsers(homes) if homes else SystemUsers()
        self._tables = self._static(config.tables)

    def _static(self, tables: Mapping[str, Table]) -> dict[str, StaticTable]:
        return {
            name: StaticTable(name, table.entries, self._delimiter)
            for name, table in tables.items()
            if table.backend == "static" and not table.config
        }

    async def match(self, table: str, service: str, key: str) -> bool:
        """See rules.Matcher."""
        return self._find(table, service, key) is not None

    async def alias(self, table: str, key: str) -> list[Recipient] | None:
        """See expansion.Tables."""
        found = self._find(table, "alias", key)
        if found is None:
            return None
        try:
            return parse_line(found[1] or "")
        except AliasError as error:
            self._log.warn(f"table {table}: {key}: {error}")
            raise TableTempfail(f"{table}: {key}: {error}") from None

    async def user(self, table: str, name: str) -> UserInfo | None:
        """See expansion.Tables."""
        if table in ("", GETPWNAM):
            return self._users.find(name)
        found = self._find(table, "userinfo", name)
        return None if found is None else parse_userinfo(name, found[1] or "")

    async def value(self, table: str, service: str, key: str) -> str | None:
        """What a key is mapped to, or None. TableTempfail."""
        found = self._find(table, service, key)
        return None if found is None else found[1] or ""

    async def fetch(self, table: str, service: str) -> str | None:
        """The next entry of a list, in turn; None when it is empty. TableTempfail."""
        return self._backend(table).turn()

    def _backend(self, table: str) -> StaticTable:
        backend = self._tables.get(table)
        if backend is None:
            raise TableTempfail(f"{table}: this kind of table cannot be asked")
        return backend

    def _find(self, table: str, service: str, key: str) -> Entry | None:
        backend = self._backend(table)
        try:
            found = backend.find(service, key)
        except re.error as error:
            raise TableTempfail(f"{table}: {error}") from None
        if self._log.tracing_lookup:
            answer = "none" if found is None else "found" if found[1] is None else f'"{found[1]}"'
            self._log.trace("lookup", f'"{key}" as {service} in table {table}: {answer}')
        return found


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
