"""Our own program inside of a wrapper (smtpd.delivery.wrapped): its command line, and who can run it.

Unlike agents, which are forked by a process that has loaded everything, it is an interpreter of its own,
started by a user: what it needs must be there for that user.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import smtpd

PACKAGES = Path(smtpd.__file__).resolve().parent.parent
STANDARD = Path(os.__file__).resolve().parent
"""The standard library."""

SHARED = {
    Path(line.split(maxsplit=5)[5])
    for line in Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()
    if "/libpython" in line
}
"""The interpreter's library, where it is built with one; this process has it loaded too."""

_MODULE = "smtpd.delivery.wrapped"
_ENV = "/usr/bin/env"
_OURS = ("delivery", "mail", "protocol", "protocol/smtp")
"""Folders of smtpd of which it loads something."""

_THEIRS = ("collections", "encodings", "importlib", "lib-dynload", "re")
"""Those of the standard library."""


def command_words(words: list[str]) -> list[str]:
    """The command line by which a user's shell, or a wrapper without one, runs it with these words."""
    return [_ENV, f"PYTHONPATH={PACKAGES}", sys.executable, "-P", "-m", _MODULE, *words]


def check_reachable(uid: int, gid: int) -> None:
    """Can that user, with that group, run it and read all that it loads? OSError, which says what is closed.

    It would fail in the user's hands as well; only then nobody is told why.
    """
    interpreter = Path(sys.executable)
    for program in (Path(_ENV), interpreter, interpreter.resolve()):
        _check_way(program, uid, gid)
        _check(program, program.stat(), stat.S_IXOTH, uid, gid)
    for library in SHARED:
        _check_way(library, uid, gid)
        _check(library, library.stat(), stat.S_IROTH, uid, gid)
    for settings in (interpreter.parent / "pyvenv.cfg", interpreter.parent.parent / "pyvenv.cfg"):
        if settings.exists():  # where the standard library is, for an interpreter in a virtual environment
            _check(settings, settings.stat(), stat.S_IROTH, uid, gid)
    for folder in loaded_from():
        _check_way(folder, uid, gid)
        _check(folder, folder.stat(), stat.S_IROTH | stat.S_IXOTH, uid, gid)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith((".py", ".so")) and not entry.name.startswith("."):
                    _check(entry.path, entry.stat(), stat.S_IROTH, uid, gid)


def loaded_from() -> Iterator[Path]:
    """The folders that hold all modules it loads."""
    ours = PACKAGES / "smtpd"
    yield ours
    yield from (ours / name for name in _OURS)
    yield STANDARD
    yield from (folder for name in _THEIRS if (folder := STANDARD / name).is_dir())


def _check_way(path: Path, uid: int, gid: int) -> None:
    for folder in path.parents:
        _check(folder, folder.stat(), stat.S_IXOTH, uid, gid)


def _check(path: Path | str, status: os.stat_result, wanted: int, uid: int, gid: int) -> None:
    """`wanted`: bits as others have them. The class that the user is in decides, as for the system."""
    shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
    if status.st_mode >> shift & wanted != wanted:
        raise PermissionError(
            errno.EACCES, f"users cannot {'read' if wanted & stat.S_IROTH else 'enter'} {path}"
        )
