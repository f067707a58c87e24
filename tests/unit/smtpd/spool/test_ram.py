"""What is the memory backend's own; test_backend.py has what all do."""

import os
from typing import Any

from smtpd.spool.ram import RamBackend


def test_set_aside_is_kept_to_look_at() -> None:
    spool = RamBackend()
    answers: list[Any] = []
    msgid = spool.new_msgid()
    evpid = spool.new_evpid(msgid)
    spool.open_incoming(msgid, answers.append)
    os.close(answers.pop())
    spool.commit(msgid, [(evpid, b"bad"), (evpid ^ 1, b"good")], answers.append)
    spool.set_aside(evpid, answers.append)
    spool.set_aside_message(msgid, answers.append)
    assert answers == [None] * 3
    assert spool.aside == {evpid: b"bad", msgid: None}


def test_the_walk_gives_a_message_at_a_time() -> None:
    spool = RamBackend()
    answers: list[Any] = []
    for _ in range(3):
        msgid = spool.new_msgid()
        spool.open_incoming(msgid, answers.append)
        os.close(answers.pop())
        spool.commit(msgid, [(msgid << 32 | 1, b"1"), (msgid << 32 | 2, b"2")], answers.append)
        answers.clear()
    walk = spool.walk()
    for _ in range(4):
        walk.next(answers.append)
    assert answers.pop() is None
    for batch in answers:
        assert [data for _evpid, data in batch] == [b"1", b"2"]
        assert len({evpid >> 32 for evpid, _data in batch}) == 1
