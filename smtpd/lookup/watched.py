"""Tables, .forward and included files that tell what they are asked and what they answer (steps.Asked).

They ask the real ones exactly what they are asked themselves, so that a dry run reads what a real one reads
and nothing else. A dry run is nobody's mail: between its questions the loop may do other work.
"""

import asyncio

from smtpd.protocol import aliases
from smtpd.protocol.aliases import Recipient

from .expansion import ForwardRefused, Forwards, Includes, Tables, UserInfo
from .rules import TableTempfail
from .steps import FOUND, NONE, REFUSED, TEMPFAIL, Asked, Tell

TURN = 32
"""Questions to tables between two turns of the loop."""


class WatchedTables:
    """See expansion.Tables. `users`: those that were found, by name."""

    def __init__(self, tables: Tables, tell: Tell) -> None:
        self._tables = tables
        self._tell = tell
        self._asked = 0
        self.users: dict[str, UserInfo] = {}

    async def match(self, table: str, service: str, key: str) -> bool:
        """See rules.Matcher."""
        await self._turn()
        try:
            found = await self._tables.match(table, service, key)
        except TableTempfail as error:
            self._tell(Asked(table, service, key, TEMPFAIL, str(error)))
            raise
        self._tell(Asked(table, service, key, FOUND if found else NONE, ""))
        return found

    async def alias(self, table: str, key: str) -> list[Recipient] | None:
        """See expansion.Tables."""
        await self._turn()
        try:
            found = await self._tables.alias(table, key)
        except TableTempfail as error:
            self._tell(Asked(table, "alias", key, TEMPFAIL, str(error)))
            raise
        self._tell(Asked(table, "alias", key, NONE if found is None else FOUND, shown(found or [])))
        return found

    async def user(self, table: str, name: str) -> UserInfo | None:
        """See expansion.Tables."""
        await self._turn()
        try:
            found = await self._tables.user(table, name)
        except TableTempfail as error:
            self._tell(Asked(table, "userinfo", name, TEMPFAIL, str(error)))
            raise
        if found is None:
            self._tell(Asked(table, "userinfo", name, NONE, ""))
        else:
            self.users[name] = found
            value = f"{found.uid}:{found.gid}:{found.directory}"
            self._tell(Asked(table, "userinfo", name, FOUND, value))
        return found

    async def _turn(self) -> None:
        self._asked += 1
        if self._asked % TURN == 0:
            await asyncio.sleep(0)


class WatchedForwards:
    """See expansion.Forwards."""

    def __init__(self, forwards: Forwards, tell: Tell) -> None:
        self._forwards = forwards
        self._tell = tell

    async def read(self, user: UserInfo, msgid: int) -> list[Recipient] | None:
        """See expansion.Forwards."""
        path = f"{user.directory}/.forward"
        try:
            found = await self._forwards.read(user, msgid)
        except TableTempfail as error:
            self._tell(Asked(path, "forward", user.username, TEMPFAIL, str(error)))
            raise
        except ForwardRefused:
            self._tell(Asked(path, "forward", user.username, REFUSED, "its owner or mode, or its folder's"))
            raise
        self._tell(
            Asked(path, "forward", user.username, NONE if found is None else FOUND, shown(found or []))
        )
        return found


class WatchedIncludes:
    """See expansion.Includes."""

    def __init__(self, includes: Includes, tell: Tell) -> None:
        self._includes = includes
        self._tell = tell

    def read(self, path: str) -> list[Recipient]:
        """See expansion.Includes. A file that cannot be read has no recipients; the log says why."""
        found = self._includes.read(path)
        self._tell(Asked(path, "include", "", FOUND if found else NONE, shown(found)))
        return found


_PREFIXES = {aliases.FILTER: "|", aliases.INCLUDE: ":include:", aliases.ERROR: "error:"}


def shown(recipients: list[Recipient]) -> str:
    """Recipients as in aliases(5)."""
    return ", ".join(f"{_PREFIXES.get(each.kind, '')}{each.text}" for each in recipients)
