"""The hold queue: bounds are kept, nobody is forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from smtpd.pony.holdq import HoldQueue


def test_hold_and_release() -> None:
    holdq = HoldQueue(5, 3, 2)
    assert all(holdq.admit(waiting) for waiting in range(5))
    assert not holdq.held
    assert not holdq.admit(5)
    assert holdq.held and holdq.onhold
    # on hold until lowat is reached
    assert holdq.taken(4) == 0
    assert not holdq.admit(4)
    assert holdq.coming == 0
    assert holdq.taken(3) == holdq.coming == 2
    assert not holdq.onhold
    # those two are on their way: no more are asked for before they are here or room is made
    assert holdq.taken(2) == 0
    assert holdq.admit(2) and holdq.admit(3)
    assert holdq.taken(3) == 2


def test_nothing_is_asked_for_when_nothing_is_held() -> None:
    holdq = HoldQueue(5, 3, 2)
    holdq.admit(0)
    assert holdq.taken(0) == 0
    assert not holdq.drained()


def test_at_the_end_all_are_let_go() -> None:
    holdq = HoldQueue(1, 1, 1)
    holdq.admit(0)
    holdq.admit(1)
    assert holdq.drained()
    assert not holdq.held and not holdq.drained()
    assert holdq.admit(0)


def test_odd_limits() -> None:
    holdq = HoldQueue(0, 30, 0)
    assert holdq.admit(0) and not holdq.admit(1)
    assert holdq.taken(0) == 1
    assert HoldQueue(10, 50, 0).admit(9)


@given(
    st.integers(1, 8),
    st.integers(0, 8),
    st.integers(1, 4),
    st.integers(0, 40),
    st.lists(st.booleans(), max_size=200),
)
def test_all_get_through_and_the_bound_holds(
    hiwat: int, lowat: int, release: int, total: int, choices: list[bool]
) -> None:
    """Against a scheduler that releases what it has: all were taken in the end, at most hiwat waited."""
    holdq = HoldQueue(hiwat, lowat, release)
    coming, waiting, held, done = total, 0, 0, 0
    for choice in [*choices, *[True, False] * (total * 3 + 10)]:
        if choice and coming:
            coming -= 1
            if holdq.admit(waiting):
                waiting += 1
            else:
                held += 1
        elif waiting:
            waiting -= 1
            done += 1
            released = min(holdq.taken(waiting), held)
            held -= released
            coming += released
        elif not coming and holdq.drained():
            coming, held = coming + held, 0
        assert waiting <= hiwat
    assert (done, held, waiting, coming) == (total, 0, 0, 0)
