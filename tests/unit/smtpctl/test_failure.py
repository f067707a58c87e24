"""smtpctl/failure.py."""

import os

import pytest

from smtpctl.client import Incompatible, NoPermission, NotRunning, Refused
from smtpctl.failure import BadFilter, Failed
from smtpctl.offline import OfflineError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotRunning("x"), os.EX_UNAVAILABLE),
        (NoPermission("x"), os.EX_NOPERM),
        (Incompatible("x"), os.EX_PROTOCOL),
        (Refused("x", 0), 1),
        (OfflineError("x"), os.EX_NOINPUT),
        (BadFilter("x"), os.EX_USAGE),
    ],
)
def test_every_failure_has_a_status_and_a_text(error: Failed, status: int) -> None:
    assert isinstance(error, Failed)
    assert (error.status, str(error)) == (status, "x")
