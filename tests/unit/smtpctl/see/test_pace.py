"""smtpctl/see/pace.py: how long whoever watches rests, and what is said of what it has missed."""

import pytest

from smtpctl.see.pace import HELD_UP, IDLE, REST, REST_MOST, Pace
from smtpctl.see.processors import Processors


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


@pytest.mark.parametrize(("work", "rest"), [(0.01, 0.01 * REST), (0.0001, 0.0001 * REST), (5.0, REST_MOST)])
def test_rests_are_in_proportion_to_work(machine: Machine, work: float, rest: float) -> None:
    pace = made(machine)
    assert pace.rest == 0
    for _ in range(2):
        machine.worked += work
        pace.shown()
        assert pace.rest == pytest.approx(rest)


@pytest.mark.parametrize(("rests", "idle"), [(False, 0.0), (True, IDLE)])
def test_no_rest_for_a_filter_nor_on_an_idle_machine(machine: Machine, rests: bool, idle: float) -> None:
    machine.part = idle
    pace = made(machine, rests=rests)
    machine.worked = 5.0
    pace.shown()
    assert pace.rest == 0


def test_what_is_left_out_in_a_rest_and_what_is_missed_otherwise(machine: Machine) -> None:
    pace = made(machine)
    assert pace.rested(0) == pace.looked(0) == ""
    assert pace.rested(5) == (
        "5 left out here: this machine is busy; with a filter (--kind, --between, --mail ...) "
        "nothing is left out"
    )
    assert pace.looked(5) == ""
    assert pace.looked(8) == "3 not seen here: this end is too slow"
    assert pace.rested(2) == "2 left out here: this machine is busy"
    assert pace.looked(10) == ""
    assert pace.looked(11) == "1 not seen here: this end is too slow"
    assert pace.left_out == 7


def test_what_comes_while_something_else_holds_it_up_is_not_left_out(machine: Machine) -> None:
    """A terminal that is slow, or one that was stopped."""
    pace = made(machine)
    machine.worked = 0.01
    pace.shown()
    pace.looked(0)
    machine.now += pace.rest + HELD_UP + 0.1
    assert pace.rested(5000) == "" and pace.left_out == 0
    assert pace.looked(5000) == "5000 not seen here: this end is too slow"
    machine.now += pace.rest
    assert pace.rested(2000).startswith("2000 left out here: ")
    assert pace.looked(7000) == ""
