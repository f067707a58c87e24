"""Which smart host is next, by answers that a test gives."""

from collections.abc import Callable
from typing import Any

import pytest

from smtpd.config.machine import FixedMachine
from smtpd.config.model import Config, RelayAction
from smtpd.config.parse import Options, parse_text
from smtpd.config.slices import slice_for
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.pony_lookup import FindInTable, FoundInTable
from smtpd.pony.mta import smarthosts as module
from smtpd.pony.mta.smarthosts import Smarthosts, spelled_hosts

TEXT = """\
table hosts file:/hosts
table map { "y.example" = "smtp://y" }
action list relay host <hosts>
action one relay host "smtp://One"
action several relay host { "smtp://a", "smtp://b" }
action map relay domain <map>
match from any for any action list
"""


def config() -> Config:
    """As pony has it, the third that was read."""
    machine = FixedMachine(files={"/hosts": b"# @list\nsmtp://only\n"})
    return slice_for(parse_text(TEXT, options=Options(machine=machine, load=False, generation=3)), "pony")


def action(name: str) -> RelayAction:
    found = config().actions[name]
    assert isinstance(found, RelayAction)
    return found


LIST, ONE, SEVERAL, MAP = (action(name) for name in ("list", "one", "several", "map"))


class Bench:
    """`urls`: a list that is gone round."""

    def __init__(self, *urls: str) -> None:
        self.urls = list(urls)
        self.asked: list[tuple[FindInTable, Callable[[FoundInTable | None], None]]] = []
        self.found: list[tuple[int, str]] = []
        self.gone: list[tuple[int, str]] = []
        self.part = Smarthosts(
            config(),
            lambda request, then: self.asked.append((request, then)),
            lambda envelope, url: self.found.append((envelope.evpid, url)),
            lambda envelope, error: self.gone.append((envelope.evpid, error)),
        )

    def answer(self) -> int:
        """Answer all that is asked; how many that were."""
        count = 0
        while self.asked:
            _, then = self.asked.pop(0)
            count += 1
            if not self.urls:
                then(None)
                continue
            self.urls.append(self.urls.pop(0))
            then(FoundInTable(1, "ok", self.urls[-1]))
        return count


def envelope(evpid: int = 1, domain: str = "Y.example") -> Envelope:
    return Envelope(evpid, "mta")._replace(dest=MailAddress("b", domain))


def test_who_asks_the_same_shares_the_answer() -> None:
    bench = Bench("a", "b")
    for evpid in (1, 2):
        bench.part.find(LIST, envelope(evpid))
    for evpid, domain in ((3, "y.example"), (4, "z.example"), (5, "Y.EXAMPLE")):
        bench.part.find(MAP, envelope(evpid, domain))
    assert [request for request, _ in bench.asked] == [
        FindInTable(3, "hosts", "relayhost", ""),
        FindInTable(3, "map", "relayhost", "y.example"),
        FindInTable(3, "map", "relayhost", "z.example"),
    ]
    bench.answer()
    assert bench.found == [(1, "a"), (2, "a"), (3, "b"), (5, "b"), (4, "a")]


def test_one_host_in_the_text_is_not_asked_for() -> None:
    bench = Bench("other")
    bench.part.find(ONE, envelope())
    assert bench.found == [(1, "smtp://one")] and bench.asked == []  # keys of tables are lower case
    assert not bench.part.another(ONE, envelope(), "no")
    found = spelled_hosts(config())
    assert (found[ONE.host], found[SEVERAL.host]) == (["smtp://one"], ["smtp://a", "smtp://b"])
    assert found["map"] == [] and "hosts" not in found


@pytest.mark.parametrize("action", [LIST, MAP, SEVERAL])
def test_no_answer(action: RelayAction) -> None:
    bench = Bench()
    bench.part.find(action, envelope())
    bench.answer()
    assert bench.found == [(1, "")]
    assert not bench.part.another(action, envelope(), "no")


@pytest.mark.parametrize("action", [LIST, SEVERAL])
def test_when_one_fails_the_next_is_taken_until_all_were(action: RelayAction) -> None:
    bench = Bench("a", "b", "c")
    bench.part.find(action, envelope())
    for _ in range(3):
        bench.answer()
        assert bench.gone == []
        assert bench.part.another(action, envelope(), "unreachable")
    bench.answer()
    assert bench.found == [(1, "a"), (1, "b"), (1, "c")]
    assert bench.gone == [(1, "unreachable")]
    # the next try begins anew
    bench.part.find(LIST, envelope())
    bench.answer()
    assert len(bench.found) == 4


def test_others_that_ask_meanwhile_do_not_hide_a_host() -> None:
    bench = Bench("a", "b")
    bench.part.find(LIST, envelope())
    bench.answer()
    bench.urls.reverse()  # somebody else got "b": "a" comes again
    bench.urls = ["a", "b"]
    assert bench.part.another(LIST, envelope(), "no")
    assert bench.answer() == 2
    assert bench.found == [(1, "a"), (1, "b")]


def test_a_host_that_stands_alone_has_no_next() -> None:
    bench = Bench("a", "b")
    bench.part.find(MAP, envelope())
    bench.answer()
    assert not bench.part.another(MAP, envelope(), "no")
    bench = Bench("a")
    bench.part.find(LIST, envelope())
    bench.answer()
    assert bench.part.another(LIST, envelope(), "no")
    assert bench.answer() == module.AGAIN_MOST
    assert bench.gone == [(1, "no")]


def test_bounds_and_nothing_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOSTS_MOST", 3)
    bench = Bench(*(f"host{number}" for number in range(50)))
    bench.part.find(LIST, envelope())
    bench.answer()
    while bench.part.another(LIST, envelope(), "no"):
        bench.answer()
    assert [url for _, url in bench.found] == ["host0", "host1", "host2"]
    part: Any = bench.part
    assert part._last == part._tried == part._waiting == {}
    bench.part.find(LIST, envelope())
    bench.answer()
    assert bench.part.another(LIST, envelope(), "no")
    bench.part.forget(1)  # it has gone otherwise: the answer that still comes is for nobody
    bench.answer()
    assert len(bench.found) == 4 and bench.gone == []
