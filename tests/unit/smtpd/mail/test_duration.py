"""Time spans in log lines."""

import pytest

from smtpd.mail.duration import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (1, "1s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (3600, "1h"),
        (86400, "1d"),
        (86400 + 7200 + 180 + 4, "1d2h3m4s"),
        (400 * 86400, "400d"),
        (-61, "-1m1s"),
    ],
)
def test_duration(seconds: int, text: str) -> None:
    assert duration(seconds) == text
