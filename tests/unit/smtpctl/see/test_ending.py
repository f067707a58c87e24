"""smtpctl/see/ending.py: signals, and how much time there is after them."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from traffic import Traffic

from smtpctl.see import ending
from smtpctl.see.ending import Ending, Enough
from smtpctl.see.seen import Seen

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


@pytest.fixture(autouse=True)
def before() -> Iterator[None]:
    """The handlers of the test's own process."""
    found = [signal.getsignal(number) for number in SIGNALS]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background have it ignored
    yield
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    for number, handler in zip(SIGNALS, found, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def seen() -> list[Seen]:
    return list(Traffic().mail(0xCB4DE24F, 7))


def raise_(number: int) -> None:
    os.kill(os.getpid(), number)


def nothing(_again: bool) -> None:
    pass


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks(number: int, seen: list[Seen]) -> None:
    handlers = [signal.getsignal(each) for each in SIGNALS]
    with Ending(nothing) as one:
        assert not one.asked
        for count, each in enumerate(one.each(seen), 1):
            if count == 3:
                raise_(number)
            assert one.asked == (count >= 3) and each is seen[count - 1]
        assert (count, one.left) == (len(seen), 0)
    assert [signal.getsignal(each) for each in SIGNALS] == handlers


def test_when_there_is_no_more_time_the_rest_is_counted(
    seen: list[Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "SECONDS", 0.0)
    with Ending(nothing) as one:
        taken = 0
        for taken, _ in enumerate(one.each(seen), 1):
            if taken == 3:
                raise_(signal.SIGTERM)
        assert (taken, one.left) == (3, len(seen) - 3)
        assert list(one.each(seen[:4])) == []
        assert one.left == len(seen) - 3 + 4


def test_whoever_is_stuck_is_got_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a pipe that nobody reads, and of the next one too."""
    monkeypatch.setattr(ending, "SECONDS", 0.02)
    monkeypatch.setattr(ending, "STUCK_SECONDS", 0.02)
    given_up: list[bool] = []
    reading, writing = os.pipe()
    with Ending(given_up.append):
        raise_(signal.SIGTERM)
        for again in range(2):
            with pytest.raises(Enough) as raised:
                while True:
                    os.write(writing, b"x" * 4096)
            assert raised.value.stuck
            assert given_up == [False, True][: again + 1]
    os.close(reading)
    os.close(writing)


def test_a_second_interrupt_is_enough() -> None:
    given_up: list[bool] = []
    with Ending(given_up.append) as one:
        raise_(signal.SIGINT)
        assert one.asked
        with pytest.raises(Enough) as raised:
            until(lambda: bool(raise_(signal.SIGINT)))
        assert not raised.value.stuck and given_up == [False]


def test_timeout_sends_its_signal_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "TWICE_SECONDS", 60.0)
    for number in (signal.SIGTERM, signal.SIGINT):
        with Ending(nothing) as one:
            raise_(number)
            raise_(number)
            assert one.asked


def test_interrupts_that_are_ignored_stay_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Ending(nothing) as one:
        raise_(signal.SIGINT)
        assert not one.asked
        raise_(signal.SIGTERM)
        assert one.asked
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
