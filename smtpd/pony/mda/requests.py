"""What a delivery agent is asked for one envelope: which kind of agent, and the request.

Must not send anything. What no agent delivers is a command's (command.py); so is what a wrapper is around.
"""

from smtpd.config.model import LocalAction
from smtpd.mail.envelope import Envelope
from smtpd.messages.delivery import DeliverLmtp, DeliverMaildir, DeliverMbox
from smtpd.protocol.delivery_headers import delivery_headers
from smtpd.protocol.mda_variables import FormatValues, expand_format, named_file

from .agents import LMTP, MAILDIR, MBOX, Request
from .user import UserInfo


def method_of(action: LocalAction | None, envelope: Envelope) -> str:
    """The kind of agent that delivers it, "" for a command."""
    if action is None:
        return ""
    if envelope.mda_exec:
        return MAILDIR if named_file(envelope.mda_exec) and not action.wrapper else ""
    return action.method if action.method in (MAILDIR, MBOX, LMTP) and not action.wrapper else ""


def request_for(
    action: LocalAction, method: str, info: UserInfo, runner: UserInfo, envelope: Envelope, delimiter: str
) -> Request:
    """What to ask of the agent. `info`: who gets the mail; `runner`: with whose rights. FormatError."""
    headers = delivery_headers(envelope.sender, envelope.rcpt)
    dest, evpid = str(envelope.dest), envelope.evpid
    sender = envelope.sender.path
    values = FormatValues(envelope.sender, envelope.rcpt, envelope.dest, info.username, info.directory)
    if method == MBOX:
        return DeliverMbox("", sender, headers, dest, evpid)
    if envelope.mda_exec:
        return DeliverMbox(named_file(envelope.mda_exec), sender, headers, dest, evpid)
    if method == LMTP:
        destination = expand_format(action.argument, values, delimiter)
        recipient = dest if action.rcpt_to else info.username
        return DeliverLmtp(destination, sender, recipient, headers, dest, evpid)
    path = action.argument or f"{runner.directory}/Maildir"
    if action.argument and ("%" in path or path.startswith("~/")):
        path = expand_format(path, values, delimiter)
    return DeliverMaildir(path, envelope.mda_subaddress, action.junk, headers, dest, evpid)
