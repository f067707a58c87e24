"""Whatever a process that went wrong has left in its recorder's memory: everything that shows it goes on, and
what it shows is text without commands to a terminal."""

import json
import tempfile
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path
from xml.etree import ElementTree

import chrome_trace as checker
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic import Traffic

from imsg import Recorder, layout
from smtpctl.commands.recorder import header_line, header_values
from smtpctl.see import line
from smtpctl.see.chrome import chrome_trace
from smtpctl.see.crashes import CrashFile
from smtpctl.see.drawing import svg
from smtpctl.see.flow import NoFlow, everything, flow_of, join, mails_in
from smtpctl.see.folded import folded
from smtpctl.see.ladder import ladder
from smtpctl.see.mermaid import mermaid
from smtpctl.see.page_writer import write_page
from smtpctl.see.pcapng import CaptureReader, CaptureWriter
from smtpd.mproc.taping import rules
from smtpd.parent.crash import write_crash_file

ENTRIES = 32
SIZE = Recorder.size(ENTRIES, layout.MIN_TAPE)
TAPE_AT = layout.ENTRIES_AT + ENTRIES * layout.ENTRY.size
HOSTILE = '"</script><script>alert(1)</script>\x1b]0;x\x07\n<img src=x onerror=alert(1)>'


def memories() -> dict[str, bytearray]:
    """Two processes that have passed each other mails from a hostile sender."""
    made = {}
    for name in ("pony", "queue"):
        recorder = Recorder(bytearray(SIZE), entries=ENTRIES)
        recorder.tape_on(rules())
        recorder.note("was here")
        for msgid in (0x11111111, 0x22222222):
            for seen in Traffic().mail(msgid, 7, f"{HOSTILE.replace('@', '')}@b.test"):
                if seen.owner == name:
                    header = [seen.type], [seen.length], [seen.peerid], [seen.pid], [False]
                    payload = seen.payload if seen.payload is not None else b"\x90"
                    recorder.write(seen.flags & 1, recorder.channel(seen.other), *header, [payload])
        made[name] = bytearray(recorder.memory)
    return made


WHOLE = memories()
# Where something interesting stands: the head, channels' names, the note, entries, the tape's first records.
PLACES = (
    st.integers(0, layout.NAMES_AT + 4 * layout.NAME_SIZE)
    | st.integers(layout.NOTE_AT, layout.NOTE_AT + 16)
    | st.integers(layout.ENTRIES_AT, SIZE - 1)
    | st.integers(TAPE_AT, TAPE_AT + 2000)
)
CHANGES = st.lists(st.tuples(st.sampled_from(["pony", "queue"]), PLACES, st.binary(min_size=1, max_size=12)))


def changed(changes: list[tuple[str, int, bytes]]) -> dict[str, bytes]:
    made = {name: bytearray(memory) for name, memory in WHOLE.items()}
    for name, at, data in changes:
        data = data[: SIZE - at]
        made[name][at : at + len(data)] = data
    return {name: bytes(memory) for name, memory in made.items()}


def lines_of(crash: CrashFile) -> Iterator[str]:
    """All lines that a terminal would get."""
    for when, process, entry in crash.entries():
        yield header_line(when, process, entry)
        json.dumps(header_values(when, process, entry))
    messages = join(crash.sightings(), handlers=True)
    flow = everything(messages)
    lines = line.Lines(full=True)
    for message in messages:
        yield from lines.of(message)
        json.dumps(line.values(message))
    yield from ladder(flow)
    yield from folded(messages)
    yield from mermaid(flow)
    for msgid in mails_in(messages)[:3]:
        try:
            yield from ladder(flow_of(messages, f"{msgid:08x}"))
        except NoFlow as error:
            yield str(error)


@settings(max_examples=25)
@given(CHANGES)
def test_everything_that_shows_it_goes_on(changes: list[tuple[str, int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        blocks = {name: (100, memory) for name, memory in changed(changes).items()}
        crash = CrashFile(str(write_crash_file(Path(folder), "pony", 100, "was killed", blocks)))
    for text in lines_of(crash):
        assert text.isprintable(), text
    seen = crash.sightings()
    flow = everything(join(seen, handlers=True))
    ElementTree.fromstring("\n".join(svg(flow)))
    checker.check(f"{text}\n" for text in chrome_trace(flow))
    page = StringIO()
    write_page(page, flow.messages, "a title")
    assert page.getvalue().count("<script") == page.getvalue().count("</script>")
    assert "<img" not in page.getvalue() and "alert(1)" not in page.getvalue()
    file = BytesIO()
    writer = CaptureWriter(file)
    for each in seen:
        writer.write(each)
    writer.finish(0)
    file.seek(0)
    assert len(list(CaptureReader(file))) == len(seen)


def test_unchanged_it_is_all_there() -> None:
    with tempfile.TemporaryDirectory() as folder:
        blocks = {name: (100, bytes(memory)) for name, memory in WHOLE.items()}
        crash = CrashFile(str(write_crash_file(Path(folder), "pony", 100, "was killed", blocks)))
    names = {message.name for message in join(crash.sightings())}
    assert {"CreateMessage", "DeliverMda", "DeliveryOk"} <= names
    assert crash.last_words == "was here"
    assert any("script" in text for text in lines_of(crash))
