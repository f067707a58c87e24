"""imsg/core.py: which of the two framings is taken."""

import os
import subprocess
import sys

import pytest

from imsg import core

SHOW = "import imsg.core as c; print(c.NATIVE, c.FrameReader.__module__, c.FrameWriter.__module__)"


def run(**environment: str) -> str:
    keep = {key: value for key, value in os.environ.items() if key != "IMSG_PURE"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=keep | environment, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def test_pure_can_be_forced() -> None:
    assert run(IMSG_PURE="1") == "False imsg.frame imsg.frame"


def test_native_is_taken_where_it_was_built() -> None:
    pytest.importorskip("imsg._core", reason="no C core was built", exc_type=ImportError)
    assert run() == run(IMSG_PURE="0") == "True imsg.native imsg.native"


def test_missing_core_falls_back() -> None:
    show = f"import sys; sys.modules['imsg._core'] = None; {SHOW}"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, check=True)
    assert done.stdout.decode().split()[0] == "False"


def test_both_names_come_from_the_same_side() -> None:
    assert core.FrameReader.__module__ == core.FrameWriter.__module__
    assert core.NATIVE == (core.FrameReader.__module__ == "imsg.native")
