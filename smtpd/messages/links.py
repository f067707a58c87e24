"""The processes by name and the links between them (smtpd/README.md, "Links").

This is the permission table of the daemon: a message kind whose route is not on one of these links cannot be
declared, and a process holds no socket to a process it has no link with.
"""

PARENT = "parent"
CONTROL = "control"
LOOKUP = "lookup"
PONY = "pony"
QUEUE = "queue"
SCHEDULER = "scheduler"

CHILDREN = (CONTROL, LOOKUP, PONY, QUEUE, SCHEDULER)
"""Every process that parent starts, in the order it starts them."""

PROCESSES = (PARENT, *CHILDREN)

CLIENT = "client"
"""An smtpctl: no process of the daemon; it connects to control's socket."""

DELIVERY = "delivery"
"""A delivery agent: runs as the receiving user and talks to the pony that asked for it."""

LINKS: frozenset[frozenset[str]] = frozenset(
    frozenset(pair)
    for pair in (
        *((PARENT, child) for child in CHILDREN),
        (CONTROL, LOOKUP),
        (CONTROL, PONY),
        (CONTROL, QUEUE),
        (CONTROL, SCHEDULER),
        (PONY, LOOKUP),
        (PONY, QUEUE),
        (QUEUE, LOOKUP),
        (QUEUE, SCHEDULER),
    )
)
"""Links between processes of the daemon: one socketpair each, made by parent."""

EDGE_LINKS: frozenset[frozenset[str]] = frozenset(
    frozenset(pair) for pair in ((CLIENT, CONTROL), (PONY, DELIVERY), (PARENT, DELIVERY))
)
"""Links to what is not one of the six processes."""


def linked(one: str, other: str) -> bool:
    """Whether a message may pass between `one` and `other`, in either direction."""
    pair = frozenset((one, other))
    return pair in LINKS or pair in EDGE_LINKS


def peers_of(name: str) -> tuple[str, ...]:
    """The processes `name` has a link with, parent first, then in starting order."""
    return tuple(other for other in PROCESSES if other != name and frozenset((name, other)) in LINKS)
