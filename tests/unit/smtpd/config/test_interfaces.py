"""smtpd/config/interfaces.py: names, groups and addresses, with netlink and without."""

import errno
import socket
from pathlib import Path

import pytest

from smtpd.config import interfaces
from smtpd.config.interfaces import InterfaceAddress, addresses_of, group_names, interface_addresses, scoped
from smtpd.config.netlink import Address, Link, Snapshot

FOUND = Snapshot(
    {1: Link(1, "lo", 0), 2: Link(2, "eth0", 5), 3: Link(3, "eth1", 7)},
    [
        Address(1, "inet4", "127.0.0.1", True),
        Address(2, "inet6", "fe80::1", False),
        Address(3, "inet6", "2001:db8::1", True),
        Address(9, "inet4", "192.0.2.9", True),
    ],
    frozenset({3}),
)


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "group"
    path.write_text("# groups\n0 default\n5\tmail # inside\nx y\n\n6\n")
    monkeypatch.setattr(interfaces, "GROUP_FILES", (str(tmp_path / "nope"), str(path)))
    return path


def test_group_names(groups: Path) -> None:
    assert group_names() == {5: "mail"}


def test_the_first_file_wins(groups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"5 \xff\n7 seven\n")
    monkeypatch.setattr(interfaces, "GROUP_FILES", (str(groups), str(other)))
    assert group_names() == {5: "mail", 7: "seven"}


def test_addresses(groups: Path) -> None:
    assert list(addresses_of(FOUND)) == [
        InterfaceAddress("lo", ("all",), "inet4", "127.0.0.1", 1, True),
        InterfaceAddress("eth0", ("all", "mail"), "inet6", "fe80::1%eth0", 2, False),
        InterfaceAddress("eth1", ("all", "egress"), "inet6", "2001:db8::1", 3, True),
    ]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("fe80::1", "fe80::1%e"),
        ("febf::1", "febf::1%e"),
        ("fec0::1", "fec0::1"),
        ("::1", "::1"),
        ("169.254.0.1", "169.254.0.1"),
    ],
)
def test_scopes(address: str, expected: str) -> None:
    assert scoped(address, "e") == expected


def test_without_netlink(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Snapshot:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with_netlink = {(each.interface, each.address) for each in interface_addresses()}
    monkeypatch.setattr(interfaces.netlink, "snapshot", refuse)
    found = interface_addresses()
    assert InterfaceAddress("lo", ("all",), "inet4", "127.0.0.1") in found
    assert {(each.interface, each.address) for each in found} <= with_netlink


def test_inet6_without_netlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "if_inet6"
    path.write_text(
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fe8000000000000000fc00fffe000001 0b 40 20 c0     eth0\n"
    )
    monkeypatch.setattr(interfaces, "IF_INET6", str(path))
    found = [each for each in interfaces.without_netlink() if each.family == "inet6"]
    assert found == [
        InterfaceAddress("lo", ("all",), "inet6", "::1", 1, True),
        InterfaceAddress("eth0", ("all",), "inet6", "fe80::fc:ff:fe00:1%eth0", 11, False),
    ]


def test_with_nothing_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(interfaces, "IF_INET6", str(tmp_path / "nope"))
    monkeypatch.setattr(interfaces.socket, "socket", refuse)
    assert interface_addresses() == ()
