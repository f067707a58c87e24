import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail.address import MailAddress
from smtpd.tables import values
from smtpd.tables.values import Credentials, UserInfo


def test_userinfo() -> None:
    assert values.userinfo("joe", "1000:100:/home/joe") == UserInfo("joe", 1000, 100, "/home/joe")
    assert values.userinfo("joe", " +7:0:") == UserInfo("joe", 7, 0, "")
    assert values.userinfo("joe", "1:2:/a:b").directory == "/a:b"
    for bad in (
        "",
        "1000",
        "1000:100",
        "x:100:/h",
        "1:-1:/h",
        "4294967295:1:/h",
        "1::/h",
        "٣:1:/h",
        "1" * 30 + ":1:/",
    ):
        with pytest.raises(ValueError):
            values.userinfo("joe", bad)


def test_credentials() -> None:
    assert values.credentials("joe", "$2b$hash") == Credentials("joe", "$2b$hash")
    assert values.credentials("label", "joe:pass:word") == Credentials("joe", "pass:word")
    for bad in ("", "ab", ":password", "joe:", "x" * 3000):
        with pytest.raises(ValueError):
            values.credentials("joe", bad)
    assert "hash" not in repr(values.credentials("joe", "$2b$hash"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("[IPv6:2001:DB8:0::1]", "2001:db8::1"),
        ("ipv6:::1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("[fe80::1%2]", "fe80::1%2"),
    ],
)
def test_addresses(text: str, expected: str) -> None:
    assert values.source(text) == expected
    assert values.addrname(text, "mx.example") == (expected, "mx.example")


@pytest.mark.parametrize(
    "text", ["", "192.0.2", "192.0.2.1/24", "[192.0.2.1]", "::g", "mx.example", "١.1.1.1", "a\0"]
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError):
        values.source(text)


def test_long_names() -> None:
    with pytest.raises(ValueError):
        values.addrname("::1", "x" * 256)


def test_mailaddrs() -> None:
    assert values.mailaddr("joe@example.org") == MailAddress("joe", "example.org")
    assert values.mailaddr("@example.org") == MailAddress("", "example.org")
    assert values.mailaddrmap(" joe@a , @b,ann") == [
        MailAddress("joe", "a"),
        MailAddress("", "b"),
        MailAddress("ann", ""),
    ]
    assert values.mailaddrmap("") == values.mailaddrmap(" , ") == []
    assert values.mailaddrmap('"a,b"@x,c\\,d@y') == [MailAddress('"a,b"', "x"), MailAddress("c,d", "y")]
    for bad in ('"a', "a\\", "'a,b", "x" * 3000, "u" * 300 + "@x"):
        with pytest.raises(ValueError):
            values.mailaddrmap(bad)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text(key: str, value: str) -> None:
    for read in (values.userinfo, values.credentials, values.addrname):
        try:
            read(key, value)
        except ValueError:
            pass
    for read_value in (values.source, values.mailaddr, values.mailaddrmap):
        try:
            read_value(value)
        except ValueError:
            pass
