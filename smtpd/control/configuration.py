"""`smtpctl show config`: parent gives the text in a descriptor, the client gets it in pieces."""

import codecs
import os
from typing import TYPE_CHECKING

from smtpd.messages.client_configuration import ClientShowConfiguration, ConfigurationRow
from smtpd.messages.client_control import ClientDone
from smtpd.messages.links import PARENT
from smtpd.messages.parent_control import GetConfigurationText
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .client import Client

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

PIECE = 8192
"""Bytes of a row."""

_decoder = codecs.getincrementaldecoder("utf-8")


class Configuration:
    """The part of control that shows the configuration. It never has more of it than a piece."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    @handles(ClientShowConfiguration)
    async def client_show_configuration(
        self, client: Peer, reqid: int, message: ClientShowConfiguration
    ) -> ClientDone:
        """show config. The number is that of the lines."""
        assert isinstance(client, Client)
        reply, fd = await self._process.peer(PARENT).call(GetConfigurationText())
        if reply is None or fd is None:
            return ClientDone(reqid, "parent does not answer" if reply is None else reply.error, 0)
        lines = 0
        decoder = _decoder("surrogateescape")
        with os.fdopen(fd, "rb") as file:
            file.seek(0)
            while piece := file.read(PIECE):
                lines += piece.count(b"\n")
                await client.row(ConfigurationRow(reqid, decoder.decode(piece)))
        return ClientDone(reqid, "", lines)
