"""pause, resume, show status, log, trace, untrace.

JSON of `show status`: "mda", "mta", "smtp", each "running" or "paused". Of the others:
{"done": true, "number": 1}.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smtpd.messages.client_control import (
    ClientPause,
    ClientResume,
    ClientSetTrace,
    ClientSetVerbose,
    ClientShowStatus,
)

from ..invocation import Invocation
from ..matching import Parameter
from .again import watched

_SUCCEEDED = "command succeeded"

type Run = Callable[[Invocation, Sequence[Parameter], Mapping[str, str]], int]


def _sender(request: Any) -> Run:
    def run(invocation: Invocation, _parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
        """A request that is always the same."""
        return invocation.output.done(_SUCCEEDED, invocation.client.ask(request))

    return run


pause_mda = _sender(ClientPause("mda"))
pause_mta = _sender(ClientPause("mta"))
pause_smtp = _sender(ClientPause("smtp"))
resume_mda = _sender(ClientResume("mda"))
resume_mta = _sender(ClientResume("mta"))
resume_smtp = _sender(ClientResume("smtp"))
log_brief = _sender(ClientSetVerbose(0))
log_verbose = _sender(ClientSetVerbose(1))


def trace(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """trace SUBSYSTEM."""
    return _set_trace(invocation, parameters[0].value, True)


def untrace(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """untrace SUBSYSTEM."""
    return _set_trace(invocation, parameters[0].value, False)


def _set_trace(invocation: Invocation, subsystem: str, on: bool) -> int:
    return invocation.output.done(_SUCCEEDED, invocation.client.ask(ClientSetTrace(subsystem, on)))


@watched
def show_status(invocation: Invocation, _parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """show status."""
    for _reqid, *running in invocation.client.rows(ClientShowStatus()):
        words = ["running" if each else "paused" for each in running]
        status = dict(zip(("mda", "mta", "smtp"), words, strict=True))
        invocation.output.row([f"{name.upper()} {word}" for name, word in status.items()], status)
    return 0
