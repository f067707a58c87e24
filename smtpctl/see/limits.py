"""Where watching ends by itself: after so many messages or seconds. 0 is no limit."""

from collections.abc import Mapping

from ..commands.selection import BadFilter
from ..matching import Option

LIMITS = (
    Option("count", "N", "end after so many messages; 0: no limit"),
    Option("seconds", "N", "end after so many seconds; 0: no limit"),
)


class Limits:
    """The limits given as options, or those that hold without. BadFilter."""

    def __init__(self, options: Mapping[str, str], *, count: int, seconds: int) -> None:
        self.count = _number(options, "count", count)
        self.seconds = _number(options, "seconds", seconds)

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
