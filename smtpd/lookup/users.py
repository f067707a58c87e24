"""The users of this machine, or, when the daemon serves its caller alone, the caller under any name."""

import os
import pwd
import re

from .expansion import UserInfo

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}", re.ASCII)


class SystemUsers:
    """passwd(5) and whatever else nsswitch.conf(5) asks."""

    def find(self, name: str) -> UserInfo | None:
        """A user of the system, or None."""
        try:
            found = pwd.getpwnam(name)
        except (KeyError, ValueError, UnicodeError):
            return None
        return UserInfo(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir)


class CallerUsers:
    """Any name is the caller, with a home of its own in the state folder."""

    def __init__(self, homes: str) -> None:
        self._homes = homes

    def find(self, name: str) -> UserInfo | None:
        """The caller; None for what could be no user's name."""
        if not _NAME.fullmatch(name):
            return None
        return UserInfo(name, os.geteuid(), os.getegid(), os.path.join(self._homes, name))
