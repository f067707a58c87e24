"""`smtpctl update table`: lookup reads the table again, and says why not."""

from typing import TYPE_CHECKING

from smtpd.messages.client_configuration import ClientUpdateTable
from smtpd.messages.client_control import ClientDone
from smtpd.messages.control_lookup import TableUpdated, UpdateTable
from smtpd.messages.links import LOOKUP
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .clients import Clients

if TYPE_CHECKING:
    from smtpd.mproc.process import Process


class Tables:
    """The part of control that passes `update table` on."""

    def __init__(self, process: "Process", clients: Clients) -> None:
        self._process = process
        self._clients = clients

    @handles(ClientUpdateTable)
    async def client_update_table(self, client: Peer, reqid: int, message: ClientUpdateTable) -> ClientDone:
        """update table NAME. However long it takes: the client may go."""
        reply = await self._process.peer(LOOKUP).call(UpdateTable(message.table))
        error = reply.error if isinstance(reply, TableUpdated) else "lookup does not answer"
        self._clients.log_action(client, f"update table {message.table}", error)
        return ClientDone(reqid, error, 0 if error else 1)
