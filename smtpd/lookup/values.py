"""The part of lookup that hands out values of tables to those who relay.

Only of tables that relay actions name, each for what they name it for: passwords only as credentials, and
those of users who log in here never.
"""

from smtpd.config.model import Config, RelayAction
from smtpd.messages.pony_lookup import CredentialsFound, FindCredentials, FindInTable, FoundInTable
from smtpd.mproc.dispatch import handles
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer
from smtpd.tables.values import credentials

from .rules import TableTempfail
from .tables import TableSet

_VALUE_MAX = 4096
"""Bytes of a value; it has to fit one message."""


class Values:
    """Values by key, or the entries of a list in turn."""

    def __init__(self, config: Config, log: Log, tables: TableSet) -> None:
        self._log = log
        self._tables = tables
        actions = [action for action in config.actions.values() if isinstance(action, RelayAction)]
        self._open = {table for action in actions for table in (action.host, action.src, action.helo_src)}
        self._secrets = {action.auth for action in actions if action.auth}

    @handles(FindInTable)
    async def find_in_table(self, peer: Peer, reqid: int, message: FindInTable) -> FoundInTable:
        """The value as the table has it."""
        if message.table not in self._open:
            self._log.warn(f"table {message.table} is asked for, which no relay action names")
            return FoundInTable(reqid, "tempfail", "")
        try:
            if message.key:
                value = await self._tables.value(message.table, message.service, message.key)
            else:
                value = await self._tables.fetch(message.table, message.service)
        except TableTempfail:
            return FoundInTable(reqid, "tempfail", "")
        if value is None:
            return FoundInTable(reqid, "none", "")
        if len(value.encode("utf-8", "surrogateescape")) > _VALUE_MAX:
            self._log.warn(f"table {message.table}: the value of {message.key!r} is too long")
            return FoundInTable(reqid, "tempfail", "")
        return FoundInTable(reqid, "ok", value)

    @handles(FindCredentials)
    async def find_credentials(self, peer: Peer, reqid: int, message: FindCredentials) -> CredentialsFound:
        """`user:password` of a label, taken apart; what is no such value counts as a temporary failure."""
        table, label = message.table, message.label
        if table not in self._secrets:
            self._log.warn(f"table {table} is asked for credentials, which no relay action takes from it")
            return CredentialsFound(reqid, "tempfail", "", "")
        try:
            value = await self._tables.value(table, "credentials", label)
        except TableTempfail:
            self._log.warn(f"credentials lookup fail for {table}:{label}")
            return CredentialsFound(reqid, "tempfail", "", "")
        if value is None:
            self._log.warn(f"credentials not found for {table}:{label}")
            return CredentialsFound(reqid, "none", "", "")
        try:
            found = credentials(label, value)
        except ValueError as error:
            self._log.warn(f"credentials parse error for {table}:{label}: {error}")
            return CredentialsFound(reqid, "tempfail", "", "")
        return CredentialsFound(reqid, "ok", found.username, found.password)
