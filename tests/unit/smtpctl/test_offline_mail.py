"""smtpctl/offline_mail.py: the files of offline/."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpctl.offline_mail import CannotKeep, join, keep, split


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "offline").mkdir(mode=0o770)
    return tmp_path


def test_a_file_as_opensmtpd_writes_it(spool: Path) -> None:
    name = keep(spool, ["-f", "a@x", "--", "b@y", "c@z"], [b"Subject: s\n", b"\n", b"hi \xff\n"])
    assert re.fullmatch(r"\d+\.[A-Za-z0-9]{10}", name)
    (file,) = (spool / "offline").iterdir()
    assert file.name == name
    assert file.read_bytes() == b"-f|a@x|--|b@y|c@z\nSubject: s\n\nhi \xff\n"
    status = file.stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_nlink == 1


@pytest.mark.root
def test_its_group_is_the_folders(spool: Path) -> None:
    os.chown(spool / "offline", -1, 54321)
    name = keep(spool, ["b@y"], [b"\n"])
    assert (spool / "offline" / name).stat().st_gid == 54321


def test_nothing_is_left_of_a_message_that_breaks_off(spool: Path) -> None:
    def content() -> Iterator[bytes]:
        yield b"Subject: s\n"
        raise OSError(5, "Input/output error")

    with pytest.raises(CannotKeep, match="Input/output error"):
        keep(spool, ["b@y"], content())
    assert list((spool / "offline").iterdir()) == []


def test_no_folder_or_a_link(tmp_path: Path) -> None:
    with pytest.raises(CannotKeep, match="offline: No such file"):
        keep(tmp_path, ["b@y"], [])
    (tmp_path / "real").mkdir()
    (tmp_path / "offline").symlink_to("real")
    with pytest.raises(CannotKeep, match="offline"):
        keep(tmp_path, ["b@y"], [])
    assert list((tmp_path / "real").iterdir()) == []


@pytest.mark.parametrize("argument", ["a|b@x", "a\nb@x", "a\0@x"])
def test_what_cannot_stand_in_the_line(spool: Path, argument: str) -> None:
    with pytest.raises(CannotKeep, match="cannot be kept"):
        keep(spool, ["--", argument], [])
    assert list((spool / "offline").iterdir()) == []


def test_too_many() -> None:
    with pytest.raises(CannotKeep, match="too many recipients"):
        join(["somebody@example.org"] * 10000)


def test_no_line() -> None:
    for line in (b"", b"-f", b"-f|x"):
        with pytest.raises(CannotKeep, match="no line"):
            split(line)


@given(st.lists(st.binary(max_size=20).filter(lambda data: not set(data) & set(b"|\n\0")), min_size=1))
def test_what_goes_in_comes_out(arguments: list[bytes]) -> None:
    texts = [argument.decode("utf-8", "surrogateescape") for argument in arguments]
    assert split(join(texts)) == texts
