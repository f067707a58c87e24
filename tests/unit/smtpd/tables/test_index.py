"""smtpd/tables/index.py, against slow oracles of OpenSMTPD's rules.

Those of hostname_match, mailaddr_match and table_netaddr_match. Keys go through StaticTable, as all do.
"""

import ctypes
import ctypes.util
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd.tables.index import parse_network, wildcard
from smtpd.tables.static import StaticTable

# the oracles: one key against one entry, in the slowest way that can be thought of


def same(one: str, other: str) -> bool:
    """Equal but for the case of ASCII letters, as in the C locale."""
    return folded(one) == folded(other)


def folded(text: str) -> str:
    return "".join(chr(ord(char) + 32) if "A" <= char <= "Z" else char for char in text)


def hostname_matches(hostname: str, pattern: str) -> bool:
    """A star swallows until the next character of the pattern comes; it never tries again further on."""
    host, want = list(folded(hostname)), list(folded(pattern))
    while host and want:
        if want[0] == "*":
            while want and want[0] == "*":
                want.pop(0)
            while host and (not want or host[0] != want[0]):
                host.pop(0)
        elif host.pop(0) != want.pop(0):
            return False
    return not host and not want


def split(address: str) -> tuple[str, str]:
    user, at, domain = address.rpartition("@")
    return (user, domain) if at else (address, "")


def mailaddr_matches(key: str, entry: str, delimiter: str) -> bool:
    (user, domain), (wanted_user, wanted_domain) = split(key), split(entry)
    if not wanted_user and not wanted_domain:
        return True
    if wanted_domain and not hostname_matches(domain, wanted_domain):
        return False
    if wanted_user and delimiter not in wanted_user:
        user = user.split(delimiter)[0]
    return not wanted_user or same(user, wanted_user)


def netaddr_matches(key: str, entry: str) -> bool:
    if same(key, entry):
        return True
    one, other = network_of(key), network_of(entry)
    if one is None or other is None or one[0] != other[0]:
        return False
    family, address, _bits = one
    _family, network, bits = other
    width = 32 if family == 4 else 128
    return (address ^ network) >> (width - bits) == 0 if bits < width else address == network


def network_of(text: str) -> tuple[int, int, int] | None:
    """Family, address and length of the prefix."""
    if folded(text).startswith("ipv6:"):
        text = text[5:]
    if "." in text and ":" not in text:
        address, slash, bits = text.partition("/")
        try:
            return 4, int.from_bytes(socket.inet_pton(socket.AF_INET, address)), int(bits) if slash else 32
        except (OSError, ValueError):
            return None
    if text.startswith("["):
        if not text.endswith("]"):
            return None
        text = text[1:-1]
        if folded(text).startswith("ipv6:"):
            text = text[5:]
    address, slash, bits = text.partition("/")
    try:
        return 6, int.from_bytes(socket.inet_pton(socket.AF_INET6, address)), int(bits) if slash else 128
    except (OSError, ValueError):
        return None


type Entry = tuple[str, str | None]


def entries(*keys: str) -> list[Entry]:
    return [(folded(key), f"value of {key}") for key in keys]


def find(service: str, keys: list[str], key: str, delimiter: str = "+") -> Entry | None:
    """What a table with these keys answers."""
    return StaticTable("t", entries(*keys), delimiter).find(service, key)


# exact

EXACT = ["string", "alias", "credentials", "userinfo", "relayhost", "addrname", "mailaddrmap", "source"]


@pytest.mark.parametrize("service", EXACT)
def test_exact(service: str) -> None:
    keys = ["Alice", "*.example.org", "@", "10.0.0.0/8"]
    assert find(service, keys, "ALICE") == ("alice", "value of Alice")
    for other in ("ali", "alice ", "", "x.example.org", "x@y", "10.0.0.1"):
        assert find(service, keys, other) is None


TEXT = st.text("aAbKk\u212a\u0130é\udcff", max_size=3)


@given(st.lists(TEXT, max_size=6), TEXT)
def test_exact_against_the_oracle(keys: list[str], key: str) -> None:
    """The Kelvin sign is no K: only ASCII letters have a case."""
    found = find("string", keys, key)
    assert (found is not None) == any(same(key, entry) for entry in keys)
    assert found is None or same(found[0], key)


