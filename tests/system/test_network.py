"""Mail through networks of a test's own: what becomes of it when hosts, families and name servers fail."""

from collections.abc import Iterator

import network
import pytest
from network import Network

DIRECT = """\
listen on 127.0.0.1 port ${port}
action "local" maildir
action "out" relay
match from any for local action "local"
match from any for any action "out"
"""


@pytest.fixture
def net() -> Iterator[Network]:
    if reason := network.missing():
        pytest.skip(reason)
    made = Network()
    yield made
    made.close()


def test_mail_goes_to_the_best_mx_over_ipv6_first(net) -> None:
    net.name_server(
        {"test": "a MX 10 mx1.a\nmx1.a A 192.0.2.1\nmx1.a AAAA 2001:db8::1\na MX 20 mx2.a\nmx2.a A 192.0.2.2"}
    )
    first, second = net.sink("2001:db8::1"), net.sink("192.0.2.2")
    net.sink("192.0.2.1")
    one = net.daemon(DIRECT)
    one.send("x@source.test", "y@a.test")
    assert len(first.wait(1)) == 1
    one.wait_empty()
    assert second.taken == []
    assert "[2001:db8::1] (mx1.a.test)" in one.ctl("show", "routes")
