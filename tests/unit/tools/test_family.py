"""What is read of processes, and which of them are ended."""

import os
import subprocess
import sys

import family


def test_pss_is_read_from_its_own_line() -> None:
    text = "55d0-7ffd ---p 00000000 00:00 0  [rollup]\nRss:  4000 kB\nPss:  1234 kB\nPss_Anon:  99 kB\n"
    assert family.parse_pss(text) == 1234
    assert family.parse_pss("Rss: 1 kB\n") == 0
    assert family.parse_pss("") == 0


def test_descendants_come_parents_first_and_leave_others_out() -> None:
    table = {2: 1, 10: 2, 11: 2, 20: 10, 30: 1}
    found = family.below(2, table)
    assert sorted(found) == [10, 11, 20]
    assert found.index(10) < found.index(20)
    assert family.below(99, table) == []


def test_this_process_and_its_child_are_in_the_table() -> None:
    with subprocess.Popen(["sleep", "10"]) as child:
        try:
            assert family.parents()[child.pid] == os.getpid()
            total, count = family.pss_kib(child.pid)
            assert (total > 0, count) == (True, 1)
        finally:
            child.kill()


def test_the_ended_are_waited_for_and_those_that_stay_are_named() -> None:
    with subprocess.Popen(["sleep", "10"]) as stays, subprocess.Popen(["sleep", "10"]) as goes:
        family.kill_all([goes.pid])
        assert family.wait_gone([goes.pid], 5) == []
        assert family.wait_gone([goes.pid, stays.pid], 0.05) == [stays.pid]
        assert family.title(stays.pid) == "sleep 10"
        assert family.status(stays.pid)["Name"] == "sleep"
        family.kill_all([stays.pid])
    assert family.title(stays.pid) == ""
    family.kill_all([stays.pid])


def test_processor_time_counts_those_that_ended() -> None:
    before = family.processor_seconds(os.getpid())
    work = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", work], check=True)
    assert family.processor_seconds(os.getpid()) >= before + 0.19
    assert family.processor_seconds(2**22 + 1) == 0
