"""smtpd/control/relaying.py, in a whole process whose peers the test holds (conftest.py)."""

from typing import Any

import pytest

from smtpd.control import relaying
from smtpd.messages.client_control import ClientDone
from smtpd.messages.client_mta import (
    ClientListMta,
    ClientPauseSource,
    ClientResumeRoute,
    ClientResumeSource,
    MtaRows,
)
from smtpd.messages.control_mta import (
    HostStatistic,
    ListMta,
    MtaListed,
    PauseSource,
    ResumeRoute,
    ResumeSource,
)


def test_a_list_in_pieces(bench: Any) -> None:
    def listed(_name: str, reqid: int, message: ListMta) -> MtaListed:
        number = int(message.start or "0")
        following = str(number + 1) if number < 2 else ""
        return MtaListed(reqid, following, [], [HostStatistic(f"{number}.example", 5, "250 ok")], [], [], [])

    bench.answers[ListMta] = listed
    *rows, done = bench.ask(bench.connect(), ClientListMta("hoststats"))
    assert [row.hoststats[0].domain for row in rows] == ["0.example", "1.example", "2.example"]
    assert all(isinstance(row, MtaRows) and not row.hosts for row in rows)
    assert done == ClientDone(0, "", 3)
    assert bench.heard["pony"] == [ListMta("hoststats", start) for start in ("", "1", "2")]


def test_no_list_and_no_pony(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = bench.connect()
    assert bench.ask(client, ClientListMta("people")) == [ClientDone(0, "there is no list of people", 0)]
    monkeypatch.setattr(relaying, "ANSWER_SECONDS", 0)
    assert bench.ask(client, ClientListMta("hosts")) == [ClientDone(0, "pony does not answer", 0)]
    bench.ends.pop("pony").close()
    bench.turn()
    assert bench.ask(client, ClientListMta("hosts")) == [ClientDone(0, "pony does not answer", 0)]


@pytest.mark.parametrize(
    ("asked", "passed_on", "logged"),
    [
        (ClientResumeRoute(7), ResumeRoute(7), "resume route 7"),
        (
            ClientPauseSource("192.0.2.1", "x.example"),
            PauseSource("192.0.2.1", "x.example"),
            "pause mta from 192.0.2.1 for x.example",
        ),
        (
            ClientResumeSource("2001:db8::1", "*"),
            ResumeSource("2001:db8::1", "*"),
            "resume mta from 2001:db8::1 for *",
        ),
    ],
)
def test_orders(
    bench: Any, own_uid: int, capfd: pytest.CaptureFixture[str], asked: Any, passed_on: Any, logged: str
) -> None:
    assert bench.ask(bench.connect(), asked) == [ClientDone(0, "", 1)]
    assert bench.heard["pony"] == [passed_on]
    assert capfd.readouterr().err.endswith(f"control: uid={own_uid} {logged}: done\n")


@pytest.mark.parametrize(
    ("source", "domain", "error"),
    [
        ("mx.example", "x.example", "mx.example is no address"),
        ("192.0.2.1", "", "no domain"),
        ("192.0.2.1", "x" * 300, "no domain"),
    ],
)
def test_orders_that_mean_nothing(bench: Any, source: str, domain: str, error: str) -> None:
    client = bench.connect()
    for request in (ClientPauseSource(source, domain), ClientResumeSource(source, domain)):
        assert bench.ask(client, request) == [ClientDone(0, error, 0)]
    assert bench.heard["pony"] == []
