"""smtpctl/see/seen.py: who sent, who received, and a tape's record in Unix time."""

import pytest

from imsg.tape import TapeRecord
from smtpctl.see.seen import DESCRIPTOR, OUT, Seen, from_record


@pytest.mark.parametrize(
    ("flags", "sender", "receiver"), [(OUT | DESCRIPTOR, "pony", "queue"), (DESCRIPTOR, "queue", "pony")]
)
def test_sender_and_receiver(flags: int, sender: str, receiver: str) -> None:
    seen = Seen(1, "pony", "queue", flags, 5, 16, 1, 2, None)
    assert (seen.sender, seen.receiver) == (sender, receiver)


def test_a_record_of_a_tape() -> None:
    record = TapeRecord(100, 1, OUT, "queue", 5, 17, 3, 4, b"x")
    assert from_record(record, "pony", 1000) == Seen(1100, "pony", "queue", OUT, 5, 17, 3, 4, b"x")
    assert from_record(record._replace(payload=None), "pony", 0).payload is None
