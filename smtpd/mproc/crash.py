"""What a process leaves in its recorder's memory when it dies, for the crash file that parent writes.

Where it was, in the code, and nothing of what it worked on: an exception's own text may quote a mail or a
password, so it goes to the log alone. For a signal such as SIGSEGV the interpreter itself writes the place.
"""

import faulthandler
import os
import traceback

from imsg import Recorder
from imsg.layout import NOTE_AT


def last_words(error: BaseException) -> str:
    """A traceback without the exceptions' texts and without source lines. Never raises."""
    lines: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if lines:
            lines.append("which came while handling, or because of:")
        for frame in traceback.extract_tb(cause.__traceback__, limit=-50):
            lines.append(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}')
        lines.append(f"{type(cause).__module__}.{type(cause).__qualname__}")
        cause = cause.__cause__ or cause.__context__
    return "\n".join(lines)


def leave(recorder: Recorder | None, text: str) -> None:
    """Put a text where parent finds it."""
    if recorder is not None:
        recorder.note(text)


def catch_signals(memory: int) -> None:
    """Have the interpreter write where it was into the recorder's memory when a fatal signal comes.

    `memory`: a descriptor of it, which stays open for as long as the process lives.
    """
    os.lseek(memory, NOTE_AT, os.SEEK_SET)
    faulthandler.enable(memory, all_threads=False)
