"""parent and pony: listening sockets, deliveries that need a user's rights (numbers 0x02xx, second half)."""

from typing import NamedTuple

from imsg.message import I64, U32, Id64, message
from smtpd.mail.address import MailAddress

from .links import PARENT, PONY


@message(0x0281, PARENT, PONY, descriptor=True)
class ListenSocket(NamedTuple):
    """A listening socket. `listener`: its index in Config.listeners; `address`: what it is bound to."""

    listener: U32
    address: str


@message(0x0289, PARENT, PONY)
class CloseListenSocket(NamedTuple):
    """The address of that ListenSocket is gone: accept no more on it. Sessions go on."""

    address: str


@message(0x0282, PARENT, PONY, descriptor="optional")
class AgentOpened(NamedTuple):
    """Reply to OpenAgent.

    `status`: "ok", with a socket to an agent running as the user, "tempfail" or "permfail".
    """

    reqid: U32
    delivery: U32
    status: str
    error: str


@message(0x0283, PONY, PARENT, reply=AgentOpened)
class OpenAgent(NamedTuple):
    """Start a delivery agent (smtpd/delivery) for a user. uid 0 is refused.

    `evpid`: of the envelope it is first wanted for. `mbox`: an agent for the user's mailbox alone, who and
    where is what the system says of the name; root has one too.
    """

    username: str
    uid: I64
    gid: I64
    directory: str
    evpid: Id64 = 0
    mbox: bool = False


@message(0x0284, PARENT, PONY, descriptor="optional")
class CommandOpened(NamedTuple):
    """Reply to OpenCommand. `status`: "ok", with the pipe to its standard input, "tempfail" or "permfail".

    `ours`: our own program delivers, inside of a wrapper.
    """

    reqid: U32
    delivery: U32
    status: str
    error: str
    ours: bool = False


@message(0x0285, PONY, PARENT, reply=CommandOpened)
class OpenCommand(NamedTuple):
    """Run the command of an mda action as a user.

    The command is `mda_exec` where a .forward gave one, else that of the action called `dispatcher` in
    parent's own configuration, expanded by parent: a pony gone bad cannot choose it. uid 0 is refused.
    """

    dispatcher: str
    mda_exec: str
    mda_subaddress: str
    sender: MailAddress
    rcpt: MailAddress
    dest: MailAddress
    username: str
    uid: I64
    gid: I64
    directory: str
    evpid: Id64 = 0


@message(0x0288, PARENT, PONY, descriptor=True)
class CommandOutput(NamedTuple):
    """Follows each CommandOpened that is "ok": the pipe from the command's standard output and error.

    Pipes and no socket: a command may open /dev/stdin or /dev/stderr anew, which the system refuses for
    sockets.
    """

    delivery: U32


@message(0x0286, PARENT, PONY)
class DeliveryExited(NamedTuple):
    """The agent or command ended. `status`: exit status, or minus the signal's number."""

    delivery: U32
    status: I64


@message(0x0287, PONY, PARENT)
class KillDelivery(NamedTuple):
    """Its time is up: end the agent or command and all of its process group."""

    delivery: U32
