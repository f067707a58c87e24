"""The programs smtpctl, mailq, sendmail, newaliases and makemap: from argv to the exit status.

Each loads what it needs itself: sendmail is called for every mail that cron or a web page sends.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from .places import find_places


def main(argv: Sequence[str] | None = None) -> int:
    """smtpctl: the exit status. 0: done; 1: the daemon did not do it; else one of sysexits.h."""
    return _run(_words(argv))


def mailq(argv: Sequence[str] | None = None) -> int:
    """mailq: `smtpctl show queue`."""
    return _run(["show", "queue", *_words(argv)])


def sendmail(argv: Sequence[str] | None = None) -> int:
    """sendmail: submit a message; -bp is mailq, -bi newaliases, -q `smtpctl schedule all`."""
    from . import sendmail as submitting

    words = _words(argv)
    try:
        options = submitting.parse(words)
    except submitting.Usage:
        return submitting.main(words)  # which says what is wrong
    if options.mode == "p":
        return _run(["show", "queue"])
    if options.mode == "i":
        return newaliases([])
    if options.flush:
        return _run(["schedule", "all"])
    return submitting.main(words)


def newaliases(argv: Sequence[str] | None = None) -> int:
    """newaliases: have the daemon see what was changed in the aliases."""
    from . import newaliases as program

    return program.main(_words(argv), find_places(None, os.environ))


def makemap(argv: Sequence[str] | None = None) -> int:
    """makemap: a table's text into a database."""
    from . import makemap as program

    return program.main(_words(argv))


def leave(program: Callable[[], int]) -> NoReturn:
    """Run one and end the process. Taking apart what was loaded would take as long as many a command.

    What cannot be written, because the disk is full, is said where that is possible.
    """
    try:
        status = program()
    except OSError as error:
        status = os.EX_IOERR
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{program.__name__}: {error}\n")
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # whoever read it has gone
        status = status or os.EX_IOERR
    os._exit(status)


def _words(argv: Sequence[str] | None) -> list[str]:
    _open_streams()
    _let_bytes_through()
    return list(sys.argv[1:] if argv is None else argv)


def _run(words: list[str]) -> int:
    from .running import run

    return run(words)


def _open_streams() -> None:
    """Whoever closed one of the standard streams reads nothing, and is told nothing.

    What is opened later must not get the number of one of them, either.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            file = os.open(os.devnull, os.O_RDWR)
            if file != number:
                os.dup2(file, number)
                os.close(file)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))


def _let_bytes_through() -> None:
    """Text from a spool may hold bytes that are no UTF-8: they come out as they are, in any locale."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="surrogateescape")


if __name__ == "__main__":
    leave(main)
