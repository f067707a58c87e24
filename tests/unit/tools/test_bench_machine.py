"""What the bench reads off the machine."""

from pathlib import Path

import bench_machine
import family
import pytest


def test_the_file_system_of_a_folder_is_that_of_the_longest_mount() -> None:
    assert bench_machine.file_system(Path("/proc/self")) == "proc"
    assert bench_machine.file_system(Path("/")) != "unknown"


def test_waiting_ends_when_it_holds_and_says_what_did_not() -> None:
    answers = iter((False, False, True))
    bench_machine.wait_for("it", lambda: next(answers), 5, 0)
    with pytest.raises(bench_machine.BenchError, match=r"that: not within 0\.01 s"):
        bench_machine.wait_for("that", lambda: False, 0.01, 0.001)


def test_a_program_is_stopped_with_what_it_started(tmp_path) -> None:
    program = bench_machine.Program(
        ["sh", "-c", "trap '' TERM; sleep 100 & echo started; wait"], tmp_path / "log"
    )
    bench_machine.wait_for("the start", lambda: "started" in program.tail(), 5)
    (child,) = family.below(program.pid)
    program.stop(0.2)
    assert not program.alive()
    assert family.wait_gone([child], 2) == []
