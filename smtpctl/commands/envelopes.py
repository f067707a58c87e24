"""schedule, remove, pause envelope, resume envelope, discover, uncorrupt.

JSON: {"done": true, "number": N}.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from smtpd.messages.client_control import ClientChangeEnvelopes, ClientDiscover, ClientUncorrupt

from ..invocation import Invocation
from ..matching import Parameter
from ..output import plural

PROGRESS_SECONDS = 0.2
"""How often a long change says how far it is."""


def _changer(change: str, done: str) -> Callable[[Invocation, Sequence[Parameter], Mapping[str, str]], int]:
    def run(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
        """An evpid, a msgid, or all."""
        identifier = parameters[0].value if parameters else 0
        output = invocation.output
        rows = invocation.client.rows(ClientChangeEnvelopes(change, identifier))
        shown = 0.0
        while True:
            try:
                row = next(rows)
            except StopIteration as end:
                number = int(end.value)
                break
            if time.monotonic() - shown >= PROGRESS_SECONDS:
                shown = time.monotonic()
                output.progress(f"{plural(row.number, 'envelope')} {done} until now")
        if shown:
            output.progress("")
        return output.done(f"{plural(number, 'envelope')} {done}", number)

    return run


schedule = _changer("schedule", "scheduled")
remove = _changer("remove", "removed")
pause_envelope = _changer("suspend", "paused")
resume_envelope = _changer("resume", "resumed")


def discover(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """discover EVPID|MSGID: what was moved into the queue's folder by hand is scheduled."""
    number = invocation.client.ask(ClientDiscover(parameters[0].value))
    return invocation.output.done(f"{number} envelope{'' if number == 1 else 's'} discovered", number)


def uncorrupt(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """uncorrupt MSGID."""
    return invocation.output.done(
        "command succeeded", invocation.client.ask(ClientUncorrupt(parameters[0].value))
    )
