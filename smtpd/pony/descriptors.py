"""How the descriptors of this process are shared out, so that one part of it cannot take those of another.

Who is full by its share waits or is told so; who is out of descriptors fails at whatever comes next. So parts
are bounded by what they may hold at most, and not by what they usually hold.
"""

import resource
from typing import NamedTuple

KEPT = 128
"""For links, listeners and logs, and what is on its way between them."""

PER_CLIENT = 2
"""A connection, and the message that comes in over it."""

PER_RELAYED = 3
"""A connection, the message that goes out over it, and the next one."""

PER_DELIVERY = 4
"""A command has two pipes and the message; a link to an agent, and a message that waits there."""


class Shares(NamedTuple):
    """Connections of clients, and to other hosts; at least one each."""

    clients: int
    relaying: int


def shares(deliveries: int, descriptors: int | None = None) -> Shares:
    """The shares of a process with so many descriptors; without a number, this one. `deliveries`: how many
    there may be at a time.

    Deliveries have what they need, up to a quarter of all; relaying has a quarter of the rest.
    """
    if descriptors is None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    rest = descriptors - KEPT - min(PER_DELIVERY * deliveries, descriptors // 4)
    relaying = max(1, rest // 4 // PER_RELAYED)
    return Shares(max(1, (rest - relaying * PER_RELAYED) // PER_CLIENT), relaying)
