"""Where watching ends by itself: after so many messages or seconds. 0 is no limit. And what is said when it
begins.
"""

from collections.abc import Mapping

from ..failure import BadFilter
from ..matching import Option

LIMITS = (
    Option("count", "N", "end after so many messages; 0: no limit"),
    Option("seconds", "N", "end after so many seconds; 0: no limit"),
)

INTERRUPTED = "interrupted"
ALL_WATCHED = "every process is watched"


class Limits:
    """The limits given as options, or those that hold without. BadFilter."""

    def __init__(self, options: Mapping[str, str], *, count: int, seconds: int) -> None:
        self.count = _number(options, "count", count)
        self.seconds = _number(options, "seconds", seconds)

    def beginning(self, what: str) -> str:
        """Said once everything that passes is seen. `what`: is counted."""
        ends = [f"{self.count} {what}"] if self.count else []
        ends += [f"{self.seconds} seconds"] if self.seconds else []
        return f"{ALL_WATCHED}; ends after {' or '.join(ends)}" if ends else ALL_WATCHED

    @property
    def why(self) -> str:
        """Said when the time is over."""
        return f"the limit of {self.seconds} seconds (--seconds=0 for none)"


def _number(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise BadFilter(f"--{name}={text}: a number is needed")
    return int(text)
