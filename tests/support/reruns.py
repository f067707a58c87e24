"""Which tests are tried again when they fail, and how often.

Several tests at a time wait for each other's processes: what fails for that is tried again, and said to have
been. What must never happen once is not, nor what has nothing to do with time.
"""

import re

LOSSES = (
    # a mail lost once is a mail lost
    "system/test_kill9.py",
    "system/test_stop.py",
    "unit/smtpd/spool/test_fs_crash.py",
    # a secret seen once is known
    "system/test_see_secrets.py",
    "rules/test_secrets.py",
    "unit/imsg/test_masking.py",
)

USED_UP = (
    # what the tests of a file share is not there any more for a second try
    "system/test_long_queue.py::test_changed_and_removed_one_by_one_and_all",
    "system/test_terminal.py::test_what_takes_long_says_how_far_it_is",
)

TIMELESS = ("unit/smtpd/mail/", "unit/smtpd/protocol/")
"""Cores without sockets, processes and clocks."""

_SECRET = re.compile(r"secret|overheard|password")


def reruns(test: str, *, is_property: bool = False) -> int:
    """How often. `test`: its path from tests/ on, and name: "unit/imsg/test_tape.py::test_x".

    `is_property`: by hypothesis; a counter-example is one.
    """
    path, _, name = test.partition("::")
    if path in LOSSES or test.partition("[")[0] in USED_UP or path.startswith(TIMELESS):
        return 0
    if is_property or _SECRET.search(name):
        return 0
    return {"system": 2, "unit": 1}.get(path.partition("/")[0], 0)
