"""The hold queue of a relay or a user: how many may wait here, and when scheduler is asked for those it
keeps.

OpenSMTPD's task-hiwat, task-lowat and task-release (`mta limit`, `mda limit`): from hiwat on, what comes is
sent back to be held; when lowat is reached some are asked for.  Where OpenSMTPD asks for task-release of
them at each crossing, this asks for as many as there is room for: a queue that empties fast must not wait
for a round through queue and scheduler with each ten.  Only numbers here, no messages.
"""


class HoldQueue:
    """`held`: scheduler may have some of ours."""

    __slots__ = ("_coming", "_hiwat", "_lowat", "_onhold", "_release", "held")

    def __init__(self, hiwat: int, lowat: int, release: int) -> None:
        self._hiwat = max(hiwat, 1)  # with 0 nothing would ever go
        self._lowat = min(lowat, self._hiwat - 1)
        self._release = release
        self._onhold = False
        self._coming = 0  # asked for and not here yet
        self.held = False

    @property
    def onhold(self) -> bool:
        """Is what comes now held?"""
        return self._onhold

    @property
    def coming(self) -> int:
        """How many were asked for and are not here yet; scheduler may have had fewer."""
        return self._coming

    def admit(self, waiting: int) -> bool:
        """One comes while `waiting` are here: True to take it in, False to have it held."""
        if waiting >= self._hiwat:
            self._onhold = True
        if self._onhold:
            self.held = True
            self._coming = 0
            return False
        if self._coming:
            self._coming -= 1
        return True

    def taken(self, waiting: int) -> int:
        """One was taken out, `waiting` are left: how many to ask scheduler for, 0 for none."""
        if not self.held or waiting + self._coming > self._lowat:
            return 0
        self._onhold = False
        wanted = max(self._release, self._hiwat - waiting - self._coming)
        self._coming += wanted
        return wanted

    def drained(self) -> bool:
        """Nothing waits and nothing runs, for good: is scheduler to let all go?"""
        held, self.held, self._onhold, self._coming = self.held, False, False, 0
        return held
