"""show flow: the way of one mail through the processes, out of the running daemon's tapes, a capture or a
crash file.

Without a format a ladder in the terminal. JSON: an object a message, as `trace imsg --watch`.
"""

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence

from ..failure import BadFilter
from ..invocation import Invocation
from ..matching import Option, Parameter
from ..see import line
from ..see.chrome import chrome_trace
from ..see.crashes import CrashError, CrashFile
from ..see.drawing import svg
from ..see.flow import Flow, NoFlow, everything, flow_of, join
from ..see.folded import folded
from ..see.joining import Message
from ..see.ladder import ladder
from ..see.mermaid import mermaid
from ..see.page_writer import write_page
from ..see.pcapng import CaptureError, CaptureReader
from ..see.watching import on_tape, recorders
from .watch import in_colour

FORMATS = ("mermaid", "svg", "html", "perfetto", "folded")
OPTIONS = (
    Option("read", "FILE", "out of a capture (see capture) or a crash file, not the running daemon"),
    Option("mermaid", "", "as a Mermaid sequence diagram"),
    Option("svg", "", "as a drawing"),
    Option("html", "", "as a page, in one file: all that is there, with this mail picked"),
    Option("perfetto", "", "for ui.perfetto.dev and chrome://tracing"),
    Option("folded", "", "where time went, as collapsed stacks for a flame graph"),
    Option("colour", "WHEN", "always, never or auto (to a terminal)"),
)


def show_flow(invocation: Invocation, parameters: Sequence[Parameter], options: Mapping[str, str]) -> int:
    """show flow MSGID|EVPID|SESSION|all."""
    formats = [name for name in FORMATS if name in options]
    if len(formats) > 1:
        raise BadFilter(f"one format at a time, not --{' and --'.join(formats)}")
    colour = in_colour(options)
    wanted: str = parameters[0].value.lower()
    messages, lost = _messages(invocation, options, handlers=formats in (["perfetto"], ["folded"]))
    try:
        flow = everything(messages) if wanted == "all" else flow_of(messages, wanted)
    except NoFlow as error:
        return invocation.output.failed(str(error))
    if lost:
        invocation.output.complain(f"{lost} sightings are missing in the capture")
    match formats:
        case ["mermaid"]:
            _write(mermaid(flow))
        case ["svg"]:
            _write(svg(flow))
        case ["perfetto"]:
            _write(chrome_trace(flow))
        case ["folded"]:
            _write(folded(flow.messages))
        case ["html"]:
            pick = _mail_of(flow) if wanted != "all" else ""
            title = "smtpd: all messages" if wanted == "all" else f"smtpd: {flow.title}"
            write_page(sys.stdout, messages, title, lost=lost, pick=pick)
        case _ if invocation.output.as_json:
            for message in flow.messages:
                invocation.output.row("", line.values(message))
        case _:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
            for text in ladder(flow, width=width, colour=colour):
                invocation.output.text(text)
    return 0


def _mail_of(flow: Flow) -> str:
    """The mail that most of it is about, in hex."""
    counts: dict[int, int] = {}
    for message in flow.messages:
        for msgid in message.ids.msgids:
            counts[msgid] = counts.get(msgid, 0) + 1
    return f"{max(counts, key=lambda msgid: counts[msgid]):08x}" if counts else ""


def _messages(
    invocation: Invocation, options: Mapping[str, str], handlers: bool
) -> tuple[list[Message], int]:
    """All messages there are, and how many sightings were lost."""

    def too_many(number: int) -> None:
        invocation.output.complain(f"only the last messages are looked at: {number} came before them")

    path = options.get("read")
    if path is None:
        return join(on_tape(recorders(invocation.client)), handlers=handlers), 0
    try:
        with open(path, "rb") as file:
            if file.peek(2)[:2] == b"\x1f\x8b":
                return join(CrashFile(path).sightings(), handlers=handlers), 0
            reader = CaptureReader(file)
            return join(reader, handlers=handlers, too_many=too_many), reader.info.lost
    except OSError as error:
        raise BadFilter(f"{path}: {error.strerror}") from None
    except (CaptureError, CrashError) as error:
        raise BadFilter(f"{path}: {error}") from None


def _write(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{text}\n" for text in lines)
