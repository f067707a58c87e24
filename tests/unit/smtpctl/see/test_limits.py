"""smtpctl/see/limits.py: given, not given, and no number."""

import pytest

from smtpctl.failure import BadFilter
from smtpctl.see.limits import ALL_WATCHED, LIMITS, Limits


def test_those_that_hold_without() -> None:
    limits = Limits({}, count=10, seconds=20)
    assert (limits.count, limits.seconds) == (10, 20)
    assert limits.beginning("messages") == f"{ALL_WATCHED}; ends after 10 messages or 20 seconds"
    assert limits.why == "the limit of 20 seconds (--seconds=0 for none)"


def test_those_that_are_given() -> None:
    limits = Limits({"count": "0", "seconds": "999999999", "kind": "x"}, count=10, seconds=20)
    assert (limits.count, limits.seconds) == (0, 999_999_999)
    assert limits.beginning("messages") == f"{ALL_WATCHED}; ends after 999999999 seconds"
    assert Limits({"count": "0", "seconds": "0"}, count=1, seconds=1).beginning("messages") == ALL_WATCHED
    assert [option.name for option in LIMITS] == ["count", "seconds"]


@pytest.mark.parametrize("name", ["count", "seconds"])
@pytest.mark.parametrize("text", ["", "-1", "+1", "1.5", "1_0", "ten", "٣", " 1", "1" * 10])
def test_no_number(name: str, text: str) -> None:
    with pytest.raises(BadFilter, match=f"--{name}="):
        Limits({name: text}, count=10, seconds=20)
