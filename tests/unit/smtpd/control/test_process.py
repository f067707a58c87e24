"""smtpd/control/process.py."""

import asyncio
import os
import socket
from typing import Any

import pytest

from imsg import Channel
from smtpd.control.process import Process
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.client_control import ClientPause
from smtpd.messages.control_pony import PauseSmtp
from smtpd.messages.control_scheduler import PauseDelivery
from smtpd.messages.links import CONTROL
from smtpd.mproc.log import Log


def test_nobody_is_served_before_the_start() -> None:
    loop = asyncio.new_event_loop()
    process = Process(loop, Log("control"))
    process.begin()
    process.trace_changed()
    loop.run_until_complete(process.stop())
    assert process.NAME == CONTROL
    assert process.clients is None
    loop.close()


def test_a_new_process_is_told_what_is_paused(bench: Any) -> None:
    client = bench.connect()
    for what in ("mta", "smtp"):
        bench.ask(client, ClientPause(what))
    for name, expected in (("scheduler", PauseDelivery("mta")), ("pony", PauseSmtp())):
        assert bench.heard[name] == [expected]
        bench.ends.pop(name).close()
        ours, theirs = socket.socketpair()
        bench.ends[name] = Channel(theirs, CATALOGUE)
        bench.process.attach(name, 0, Channel(ours, CATALOGUE))
        bench.turn()
        assert bench.heard[name] == [expected] * 2


def test_administrators_are_root_and_who_started_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    process = Process(loop, Log("control"))
    monkeypatch.setattr(os, "geteuid", lambda: 99)  # the privilege drop comes in between
    process.start()
    assert process.clients is not None
    assert process.clients._administrators == {0, 1234}
    loop.close()
