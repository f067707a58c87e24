"""smtpd/control/configuration.py, in a whole process whose peers the test holds (conftest.py)."""

import os
from typing import Any

import pytest

from smtpd.control.configuration import PIECE
from smtpd.messages.client_configuration import ClientShowConfiguration, ConfigurationRow
from smtpd.messages.client_control import ClientDone
from smtpd.messages.parent_control import ConfigurationText, GetConfigurationText


def answers(bench: Any, text: bytes | None, error: str = "") -> None:
    """Have parent answer with a text, its descriptor standing behind what was written."""

    def answer(name: str, peerid: int, message: GetConfigurationText) -> None:
        fd = None
        if text is not None:
            fd = os.memfd_create("configuration")
            os.write(fd, text)
        bench.ends[name].put(ConfigurationText(peerid, error), fd)
        bench.ends[name].flush()

    bench.answers[GetConfigurationText] = answer


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"listen on lo\n",
        b"no newline at its end",
        b"table t { " + b"\xff\xfe, " * 9000 + b" }\n",
        "# ä\n".encode() * 5000,
        b"x" * (PIECE - 1) + "ä".encode() + b"\n",
        b"\n" * PIECE,
    ],
)
def test_the_pieces_are_the_whole(bench: Any, text: bytes) -> None:
    answers(bench, text)
    *rows, done = bench.ask(bench.connect(), ClientShowConfiguration())
    assert all(isinstance(row, ConfigurationRow) for row in rows)
    assert "".join(row.text for row in rows).encode("utf-8", "surrogateescape") == text
    assert done == ClientDone(0, "", text.count(b"\n"))


def test_parent_has_none(bench: Any) -> None:
    answers(bench, None, "no memory for the configuration")
    assert bench.ask(bench.connect(), ClientShowConfiguration()) == [
        ClientDone(0, "no memory for the configuration", 0)
    ]


def test_parent_is_gone(bench: Any) -> None:
    bench.process.peer("parent").close()
    bench.ends.pop("parent").close()
    assert bench.ask(bench.connect(), ClientShowConfiguration()) == [
        ClientDone(0, "parent does not answer", 0)
    ]


def test_no_descriptor_is_left(bench: Any) -> None:
    answers(bench, b"listen on lo\n" * 10_000)
    client = bench.connect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        bench.ask(client, ClientShowConfiguration())
    assert len(os.listdir("/proc/self/fd")) <= before
