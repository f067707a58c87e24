"""One user who gets mail: who that is, the envelopes that wait, and what runs for it.

Nothing here sends a message or knows how mail is delivered.
"""

from collections import deque
from typing import NamedTuple

from smtpd.config.model import MdaLimits
from smtpd.mail.envelope import Envelope
from smtpd.pony.holdq import HoldQueue


class UserInfo(NamedTuple):
    """What lookup says of a user (UserFound)."""

    username: str
    uid: int
    gid: int
    directory: str


class UserKey(NamedTuple):
    """`table`: the action's userbase; `runner`: the action's own user, "" where the mail's user delivers."""

    table: str
    name: str
    runner: str


class MdaUser:
    """`id`: names its hold queue, and its deliveries in the log. `info`: the mail's user, None until lookup
    knows it.

    `runner`: with whose rights mail is delivered. `commands`: how many run. `in_flight`: all its deliveries
    under way.
    """

    __slots__ = (
        "commands",
        "holdq",
        "id",
        "idle_since",
        "in_flight",
        "info",
        "key",
        "queue",
        "runner",
        "waiting",
    )

    def __init__(self, number: int, key: UserKey, limits: MdaLimits) -> None:
        self.id = number
        self.key = key
        self.info: UserInfo | None = None
        self.runner: UserInfo | None = None
        self.queue: deque[Envelope] = deque()
        self.holdq = HoldQueue(limits.task_hiwat, limits.task_lowat, limits.task_release)
        self.commands = 0
        self.in_flight = 0
        self.waiting = False
        self.idle_since = 0.0

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self.queue and not self.in_flight
