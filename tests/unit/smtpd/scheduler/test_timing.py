"""smtpd/scheduler/timing.py."""

from hypothesis import given
from hypothesis import strategies as st

from smtpd.scheduler.timing import (
    BACKOFF_DELIVERY,
    BACKOFF_TRANSFER,
    backoff,
    next_try,
)


def test_delays_of_opensmtpd() -> None:
    assert [backoff(1000, BACKOFF_TRANSFER, step) - 1000 for step in range(5)] == [0, 400, 1600, 3600, 6400]
    assert [backoff(0, BACKOFF_DELIVERY, step) for step in range(5)] == [0, 10, 40, 90, 160]


def test_the_next_try_lies_after_now() -> None:
    assert next_try(1000, 400, 1, 1000) == 1400
    assert next_try(1000, 400, 1, 1399) == 1400
    assert next_try(1000, 400, 1, 1400) == 2600
    assert next_try(1000, 400, 0, 1000) == 1400
    assert next_try(1000, 400, 0, 999) == 1000, "made in the future: the clock was set back"


@given(st.integers(0, 2**40), st.sampled_from((3, 10, 400)), st.integers(0, 300), st.integers(0, 10**7))
def test_next_try_is_the_first_step_after_now(ctime: int, base: int, step: int, after: int) -> None:
    now = ctime + after - 1000
    found = next_try(ctime, base, step, now)
    expected = step
    while backoff(ctime, base, expected) <= now:
        expected += 1
    assert found == backoff(ctime, base, expected)


def test_years_late_costs_nothing() -> None:
    assert next_try(0, 10, 0, 2**40) > 2**40
