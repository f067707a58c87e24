"""The part of lookup that hands out values of tables to those who relay.

Only of tables that relay actions name: what else a table holds, such as passwords, is not for pony.
"""

from smtpd.config.model import Config, RelayAction
from smtpd.messages.pony_lookup import FindInTable, FoundInTable
from smtpd.mproc.dispatch import handles
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer

from .rules import TableTempfail
from .tables import TableSet

_VALUE_MAX = 4096
"""Bytes of a value; it has to fit one message."""


class Values:
    """Values by key, or the entries of a list in turn."""

    def __init__(self, config: Config, log: Log, tables: TableSet) -> None:
        self._log = log
        self._tables = tables
        self._open = {
            table
            for action in config.actions.values()
            if isinstance(action, RelayAction)
            for table in (action.host, action.src, action.helo_src)
        }

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
