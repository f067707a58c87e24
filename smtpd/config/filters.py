"""The `filter` statement, and filters where listeners and actions use them.

Productions filter, filter_phase (all of them), filter_list and filterel. Must not run a filter.
"""

from collections.abc import Callable
from dataclasses import replace

from smtpd.config.lexer import STRING
from smtpd.config.model import Filter, FilterCondition, Processor
from smtpd.config.parser import Parser
from smtpd.config.settings import processor
from smtpd.config.table import tables

GLOBAL = ("fcrdns", "rdns", "src")
CONDITIONS: dict[str, tuple[str, ...]] = {
    "connect": GLOBAL,
    "helo": (*GLOBAL, "helo"),
    "ehlo": (*GLOBAL, "helo"),
    "auth": (*GLOBAL, "helo", "auth"),
    "mail-from": (*GLOBAL, "helo", "auth", "mail-from"),
    "rcpt-to": (*GLOBAL, "helo", "auth", "mail-from", "rcpt-to"),
    "data": (*GLOBAL, "helo", "auth", "mail-from"),
    "commit": (*GLOBAL, "helo", "auth", "mail-from"),
}
"""Phases, and what may be asked in each."""

WITHOUT_TABLE = ("fcrdns", "rdns", "auth")

DECISIONS = {
    "reject": True,
    "disconnect": True,
    "rewrite": True,
    "report": True,
    "junk": False,
    "bypass": False,
}
"""Decisions, and whether each has a parameter."""


def filter_statement(p: Parser) -> None:
    """`filter NAME proc PROC`, `proc-exec COMMAND ...`, `phase PHASE match CONDITION DECISION` or
    `chain { NAME, ... }`."""
    p.take()
    name = p.string("the filter's name")
    if name.value.startswith("<dynchain:"):
        raise p.fail('names that begin with "<dynchain:" are for chains without a name', name)
    p.declares(("filter", name.value), ("proc", name.value))
    if p.accept("proc"):
        process = p.string("a process's name")
        _check_new(p, name.value)
        if process.value not in p.draft.processors:
            message = f"no processor exist with that name: {process.value}"
            raise p.missing("proc", process, message, p.draft.processors)
        made = Filter(name=name.value, type="proc", processor=process.value, place=p.place())
    elif p.accept("proc-exec"):
        command = p.string("a command")
        _check_new(p, name.value)
        made = Filter(name=name.value, type="proc", processor=name.value, place=p.place())
        run: Processor = processor(p, name.value, command.value)
        p.draft.processors[name.value] = run
    elif p.accept("phase"):
        _check_new(p, name.value)
        made = _builtin(p, name.value)
    else:
        p.expect("chain")
        _check_new(p, name.value)
        made = Filter(name=name.value, type="chain", chain=_chain(p, False, False), place=p.place())
    p.draft.filters[name.value] = made
    p.declared(("filter", name.value), ("proc", name.value))


def _check_new(p: Parser, name: str) -> None:
    if name in p.draft.filters:
        raise p.fail(f"filter already exists with that name: {name}")


def _builtin(p: Parser, name: str) -> Filter:
    phase = p.at(*CONDITIONS)
    if not phase:
        raise p.syntax_error()
    p.take()
    p.expect("match")
    condition = _condition(p, phase)
    decision = p.at(*(word for word in DECISIONS if phase != "commit" or word != "junk" and word != "bypass"))
    if not decision:
        raise p.syntax_error()
    p.take()
    text = p.string(f"what to {decision} with").value if DECISIONS[decision] else ""
    return Filter(
        name=name,
        type="builtin",
        phase=phase,
        condition=condition,
        decision=decision,
        text=text,
        place=p.place(),
    )


def _condition(p: Parser, phase: str) -> FilterCondition:
    negated = p.accept("!") is not None
    what = p.at(*CONDITIONS[phase])
    if not what:
        token = p.peek()
        if token.kind in CONDITIONS["rcpt-to"]:
            raise p.fail(f"syntax error: {token.kind} is not known yet in phase {phase}", token)
        raise p.syntax_error()
    p.take()
    if what == "fcrdns":
        return FilterCondition(what, negated)
    if what in WITHOUT_TABLE and not p.at("regex", STRING, "{", "<"):
        return FilterCondition(what, negated)
    regex = p.accept("regex") is not None
    return FilterCondition(what, negated, tables(p, "what to match").name, regex)


def use_filter(p: Parser, once: Callable[[], None], smtp_in: bool, smtp_out: bool) -> str:
    """The filter's name after `filter`: one declared, or a chain in braces that gets a name.

    `once` refuses a second filter; the use is noted with the filter, and with those of its chain.
    """
    if p.peek().kind == STRING:
        name = p.take()
        once()
        if name.value not in p.draft.filters:
            message = f"no filter exist with that name: {name.value}"
            raise p.missing("filter", name, message, p.draft.filters)
        _used(p, name.value, smtp_in, smtp_out)
        return name.value
    once()
    made = p.draft.chain_name()
    chain = _chain(p, smtp_in, smtp_out)
    p.draft.filters[made] = Filter(
        name=made, type="chain", chain=chain, smtp_in=smtp_in, smtp_out=smtp_out, place=p.place()
    )
    return made


def _used(p: Parser, name: str, smtp_in: bool, smtp_out: bool) -> None:
    found = p.draft.filters[name]
    p.draft.filters[name] = replace(
        found, smtp_in=found.smtp_in or smtp_in, smtp_out=found.smtp_out or smtp_out
    )
    for member in found.chain:
        _used(p, member, smtp_in, smtp_out)


def _chain(p: Parser, smtp_in: bool, smtp_out: bool) -> tuple[str, ...]:
    """`{ NAME, ... }`: no chain, and no filter twice (OpenSMTPD means to refuse a process twice as well, but
    does not)."""
    names: list[str] = []
    if p.peek().kind != "{":
        raise p.syntax_error('a filter\'s name or a chain in "{" and "}"')
    p.take()
    p.newlines()
    while True:
        token = p.string("a filter's name")
        name = token.value
        found = p.draft.filters.get(name)
        if found is None:
            raise p.missing("filter", token, f"no filter exist with that name: {name}", p.draft.filters)
        if found.type == "chain":
            raise p.fail(f"no filter chain allowed within a filter chain: {name}", token)
        if name in names:
            raise p.fail(f"no filter allowed twice within a filter chain: {name}", token)
        names.append(name)
        _used(p, name, smtp_in, smtp_out)
        if p.accept(","):
            p.newlines()
            if p.peek().kind == "}":
                raise p.syntax_error("another filter after the comma")
        else:
            p.newlines()
        if p.at("}"):
            p.take()
            return tuple(names)
