"""smtpd/lookup/hosts.py: what a hosts file says, and its changes."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.lookup.hosts import CHECK_SECONDS, Hosts


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_hosts_file(hosts: Hosts) -> None:
    assert hosts.addresses("localhost") == ["127.0.0.1", "::1"]
    assert hosts.addresses("printer.example") == hosts.addresses("printer") == ["192.0.2.77"]
    assert hosts.name("192.0.2.77") == "Printer.example"
    assert hosts.addresses("six") == ["2001:db8::5"] and hosts.name("2001:db8::5") == "six"
    assert hosts.addresses("broken") == [] and hosts.name("192.0.2.78") == ""


def test_no_hosts_file(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path / "none")
    assert hosts.addresses("localhost") == ["127.0.0.1", "::1"]


@given(st.binary())
def test_any_hosts_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("hosts") / "hosts"
    path.write_bytes(data + b"\n192.0.2.1 last\n")
    assert Hosts(path).addresses("last") == ["192.0.2.1"]


@pytest.mark.parametrize("by_rename", [False, True])
def test_a_change_is_noticed_within_seconds(tmp_path: Path, by_rename: bool) -> None:
    path, clock = tmp_path / "hosts", Clock()
    path.write_text("192.0.2.1 one two\n")
    hosts = Hosts(path, clock)
    new = tmp_path / "new"
    new.write_text("192.0.2.2 two three\n")
    if by_rename:
        new.rename(path)
    else:
        path.write_text(new.read_text())
        os.utime(path, ns=(1, 1))
    assert hosts.addresses("one") == ["192.0.2.1"], "not looked at yet"
    clock.now += CHECK_SECONDS
    assert hosts.addresses("one") == [] and hosts.addresses("two") == ["192.0.2.2"]
    assert hosts.name("192.0.2.2") == "two" and hosts.name("192.0.2.1") == ""


def test_a_file_that_comes_and_one_that_goes(tmp_path: Path) -> None:
    path, clock = tmp_path / "hosts", Clock()
    hosts = Hosts(path, clock)
    path.write_text("192.0.2.1 one\n")
    clock.now += CHECK_SECONDS
    assert hosts.name("192.0.2.1") == "one"
    path.unlink()
    clock.now += CHECK_SECONDS
    assert hosts.name("192.0.2.1") == "one"


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = tmp_path / "hosts", Clock()
    path.write_text("192.0.2.1 one\n")
    hosts = Hosts(path, clock)
    monkeypatch.setattr(hosts, "_parse", lambda text: pytest.fail("read again"))
    clock.now += CHECK_SECONDS
    assert hosts.name("192.0.2.1") == "one"
