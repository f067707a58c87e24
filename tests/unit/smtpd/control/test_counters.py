"""smtpd/control/counters.py, in a whole process whose peers the test holds (conftest.py)."""

from typing import Any

import pytest

from smtpd.control import counters
from smtpd.control.counter_names import OPENSMTPDS, OWN
from smtpd.control.counters import MOST_COUNTERS, NAME_MOST
from smtpd.messages.client_catalogue import CLIENT_CATALOGUE
from smtpd.messages.client_control import ClientDone, ClientShowStats, StatsRows
from smtpd.messages.control_process import OTHERS, Counter, Counters, GetCounters

LISTED = dict.fromkeys((*OPENSMTPDS, *OWN), 0)


def shown(replies: list[Any]) -> dict[str, int]:
    return dict(pair for reply in replies if isinstance(reply, StatsRows) for pair in reply.counters)


def test_the_counters_of_all_processes_in_one_round_trip(bench: Any) -> None:
    bench.process.stat.add("control.session", 4)
    bench.answers[GetCounters] = lambda name, peerid, message: Counters(
        peerid, [Counter(f"{name}.thing", 5), Counter("shared", 2)]
    )
    replies = bench.ask(bench.connect(), ClientShowStats())
    values = shown(replies)
    assert values.pop("uptime") in (0, 1)
    assert values == LISTED | {
        "control.session": 5,
        **{f"{name}.thing": 5 for name in OTHERS},
        "shared": 2 * len(OTHERS),
    }
    assert list(values) == sorted(values)
    assert replies[-1] == ClientDone(0, "", len(values) + 1)
    for name in OTHERS:
        assert bench.heard[name] == [GetCounters()]


def test_many_counters_come_in_several_messages(bench: Any) -> None:
    names = [f"counter.{i:03}" for i in range(250)]
    bench.answers[GetCounters] = lambda name, peerid, message: Counters(
        peerid, [Counter(each, 1) for each in names]
    )
    replies = bench.ask(bench.connect(), ClientShowStats())
    assert [len(reply.counters) for reply in replies[:-1]] == [100, 100, 51 + len(LISTED)]
    assert replies[-1].number == 251 + len(LISTED)


def test_a_process_that_does_not_answer_is_named(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "ANSWER_SECONDS", 0.05)
    bench.answers[GetCounters] = lambda name, peerid, message: (
        None if name == "queue" else Counters(peerid, [Counter(name, 1)])
    )
    bench.ends.pop("pony").close()
    replies = bench.ask(bench.connect(), ClientShowStats(), turns=2000)
    assert set(shown(replies)) - set(LISTED) == {"uptime", "parent", "lookup", "scheduler"}
    assert replies[-1].error == "no answer from pony, queue"


def test_the_longest_part_fits_a_frame() -> None:
    counter = Counter("\N{SNOWMAN}" * (NAME_MOST // 3), 2**63 - 1)
    CLIENT_CATALOGUE.encode(StatsRows(2**32 - 1, [counter] * MOST_COUNTERS))
