"""explain ENVELOPE-ID, from the row to the words."""

import json

import pytest

from smtpctl.commands.waiting import lines, values
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.client_configuration import EnvelopeExplained
from smtpd.messages.control_mta import PausedSource, RouteState
from smtpd.messages.control_scheduler import Waits
from smtpd.messages.control_tries import Hindered, Hindrance, Try

NOW = 1_700_000_000
ENVELOPE = Envelope(0xAB00000001, "mta", "out")._replace(
    sender=MailAddress("a", "x.example"),
    rcpt=MailAddress("list", "y.example"),
    dest=MailAddress("b", "z.example"),
    ctime=NOW - 500,
    last_try=NOW - 100,
    errorline="451 later",
)
WAITS = Waits("pending", "mta", False, 1, NOW + 300, NOW + 9000, 0, False, 5, 10)
HINDERED = Hindered("", "", "", [], [], [], [])


def text(waits: Waits = WAITS, hindered: Hindered | None = HINDERED) -> str:
    row = EnvelopeExplained(0, NOW, ENVELOPE, waits, hindered)
    json.dumps(values(row))
    return "\n".join(line for line, _ in lines(row))


def test_waiting() -> None:
    shown = text()
    assert shown.startswith(
        '000000ab00000001: mta, action "out", from <a@x.example> to <b@z.example>, sent to <list@y.example>\n'
    )
    assert "It waits for its next try: in 5m, at " in shown
    assert "It expires in 2h30m, at " in shown
    assert "It failed 1 time, the last at " in shown and "451 later" in shown


@pytest.mark.parametrize(
    ("waits", "hindered", "words"),
    [
        ({"time": NOW - 5}, {}, "It waits for its next try: now"),
        ({"expire": NOW + 100}, {}, "There is no try before it expires: in 1m40s"),
        ({"suspended": True}, {}, "It is paused by itself (smtpctl resume envelope 000000ab00000001)"),
        (
            {"state": "due", "paused": True},
            {},
            "Transfers to other hosts are paused for all (smtpctl resume mta)",
        ),
        ({"state": "due", "inflight": 10}, {}, "scheduler limit max-inflight 10 is reached"),
        ({"state": "leaving"}, {}, "It is being removed or has expired"),
        ({"state": "held"}, {"name": "[relay:z]"}, "[relay:z] has as many waiting as may"),
        ({"state": "inflight"}, {}, "It is being worked on"),
        (
            {"state": "inflight"},
            {"place": "session", "host": "mx", "name": "[r]"},
            "transferred to mx by [r]",
        ),
        ({"state": "inflight"}, {"place": "relay", "name": "[r]"}, "It waits for a connection of [r]"),
        ({"state": "inflight"}, {"place": "user", "name": "ann"}, "the deliveries to ann before it"),
        ({}, {"hindrances": [Hindrance("limit", "max-conn-per-host", 10)]}, "The limit max-conn-per-host 10"),
        ({}, {"hindrances": [Hindrance("delay", "", 4)]}, "The next connection may be made in 4s."),
        ({}, {"hindrances": [Hindrance("lookup", "mx", 0)]}, "looking up the hosts of its domain"),
        ({}, {"hindrances": [Hindrance("error", "net", 0)]}, "all routes are disabled"),
        (
            {},
            {"routes": [RouteState(7, "[]", "mx", "-DQ-", 0, 1, 1, 60)]},
            "disabled for 1m more (smtpctl resume route 7)",
        ),
        ({}, {"paused": [PausedSource("192.0.2.1", "*")]}, "(smtpctl resume mta from 192.0.2.1 for *)"),
        ({}, {"tries": [Try(NOW, "192.0.2.1", "mx", "421 no")]}, "192.0.2.1 -> mx: 421 no"),
        ({"retry": 0}, {}, "It was not tried yet."),
    ],
)
def test_words(waits: dict[str, object], hindered: dict[str, object], words: str) -> None:
    assert words in text(WAITS._replace(**waits), HINDERED._replace(**hindered))  # type: ignore[arg-type]


def test_pony_is_silent() -> None:
    assert "pony does not answer" in text(hindered=None)


def test_json() -> None:
    tries = [Try(NOW, "192.0.2.1", "mx", "421 no")]
    found = values(EnvelopeExplained(0, NOW, ENVELOPE, WAITS, HINDERED._replace(tries=tries)))
    assert (
        list(found)
        == (
            "evpid type action sender rcpt dest state suspended type_paused retry created last_try next_try "
            "since expires error place name host reasons routes paused_sources tries"
        ).split()
    )
    assert (found["next_try"], found["since"], found["expires"]) == (NOW + 300, None, NOW + 9000)
    assert found["tries"] == [{"time": NOW, "source": "192.0.2.1", "host": "mx", "status": "421 no"}]
    held = values(EnvelopeExplained(0, NOW, ENVELOPE, WAITS._replace(state="held"), None))
    assert (held["next_try"], held["since"], held["reasons"]) == (None, NOW + 300, [])