# domain


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("example.org", "Example.ORG", True),
        ("*.example.org", "mail.example.org", True),
        ("*.example.org", "a.b.example.org", False),
        ("*.example.org", "example.org", False),
        ("*.example.org", ".example.org", True),
        ("*", "anything", True),
        ("*", "", False),
        ("", "", True),
        ("mail*", "mail7", True),
        ("mail*", "mail", False),
        ("mail*.example.org", "mail.example.org", True),
        ("**.org", "x.org", True),
        ("*.*.org", "a.b.org", True),
        ("*a*", "a", False),
        ("*aa", "aaa", False),
        ("*aa", "baa", True),
        ("[a-z]*", "[a-z]x", True),
        ("a.c", "abc", False),
        ("\u212a.example", "k.example", False),
    ],
)
def test_domain(pattern: str, host: str, expected: bool) -> None:
    assert hostname_matches(host, pattern) == expected, "the oracle is wrong"
    assert (find("domain", [pattern], host) is not None) == expected


HOST = st.text("abA.-]^\n*\u212a", max_size=8)
PATTERN = st.text("abB.-]^**\u212a", max_size=8)


@given(PATTERN, HOST)
@settings(max_examples=400)
def test_wildcard_against_the_oracle(pattern: str, host: str) -> None:
    assert bool(wildcard(folded(pattern)).fullmatch(folded(host))) == hostname_matches(host, pattern)


@given(st.lists(PATTERN, max_size=6), HOST)
@settings(max_examples=400)
def test_domain_against_the_oracle(patterns: list[str], host: str) -> None:
    found = find("domain", patterns, host)
    assert (found is not None) == any(hostname_matches(host, pattern) for pattern in patterns)
    assert found is None or (found[0] in map(folded, patterns) and hostname_matches(host, found[0]))


def test_the_exact_entry_is_found_first() -> None:
    keys = ["*", "*.example.org", "mail.example.org"]
    asked = ["mail.example.org", "www.example.org", "org"]
    assert [find("domain", keys, key) for key in asked] == entries(*reversed(keys[1:]), keys[0])


def test_no_wildcard_takes_long() -> None:
    pattern = wildcard("*a" * 200 + "*c")
    began = time.monotonic()
    assert not pattern.fullmatch("ab" * 5000)
    assert time.monotonic() - began < 1


# netaddr


