"""smtpd/lookup/names.py: what a resolver says, as answers for pony."""

from collections.abc import Callable
from typing import Any

import pytest

from smtpd.lookup.names import Names
from smtpd.lookup.resolver import Answer, Host, ResolveError
from smtpd.messages.pony_lookup import (
    FindHost,
    FindMx,
    HostsFound,
    MxHost,
    ReverseName,
    ReverseNameFound,
)

Run = Callable[[Any], Any]

HOSTS = [Host(5, "a.example", ["192.0.2.1", "2001:db8::1"]), Host(10, "b.example", [])]


class Resolver:
    """Gives one answer to everything."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.asked: list[tuple[str, str]] = []

    async def _say(self, what: str, name: str) -> Any:
        self.asked.append((what, name))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def reverse(self, address: str) -> Any:
        return self._say("reverse", address)

    def exchangers(self, domain: str) -> Any:
        return self._say("exchangers", domain)

    def host(self, name: str, *, search: bool) -> Any:
        assert search
        return self._say("host", name)


def names(answer: Any) -> tuple[Names, Resolver]:
    resolver = Resolver(answer)
    return Names(resolver, NoLog()), resolver  # type: ignore[arg-type]


class NoLog:
    """Traces nothing."""

    tracing_lookup = False


NOBODY: Any = None
"""The peer that asks: it makes no difference."""


@pytest.mark.parametrize(
    ("answer", "status", "name"),
    [
        ("mail.example", "ok", "mail.example"),
        ("", "none", ""),
        (ResolveError("no such name", temporary=False), "none", ""),
        (ResolveError("no answer", temporary=True), "tempfail", ""),
        (ValueError("no address"), "none", ""),
    ],
)
def test_reverse_name(run: Run, answer: Any, status: str, name: str) -> None:
    part, resolver = names(answer)
    reply = run(part.reverse_name(NOBODY, 7, ReverseName("192.0.2.1")))
    assert reply == ReverseNameFound(7, status, name)
    assert resolver.asked == [("reverse", "192.0.2.1")]


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (
            Answer(HOSTS, True),
            HostsFound(
                7, "ok", "", True,
                [MxHost(5, "a.example", ["192.0.2.1", "2001:db8::1"]), MxHost(10, "b.example", [])],
            ),
        ),
        (Answer(HOSTS[:1], False), HostsFound(7, "ok", "", False, [MxHost(*HOSTS[0])])),
        (ResolveError("no such", temporary=False), HostsFound(7, "permfail", "no such", False, [])),
        (ResolveError("later", temporary=True), HostsFound(7, "tempfail", "later", False, [])),
    ],
)  # fmt: skip
def test_hosts(run: Run, answer: Any, reply: HostsFound) -> None:
    part, resolver = names(answer)
    assert run(part.find_mx(NOBODY, 7, FindMx("d.example"))) == reply
    assert run(part.find_host(NOBODY, 7, FindHost("h.example"))) == reply
    assert resolver.asked == [("exchangers", "d.example"), ("host", "h.example")]


def test_an_error_of_ours_is_no_answer(run: Run) -> None:
    part, _resolver = names(KeyError("what"))
    with pytest.raises(KeyError):
        run(part.find_mx(NOBODY, 7, FindMx("d.example")))
