"""Relaying with few descriptors."""

import errno
import os
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from smtpd.messages.pony_queue import DeliveryOk
from smtpd.pony.mta import connect as connect_module
from smtpd.pony.mta import connection as connection_module


def test_out_of_descriptors(
    bench: Any, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mail waits for one, and nobody says that the host was bad."""

    def none(route: object) -> NoReturn:
        tried.append(route)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    tried: list[object] = []
    monkeypatch.setattr(connect_module, "DELAY_CHECK_LIMIT", 0.02)
    bench.smart(make_host())
    with monkeypatch.context() as scarce:
        scarce.setattr(connection_module, "_socket", none)
        bench.relay()
        bench.process.run_until(lambda: len(tried) > 3)
    assert bench.wait() == [DeliveryOk(1 << 32 | 1, False)]
    assert not [line for line in bench.lines if "Disabling" in line]
    assert bench.mta.places.nconn == 1


def test_no_more_connections_than_there_are_descriptors_for(
    bench: Any, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle ones give way."""
    monkeypatch.setattr(connect_module, "DELAY_CHECK_LIMIT", 1000)
    bench.mta.most_connections = 2
    hosts = [make_host() for _ in range(5)]
    bench.tables["<dynamic:0>"] = [f"smtp://127.0.0.1:{host.port}" for host in hosts]
    most = []
    begin = bench.mta.new_session
    monkeypatch.setattr(
        bench.mta, "new_session", lambda *how: most.append(bench.mta.places.nconn) or begin(*how)
    )
    for _ in hosts:
        bench.relay()
        bench.process.turn()  # else they would share a lookup
    bench.wait(5)
    assert [len(host.mails) for host in hosts] == 5 * [1] and max(most) == 2
