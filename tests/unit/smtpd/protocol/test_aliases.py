"""smtpd/protocol/aliases.py: what a line of aliases(5) means, after OpenSMTPD's expand.c and to.c."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail.address import MailAddress
from smtpd.protocol import aliases
from smtpd.protocol.aliases import LINE_MAX, AliasError, Recipient, parse_line, parse_recipient


def user(name: str) -> Recipient:
    return Recipient(aliases.USERNAME, name)


def address(text: str) -> Recipient:
    return Recipient(aliases.ADDRESS, text, MailAddress(*text.split("@")))


# one recipient


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("alice", user("alice")),
        ("Alice", user("Alice")),
        ("a.b-c_d+tag", user("a.b-c_d+tag")),
        ("-", user("-")),
        ("x" * 255, user("x" * 255)),
        ("alice@example.org", address("alice@example.org")),
        ("!#$%*?^{}`~&'+-=_.@x", address("!#$%*?^{}`~&'+-=_.@x")),
        ("a/b@x", address("a/b@x")),
        ("a|b@x", address("a|b@x")),
        ("a@x.-.y", address("a@x.-.y")),
        ("|cat", Recipient(aliases.FILTER, "cat")),
        ("| cat -n", Recipient(aliases.FILTER, " cat -n")),
        ('"|cat -n"', Recipient(aliases.FILTER, "cat -n")),
        ('"|"', Recipient(aliases.FILTER, "")),
        ("|a@b", Recipient(aliases.FILTER, "a@b")),
        ("/var/mail/x", Recipient(aliases.FILENAME, "/var/mail/x")),
        ("/a@b", Recipient(aliases.FILENAME, "/a@b")),
        (":include:/etc/list", Recipient(aliases.INCLUDE, "/etc/list")),
        ("Include:/etc/list", Recipient(aliases.INCLUDE, "/etc/list")),
        ("error:550 no", Recipient(aliases.ERROR, "550 no")),
        (":ERROR:421 4.2.1 later", Recipient(aliases.ERROR, "421 4.2.1 later")),
        ("error:500 x|y@z", Recipient(aliases.ERROR, "500 x|y@z")),
    ],
)
def test_recipients(word: str, expected: Recipient) -> None:
    assert parse_recipient(word) == expected
    if "'" not in word:
        assert parse_line(word) == [expected]


@pytest.mark.parametrize(
    "word",
    [
        "a b", "a!b", "@x", "a@", "@", "a@b@c", "a@b c", "a@b_c", "a b@c", "ä", "a@ä", "x" * 256,
        f"{'x' * 256}@y", f"x@{'y' * 256}", '"|cat', '"alice"', "include:relative", ":include:", "include:",
        "error:", "error:550", "error:550 ", "error:650 no", "error:55 no", "error:550no", "error:550 -",
        "<a@b>", "a\0b", "a\x7f", "\ud800", "\udcff", ":error", "a:b", "٣",
    ],
)  # fmt: skip
def test_no_recipients(word: str) -> None:
    with pytest.raises(AliasError) as caught:
        parse_recipient(word)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


# lines


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        (" \t ", []),
        (",", []),
        (" , ,, ", []),
        ("a,b", [user("a"), user("b")]),
        (" a , b ,", [user("a"), user("b")]),
        ("\\alice", [user("alice")]),
        ("\\a\\l\\i, b", [user("ali"), user("b")]),
        ('"|cat a, b", c', [Recipient(aliases.FILTER, "cat a, b"), user("c")]),
        ("|cat 'a, b', c", [Recipient(aliases.FILTER, "cat 'a, b'"), user("c")]),
        ('|echo "it\'s, so", c', [Recipient(aliases.FILTER, 'echo "it\'s, so"'), user("c")]),
        ("|cat a\\, b, c", [Recipient(aliases.FILTER, "cat a, b"), user("c")]),
        ('|echo \\", c', [Recipient(aliases.FILTER, 'echo "'), user("c")]),
        ("a, x@y.z ,/f", [user("a"), address("x@y.z"), Recipient(aliases.FILENAME, "/f")]),
        ("error:550 no\\, never", [Recipient(aliases.ERROR, "550 no, never")]),
        ("a, a", [user("a"), user("a")]),
    ],
)
def test_lines(line: str, expected: list[Recipient]) -> None:
    assert parse_line(line) == expected


@pytest.mark.parametrize(
    "line", ["a, b c", "'", '"', "\\", "a\\", "|cat 'x", '|cat "x', "\"|cat', a", "a, @, b"]
)
def test_no_lines(line: str) -> None:
    with pytest.raises(AliasError):
        parse_line(line)


def test_length() -> None:
    """Counted in bytes."""
    assert parse_line("/" + "x" * (LINE_MAX - 1))[0].text.endswith("x")
    for line in ("/" + "x" * LINE_MAX, "/" + "ü" * (LINE_MAX // 2 + 1), "," * (LINE_MAX + 1)):
        with pytest.raises(AliasError, match="line too long"):
            parse_line(line)


@given(st.binary(max_size=200).map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_any_text_is_a_line_or_an_error(line: str) -> None:
    try:
        found = parse_line(line)
    except AliasError as error:
        assert str(error).isprintable()
        return
    for recipient in found:
        assert recipient.kind in ("address", "username", "filename", "filter", "include", "error")
        if recipient.kind == aliases.ADDRESS:
            assert str(recipient.address) == recipient.text
        else:
            assert recipient.address == MailAddress("", "")


@given(st.text("ab\\,'\" |/@:", max_size=30))
def test_any_punctuation_is_a_line_or_an_error(line: str) -> None:
    try:
        parse_line(line)
    except AliasError:
        pass


PLAIN = st.one_of(
    st.text(string.ascii_letters + string.digits + "_.+-", min_size=1, max_size=10),
    st.builds(
        "{}@{}".format, st.text("ab.+!#&", min_size=1, max_size=5), st.text("x.-", min_size=1, max_size=5)
    ),
    st.text("ab /-'", max_size=8).filter(lambda text: text.count("'") % 2 == 0).map("/{}x".format),
)


@given(st.lists(PLAIN, max_size=8), st.sampled_from([",", ", ", " ,", ",, "]))
def test_joined_and_split(words: list[str], comma: str) -> None:
    assert parse_line(comma.join(words)) == [parse_recipient(word) for word in words]


@given(st.lists(st.text("ab,\\'\" ", max_size=8).map("|x{}".format), max_size=4))
def test_everything_escaped(commands: list[str]) -> None:
    """A backslash before every character keeps it: what is split again is what was there."""
    line = ",".join("".join(f"\\{char}" for char in command) for command in commands)
    assert [recipient.text for recipient in parse_line(line)] == [
        command[1:].rstrip() for command in commands
    ]
