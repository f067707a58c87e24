"""check queue: whether every message and envelope in the spool can be used. Nothing is changed.

Read from the spool's files, with or without a daemon; what is delivered meanwhile is no fault. JSON: an
object a problem with "message" (hex) and "problem"; at the end {"messages", "envelopes", "problems"}.
Exit status 1 when there are problems.
"""

import time
from collections.abc import Mapping, Sequence

from smtpd.mail.ids import format_evpid, format_msgid

from .. import offline
from ..invocation import Invocation
from ..matching import Parameter
from .envelopes import PROGRESS_SECONDS


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def check_queue(invocation: Invocation, _parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """check queue."""
    output = invocation.output
    messages = envelopes = problems = 0
    shown = time.monotonic()

    def problem(msgid: int, text: str) -> None:
        output.progress("")
        output.row(
            f"message {format_msgid(msgid)}: {text}", {"message": format_msgid(msgid), "problem": text}
        )

    for found in offline.check(invocation.spool):
        if found.problem:
            problems += 1
            problem(found.msgid, found.problem)
        messages += 1
        envelopes += found.envelopes
        for evpid, text in found.bad:
            problems += 1
            problem(found.msgid, f"envelope {format_evpid(evpid)}: {text}")
        if time.monotonic() - shown >= PROGRESS_SECONDS:
            shown = time.monotonic()
            output.progress(f"{_count(messages, 'message')} checked until now")
    aside = offline.set_aside(invocation.spool)
    for name in aside:
        problems += 1
        msgid = int(name[:8], 16)
        problem(msgid, f"set aside in corrupt/{name} (smtpctl uncorrupt {format_msgid(msgid)} puts it back)")
    output.progress("")
    output.row(
        f"{_count(messages, 'message')}, {_count(envelopes, 'envelope')}, {_count(problems, 'problem')}",
        {"messages": messages, "envelopes": envelopes, "problems": problems},
    )
    return 1 if problems else 0
