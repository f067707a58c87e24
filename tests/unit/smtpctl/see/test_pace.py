"""smtpctl/see/pace.py: how long whoever watches rests, and what is said of what it has missed."""

import pytest

from smtpctl.see.pace import IDLE, REST, REST_MOST, Pace
from smtpctl.see.processors import Processors
from smtpctl.see.watching import LOOK_SECONDS


class Machine(Processors):
    """Its processors and clocks as a test says."""

    def __init__(self) -> None:
        self.part = 0.0
        self.worked = self.now = 0.0

    def idle(self) -> float:
        return self.part


@pytest.fixture
def machine() -> Machine:
    return Machine()


def made(machine: Machine, *, rests: bool = True) -> Pace:
    return Pace(rests=rests, processors=machine, work=lambda: machine.worked, clock=lambda: machine.now)


@pytest.mark.parametrize(("work", "wait"), [(0.01, 0.01 * REST), (0.0001, LOOK_SECONDS), (5.0, REST_MOST)])
def test_rests_are_in_proportion_to_work(machine: Machine, work: float, wait: float) -> None:
    pace = made(machine)
    assert pace.seconds == LOOK_SECONDS
    for _ in range(2):
        machine.worked += work
        pace.shown()
        assert pace.seconds == pytest.approx(wait)


@pytest.mark.parametrize(("rests", "idle"), [(False, 0.0), (True, IDLE)])
def test_no_rest_for_a_filter_nor_on_an_idle_machine(machine: Machine, rests: bool, idle: float) -> None:
    machine.part = idle
    pace = made(machine, rests=rests)
    machine.worked = 5.0
    pace.shown()
    assert pace.seconds == LOOK_SECONDS


def test_what_is_missed_in_a_rest_is_left_out(machine: Machine) -> None:
    pace = made(machine)
    assert pace.looked(0) == ""
    machine.worked = 1.0
    pace.shown()
    machine.now += pace.seconds + 0.01
    assert pace.looked(5) == (
        "5 left out here: this machine is busy; with a filter (--kind, --between, --mail ...) "
        "nothing is left out"
    )
    machine.now += pace.seconds + 0.01
    assert pace.looked(5) == ""
    machine.now += pace.seconds + 0.01
    assert pace.looked(7) == "2 left out here: this machine is busy"
    assert pace.left_out == 7


def test_what_is_missed_otherwise_is_not(machine: Machine) -> None:
    """Without a rest, or when something else took longer than that: a terminal that is slow."""
    pace = made(machine)
    assert pace.looked(3) == "3 not seen here: this end is too slow"
    machine.worked = 1.0
    pace.shown()
    machine.now += 3 * pace.seconds
    assert pace.looked(4) == "1 not seen here: this end is too slow"
    assert pace.left_out == 0
