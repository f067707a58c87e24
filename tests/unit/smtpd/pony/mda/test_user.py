"""A user's state."""

from smtpd.config.model import MdaLimits
from smtpd.mail.envelope import Envelope
from smtpd.pony.mda.user import MdaUser, UserKey


def test_idle() -> None:
    user = MdaUser(1, UserKey("", "ann", ""), MdaLimits(task_hiwat=2, task_lowat=1, task_release=1))
    assert user.idle and user.info is None and user.runner is None
    user.queue.append(Envelope(1 << 32 | 1, "mda"))
    assert not user.idle
    user.queue.clear()
    user.in_flight = 1
    assert not user.idle


def test_limits_are_the_configuration_s() -> None:
    user = MdaUser(1, UserKey("", "ann", ""), MdaLimits(task_hiwat=2, task_lowat=1, task_release=1))
    assert user.holdq.admit(1) and not user.holdq.admit(2)