@pytest.mark.parametrize(
    ("entry", "key", "expected"),
    [
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("192.0.2.77/24", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("0.0.0.0/0", "203.0.113.9", True),
        ("0.0.0.0/0", "[2001:db8::1]", False),
        ("::/0", "[2001:db8::1]", True),
        ("2001:db8::/33", "2001:db8:7fff::", True),
        ("2001:db8::/33", "2001:db8:8000::", False),
        ("[2001:db8::/32]", "[2001:db8:1::1]", True),
        ("[IPv6:2001:db8::/32]", "[2001:db8:1::1]", True),
        ("IPv6:2001:db8::1", "[IPv6:2001:DB8::1]", True),
        ("[2001:db8::1]", "2001:0db8:0:0::1", True),
        ("local", "local", True),
        ("LOCAL", "local", True),
        ("local", "127.0.0.1", False),
        ("mail.example.org", "Mail.Example.org", True),
        ("10/8", "10.200.3.4", True),
        ("192.168/16", "192.168.7.7", True),
        ("192.168.7", "192.168.7.200", True),
        ("192.168.7", "192.168.8.1", False),
        ("10", "10.1.2.3", True),
        ("172.16", "172.16.9.9", True),
        ("10.0.0.0/33", "10.0.0.0", False),
        ("300.0.0.0/8", "44.0.0.0", False),
        ("127.0.0.1", "::ffff:127.0.0.1", False),
        ("192.0.2.0/24", "", False),
        ("192.0.2.0/24", "nonsense", False),
    ],
)
def test_netaddr(entry: str, key: str, expected: bool) -> None:
    assert (find("netaddr", [entry], key) is not None) == expected


def test_networks_within_networks() -> None:
    table = StaticTable(
        "t", entries("10.0.0.0/8", "10.1.0.0/16", "10.1.1.1", "192.0.2.0/25", "192.0.2.64/26")
    )
    inside = ("10.1.1.1", "10.1.1.2", "10.2.0.0", "10.255.255.255", "192.0.2.0", "192.0.2.127")
    outside = ("9.255.255.255", "11.0.0.0", "192.0.2.128", "0.0.0.0", "255.255.255.255")
    assert all(table.find("netaddr", key) for key in inside)
    assert not any(table.find("netaddr", key) for key in outside)


FEW = st.sampled_from([0, 1, 127, 128, 192, 254, 255])
ADDRESS4 = st.tuples(FEW, FEW, FEW, FEW).map(lambda octets: ".".join(map(str, octets)))
ADDRESS6 = st.lists(st.sampled_from([0, 1, 0x7FFF, 0x8000, 0xFFFF]), min_size=8, max_size=8).map(
    lambda groups: socket.inet_ntop(socket.AF_INET6, b"".join(group.to_bytes(2) for group in groups))
)
WORD = st.sampled_from(["local", "LOCAL", "mail.example.org", "", "[", "]", "[]", "ipv6:", "::/0", "%"])
KEY = st.one_of(
    ADDRESS4, ADDRESS6, ADDRESS6.map("[{}]".format), ADDRESS6.map("[IPv6:{}]".format), WORD
)  # fmt: skip
NETWORK = st.one_of(
    KEY.filter(lambda key: key != ""),
    st.builds("{}/{}".format, ADDRESS4, st.integers(0, 32)),
    st.builds("{}/{}".format, ADDRESS6, st.integers(0, 128)),
    st.builds("[{}/{}]".format, ADDRESS6, st.integers(0, 128)),
    st.builds("ipv6:{}/{}".format, ADDRESS6, st.integers(0, 128)),
)


@given(st.lists(NETWORK, max_size=6), KEY)
@settings(max_examples=500)
def test_netaddr_against_the_oracle(networks: list[str], key: str) -> None:
    found = find("netaddr", networks, key)
    if key == "::/0":  # an entry's text that is asked for is found only as an address would be
        return
    assert (found is not None) == any(netaddr_matches(key, network) for network in networks)
    assert found is None or found[0] in map(folded, networks)


@given(st.one_of(st.text(), st.text("0123456789.:/[]%abcdef", max_size=20)))
def test_any_text_is_a_network_or_none(text: str) -> None:
    parse_network(text)
    if "\0" not in text and "\n" not in text:
        assert find("netaddr", [text, "192.0.2.1"], text) is not None
    assert find("netaddr", [text, "192.0.2.1"], "192.0.2.1") is not None


RESOLV = ctypes.CDLL(ctypes.util.find_library("resolv") or None)


def system_network(text: str) -> tuple[str, int] | None:
    """What inet_net_pton(3) of this machine says."""
    buffer = ctypes.create_string_buffer(4)
    bits = RESOLV.inet_net_pton(socket.AF_INET, text.encode(), buffer, 4)
    return None if bits < 0 else (socket.inet_ntoa(buffer.raw), bits)


try:
    system_network("10/8")
except (OSError, AttributeError):
    HAS_SYSTEM = False
else:
    HAS_SYSTEM = True


@pytest.mark.skipif(not HAS_SYSTEM, reason="this machine's C library has no inet_net_pton(3)")
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=4),
    st.sampled_from(["", *(f"/{n}" for n in range(35))]),
)
@settings(max_examples=300)
def test_networks_as_the_system_reads_them(octets: list[int], length: str) -> None:
    text = ".".join(map(str, octets)) + length
    if 224 <= octets[0] < 240 and not length:
        return  # multicast, where libraries differ; nobody sends mail from there
    expected = system_network(text)
    if expected is None:
        assert not any(find("netaddr", [text], f"{octet % 256}.0.0.1") for octet in octets)
        return
    address, bits = expected
    first = int.from_bytes(socket.inet_aton(address)) >> (32 - bits) << (32 - bits)
    last = first | (1 << (32 - bits)) - 1
    assert all(find("netaddr", [text], dotted(number)) for number in (first, last))
    if bits:
        outside = first ^ 1 << (32 - bits)
        assert not find("netaddr", [text], dotted(outside))


