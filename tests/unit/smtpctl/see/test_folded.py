"""smtpctl/see/folded.py: the parts of a message's time, summed, one stack a line."""

import re

from traffic import Traffic

from smtpctl.see.flow import join
from smtpctl.see.folded import HANDLER, OPEN, SOCKET, folded


def stacks(*mails: int, handlers: bool = True, step: int = 100_000) -> dict[str, int]:
    traffic = Traffic(step, handlers=handlers)
    sightings = [seen for msgid in mails for seen in traffic.mail(msgid, 7)]
    lines = list(folded(join(sightings, handlers=handlers)))
    assert lines == sorted(lines)
    found = {}
    for line in lines:
        matched = re.fullmatch(r"(\w+;\w+;[\w ,]+) (\d+)", line)
        assert matched, line
        found[matched[1]] = int(matched[2])
    return found


def test_parts_of_a_request() -> None:
    found = stacks(0xCB4DE24F)
    assert found[f"lookup;ReverseName;{SOCKET}"] == 50
    assert found[f"lookup;ReverseName;{HANDLER}"] == 25
    assert found[f"lookup;ReverseName;{OPEN}"] == 25
    assert found[f"lookup;ExpandRecipient;{OPEN}"] == 425
    assert f"queue;DeliveryOk;{OPEN}" not in found


def test_the_same_adds_up() -> None:
    one, two = stacks(0xCB4DE24F), stacks(0xCB4DE24F, 0x11111111)
    assert two == {stack: 2 * microseconds for stack, microseconds in one.items()}


def test_without_the_time_of_handlers() -> None:
    found = stacks(0xCB4DE24F, handlers=False)
    assert not any(stack.endswith(HANDLER) for stack in found)
    assert found[f"lookup;ReverseName;{OPEN}"] == 50


def test_of_a_delivery_agent_all_the_time_is_its_own() -> None:
    assert stacks(0xCB4DE24F)[f"delivery;DeliverMaildir;{OPEN}"] == 150


def test_what_took_no_time_is_left_out() -> None:
    assert stacks(0xCB4DE24F, step=20) == {}
    assert list(folded([])) == []
