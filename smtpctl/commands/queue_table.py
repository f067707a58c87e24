"""The queue for a reader at a terminal: aligned columns, what is wrong in colour. Scripts get queue.line.

An envelope has two lines, what it is and where it goes, and who sent it; a third if its last try failed.
"""

from smtpd.mail.ids import format_evpid

from ..output import Output, duration
from .rows import Row

WIDTHS = (16, 6, 9, 9, 5, 9)
HEAD = ("ENVELOPE", "TYPE", "STATE", "NEXT", "TRIES", "AGE", "TO")
_INDENT = " " * (WIDTHS[0] + 1)
_STYLES = {"inflight": "good", "held": "warn", "paused": "warn"}


def head(output: Output) -> str:
    """The line above all."""
    return output.styled(_line(HEAD), "bold") + "\n"


def entry(output: Output, row: Row, now: int) -> str:
    """The lines of an envelope."""
    envelope, state = row
    runstate = "paused" if state is not None and state.suspended else row.runstate
    due = ""
    if state is not None and state.state == "pending":
        due = f"in {brief(state.time - now)}" if state.time > now else "now"
    elif state is not None:
        due = f"for {brief(now - state.time)}"
    cells = (
        format_evpid(envelope.evpid),
        envelope.type,
        runstate,
        due,
        str(envelope.retry),
        brief(now - envelope.ctime),
        str(envelope.dest),
    )
    first = output.styled(_line(cells), _STYLES.get(runstate, ""))
    sender = str(envelope.sender) if envelope.sender.user else "<>"
    second = _INDENT + output.styled(f"from {sender}", "dim")
    if envelope.dest != envelope.rcpt:
        second += output.styled(f" to {envelope.rcpt}", "dim")
    lines = [first, second]
    if envelope.errorline:
        lines.append(_INDENT + output.styled(envelope.errorline, "bad"))
    return "".join(f"{line}\n" for line in lines)


def brief(seconds: int) -> str:
    """A time span in its two largest units: "3d4h", "12m5s"."""
    text = duration(max(seconds, 0))
    units = [i for i, char in enumerate(text) if char.isalpha()]
    return text[: units[min(1, len(units) - 1)] + 1]


def _line(cells: tuple[str, ...]) -> str:
    columns = (f"{cell:{width}}" for cell, width in zip(cells, WIDTHS, strict=False))
    return " ".join((*columns, cells[-1]))
