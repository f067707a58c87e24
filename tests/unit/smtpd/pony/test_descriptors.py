"""How descriptors are shared out."""

import resource

from hypothesis import example, given
from hypothesis import strategies as st

from smtpd.config.model import MdaLimits
from smtpd.pony.descriptors import KEPT, PER_CLIENT, PER_DELIVERY, PER_RELAYED, Shares, shares

USUAL = MdaLimits().max_session


def test_shares() -> None:
    assert shares(USUAL, 65536) == Shares(24453, 5434)
    assert shares(USUAL, 4096) == Shares(1413, 314)
    assert shares(USUAL, 1024) == Shares(261, 58)
    assert shares(USUAL, 10) == Shares(1, 1)
    assert shares(USUAL) == shares(USUAL, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


@given(st.integers(1, 1 << 20), st.integers(0, 100_000))
@example(133, 0)
def test_they_fit(descriptors: int, deliveries: int) -> None:
    clients, relaying = shares(deliveries, descriptors)
    held = clients * PER_CLIENT + relaying * PER_RELAYED
    assert held <= max(PER_CLIENT + PER_RELAYED, descriptors - KEPT - descriptors // 4) or (
        held + PER_DELIVERY * deliveries + KEPT <= descriptors
    )
