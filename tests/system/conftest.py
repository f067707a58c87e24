"""Fixtures for tests of the whole daemon. Everything they start they end, by pid."""

import os
import shutil
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from daemon import LOCAL, Daemon
from opensmtpd import OpenSMTPD
from side_by_side import Pair
from sink import Sink
from tls_sink import TlsSink


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/tests/system/" in str(item.path):
            item.add_marker(pytest.mark.system)


@pytest.fixture
def daemon() -> Iterator[Callable[..., Daemon]]:
    """daemon(conf, mode="alone", **names): a started daemon; at the end it must stop cleanly."""
    started: list[Daemon] = []

    def start(conf: str = LOCAL, **options: object) -> Daemon:
        one = Daemon(conf, **options)  # type: ignore[arg-type]
        started.append(one)
        return one.start()

    yield start
    errors = []
    for one in reversed(started):
        try:
            one.close()
        except AssertionError as error:
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture
def sink() -> Iterator[Callable[..., Sink]]:
    """sink(answers): a server to relay to."""
    made: list[Sink] = []

    def make(answers: dict | None = None, port: int = 0) -> Sink:
        made.append(Sink(answers, port))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def tls_sink() -> Iterator[Callable[..., TlsSink]]:
    """tls_sink(context, answers, ...): a server to relay to under TLS."""
    made: list[TlsSink] = []

    def make(tls: ssl.SSLContext | None, *arguments: Any, **options: Any) -> TlsSink:
        made.append(TlsSink(tls, *arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def privileged() -> None:
    """Skip, with the reason, where a daemon cannot be started with its privileges."""
    if os.geteuid() != 0:
        pytest.skip("needs to be root")
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, for users of the test's own")


@pytest.fixture(scope="session")
def opensmtpd() -> str:
    """The version of Debian's OpenSMTPD; skip, with the reason, where it cannot be started."""
    if os.geteuid() != 0:
        pytest.skip("OpenSMTPD starts as root only")
    version = OpenSMTPD.version()
    if not version:
        pytest.skip("needs Debian's opensmtpd (tools/system_needs)")
    return version


@pytest.fixture(scope="session")
def pair(opensmtpd: str) -> Iterator[Pair]:
    """OpenSMTPD and our daemon with the same envelopes, in every state; tests leave these as they are."""
    both = Pair()
    try:
        yield both.start().fill()
    finally:
        both.close()


@pytest.fixture
def own_pair(opensmtpd: str) -> Iterator[Pair]:
    """The same without a mail but those that lie in the spool, for one test to do what it wants with."""
    both = Pair()
    try:
        yield both.start()
    finally:
        both.close()
