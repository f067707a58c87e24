"""The programs smtpctl, mailq, sendmail, newaliases and makemap: from argv to the exit status."""

import os
import sys
from collections.abc import Sequence

from . import sendmail as submitting
from .client import ControlError
from .commands.selection import BadFilter
from .commands.table import TABLE
from .invocation import Invocation
from .matching import Match, NoMatch
from .offline import OfflineError
from .output import Output
from .places import find_places

_USAGE = "usage: smtpctl [--state DIR] [--json] command [argument ...]"
_INTERRUPTED = 130


class _Usage(Exception):
    """The options before the command are wrong."""


def main(argv: Sequence[str] | None = None) -> int:
    """smtpctl: the exit status. 0: done; 1: the daemon did not do it; else one of sysexits.h."""
    return _run(list(sys.argv[1:] if argv is None else argv))


def mailq(argv: Sequence[str] | None = None) -> int:
    """mailq: `smtpctl show queue`."""
    words = list(sys.argv[1:] if argv is None else argv)
    return _run(["show", "queue", *words])


def sendmail(argv: Sequence[str] | None = None) -> int:
    """sendmail: submit a message; -bp is mailq, -bi newaliases, -q `smtpctl schedule all`."""
    words = list(sys.argv[1:] if argv is None else argv)
    _let_bytes_through()
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
    """newaliases: not there yet."""
    return _unavailable("newaliases", "aliases are read from their text file; there is no database to make")


def makemap(argv: Sequence[str] | None = None) -> int:
    """makemap: not there yet."""
    return _unavailable("makemap", "tables of type db are not supported by this version; use file tables")


def _unavailable(program: str, reason: str) -> int:
    print(f"{program}: {reason}", file=sys.stderr)
    return os.EX_UNAVAILABLE


def _run(words: list[str]) -> int:
    _let_bytes_through()
    try:
        words, state, as_json = _take_options(words)
    except _Usage as error:
        print(f"smtpctl: {error}\n{_USAGE}", file=sys.stderr)
        return os.EX_USAGE
    output = Output(as_json=as_json)
    try:
        match = TABLE.match(words)
    except NoMatch as no_match:
        return _explain(no_match, output)
    invocation = Invocation(find_places(state, os.environ), output)
    try:
        status = _execute(match, invocation, output)
        output.flush()
    except BrokenPipeError:
        # Whoever read has gone, `head` for one. What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return os.EX_IOERR
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        invocation.close()
    return status


def _execute(match: Match, invocation: Invocation, output: Output) -> int:
    try:
        return match.command.run(invocation, match.parameters, match.options)
    except NoMatch as no_match:
        return _explain(no_match, output)
    except BadFilter as error:
        output.complain(f"smtpctl: {error}")
        return os.EX_USAGE
    except (ControlError, OfflineError) as error:
        if error.status == 1:
            return output.failed(str(error))
        if output.as_json:
            output.failed(str(error))
        output.complain(f"smtpctl: {error}")
        return error.status


def _explain(no_match: NoMatch, output: Output) -> int:
    output.complain(f"smtpctl: {no_match.reason}")
    if no_match.suggestions:
        output.complain(f"did you mean: {', '.join(no_match.suggestions)}?")
    output.complain("possibilities are:")
    for possibility in no_match.possibilities:
        output.complain(possibility)
    return os.EX_USAGE


def _take_options(words: list[str]) -> tuple[list[str], str | None, bool]:
    """The words without --state DIR and --json, wherever these stand before a lone "--"; their values."""
    left: list[str] = []
    state: str | None = None
    as_json = False
    waiting = iter(words)
    for word in waiting:
        if word == "--":
            left += [word, *waiting]
        elif word == "--json":
            as_json = True
        elif word == "--state":
            state = next(waiting, None)
            if state is None:
                raise _Usage("--state needs a folder")
        elif word.startswith("--state="):
            state = word.removeprefix("--state=")
        else:
            left.append(word)
    return left, state, as_json


def _let_bytes_through() -> None:
    """Text from a spool may hold bytes that are no UTF-8: they come out as they are, in any locale."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="surrogateescape")


if __name__ == "__main__":
    sys.exit(main())
