import pytest

from smtpd.config.addresses import follows_interfaces, is_loopback, listen_addresses
from smtpd.config.machine import FixedMachine, InterfaceAddress, NoSuchName
from smtpd.config.model import ListenAddress, Listener

MACHINE = FixedMachine(
    addresses=(
        InterfaceAddress("lo", ("all",), "inet4", "127.0.0.1"),
        InterfaceAddress("lo", ("all",), "inet6", "::1"),
        InterfaceAddress("eth0", ("all", "mail"), "inet4", "192.0.2.10"),
        InterfaceAddress("eth0", ("all", "mail"), "inet6", "fe80::1%eth0"),
    )
)


def found(on: str, family: str = "") -> list[str]:
    listener = Listener(on=on, family=family, port=26)
    addresses = listen_addresses(MACHINE, listener)
    assert all(address.port == 26 for address in addresses)
    return [address.address for address in addresses]


def test_interface_group_address_name() -> None:
    assert found("lo") == ["127.0.0.1", "::1"]
    assert found("mail") == ["192.0.2.10", "fe80::1%eth0"]
    assert found("all", "inet6") == ["::1", "fe80::1%eth0"]
    assert found("192.0.2.77") == ["192.0.2.77"]
    assert found("2001:db8::1") == ["2001:db8::1"]
    assert found("localhost", "inet4") == ["127.0.0.1"]


def test_nothing() -> None:
    for on in ("nope", "", "::g", "1.2.3", "١.١.١.١"):
        with pytest.raises(NoSuchName):
            found(on)
    with pytest.raises(NoSuchName) as caught:
        found("192.0.2.1", "inet6")
    assert not caught.value.fatal


def test_loopback() -> None:
    assert listen_addresses(MACHINE, Listener(on="lo", port=25)) == (
        ListenAddress("inet4", "127.0.0.1", 25, True),
        ListenAddress("inet6", "::1", 25, True),
    )
    assert not is_loopback("127.0.0.2")
    assert not is_loopback("fe80::1%eth0")


def test_follows_interfaces() -> None:
    assert follows_interfaces(MACHINE, Listener(on="eth0"))
    assert follows_interfaces(MACHINE, Listener(on="mail"))
    assert not follows_interfaces(MACHINE, Listener(on="192.0.2.10"))
    assert not follows_interfaces(MACHINE, Listener(on="socket", socket=True))
