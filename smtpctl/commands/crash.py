"""show crash: how a process of the daemon died, where it was, and what all of them said last.

JSON: first {"file", "time", "process", "pid", "ending", "last_words" (list of lines), "version"}, then the
last messages as `show recorder` has them. `show flow --read=FILE` draws a crash file's messages if somebody
was watching.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..failure import BadFilter
from ..invocation import Invocation
from ..matching import Option, Parameter
from ..places import STATE_CRASHES, SYSTEM_CRASHES
from ..see.crashes import CrashError, CrashFile
from .recorder import header_line, header_values, last_of

OPTIONS = (Option("last", "N", "only so many of the last messages (100; 0: all that are there)"),)


def show_crash(invocation: Invocation, parameters: Sequence[Parameter], options: Mapping[str, str]) -> int:
    """show crash [FILE]: the newest there is, or that one."""
    path = parameters[0].value if parameters else _newest(invocation)
    try:
        crash = CrashFile(path)
    except OSError as error:
        raise BadFilter(f"{path}: {error.strerror}") from None
    except CrashError as error:
        raise BadFilter(f"{path}: {error}") from None
    words = crash.last_words.splitlines()
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(crash.time))
    lines = [f"{path}", f"{when} {crash.process} (pid {crash.pid}) {crash.ending}; smtpd {crash.version}"]
    lines += words or ["it had no time to say where it was"]
    values = {
        "file": path,
        "time": crash.time,
        "process": crash.process,
        "pid": crash.pid,
        "ending": crash.ending,
        "last_words": words,
        "version": crash.version,
    }
    invocation.output.row(lines, values)
    for moment, process, entry in crash.entries()[-last_of(options) :]:
        invocation.output.row(header_line(moment, process, entry), header_values(moment, process, entry))
    return 0


def _newest(invocation: Invocation) -> str:
    state = invocation.places.state
    folder = Path(SYSTEM_CRASHES) if state is None else Path(state, STATE_CRASHES)
    try:
        found = sorted(path for path in folder.iterdir() if path.name.startswith("crash-"))
    except FileNotFoundError:
        found = []
    except OSError as error:
        raise BadFilter(f"{folder}: {error.strerror}") from None
    if not found:
        raise BadFilter(f"no crash file in {folder}")
    return str(found[-1])
