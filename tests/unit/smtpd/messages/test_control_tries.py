"""smtpd/messages/control_tries.py: a full answer fits a frame."""

from imsg.message import MAX_PAYLOAD, kind_of
from smtpd.messages.control_mta import PausedSource, RouteState
from smtpd.messages.control_tries import (
    MOST_ROUTES,
    FindHindrances,
    Hindered,
    Hindrance,
    HindrancesFound,
    Try,
)
from smtpd.messages.links import CONTROL, PONY
from smtpd.pony.tries import STATUS_MAX, TRIES_MOST


def test_kinds() -> None:
    asked, answer = kind_of(FindHindrances), kind_of(HindrancesFound)
    assert (asked.senders, asked.receivers, asked.reply) == ((CONTROL,), (PONY,), HindrancesFound)
    assert (answer.senders, answer.receivers) == ((PONY,), (CONTROL,))


def test_the_largest_answer() -> None:
    domain = "d" * 255
    full = Hindered(
        "session",
        "r" * 1500,
        domain,
        [Hindrance("limit", "max-conn-per-connector", 1 << 40)] * MOST_ROUTES,
        [RouteState(1, "[::1]", f"[::1] ({domain})", "NDQK", 1, 1, 1, 1)] * MOST_ROUTES,
        [PausedSource("2001:db8::1", domain)] * MOST_ROUTES,
        [Try(1 << 40, "[::1]", domain, "s" * STATUS_MAX)] * TRIES_MOST,
    )
    assert (
        len(kind_of(HindrancesFound).encode(HindrancesFound(1, full))) < MAX_PAYLOAD - 5000
    )  # an envelope stands beside it
