"""What all processes measure of themselves: turned on and off, and collected when somebody asks."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from smtpd.messages.client_control import ClientDone
from smtpd.messages.client_observation import ClientSetProfile, ClientShowProfile, ProfileRows
from smtpd.messages.control_observation import PROFILED, GetProfile, ProfilePart, SetProfile
from smtpd.messages.control_process import OTHERS
from smtpd.messages.links import CONTROL
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .client import Client
from .clients import Clients
from .waits import Waits

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

ANSWER_SECONDS = 5


class Profiles:
    """The part of control that has profiles collected."""

    def __init__(self, process: "Process", clients: Clients, waits: Waits) -> None:
        self._process = process
        self._clients = clients
        process.profiling.hooks["imsg"] = waits.measure
        process.profiling.sources.append(waits.rows)

    @handles(ClientSetProfile)
    def client_set_profile(self, client: Peer, reqid: int, message: ClientSetProfile) -> ClientDone:
        """profile, unprofile."""
        subsystem, on = message
        error = ""
        if subsystem not in (*PROFILED, "all"):
            subsystem = "an unknown subsystem"
            error = f"no such subsystem: {message.subsystem}; there are {', '.join(PROFILED)} and all"
        for each in PROFILED if subsystem == "all" else (subsystem,) if not error else ():
            for name in OTHERS:
                self._process.peer(name).send(SetProfile(each, on))
            self._process.profiling.profile(each, on)
        self._clients.log_action(client, f"{'profile' if on else 'unprofile'} {subsystem}", error)
        return ClientDone(reqid, error, 0 if error else 1)

    @handles(ClientShowProfile)
    async def client_show_profile(self, client: Peer, reqid: int, message: ClientShowProfile) -> ClientDone:
        """show profile: rows by process; a process that does not answer is named in the error."""
        assert isinstance(client, Client)
        shown = 0
        silent: list[str] = []
        for name in (*OTHERS, CONTROL):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    parts = [part async for part in self._parts(name)]
            except (TimeoutError, ConnectionError):
                silent.append(name)
                continue
            for part in parts:
                await client.row(ProfileRows(reqid, name, 0, part.milliseconds, part.rows))
                shown += len(part.rows)
        error = f"no answer from {', '.join(silent)}" if silent else ""
        return ClientDone(reqid, error, shown)

    async def _parts(self, name: str) -> AsyncIterator[ProfilePart]:
        """All rows of a process. ConnectionError: it is gone."""
        start = 0
        while True:
            if name == CONTROL:
                part = self._process.profiling.part(0, start)
            else:
                part = await self._process.peer(name).call(GetProfile(start))
            if not isinstance(part, ProfilePart):
                raise ConnectionError(name)
            yield part
            start = part.next
            if not start:
                return
