"""`spf walk` against Debian's, both asking the same name server for the same records."""

import json
import subprocess
import sys
from collections.abc import Iterator

import network
import pytest
import tree
from network import NAME_SERVER, Network
from side_by_side import Said, differs

ZONE = """\
plain TXT "v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.7 ip6:2001:db8::/32 ip6:2001:DB8:1::1 -all"
split TXT "v=spf1 ip4:192.0" ".2.9 ip4:203.0." "113.0/25 ~all"
other TXT "some text" "v=spf1 ip4:192.0.2.99"
none TXT "no spf"
upper TXT "V=SPF1 IP4:192.0.2.33 INCLUDE:plain.test ?all"
chain TXT "v=spf1 include:one.test include:plain.test. redirect=two.test"
one TXT "v=spf1 +ip4:192.0.2.1 ?ip4:192.0.2.2 -ip4:192.0.2.3 ~ip4:192.0.2.4 include:two.test -all"
two TXT "v=spf1 ip4:192.0.2.20 include:chain.test include:nobody.test ~all"
hosts TXT "v=spf1 a mx a:mail.test/28 mx:far.test/30 exists:mail.test -all"
hosts A 192.0.2.100
hosts AAAA 2001:db8::100
hosts MX 10 mail
hosts MX 20 far
mail A 192.0.2.101
mail AAAA 2001:db8::101
far A 192.0.2.102
far MX 5 far
macro TXT "v=spf1 include:%{i}._spf.test ip4:192.0.2.55 a:%{h}.test -all"
wrong TXT "v=spf1 ip4:300.1.1.1 ip4: ip6:nonsense include: a: ip4:192.0.2.77 unknown:thing ipv4:1.2.3.4"
short TXT "v=spf1 a/24 mx/28 -all"
short A 192.0.2.110
short MX 10 mail
"""

SIX = {"2001:db8::/32", "2001:db8:1::1"}
"""The networks of plain.test that are IPv6."""


@pytest.fixture(scope="module")
def net(opensmtpd: str) -> Iterator[Network]:
    """A name server with ZONE."""
    if reason := network.missing():
        pytest.skip(reason)
    one = Network()
    try:
        one.name_server({"test": ZONE})
        one.resolv_conf.write_text(f"lookup bind\nnameserver {NAME_SERVER}\n")
        yield one
    finally:
        one.close()


def walk(net: Network, domains: str, *words: str) -> Said:
    """A program inside, with these domains as its standard input."""
    mount = f"mount --bind {net.resolv_conf} $(readlink -f /etc/resolv.conf)"
    enter = ["nsenter", f"--net={net.here.path}", "unshare", "--mount", "--propagation=private"]
    done = subprocess.run(
        [*enter, "sh", "-c", f'set -e; {mount}; exec "$@"', "sh", *words],
        input=domains,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tree.ROOT,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def both(net: Network, domains: str) -> tuple[Said, Said]:
    return walk(net, domains, "/usr/sbin/smtpctl", "spf", "walk"), ours(net, domains)


def ours(net: Network, domains: str, *options: str) -> Said:
    return walk(net, domains, sys.executable, "-m", "smtpctl", "spf", "walk", *options)


def test_the_same_networks_come_out(net: Network) -> None:
    names = ("plain", "split", "none", "chain", "one", "two", "hosts", "nobody", "wrong")
    for domains in ("".join(f"{name}.test\n" for name in names), "hosts.test", "\n  \nplain.test  \n"):
        theirs, our = both(net, domains)
        if "plain" in domains:
            differs("ip6", set(theirs.lines), set(our.lines))
            assert set(our.lines) >= SIX
        assert {line for line in our.lines if line not in SIX} == set(theirs.lines), domains
        assert (our.status, our.err) == (theirs.status, theirs.err) == (0, "")
        assert len(our.lines) == len(set(our.lines))


def test_macros_are_complained_of(net: Network) -> None:
    theirs, our = both(net, "macro.test\n")
    assert our.lines == theirs.lines == ["192.0.2.55"]
    assert our.status == theirs.status == 0
    for said in (theirs, our):
        assert all(name in said.err for name in ("%{i}._spf.test", "%{h}.test", "macros"))


def test_prefixes_of_the_domain_itself_are_ours_alone(net: Network) -> None:
    theirs, our = both(net, "short.test\n")
    differs("prefixes", theirs, our)
    assert our.lines == ["192.0.2.110/24", "192.0.2.101/28", "2001:db8::101"]


def test_a_family_and_json(net: Network) -> None:
    assert ours(net, "plain.test", "--inet4").lines == ["192.0.2.0/24", "198.51.100.7"]
    assert ours(net, "plain.test", "--inet6").lines == ["2001:db8::/32", "2001:db8:1::1"]
    rows = [json.loads(line) for line in ours(net, "plain.test\nsplit.test", "--json").lines]
    assert all(set(row) == {"domain", "network"} for row in rows)
    assert {row["domain"] for row in rows} == {"plain.test", "split.test"}
    assert len(rows) == 6
