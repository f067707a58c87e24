"""The spool that keeps nothing."""

import os
from typing import Any

from smtpd.spool.backend import EXISTS, GONE, Failure
from smtpd.spool.null import NullBackend


def test_it_takes_all_and_finds_nothing() -> None:
    answers: list[Any] = []
    spool = NullBackend()
    msgid = spool.new_msgid()
    evpid = spool.new_evpid(msgid)
    assert evpid >> 32 == msgid and evpid & 0xFFFFFFFF
    spool.open_incoming(msgid, answers.append)
    fd = answers.pop()
    assert os.write(fd, b"content") == 7
    os.close(fd)
    spool.open_incoming(msgid, answers.append)
    assert answers.pop().kind == EXISTS
    spool.commit(msgid, [(evpid, b"e")], answers.append)
    spool.update(evpid, b"e", answers.append)
    spool.add(evpid, b"e", answers.append)
    spool.delete(evpid, answers.append)
    spool.walk().next(answers.append)
    assert answers == [None] * 5
    answers.clear()
    spool.commit(msgid, [(evpid, b"e")], answers.append)
    spool.open_message(msgid, answers.append)
    spool.set_aside(evpid, answers.append)
    spool.set_aside_message(msgid, answers.append)
    assert [answer.kind for answer in answers] == [GONE] * 4
    spool.load([evpid], lambda stored: answers.append(stored))
    assert answers[-1] == [(evpid, Failure(GONE, "nothing is kept"))]


def test_rollback() -> None:
    answers: list[Any] = []
    spool = NullBackend()
    spool.open_incoming(5, answers.append)
    os.close(answers.pop())
    spool.rollback(5)
    spool.commit(5, [], answers.append)
    assert answers.pop().kind == GONE
