"""What must never happen once is not tried again, in whatever part of the tests it is run."""

import subprocess
import sys

import pytest
import tree
from reruns import LOSSES, TIMELESS, USED_UP, reruns

TELL = """
import sys, pytest
class Tell:
    def pytest_collection_finish(self, session):
        for item in session.items:
            marker = item.get_closest_marker("flaky")
            print("again:", marker.kwargs["reruns"] if marker else 0, item.nodeid)
sys.exit(pytest.main(["--collect-only", "-q", *sys.argv[1:]], plugins=[Tell()]))
"""


@pytest.mark.parametrize(
    ("test", "times"),
    [
        ("system/test_relay.py::test_x", 2),
        ("unit/smtpd/mproc/test_peer.py::test_x[a]", 1),
        ("unit/smtpd/spool/test_fs_crash.py::test_x", 0),
        ("unit/smtpd/protocol/smtp/test_server.py::test_x", 0),
        ("unit/smtpd/pony/test_smtp_in_session.py::test_no_secret_in_the_trace", 0),
        ("system/test_long_queue.py::test_all_of_it[a]", 2),
        ("system/test_long_queue.py::test_changed_and_removed_one_by_one_and_all[a]", 0),
        ("fuzz/test_imsg.py::test_x", 0),
        ("../other/test_x.py::test_x", 0),
    ],
)
def test_how_often(test: str, times: int) -> None:
    assert reruns(test) == times
    assert reruns(test, is_property=True) == 0


@pytest.mark.parametrize("test", [*LOSSES, *USED_UP, *TIMELESS])
def test_those_that_are_named_are_there(test: str) -> None:
    path, _, name = test.partition("::")
    assert (tree.ROOT / "tests" / path).exists()
    assert not name or f"def {name}(" in (tree.ROOT / "tests" / path).read_text()


@pytest.mark.parametrize(
    ("path", "times"),
    [
        ("tests/unit/smtpd/mproc/test_spawn.py", {"1"}),
        ("tests/unit/smtpd/spool/test_fs_crash.py", {"0"}),
        ("tests/system/test_trace.py", {"2"}),
        ("tests/system/test_kill9.py", {"0"}),
    ],
)
def test_a_part_of_the_tests_is_tried_again_as_the_whole_is(path: str, times: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TELL, path], cwd=tree.ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split()[1] for line in done.stdout.splitlines() if line.startswith("again:")} == times
