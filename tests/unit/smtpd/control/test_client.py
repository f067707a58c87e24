"""smtpd/control/client.py, in a whole process whose peers the test holds (conftest.py)."""

import asyncio
import os
from typing import Any

import pytest

from smtpd.control import client as module
from smtpd.control.client import ClientGone
from smtpd.messages.client_control import ClientChangeEnvelopes, ClientDone, ClientShowStatus, StatusRow
from smtpd.messages.control_scheduler import ChangeEnvelopes, EnvelopesAffected


def only(bench: Any) -> Any:
    """control's end of the one client."""
    (client,) = bench.process.clients._clients
    return client


def receive(channel: Any) -> list[Any]:
    messages: list[Any] = []
    while part := channel.receive():
        messages.extend(message for _, message, _, _ in part)
    return messages


def test_requests_sent_at_once_are_served_one_after_the_other(bench: Any) -> None:
    asked: list[tuple[int, ChangeEnvelopes]] = []
    bench.answers[ChangeEnvelopes] = lambda name, peerid, message: asked.append((peerid, message))
    client = bench.connect()
    for number in (1, 2, 3):
        client.put(ClientChangeEnvelopes("remove", number))
    client.flush()
    for number in (1, 2, 3):
        bench.turn()
        assert [message.id for _, message in asked] == [number], "the next one waits for its turn"
        bench.ends["scheduler"].put(EnvelopesAffected(asked.pop()[0], number))
        bench.ends["scheduler"].flush()
        bench.turn()
        assert receive(client) == [ClientDone(client._first - 4 + number, "", number)]
    assert not only(bench).busy


def test_nothing_is_read_while_a_request_is_under_way(bench: Any) -> None:
    client = bench.connect()
    client.put(ClientChangeEnvelopes("remove", 1))
    client.flush()
    bench.turn()
    assert only(bench).busy
    client.put(ClientShowStatus())
    client.flush()
    bench.turn()
    assert receive(client) == []
    (asked,) = bench.heard["scheduler"]
    bench.ends["scheduler"].put(EnvelopesAffected(1, 5))
    bench.ends["scheduler"].flush()
    bench.turn()
    assert [type(message) for message in receive(client)] == [ClientDone, StatusRow, ClientDone]


def test_a_client_that_leaves_gives_up_what_waits(bench: Any) -> None:
    client = bench.connect()
    for number in (1, 2):
        client.put(ClientChangeEnvelopes("remove", number))
    client.flush()
    bench.turn()
    ours = only(bench)
    client.close()
    bench.clients.remove(client)
    ours.close()
    ours.close()
    bench.turn()
    assert not ours.busy
    assert [message.id for message in bench.heard["scheduler"]] == [1]
    with pytest.raises(ClientGone):
        bench.loop.run_until_complete(ours.row(StatusRow(1, True, True, True)))


def test_rows_wait_for_a_client_that_does_not_read(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = bench.connect()
    ours = only(bench)

    async def many() -> int:
        for _ in range(100_000):
            await ours.row(StatusRow(1, True, True, True))
        return 100_000

    task = bench.loop.create_task(many())
    bench.turn(50)
    assert not task.done()
    assert 0 < ours.backlog < 2 * module.OUTPUT_BOUND
    rows = 0
    ours.active = before = bench.loop.time() - 100
    while ours.active == before:
        rows += len(client.receive())
        bench.turn(1)
    assert not task.done(), "what is read counts before all is read"
    while not task.done() or ours.backlog:
        bench.turn(1)
        rows += len(receive(client))
    bench.turn()
    assert rows + len(receive(client)) == task.result()


def test_a_flood_of_replies_nobody_reads_closes_the_client(bench: Any) -> None:
    client = bench.connect()
    ours = only(bench)
    while not ours.lost:
        ours.send(StatusRow(1, True, True, True))
        assert ours.backlog <= 5 * module.OUTPUT_BOUND
    assert len(bench.process.clients) == 0
    assert bench.dropped(client)


def test_a_wrong_handler_ends_the_process(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[BaseException] = []
    monkeypatch.setattr(bench.process, "fault", faults.append)
    bench.connect()

    async def wrong() -> None:
        raise RuntimeError("we are wrong")

    only(bench).begin(wrong())
    bench.turn()
    assert [str(fault) for fault in faults] == ["we are wrong"]


def test_who_is_at_the_other_end(bench: Any) -> None:
    bench.connect()
    ours = only(bench)
    assert (ours.uid, ours.privileged, ours.name) == (os.geteuid(), True, "client")
    assert isinstance(ours.active, float)
    assert asyncio.iscoroutinefunction(ours.row)
