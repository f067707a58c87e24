"""Delivery agents: mail into the files of one user, and how parent has them started (numbers 0x0fxx).

An agent (smtpd/delivery) runs as the user and serves one socket, whose other end is pony's. pony trusts
nothing it says beyond the result of the delivery it was asked for.
"""

from typing import NamedTuple

from imsg.message import I64, U32, Id64, message

from .links import DELIVERY, PARENT, PONY

# pony and an agent


@message(0x0F01, DELIVERY, PONY)
class MaildirDelivered(NamedTuple):
    """Reply to DeliverMaildir.

    `status`: "ok" (it is on disk), "tempfail", "permfail" or "loop"; `error`: why not.
    """

    reqid: U32
    status: str
    error: str


@message(0x0F02, PONY, DELIVERY, reply=MaildirDelivered, descriptor=True)
class DeliverMaildir(NamedTuple):
    """Put a message into a maildir. The descriptor is the content, open for reading.

    `path`: absolute. `extension`: the recipient's subaddress; a subfolder of that name is used where there is
    one. `junk`: spam goes to the subfolder Junk. `headers`: whole header lines to stand before the content.
    `loop`: an address; when the content has it in a Delivered-To line, the mail goes in circles.
    """

    path: str
    extension: str
    junk: bool
    headers: bytes
    loop: str
    evpid: Id64 = 0


@message(0x0F03, DELIVERY, PONY)
class MailDelivered(NamedTuple):
    """Reply to DeliverMbox and DeliverLmtp, as MaildirDelivered."""

    reqid: U32
    status: str
    error: str


@message(0x0F04, PONY, DELIVERY, reply=MailDelivered, descriptor=True)
class DeliverMbox(NamedTuple):
    """Append a message to a file of mails. The descriptor is the content, open for reading.

    `path`: "" for the user's mailbox, whose place the agent knows; else a file that the user named. `sender`:
    for the line before the mail, "" for a bounce. `headers`, `loop`: as in DeliverMaildir.
    """

    path: str
    sender: str
    headers: bytes
    loop: str
    evpid: Id64 = 0


@message(0x0F05, PONY, DELIVERY, reply=MailDelivered, descriptor=True)
class DeliverLmtp(NamedTuple):
    """Hand a message to an LMTP server. The descriptor is the content, open for reading.

    `destination`: a socket's absolute path, or HOST:PORT. `sender`, `recipient`: what stands in MAIL FROM and
    RCPT TO. `headers`, `loop`: as in DeliverMaildir.
    """

    destination: str
    sender: str
    recipient: str
    headers: bytes
    loop: str
    evpid: Id64 = 0


# parent and the starter of agents


@message(0x0F11, PARENT, DELIVERY, descriptor=True)
class StartAgent(NamedTuple):
    """Fork, become the user (unless uid is -1), serve the socket that comes along.

    `agent`: a number for StopAgent and AgentExited. `directory`: the home, where the agent stands.
    `mailbox`: the path of the user's mailbox, for an agent that writes to that and to nothing else;
    `lock_gid`: the group that may make lock files beside it, -1 where the user may.
    """

    agent: U32
    username: str
    uid: I64
    gid: I64
    directory: str
    mailbox: str = ""
    lock_gid: I64 = -1


@message(0x0F12, PARENT, DELIVERY)
class StopAgent(NamedTuple):
    """Kill an agent."""

    agent: U32


@message(0x0F13, DELIVERY, PARENT)
class AgentExited(NamedTuple):
    """An agent ended. `status`: its exit status, or minus the signal's number."""

    agent: U32
    status: I64
