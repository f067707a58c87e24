"""Where tables come from while lookup runs: programs from parent, and `update table` from control."""

import os
import socket
from typing import TYPE_CHECKING

from smtpd.messages.control_lookup import TableUpdated, UpdateTable
from smtpd.messages.parent_lookup import OpenTableProc
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .tables import TableSet

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

_REASON_MAX = 4096
"""Characters of a reason; it has to fit one message."""


class Updates:
    """Reads tables again."""

    def __init__(self, process: "Process", tables: TableSet) -> None:
        self._process = process
        self._tables = tables

    @handles(UpdateTable)
    async def update_table(self, peer: Peer, reqid: int, message: UpdateTable) -> TableUpdated:
        """Answers when it is done."""
        error = await self._tables.update(message.table)
        if error:
            self._process.log.warn(f"table {message.table} is not updated: {error}")
        else:
            self._process.log.info(f"table {message.table} is updated")
        return TableUpdated(reqid, error[:_REASON_MAX])


class Programs:
    """Asks parent for tables' programs. Callable as tables.OpenProgram."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def __call__(self, table: str) -> socket.socket:
        """A socket to a new program; OSError."""
        reply, fd = await self._process.peer("parent").call(OpenTableProc(table))
        if fd is None:
            raise OSError(0, "parent does not answer" if reply is None else reply.error)
        try:
            return socket.socket(fileno=fd)
        except OSError:
            os.close(fd)
            raise
