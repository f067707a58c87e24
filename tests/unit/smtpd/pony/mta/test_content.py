"""Content: the same bytes whatever its size, known in advance when small."""

import os

import pytest

from smtpd.pony.mta.content import CHUNK, Content


def make(data: bytes) -> int:
    fd = os.memfd_create("content")
    os.write(fd, data)
    return fd


def read_all(content: Content) -> tuple[bytes, int]:
    chunks = []
    last = False
    while not last:
        chunk, last = content.read()
        chunks.append(chunk)
    return b"".join(chunks), len(chunks)


@pytest.mark.parametrize("size", [0, 1, 5, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7])
def test_sizes(size: int) -> None:
    data = (b"0123456789\n" * (size // 11 + 1))[:size]
    before = len(os.listdir("/proc/self/fd"))
    content = Content(make(data))
    found, chunks = read_all(content)
    assert found == data
    assert chunks == max(1, -(-size // CHUNK))
    content.close()
    content.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_what_is_known_of_small_content() -> None:
    content = Content(make(b"a\nb\n"))
    assert (content.size, content.eightbit) == (6, False)
    content = Content(make("ü\n".encode()))
    assert (content.size, content.eightbit) == (4, True)


def test_what_is_guessed_of_large_content() -> None:
    plain = b"Subject: x\n\n" + b"y\n" * CHUNK
    content = Content(make(plain))
    assert (content.size, content.eightbit) == (len(plain), False)
    content.close()
    content = Content(make(b"Content-Transfer-Encoding: 8BIT\n\n" + b"y\n" * CHUNK))
    assert content.eightbit
    content.close()
    content = Content(make(b"Subject: \xfc\n\n" + b"y\n" * CHUNK))
    assert content.eightbit
    content.close()


def test_a_shared_offset_does_not_matter() -> None:
    fd = make(b"x" * (CHUNK + 5))
    content = Content(fd)
    os.lseek(fd, 3, os.SEEK_SET)
    assert read_all(content)[0] == b"x" * (CHUNK + 5)
    content.close()


def test_content_that_shrinks() -> None:
    fd = make(b"x" * (2 * CHUNK))
    content = Content(fd)
    content.read()
    os.truncate(fd, CHUNK)
    with pytest.raises(OSError):
        content.read()
    content.close()


def test_no_content() -> None:
    read, write = os.pipe()
    os.close(write)
    with pytest.raises(OSError):
        Content(read)  # no pread on a pipe
    with pytest.raises(OSError):
        os.close(read)  # it was closed
