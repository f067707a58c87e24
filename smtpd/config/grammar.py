"""The whole file: statements one after another, macros, include, and how to go on after a fault.

Holds `read_statements`. OpenSMTPD goes on after the next line end; so does this, but it takes the rest of a
list in braces with the statement that was refused. Must not hold what a statement means.
"""

from collections.abc import Callable

from smtpd.config import action, filters, listen, match, settings, table
from smtpd.config.errors import ConfigError, did_you_mean
from smtpd.config.keywords import KEYWORDS, STATEMENTS
from smtpd.config.lexer import END, NEWLINE, STRING, IncludeError, LexicalError
from smtpd.config.parser import Fault, Parser

MAX_ERRORS = 100
"""After so many faults the rest of a file is not read."""


def _include(p: Parser) -> None:
    p.take()
    name = p.string("the file's name")
    try:
        p.lexer.include(name.value)
    except IncludeError as error:
        raise p.fail(f"failed to include file {name.value}", name, str(error)) from None


STATEMENT: dict[str, Callable[[Parser], None]] = {
    "action": action.action,
    "admd": settings.admd,
    "bounce": settings.bounce,
    "ca": settings.ca,
    "filter": filters.filter_statement,
    "include": _include,
    "listen": listen.listen,
    "match": match.match,
    "mda": settings.mda,
    "mta": settings.mta,
    "pki": settings.pki,
    "proc": settings.proc,
    "queue": settings.queue,
    "scheduler": settings.scheduler,
    "smtp": settings.smtp,
    "srs": settings.srs,
    "table": table.table,
}
assert STATEMENT.keys() == STATEMENTS


def read_statements(p: Parser) -> list[ConfigError]:
    """Read all there is into `p.draft`; the faults, in order of reading."""
    errors: list[ConfigError] = []
    while len(errors) < MAX_ERRORS:
        p.depth = 0
        try:
            if not _statement(p):
                break
        except Fault as fault:
            p.refused()
            if fault.error is not None:
                errors.append(fault.error)
            _recover(p, errors)
        except LexicalError as error:
            p.refused()
            if error.error is not None:
                errors.append(error.error)
            if p.depth > 0:
                _recover(p, errors)
    return errors


def _statement(p: Parser) -> bool:
    """One statement and the end of its line; False at the end of everything."""
    token = p.first = p.peek()
    if token.kind == NEWLINE:
        p.take()
        return True
    if token.kind == END:
        return False
    if token.kind == STRING:
        _macro(p)
    elif token.kind in STATEMENT:
        STATEMENT[token.kind](p)
    elif token.kind in KEYWORDS:
        raise _no_statement(p)
    else:
        raise p.syntax_error("a statement")
    if not p.at(NEWLINE):
        raise p.syntax_error()
    p.take()
    return True


def _no_statement(p: Parser) -> Fault:
    """The fault of a reserved word that begins no statement; if it was meant to be a macro, nobody is to miss
    that."""
    token = p.take()
    message = f'syntax error: "{token.value}" does not begin a statement'
    plain = p.problem(message, token)
    if p.peek().kind != "=":
        return Fault(plain)
    p.lexer.refused.add(token.value)
    return Fault(plain._replace(hint=f'"{token.value}" is a reserved word, it cannot be the name of a macro'))


def _macro(p: Parser) -> None:
    """`NAME = VALUE`."""
    name = p.take()
    if p.peek().kind != "=":
        hint = did_you_mean(name.value, STATEMENTS)
        raise p.fail(f'syntax error: unknown statement "{name.value[:60]}"', name, hint)
    p.take()
    value = p.string("the macro's value")
    if any(c in " \t\n\v\f\r" for c in name.value[1:]):
        raise p.fail("macro name cannot contain whitespace", name)
    p.lexer.define(name.value, value.value, name.start)


def _recover(p: Parser, errors: list[ConfigError]) -> None:
    """Go on after the refused statement: at the end of its line, or of the list in braces it is in.

    A word within a list that begins a statement, at the start of a line, is taken for the next statement.
    """
    while len(errors) < MAX_ERRORS:
        try:
            token = p.peek()
            if token.kind == END or (p.depth > 0 and p.at_line_start() and token.kind in STATEMENTS):
                return
            if token.kind == "\r":
                p.lexer.tolerate_crlf = True
            p.take()
            if token.kind == NEWLINE and p.depth <= 0:
                return
        except LexicalError as error:
            if error.error is not None:
                errors.append(error.error)
            if p.depth <= 0:
                return
