"""The users of a daemon that serves its caller alone: the caller, under any name."""

import os
import re

from .expansion import UserInfo

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}", re.ASCII)


class CallerUsers:
    """Any name is the caller, with a home of its own in the state folder."""

    def __init__(self, homes: str) -> None:
        self._homes = homes

    def find(self, name: str) -> UserInfo | None:
        """The caller; None for what could be no user's name."""
        if not _NAME.fullmatch(name):
            return None
        return UserInfo(name, os.geteuid(), os.getegid(), os.path.join(self._homes, name))
