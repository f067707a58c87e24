"""How a load is shared out, and how smtp-sink's counter is read."""

import bench_load
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 200), st.integers(1, 5000))
def test_all_messages_are_sent_over_no_more_sessions_than_asked(sessions: int, messages: int) -> None:
    shares = bench_load.shares(sessions, messages)
    assert sum(count for _, count in shares) == messages
    assert sum(count for count, _ in shares) <= sessions
    assert all(1 <= part <= min(bench_load.BURST, count) for part, count in shares)


def test_fifty_sessions_are_ten_programs_with_the_same_load() -> None:
    assert bench_load.shares(50, 1000) == [(5, 100)] * 10
    assert bench_load.shares(1, 7) == [(1, 7)]


def test_the_last_counter_counts() -> None:
    assert bench_load.last_count(b"") == 0
    assert (
        bench_load.last_count(b"sess=1 quit=0 mesg=0\rsess=1 quit=0 mesg=41\rsess=1 quit=1 mesg=42\r") == 42
    )
    assert bench_load.last_count(b"esg=99\rsess=1 quit=0 mesg=100\r") == 100


def test_a_maildir_is_counted_before_and_after_it_is_there(tmp_path) -> None:
    maildir = bench_load.Maildir(tmp_path / "Maildir")
    assert maildir.messages() == 0
    (tmp_path / "Maildir/new").mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"Maildir/new/{number}").touch()
    assert maildir.messages() == 3