def dotted(number: int) -> str:
    return socket.inet_ntoa(number.to_bytes(4))


# mailaddr


@pytest.mark.parametrize(
    ("entry", "key", "expected"),
    [
        ("user@example.org", "User@Example.ORG", True),
        ("user@example.org", "user+tag@example.org", True),
        ("user+tag@example.org", "user@example.org", False),
        ("user+tag@example.org", "user+TAG@example.org", True),
        ("user+tag@example.org", "user+tag+more@example.org", False),
        ("@example.org", "anybody+tag@example.org", True),
        ("@example.org", "x@sub.example.org", False),
        ("@*.example.org", "x@sub.example.org", True),
        ("user@*.example.org", "user+t@sub.example.org", True),
        ("user@*.example.org", "other@sub.example.org", False),
        ("user", "user@wherever.example", True),
        ("user", "user", True),
        ("user@", "user+x@wherever.example", True),
        ("@", "who@where", True),
        ("@", "@", True),
        ("", "who@where", True),
        ("@example.org", "@", False),
        ("a@b@example.org", "a@b@example.org", True),
        ("+tag@example.org", "+tag@example.org", True),
        ("tag@example.org", "+tag@example.org", False),
        ("@*", "x@", False),
    ],
)
def test_mailaddr(entry: str, key: str, expected: bool) -> None:
    assert mailaddr_matches(key, entry, "+") == expected, "the oracle is wrong"
    assert (find("mailaddr", [entry], key) is not None) == expected


MAILADDR = st.one_of(
    st.builds("{}@{}".format, st.text("abA+", max_size=4), st.text("xX.", max_size=4)),
    st.text("ab+@x", max_size=5).filter(lambda text: text.count("@") < 2),
)
MAILADDR_ENTRY = st.one_of(
    MAILADDR, st.builds("{}@{}".format, st.text("abA+", max_size=4), st.text("xX.*", max_size=4))
)


@given(st.lists(MAILADDR_ENTRY, max_size=6), MAILADDR, st.sampled_from("+b"))
@settings(max_examples=600)
def test_mailaddr_against_the_oracle(keys: list[str], key: str, delimiter: str) -> None:
    found = find("mailaddr", keys, key, delimiter)
    assert (found is not None) == any(mailaddr_matches(key, entry, delimiter) for entry in keys)
    if found is not None:
        assert found[0] in map(folded, keys) and mailaddr_matches(key, found[0], delimiter)


# regex


def test_regex() -> None:
    keys = ["^a.*@spam\\.", "[[:digit:]]{3}", "x$"]
    for key, expected in [
        ("alice@SPAM.example", True),
        ("n123", True),
        ("max", True),
        ("bob@spam.example", False),
    ]:
        assert (find("regex", keys, key) is not None) == expected
    assert find("regex", ["[", "fine"], "(fine") is not None, "a bad one spoils no other"
    assert find("regex", ["("], "(") is None


def test_no_expression_takes_long() -> None:
    began = time.monotonic()
    assert find("regex", ["^(a|a)*$", "^(a+)+$"], "a" * 300 + "!") is None
    assert time.monotonic() - began < 2


# all


@pytest.mark.parametrize("service", ["string", "domain", "netaddr", "mailaddr"])
def test_many_entries_cost_no_more(service: str) -> None:
    """The look-up does not walk through the entries."""
    made = {
        "string": lambda n: f"key{n}",
        "domain": lambda n: f"*.d{n}.example",
        "netaddr": lambda n: f"10.{n >> 8 & 255}.{n & 255}.0/24",
        "mailaddr": lambda n: f"u{n}@d{n}.example",
    }[service]
    asked = {"string": "key9", "domain": "x.d9.example", "netaddr": "10.0.9.1", "mailaddr": "u9@d9.example"}
    table = StaticTable("t", entries(*(made(n) for n in range(20_000))))
    table.find(service, "the first question makes the index")
    began = time.perf_counter()
    for _ in range(200):
        assert table.find(service, asked[service]) is not None
        assert table.find(service, "nothing@nowhere") is None
    assert time.perf_counter() - began < 0.2, "20000 entries, 400 questions"
