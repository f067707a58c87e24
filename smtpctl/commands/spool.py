"""show envelope, show message: read from the spool's files, with or without a daemon.

JSON of `show envelope`: one object, field: value, as in the file. A message is never wrapped into JSON.
"""

from collections.abc import Mapping, Sequence

from smtpd.mail.ids import make_evpid

from .. import offline
from ..invocation import Invocation
from ..matching import Parameter


def show_envelope(
    invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]
) -> int:
    """show envelope EVPID."""
    text = offline.envelope_text(invocation.spool, parameters[0].value)
    if not invocation.output.as_json:
        invocation.output.raw((text,))
        return 0
    lines = text.decode("utf-8", "surrogateescape").splitlines()
    fields = (line.partition(":") for line in lines)
    invocation.output.row("", {name.strip(): value.strip() for name, _, value in fields if name})
    return 0


def show_message(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """show message MSGID|EVPID."""
    kind, value = parameters[0]
    evpid = value if kind == "evpid" else make_evpid(value, 0)
    invocation.output.raw(offline.message_content(invocation.spool, evpid))
    return 0
