import pytest

from smtpd.config.match import SLOTS
from smtpd.config.model import ANYDESTINATION, ANYHOST, LOCALHOST, LOCALNAMES, Criterion, Rule

LOCAL_FROM = Criterion("from-src", False, LOCALHOST)
LOCAL_FOR = Criterion("for-domain", False, LOCALNAMES)
ANY_FROM = Criterion("from-src", False, ANYHOST)
ANY_FOR = Criterion("for-domain", False, ANYDESTINATION)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (LOCAL_FROM, LOCAL_FOR)),
        ("from local for local", (LOCAL_FROM, LOCAL_FOR)),
        ("from any for any", (ANY_FROM, ANY_FOR)),
        (
            "!from any !for any",
            (Criterion("from-src", True, ANYHOST), Criterion("for-domain", True, ANYDESTINATION)),
        ),
        ("from socket", (Criterion("from-socket"), LOCAL_FOR)),
        ("from src <t>", (Criterion("from-src", False, "t"), LOCAL_FOR)),
        ("from src regex <t>", (Criterion("from-src", False, "t", True), LOCAL_FOR)),
        ("!from rdns", (Criterion("from-rdns", True), LOCAL_FOR)),
        ("from rdns regex <t>", (Criterion("from-rdns", False, "t", True), LOCAL_FOR)),
        ("!from auth", (ANY_FROM, LOCAL_FOR, Criterion("auth", True))),
        ("from auth regex <t>", (ANY_FROM, LOCAL_FOR, Criterion("auth", False, "t", True))),
        ("from mail-from <t>", (ANY_FROM, LOCAL_FOR, Criterion("mail-from", False, "t"))),
        ("auth regex <t> from auth", (ANY_FROM, LOCAL_FOR, Criterion("auth", False, "t", True))),
        ("for domain <t>", (LOCAL_FROM, Criterion("for-domain", False, "t"))),
        ("for domain regex <t>", (LOCAL_FROM, Criterion("for-domain", False, "t", True))),
        ("!for rcpt-to <t>", (LOCAL_FROM, ANY_FOR, Criterion("rcpt-to", True, "t"))),
        (
            "rcpt-to <t> mail-from <t> tls !auth helo <t> tag <t>",
            (
                Criterion("tag", False, "t"),
                LOCAL_FROM,
                LOCAL_FOR,
                Criterion("helo", False, "t"),
                Criterion("auth", True),
                Criterion("tls"),
                Criterion("mail-from", False, "t"),
                Criterion("rcpt-to", False, "t"),
            ),
        ),
    ],
)
def test_criteria(parse, text: str, expected: tuple[Criterion, ...]) -> None:
    assert parse(f"table t {{ x }}\nmatch {text} reject").rules == (Rule(criteria=expected, reject=True),)


def test_action_and_place(parse) -> None:
    config = parse("action a mbox\n\nmatch for any \\\n action a")
    assert (config.rules[0].action, config.rules[0].reject) == ("a", False)
    assert str(config.rules[0].place) == "smtpd.conf:3"


def test_slots_are_in_the_order_of_evaluation() -> None:
    assert SLOTS == ("tag", "from", "for", "helo", "auth", "tls", "mail-from", "rcpt-to")


@pytest.mark.parametrize("option", ["tag x", "helo x", "auth", "auth x", "mail-from x", "rcpt-to x", "tls"])
def test_twice(refused, option: str) -> None:
    name = option.split()[0]
    assert refused(f"match {option} {option} reject")[0].message == f"{name} already specified for this rule"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from any from any reject", "from already specified for this rule"),
        ("for any for domain x reject", "for already specified for this rule"),
        ("tag { a = b } reject", 'table "<dynamic:0>" may not be used for tag lookups'),
        ("auth regex { a = b } reject", 'table "<dynamic:0>" may not be used for auth lookups'),
        ("from rdns { a = b } reject", 'table "<dynamic:0>" may not be used for rdns lookups'),
        ("for rcpt-to regex { a = b } reject", "table \"<dynamic:0>\" may not be used for 'for' lookups"),
        ("action a", "no such dispatcher: a"),
        ("for exmaple.org reject", 'syntax error at "exmaple.org"'),
        ("from 10.0.0.1 reject", 'syntax error at "10.0.0.1"'),
        ("!", 'syntax error at the end of the line, where "auth", "for", "from", "helo", "mail-from", '
         '"rcpt-to", "tag" or "tls" belongs'),
    ],
)  # fmt: skip
def test_refused(refused, text: str, message: str) -> None:
    assert refused(f"match {text}")[0].message == message


def test_hints(refused) -> None:
    assert "for domain" in refused("match for example.org reject")[0].hint
    assert 'did you mean "local"?' in refused("match from lcoal reject")[0].hint
    assert "from src" in refused("match from <t> reject")[0].hint
