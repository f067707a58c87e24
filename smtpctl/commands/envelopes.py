"""schedule, remove, pause envelope, resume envelope, discover, uncorrupt.

JSON: {"done": true, "number": N}.
"""

from collections.abc import Callable, Mapping, Sequence

from smtpd.messages.client_control import ClientChangeEnvelopes, ClientDiscover, ClientUncorrupt

from ..invocation import Invocation
from ..matching import Parameter
from ..output import plural


def _changer(change: str, done: str) -> Callable[[Invocation, Sequence[Parameter], Mapping[str, str]], int]:
    def run(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
        """An evpid, a msgid, or all."""
        identifier = parameters[0].value if parameters else 0
        number = invocation.client.ask(ClientChangeEnvelopes(change, identifier))
        return invocation.output.done(f"{plural(number, 'envelope')} {done}", number)

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
