"""The users of the system as a table (getpwnam(3)).

Holds `GetpwnamTable`, which serves userinfo only. The system's look-up may wait for a directory service, so
it is made in a thread. Must not know what a user is for.
"""

import asyncio
import pwd

from smtpd.tables.service import TemporaryFailure, key_fault


class GetpwnamTable:
    """userinfo: user -> "uid:gid:directory"."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def check(self, service: str, key: str) -> bool | TemporaryFailure:
        """See service.Table."""
        found = await self.lookup(service, key)
        return found if isinstance(found, TemporaryFailure) else found is not None

    async def lookup(self, service: str, key: str) -> str | None | TemporaryFailure:
        """See service.Table."""
        if service != "userinfo":
            return TemporaryFailure(f"table {self.name}: getpwnam does not serve {service}")
        if (fault := key_fault(key)) is not None:
            return fault
        if not key or "\0" in key:
            return None
        return await asyncio.get_running_loop().run_in_executor(None, _look_up, key)

    async def fetch(self, service: str) -> str | None | TemporaryFailure:
        """See service.Table: users do not come in turn."""
        return TemporaryFailure(f"table {self.name}: getpwnam has no fetch")

    async def update(self) -> str:
        """See service.Table: there is nothing to read again."""
        return ""

    async def close(self) -> None:
        """See service.Table."""


def _look_up(name: str) -> str | None | TemporaryFailure:
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return None
    except (OSError, ValueError) as error:
        return TemporaryFailure(f"getpwnam: {error}")
    return f"{user.pw_uid}:{user.pw_gid}:{user.pw_dir}"
