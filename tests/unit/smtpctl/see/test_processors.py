"""smtpctl/see/processors.py: how much of their time is left, by what the kernel tells."""

from pathlib import Path

import pytest

from smtpctl.see.processors import Processors


def stat(path: Path, idle: int, other: int) -> None:
    """Idle time and time that waits for disks is time left; time of guests is among the users' already."""
    half = idle // 2
    path.write_text(f"cpu  {other} 0 0 {idle - half} {half} 0 0 0 7777 7777\ncpu0 1 2 3 4\n")


def test_how_idle_they_are(tmp_path: Path) -> None:
    path = tmp_path / "stat"
    stat(path, 100, 900)
    processors = Processors(path)
    for idle, other, expected in ((140, 960, 0.4), (140, 960, 0.0), (150, 1050, 0.1), (200, 1050, 1.0)):
        stat(path, idle, other)
        assert processors.idle() == expected


@pytest.mark.parametrize("text", [None, "", "cpu x y z\n", "cpu\n"])
def test_a_machine_that_does_not_tell_is_busy(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "stat"
    if text is not None:
        path.write_text(text)
    assert Processors(path).idle() == 0.0


def test_this_machine() -> None:
    idle, whole = Processors()._read()
    assert 0 <= idle <= whole and whole > 0
