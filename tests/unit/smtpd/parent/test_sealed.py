"""smtpd/parent/sealed.py: memory that a child can read, and nobody can change under its reader's feet."""

import contextlib
import fcntl
import mmap
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg import Recorder
from smtpd.parent import sealed as sealed_module
from smtpd.parent.sealed import ring, sealed


def content(fd: int) -> bytes:
    return os.pread(fd, 1 << 24, 0)


# the configuration


@given(st.binary(max_size=100))
def test_what_was_written(data: bytes) -> None:
    fd = sealed("test", data)
    assert content(fd) == data and os.fstat(fd).st_size == len(data)
    os.close(fd)


def test_larger_than_any_frame() -> None:
    data = os.urandom(1 << 20)
    fd = sealed("test", data)
    assert content(fd) == data
    os.close(fd)


def test_nobody_can_change_it() -> None:
    """Not by another descriptor of it either, nor by a mapping; and the seals stay."""
    fd = sealed("test", b"configured")
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    for each in (fd, again):
        for change in (
            lambda each=each: os.pwrite(each, b"x", 0),
            lambda each=each: os.pwrite(each, b"x", 100),
            lambda each=each: os.ftruncate(each, 3),
            lambda each=each: os.ftruncate(each, 3000),
            lambda each=each: mmap.mmap(each, 10).close(),
            lambda each=each: fcntl.fcntl(each, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW),
        ):
            with pytest.raises(PermissionError):
                change()
    assert content(again) == b"configured"
    everything = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    assert fcntl.fcntl(again, fcntl.F_GET_SEALS) == everything
    for each in (fd, again):
        os.close(each)


def test_descriptors() -> None:
    """Closed on exec, and none is left behind, also when it fails."""
    before = len(os.listdir("/proc/self/fd"))
    fd = sealed("test", b"x")
    assert not os.get_inheritable(fd)
    os.close(fd)
    with pytest.raises(TypeError):
        sealed("test", "text")  # type: ignore[arg-type]
    assert len(os.listdir("/proc/self/fd")) <= before


def test_sealing_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd"))

    def refuse(*_arguments: int) -> None:
        raise OSError("no seals here")

    monkeypatch.setattr(sealed_module.fcntl, "fcntl", refuse)
    with pytest.raises(OSError, match="no seals here"):
        sealed("test", b"x")
    assert len(os.listdir("/proc/self/fd")) <= before


# the ring


def test_ring() -> None:
    """Both ends write into the same memory; a recorder fits."""
    memory, fd, size = ring("test")
    assert os.fstat(fd).st_size == size == len(memory) and not os.get_inheritable(fd)
    child = mmap.mmap(fd, size)
    recorder = Recorder(child)
    channel = recorder.channel("pony")
    recorder.write(1, channel, [0x0501], [16], [1], [42], [False])
    (entry,) = Recorder.read(memory)
    assert (entry.channel, entry.direction, entry.type, entry.pid) == ("pony", "out", 0x0501, 42)
    del recorder
    with contextlib.suppress(BufferError):
        child.close()
    memory.close()
    os.close(fd)


def test_a_child_cannot_make_it_smaller() -> None:
    """Parent would die of SIGBUS when it reads what is not there any more."""
    memory, fd, size = ring("test")
    for other in (0, size - 1, size + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, other)
    with pytest.raises(PermissionError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    assert Recorder.read(memory) == []
    memory.close()
    os.close(fd)


def test_readable() -> None:
    """What others are given to look at cannot be written by them."""
    memory, fd, size = ring("test")
    memory[:4] = b"seen"
    copy = sealed_module.readable(fd)
    assert os.pread(copy, 4, 0) == b"seen" and not os.get_inheritable(copy)
    with pytest.raises(OSError):
        os.pwrite(copy, b"x", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(copy, size)
    for each in (copy, fd):
        os.close(each)
    memory.close()
