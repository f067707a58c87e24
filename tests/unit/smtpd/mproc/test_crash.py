"""smtpd/mproc/crash.py: places, and never what was worked on."""

import signal
import subprocess
import sys
from pathlib import Path

from imsg import Recorder
from smtpd.mproc import crash

SECRET = "a password and a mail"


def _fails() -> None:
    raise ValueError(SECRET)


def _fails_because() -> None:
    try:
        _fails()
    except ValueError as error:
        raise RuntimeError(SECRET) from error


def caught(fails: object) -> BaseException:
    try:
        assert callable(fails)
        fails()
    except Exception as error:
        return error
    raise AssertionError


def test_where_but_not_what() -> None:
    lines = crash.last_words(caught(_fails)).splitlines()
    assert lines[-1] == "builtins.ValueError"
    assert lines[-2].startswith(f'  File "{__file__}", line ') and lines[-2].endswith(", in _fails")
    assert SECRET not in "\n".join(lines)


def test_the_cause_follows() -> None:
    text = crash.last_words(caught(_fails_because))
    assert text.count("which came while handling, or because of:") == 1
    assert text.index("builtins.RuntimeError") < text.index("builtins.ValueError")
    assert "in _fails_because" in text and SECRET not in text


def test_a_circle_of_causes_ends() -> None:
    one, other = ValueError(SECRET), KeyError(SECRET)
    one.__context__, other.__context__ = other, one
    assert crash.last_words(one).splitlines() == [
        "builtins.ValueError",
        "which came while handling, or because of:",
        "builtins.KeyError",
    ]


def test_a_deep_recursion_is_cut() -> None:
    def deep(more: int) -> None:
        if more:
            deep(more - 1)
        raise ValueError

    lines = crash.last_words(caught(lambda: deep(200))).splitlines()
    assert len(lines) == 51 and all(line.endswith("in deep") for line in lines[:-1])


def test_left_where_parent_finds_it() -> None:
    recorder = Recorder(entries=4)
    crash.leave(recorder, "here")
    assert Recorder.read_note(recorder.memory) == "here"
    crash.leave(None, "nowhere")


CODE = """
import mmap, os, resource, signal, sys
from imsg import Recorder
from smtpd.mproc import crash

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, Recorder.size(4))
recorder = Recorder(mmap.mmap(fd, Recorder.size(4)), entries=4)
crash.catch_signals(fd)

def dies():
    os.kill(os.getpid(), signal.SIGSEGV)

dies()
"""


def test_a_fatal_signal_leaves_the_place(tmp_path: Path) -> None:
    root = Path(crash.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "memory")], cwd=root, timeout=30, check=False
    )
    assert done.returncode == -signal.SIGSEGV
    note = Recorder.read_note((tmp_path / "memory").read_bytes())
    assert "Segmentation fault" in note and "in dies" in note
