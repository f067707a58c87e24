"""smtpctl/commands/selection.py."""

import pytest

from smtpctl.commands.rows import Row
from smtpctl.commands.selection import _MAKERS, FILTERS, Selection, read_age
from smtpctl.failure import BadFilter
from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.control_scheduler import EnvelopeState

NOW = 1_700_000_000
ENVELOPE = Envelope(
    evpid=1 << 32 | 1,
    type="mta",
    sender=MailAddress("Ann", "Example.org"),
    rcpt=MailAddress("bob", "example.net"),
    dest=MailAddress("carol", "mx.example.com"),
    ctime=NOW - 3600,
    errorline="451 4.3.2 Try later",
)
STATE = EnvelopeState(1 << 32 | 1, "mta", "held", True, 0, NOW)
BOUNCE = ENVELOPE._replace(sender=EMPTY, type="bounce")


def wants(name: str, value: str, envelope: Envelope = ENVELOPE, state: EnvelopeState | None = STATE) -> bool:
    return Selection({name: value}, NOW).wants(Row(envelope, state))


@pytest.mark.parametrize(
    ("name", "fitting", "others"),
    [
        (
            "sender",
            ["ann@example.org", "ANN", "@example.org", "ann@", "a*@*.org", "*", "?nn@"],
            ["bob@example.org", "@example.net", "an", "example.org", "<>", "@"],
        ),
        (
            "recipient",
            ["bob@example.net", "carol@mx.example.com", "@example.net", "carol", "*@*.example.com"],
            ["bob@mx.example.com", "ann@example.org"],
        ),
        ("domain", ["mx.example.com", "*.example.com", "MX.*"], ["example.net", "example.com"]),
        ("runstate", ["held", "suspended"], ["pending", "inflight", "offline"]),
        ("type", ["mta"], ["mda", "bounce"]),
        ("error", ["try later", "451", "4.3.2", ""], ["550", "TRY  LATER"]),
        ("older", ["59m", "3599", "0"], ["1h", "61m", "1d", "1w"]),
        ("newer", ["61m", "1h", "1d"], ["59m", "3599s", "0"]),
    ],
)
def test_filters(name: str, fitting: list[str], others: list[str]) -> None:
    assert {value: wants(name, value) for value in fitting + others} == {
        value: value in fitting for value in fitting + others
    }


def test_the_null_sender() -> None:
    for value in ("<>", "@", ""):
        assert wants("sender", value, BOUNCE)
        assert not wants("sender", value)


def test_of_a_spool_without_a_daemon() -> None:
    assert wants("runstate", "offline", state=None)
    assert not wants("runstate", "suspended", state=None)
    assert not wants("runstate", "pending", state=None)


def test_all_filters_must_fit() -> None:
    options = {"sender": "ann", "error": "later", "by": "domain"}
    assert Selection(options, NOW).wants(Row(ENVELOPE, STATE))
    assert not Selection(options | {"type": "mda"}, NOW).wants(Row(ENVELOPE, STATE))
    assert Selection({}, NOW).wants(Row(ENVELOPE, None))


@pytest.mark.parametrize(
    ("name", "value"),
    [("runstate", "gone"), ("type", "smtp"), ("older", "1y"), ("newer", ""), ("older", "-1s")],
)
def test_values_that_mean_nothing(name: str, value: str) -> None:
    with pytest.raises(BadFilter, match="are$"):
        Selection({name: value}, NOW)


def test_ages() -> None:
    ages = {"90": 90, "90s": 90, "2m": 120, "2h": 7200, "2d": 172800, "1w": 604800}
    assert {text: read_age(text) for text in ages} == ages


def test_every_filter_of_the_table_is_made() -> None:
    assert {option.name for option in FILTERS} == set(_MAKERS)
