"""smtpctl/see/measures.py: rows of several processes in one table, differences, bars and amounts."""

import pytest

from imsg.histogram import Histogram
from smtpctl.see.measures import (
    BAR,
    Measures,
    amount,
    bar,
    imsg_table,
    kind_lines,
    measures,
    mproc_table,
    queue_table,
    times,
)
from smtpd.messages.control_observation import Bucket, ProfileRow


def row(subsystem: str, what: str, peer: str, name: str, *values: int) -> ProfileRow:
    histogram = Histogram()
    histogram.extend(values)
    buckets = [Bucket(*item) for item in histogram.buckets.items()]
    return ProfileRow(subsystem, what, peer, name, histogram.count, histogram.total, histogram.most, buckets)


def imsg() -> Measures:
    queue = [
        row("imsg", "handler", "pony", "CreateMessage", 10_000, 20_000, 30_000),
        row("imsg", "handler", "scheduler", "DeliverEnvelopes", 900_000),
        row("imsg", "handler", "control", "GetProfile", 5_000_000),
        row("imsg", "in", "", "CreateMessage", 30, 30, 30, 30),
    ]
    control = [row("imsg", "socket", "queue", "CreateMessage", 1000, 2000)]
    pony = [row("imsg", "reply", "queue", "CreateMessage", 70_000)]
    return measures([("queue", 2000, queue), ("control", 2000, control), ("pony", 2000, pony)])


def test_what_three_processes_know_is_one_line() -> None:
    first, second = kind_lines(imsg())  # what is about looking is left out
    assert (first.sender, first.receiver, first.name, first.socket) == (
        "scheduler",
        "queue",
        "DeliverEnvelopes",
        None,
    )
    assert (second.sender, second.receiver, second.number, second.size, second.rate) == (
        "pony",
        "queue",
        3,
        90,
        1.5,
    )
    assert second.handler.most == 30_000
    assert second.socket is not None and second.socket.count == 2
    assert second.reply is not None and second.reply.most == 70_000


@pytest.mark.parametrize(("wide", "columns"), [(True, 190), (False, 145)])
def test_imsg_table(wide: bool, columns: int) -> None:
    heads, titles, first, second = imsg_table(imsg(), columns)
    assert heads.split() == ["handler", "in", "the", "socket", "reply"]
    assert titles.split().count("p90") == (2 if wide else 0)
    assert first.endswith("█" * BAR) and "DeliverEnvelopes" in first
    assert "CreateMessage" in second and "70 µs" in second
    assert max(map(len, (titles, first.rstrip(), second.rstrip()))) <= columns
    assert imsg_table(measures([])) == []


def test_all_tables_fit_a_narrow_terminal() -> None:
    waits = [row("mproc", what, "scheduler", "out", 999_000_000) for what in ("queued", "oldest")]
    busy = [row("mproc", "busy", "", "loop", 1000), row("mproc", "late", "", "loop", 900_000_000_000)]
    spool = [row("queue", "operation", "", "set_aside_message", 10**12), row("queue", "fsync", "", "x", 10)]
    found = measures([("scheduler", 1000, [*busy, *waits]), ("queue", 1, spool)])
    tables = imsg_table(imsg(), 80), mproc_table(found, 80), queue_table(found, 80)
    for table in tables:
        assert len(table) > 1 and max(map(len, table)) <= 80, table
    head, first, second = tables[0]
    assert first.endswith("█" * 10) and second.split()[-2:] != [] and "70 µs" in second
    assert "p99" in head


def test_what_was_not_measured_is_said() -> None:
    found = imsg()
    found.rows["control", "imsg", "missed", "", "socket"] = Histogram(7)
    assert imsg_table(found)[-1].startswith("in the socket: 7 messages more")


def test_since() -> None:
    earlier = measures(
        [("queue", 1000, [row("queue", "operation", "", "load", 5), row("queue", "fsync", "", "x", 7)])]
    )
    now = [row("queue", "operation", "", "load", 5, 9, 9), row("queue", "fsync", "", "x", 7)]
    found = measures([("queue", 1500, now)]).since(earlier)
    assert found.seconds == {"queue": 0.5}
    ((key, histogram),) = found.rows.items()
    assert (key[4], histogram.count, histogram.total) == ("load", 2, 18)
    assert earlier.since(found).seconds == {"queue": 0.5}


def test_mproc_table() -> None:
    rows = [
        row("mproc", "busy", "", "loop", 500, 500),
        row("mproc", "late", "", "loop", 2000),
        row("mproc", "queued", "pony", "out", 12_300),
        row("mproc", "queued", "lookup", "out", 0),
        row("mproc", "oldest", "pony", "request", 1_500_000),
    ]
    table = mproc_table(measures([("queue", 1000, rows), ("pony", 1000, [])]))
    assert table[1].split()[:4] == ["queue", "50%", "50%", "██████"]
    assert len(table) == 5 and table[4].split()[:2] == ["queue", "pony"]  # nothing waited for lookup
    assert "12.3k" in table[4] and table[4].endswith("1.5 ms")
    assert mproc_table(measures([])) == []


def test_queue_table() -> None:
    rows = [row("queue", "operation", "", "load", 1000), row("queue", "fsync", "", "fsync", 5000, 5000)]
    head, first, second = queue_table(measures([("queue", 1000, rows)]))
    assert head.startswith("operation") and first.split()[:3] == ["fsync", "2", "2/s"]
    assert "10 µs" in first and second.startswith("load")
    assert queue_table(measures([("queue", 0, [])])) == []


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.01, 0.5, 0.999, 1.0, 7.0])
def test_bars_have_one_width(share: float) -> None:
    assert len(bar(share)) == BAR
    assert bar(1.0) == "█" * BAR and not bar(0.0).strip()


def test_amounts_and_no_times() -> None:
    assert [amount(number) for number in (0, 999, 12_300, 4_560_000, 7e12)] == [
        "0",
        "999",
        "12.3k",
        "4.56M",
        "7e+03G",
    ]
    assert times(None) == times(Histogram()) == " ".join(["       -"] * 4)
