"""`--watch=SECONDS`: the result of a command again and again, until interrupted."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps

from ..failure import BadFilter
from ..invocation import Invocation
from ..matching import Option, Parameter

WATCH = Option("watch", "SECONDS", "again and again, with a pause of so many seconds")

OPTIONS = (WATCH,)

SHORTEST, LONGEST = 0.1, 86400.0

type Run = Callable[[Invocation, Sequence[Parameter], Mapping[str, str]], int]


def watched(run: Run) -> Run:
    """A command that takes the option WATCH. At a terminal each result takes the place of the one before."""

    @wraps(run)
    def again(invocation: Invocation, parameters: Sequence[Parameter], options: Mapping[str, str]) -> int:
        if WATCH.name not in options:
            return run(invocation, parameters, options)
        seconds = _seconds(options[WATCH.name])
        while True:
            with invocation.output.screen():
                status = run(invocation, parameters, options)
            if status:
                return status
            time.sleep(seconds)
            invocation.now = int(time.time())

    return again


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not SHORTEST <= seconds <= LONGEST:
        raise BadFilter(f"{text!r} is no pause in seconds")
    return seconds
