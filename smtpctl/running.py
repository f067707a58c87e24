"""One run of smtpctl: from the words of the command line to the exit status."""

import contextlib
import os
import sys

from .commands.table import TABLE
from .failure import Failed
from .invocation import Invocation
from .matching import Match, NoMatch
from .options import UsageError, take_options
from .output import Output
from .places import find_places

_USAGE = "usage: smtpctl [--state DIR] [--json] command [argument ...]"
_INTERRUPTED = 130


def run(words: list[str]) -> int:
    """The exit status. 0: done; 1: the daemon did not do it; else one of sysexits.h."""
    try:
        words, state, as_json = take_options(words)
    except UsageError as error:
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
    except OSError as error:
        # The disk is full, for one. Not by way of `output`, which would try to write the rest first.
        with contextlib.suppress(OSError):
            sys.stderr.write(f"smtpctl: {error}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return os.EX_IOERR
    except KeyboardInterrupt:
        output.interrupted()
        return _INTERRUPTED
    finally:
        invocation.close()
    return status


def _execute(match: Match, invocation: Invocation, output: Output) -> int:
    try:
        return match.command.run(invocation, match.parameters, match.options)
    except NoMatch as no_match:
        return _explain(no_match, output)
    except Failed as error:
        if error.status == 1:
            return output.failed(str(error))
        if output.as_json:
            output.failed(str(error))
        output.complain(f"smtpctl: {error}")
        return error.status


def _explain(no_match: NoMatch, output: Output) -> int:
    if output.as_json:
        output.failed(no_match.reason)
    output.complain(f"smtpctl: {no_match.reason}")
    if no_match.suggestions:
        output.complain(f"did you mean: {', '.join(no_match.suggestions)}?")
    output.complain("possibilities are:")
    for possibility in no_match.possibilities:
        output.complain(possibility)
    return os.EX_USAGE
