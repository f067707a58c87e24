"""Which addresses lead back to us."""

import pytest

from smtpd.config.model import ListenAddress, Listener
from smtpd.pony.mta.ourselves import Ourselves, is_local


def listening(*addresses: tuple[str, int]) -> Ourselves:
    found = tuple(
        ListenAddress("inet6" if ":" in address else "inet4", address, port, False)
        for address, port in addresses
    )
    return Ourselves([Listener(on="x", addresses=found), Listener(on="socket", socket=True)])


def test_an_address_that_is_listened_on() -> None:
    ourselves = listening(("192.0.2.1", 25), ("2001:db8::1", 25), ("192.0.2.2", 587), ("fe80::1%eth0", 25))
    assert ourselves.are_at("192.0.2.1") and ourselves.are_at("2001:db8::1") and ourselves.are_at("fe80::1")
    assert not ourselves.are_at("192.0.2.2"), "an MX is asked on port 25"
    assert not ourselves.are_at("192.0.2.3") and not ourselves.are_at("127.0.0.1")


def test_all_addresses_of_this_machine() -> None:
    ourselves = listening(("0.0.0.0", 25))
    assert ourselves.are_at("127.0.0.1") and ourselves.are_at("127.1.2.3")
    assert not ourselves.are_at("192.0.2.1") and not ourselves.are_at("::1")
    assert listening(("::", 25)).are_at("::1")


def test_nobody_listens() -> None:
    assert not listening().are_at("127.0.0.1")
    assert not listening(("0.0.0.0", 2525)).are_at("127.0.0.1")


@pytest.mark.parametrize(
    ("address", "local"), [("127.0.0.1", True), ("::1", True), ("192.0.2.1", False), ("2001:db8::1", False)]
)
def test_local(address: str, local: bool) -> None:
    assert is_local(address) is local
