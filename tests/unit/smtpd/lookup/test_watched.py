"""smtpd/lookup/watched.py: the same questions, the same answers, and each of them told."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from smtpd.lookup.expansion import ForwardRefused, UserInfo
from smtpd.lookup.rules import TableTempfail
from smtpd.lookup.steps import Asked
from smtpd.lookup.watched import TURN, WatchedForwards, WatchedIncludes, WatchedTables, shown
from smtpd.protocol.aliases import Recipient, parse_line

ALICE = UserInfo("alice", 1000, 100, "/home/alice")


class Tables:
    """Answers with `answer`, or raises it; `asked` in the form of a call."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, ...]] = []

    def _answer(self, *asked: str) -> Any:
        self.asked.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def match(self, table: str, service: str, key: str) -> bool:
        return bool(self._answer("match", table, service, key))

    async def alias(self, table: str, key: str) -> list[Recipient] | None:
        found: list[Recipient] | None = self._answer("alias", table, key)
        return found

    async def user(self, table: str, name: str) -> UserInfo | None:
        found: UserInfo | None = self._answer("user", table, name)
        return found


class Files:
    """A .forward or an included file that holds `answer`."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def forward(self, user: UserInfo) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def tables_told(answer: Any, call: Callable[[WatchedTables], Any]) -> tuple[Any, list[Any], Tables]:
    """What a call of the watched tables gives, what it told, and the tables behind."""
    told: list[Any] = []
    tables = Tables(answer)
    return asyncio.run(call(WatchedTables(tables, told.append))), told, tables


@pytest.mark.parametrize(("answer", "result"), [(True, "found"), (False, "none")])
def test_match(answer: bool, result: str) -> None:
    found, told, tables = tables_told(answer, lambda watched: watched.match("t", "domain", "k"))
    assert found is answer
    assert tables.asked == [("match", "t", "domain", "k")]
    assert told == [Asked("t", "domain", "k", result, "")]


@pytest.mark.parametrize(
    ("answer", "result", "value"),
    [(None, "none", ""), ([], "found", ""), (parse_line("alice, |cat"), "found", "alice, |cat")],
)
def test_alias(answer: Any, result: str, value: str) -> None:
    found, told, tables = tables_told(answer, lambda watched: watched.alias("t", "k"))
    assert found is answer
    assert tables.asked == [("alias", "t", "k")]
    assert told == [Asked("t", "alias", "k", result, value)]


def test_user() -> None:
    told: list[Any] = []
    watched = WatchedTables(Tables(ALICE), told.append)
    assert asyncio.run(watched.user("t", "alice")) == ALICE
    assert watched.users == {"alice": ALICE}
    assert told == [Asked("t", "userinfo", "alice", "found", "1000:100:/home/alice")]
    found, told, _ = tables_told(None, lambda watched: watched.user("t", "bob"))
    assert found is None and told == [Asked("t", "userinfo", "bob", "none", "")]


@pytest.mark.parametrize(
    ("call", "service"),
    [
        (lambda watched: watched.match("t", "domain", "k"), "domain"),
        (lambda watched: watched.alias("t", "k"), "alias"),
        (lambda watched: watched.user("t", "k"), "userinfo"),
    ],
)
def test_a_temporary_failure_is_told_and_goes_on(call: Any, service: str) -> None:
    told: list[Any] = []
    watched = WatchedTables(Tables(TableTempfail("t: down")), told.append)
    with pytest.raises(TableTempfail):
        asyncio.run(call(watched))
    assert told == [Asked("t", service, "k", "tempfail", "t: down")]


def forward(answer: Any) -> tuple[Any, list[Any]]:
    told: list[Any] = []
    behind = type("Forwards", (), {"read": lambda _self, user, msgid: Files(answer).forward(user)})()
    return asyncio.run(WatchedForwards(behind, told.append).read(ALICE, 0)), told


def test_forward() -> None:
    path = "/home/alice/.forward"
    assert forward(None) == (None, [Asked(path, "forward", "alice", "none", "")])
    found, told = forward(parse_line("bob, /var/mail/x"))
    assert [each.text for each in found] == ["bob", "/var/mail/x"]
    assert told == [Asked(path, "forward", "alice", "found", "bob, /var/mail/x")]


@pytest.mark.parametrize(
    ("error", "result"), [(TableTempfail("sticky"), "tempfail"), (ForwardRefused("alice"), "refused")]
)
def test_a_forward_that_cannot_be_had(error: Exception, result: str) -> None:
    told: list[Any] = []
    behind = type("Forwards", (), {"read": lambda _self, user, msgid: Files(error).forward(user)})()
    with pytest.raises(type(error)):
        asyncio.run(WatchedForwards(behind, told.append).read(ALICE, 0))
    (asked,) = told
    assert (asked.source, asked.service, asked.result) == ("/home/alice/.forward", "forward", result)
    assert asked.value


def test_include() -> None:
    told: list[Any] = []
    behind = type("Includes", (), {"read": lambda _self, path: parse_line("a, b") if path == "/l" else []})()
    watched = WatchedIncludes(behind, told.append)
    assert len(watched.read("/l")) == 2 and watched.read("/none") == []
    assert told == [Asked("/l", "include", "", "found", "a, b"), Asked("/none", "include", "", "none", "")]


def test_recipients_are_shown_as_in_aliases() -> None:
    line = "alice, b@c.example, /file, |cat x, :include:/list, error:550 No"
    assert shown(parse_line(line)) == line


def test_others_have_their_turn() -> None:
    async def turns() -> int:
        watched = WatchedTables(Tables(True), lambda step: None)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        for _ in range(10 * TURN):
            await watched.match("t", "domain", "k")
        counting.cancel()
        return turns

    assert asyncio.run(turns()) >= 10
