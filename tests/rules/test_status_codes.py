"""Every status that stands in the sources fits the reply code before it, and is one of RFC 3463 or later."""

import re

import pytest
import tree

from smtpd.mail import status
from smtpd.mail.status import esc_code, esc_description, parse_esc
from smtpd.protocol.smtp import reply as reply_module

DETAILS = {0: 0, 1: 10, 2: 4, 3: 5, 4: 7, 5: 6, 6: 10, 7: 30}
"""Subject -> its highest detail in IANA's registry (RFC 5248); they are without holes."""

REPLY = re.compile(r"\b([2-5])[0-9]{2}[- ]([245])\.([0-9]{1,3})\.([0-9]{1,3})\b(?!\.)")
WITHOUT = {"ENTER_MAIL", "BAD_NOTIFY", "BAD_ORCPT"}
"""A 354 has none (RFC 2034 4), and the other two are as OpenSMTPD says them."""

BARE = re.compile(r"""["']([245])\.([0-9]{1,3})\.([0-9]{1,3})[ "']""")

# RFC 3463 3.2 to 3.8: the meanings, by words that OpenSMTPD's texts have in common with them
MEANINGS = {
    11: "mailbox address",
    12: "system address",
    13: "mailbox address syntax",
    14: "ambiguous",
    15: "valid",
    16: "moved",
    17: "sender's mailbox address syntax",
    18: "sender's system address",
    21: "disabled",
    22: "full",
    23: "length exceeds administrative limit",
    24: "expansion problem",
    31: "system full",
    32: "not accepting network messages",
    33: "not capable of selected features",
    34: "too big for system",
    35: "incorrectly configured",
    41: "No answer from host",
    42: "Bad connection",
    43: "Directory server failure",
    44: "Unable to route",
    45: "congestion",
    46: "Routing loop detected",
    47: "time expired",
    51: "Invalid command",
    52: "Syntax error",
    53: "Too many recipients",
    54: "Invalid command arguments",
    55: "Wrong protocol version",
    61: "Media not supported",
    62: "required and prohibited",
    63: "required but not supported",
    64: "loss performed",
    65: "Conversion failed",
    71: "not authorized",
    72: "expansion prohibited",
    73: "required but not possible",
    74: "features not supported",
    75: "Cryptographic failure",
    76: "algorithm not supported",
    77: "integrity failure",
}


def test_statuses_of_our_replies() -> None:
    """The server's; texts are compared with OpenSMTPD's own in tests/dialog and side by side."""
    replies = {name: value for name, value in vars(reply_module).items() if type(value) is bytes}
    assert len(replies) > 30
    for name, value in replies.items():
        if name not in WITHOUT:
            found = REPLY.match(value.decode())
            assert found is not None and found[1] == found[2], name
            assert int(found[4]) <= DETAILS[int(found[3])], name


def test_statuses_in_the_sources() -> None:
    found = 0
    for path in sorted((tree.ROOT / "smtpd").rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.relative_to(tree.ROOT)}:{number}: {line.strip()}"
            for reply, kind, subject, detail in REPLY.findall(line):
                assert reply == kind, where
                assert int(detail) <= DETAILS[int(subject)], where
                found += 1
            for _, subject, detail in BARE.findall(line):
                assert int(detail) <= DETAILS.get(int(subject), -1), where
                found += 1
    assert found > 10, "the texts are written in another way now"


@pytest.mark.parametrize(("code", "words"), MEANINGS.items())
def test_meanings(code: int, words: str) -> None:
    assert words in esc_description(code)
    for kind in (4, 5):
        text = esc_code(kind, code)
        assert text == f"{kind}.{code // 10}.{code % 10}" and parse_esc(text) == (kind, code)


def test_all_have_a_name_and_a_text() -> None:
    named = {
        value
        for name, value in vars(status).items()
        if name.isupper() and type(value) is int and not name.startswith("STATUS_")
    }
    assert named == set(MEANINGS) | {0, 10, 20, 30, 40, 50, 60, 70}
