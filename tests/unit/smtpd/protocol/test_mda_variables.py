"""Format specifiers: smtpd.conf(5)'s own examples, odd offsets, and no way for an address into the shell."""

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smtpd.mail.address import EMPTY, MailAddress
from smtpd.protocol.mda_variables import MAX_RESULT, FormatError, FormatValues, expand_format

VALUES = FormatValues(
    sender=MailAddress("Some.One", "Sender.example"),
    rcpt=MailAddress("User+Tag", "Example.org"),
    dest=MailAddress("user", "example.org"),
    username="user",
    directory="/home/u{s}er",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%{sender}", "Some.One@Sender.example"),
        ("%{sender.user} %{sender.domain}", "Some.One Sender.example"),
        ("%{rcpt}", "User+Tag@Example.org"),
        ("%{RCPT.User}", "User+Tag"),
        ("%{dest} %{dest.user} %{dest.domain}", "user@example.org user example.org"),
        ("%{user.username}", "user"),
        ("%{user.directory}", "/home/u{s}er"),
        ("%{mbox.from}", "Some.One@Sender.example"),
        # smtpd.conf(5), FORMAT SPECIFIERS
        ("%{dest.domain[0]}", "e"),
        ("%{dest.domain[1]}", "x"),
        ("%{dest.domain[8:]}", "org"),
        ("%{dest.domain[-3:]}", "org"),
        ("%{dest.domain[0:6]}", "example"),
        ("%{dest.domain[0:-4]}", "example"),
        ("%{dest.domain[:2]}", "exa"),
        ("%{dest.domain[:]}", "example.org"),
        ("%{dest.domain[2:1000]}", "ample.org"),
        ("%{rcpt:lowercase}", "user+tag@example.org"),
        ("%{rcpt:uppercase}", "USER+TAG@EXAMPLE.ORG"),
        ("%{rcpt:strip}", "User@Example.org"),
        ("%{rcpt:lowercase|strip}", "user@example.org"),
        ("%{rcpt.user:Strip|LowerCase}", "user"),
        ("%{rcpt.domain[0:2]:lowercase}", "exa"),
        ("~/Maildir", "/home/u{s}er/Maildir"),
        ("x~/Maildir", "x~/Maildir"),
        ("100%% %d %", "100% %d %"),
        ("%%{rcpt}", "%{rcpt}"),
        ("", ""),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand_format(text, VALUES) == expected


@pytest.mark.parametrize(
    "text",
    [
        "%{nothing}",
        "%{rcpt.nothing}",
        "%{sender.user.domain}",
        "%{}",
        "%{rcpt",
        "%{rcpt:}",
        "%{rcpt:upper}",
        "%{rcpt:lowercase|}",
        "%{rcpt[]}",
        "%{rcpt[x]}",
        "%{rcpt[1:x]}",
        "%{rcpt[99]}",
        "%{rcpt[-99]}",
        "%{rcpt[-1]}",
        "%{rcpt[5:2]}",
        "%{rcpt[2000]}",
        "%{rcpt]0[}",
        "%{rcpt[0]x}",
        "%{mda}",
        "%{rcpt:" + "lowercase|" * 20 + "strip}",
        "x" * (MAX_RESULT + 1),
        "a\0b",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(FormatError):
        expand_format(text, VALUES)


def test_null_sender() -> None:
    values = VALUES._replace(sender=EMPTY)
    assert expand_format("<%{sender}><%{sender.user}><%{mbox.from}>", values) == "<><><MAILER-DAEMON>"
    assert expand_format("%{sender[5]}", values) == ""


def test_wrapper() -> None:
    wrapped = VALUES._replace(mda="deliver -f '%{rcpt}' | tee")
    assert expand_format("nice %{mda}", wrapped) == "nice deliver -f '%{rcpt}' | tee"


def test_dangerous_characters_become_colons() -> None:
    values = VALUES._replace(rcpt=MailAddress("a$(x)`y`;z", "e\"x'a\nm"))
    assert expand_format("%{rcpt}", values) == "a::x::y::z@e:x:a:m"
    values = VALUES._replace(rcpt=MailAddress("user+t?g", "example.org"))
    assert expand_format("%{rcpt}", values) == "user+t:g@example.org"
    assert expand_format("%{rcpt:raw}", values) == "user+t?g@example.org"
    assert expand_format("%{rcpt:raw|uppercase}", values) == "USER+T?G@EXAMPLE.ORG"


def test_other_delimiter() -> None:
    values = VALUES._replace(rcpt=MailAddress("a-b+c", "d"))
    assert expand_format("%{rcpt:strip}", values, delimiter="-") == "a@d"
    assert expand_format("%{rcpt:strip}", values, delimiter="") == "a-b+c@d"


def test_offsets_count_bytes_and_bytes_survive() -> None:
    values = VALUES._replace(rcpt=MailAddress("é\udcff", "d"))
    assert expand_format("%{rcpt.user[0:1]}", values) == "é"
    assert expand_format("%{rcpt.user[2]}", values) == "\udcff"
    assert expand_format("%{rcpt.user[1]}", values).encode("utf-8", "surrogateescape") == b"\xa9"


HOSTILE = st.text(st.sampled_from("ab$`;|&<>(){}[]*?!#'\"\\ \n\t\r~^%=/.@+-"), max_size=12)
COMMAND = "printf %%s %{rcpt.user}; printf '|%%s' '%{sender}'; printf '|%%s' \"%{dest}\""


@settings(max_examples=40, deadline=None)
@given(HOSTILE, HOSTILE)
@example("$(touch /tmp/never)", "';touch /tmp/never;'")
@example("`id`", '"; id; "')
def test_a_shell_sees_only_words(user: str, domain: str) -> None:
    """Unquoted, in single and in double quotes: the shell hands printf exactly the sanitized texts."""
    address = MailAddress(f"a{user}", f"d{domain}")
    values = FormatValues(address, address, address, "user", "/home/user")
    user_text, whole = expand_format("%{rcpt.user}", values), expand_format("%{sender}", values)
    # a glob like [ab] may match a file's name: run where there is none
    done = subprocess.run(
        ["/bin/sh", "-c", expand_format(COMMAND, values)],
        cwd="/proc/self/ns",
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == f"{user_text}|{whole}|{whole}"
    assert done.stderr == b""


@given(st.text(max_size=60), st.text(max_size=20))
def test_never_another_error(text: str, user: str) -> None:
    try:
        result = expand_format(text, VALUES._replace(rcpt=MailAddress(user, "d")))
    except FormatError:
        return
    assert len(result.encode("utf-8", "surrogateescape")) <= MAX_RESULT
