"""A delivery that a command line asks for: what wrapped.py does, once it could be loaded.

maildir [-j] [PATH]         without PATH ~/Maildir; -j: junk goes to its Junk folder
mboxfile -f FROM PATH       FROM as in a mailbox's line
lmtp -d DESTINATION -u|-r   for $USER or $RECIPIENT
"""

import os
import tempfile
import time

from smtpd.delivery import lmtp, mbox
from smtpd.delivery.maildir import CHUNK, DeliveryError, Maildir, sync_folder
from smtpd.mail.status import OK, TEMPFAIL
from smtpd.protocol.mbox import from_line

_BAD_USAGE = "usage: maildir [-j] [PATH] | mboxfile -f FROM PATH | lmtp -d DESTINATION -u|-r"
_EMPTY = "no mail came out of what is in front of it"


def deliver(words: list[str], variables: dict[str, str], source: int) -> DeliveryError | None:
    """Deliver what can be read from `source`; None, or why not."""
    try:
        with tempfile.TemporaryFile() as mail:
            while chunk := os.read(source, CHUNK):
                mail.write(chunk)
            if not mail.tell():
                # Every mail has a header by now. A filter that is missing or was killed is taken for the end
                # of the mail by a pipeline, and the shell does not tell.
                return DeliveryError(TEMPFAIL, _EMPTY)
            mail.flush()
            status, reason = _deliver(words, variables, mail.fileno())
    except DeliveryError as error:
        return error
    except OSError as error:
        return DeliveryError(TEMPFAIL, error.strerror or str(error))
    return None if status == OK else DeliveryError(status, reason)


def _deliver(words: list[str], variables: dict[str, str], mail: int) -> tuple[str, str]:
    match words:
        case ["maildir", "-j", *path] if len(path) < 2:
            return _to_maildir(path, variables, mail, junk=True)
        case ["maildir", *path] if len(path) < 2:
            return _to_maildir(path, variables, mail, junk=False)
        case ["mboxfile", "-f", sender, path]:
            with mbox.opened(path, -1, strict=False) as box:
                box.append(mail, from_line(sender, time.asctime()), b"")
                box.sync()
            return OK, ""
        case ["lmtp", "-d", destination, ("-u" | "-r") as whom]:
            recipient = variables.get("USER" if whom == "-u" else "RECIPIENT", "")
            job = lmtp.Job(variables.get("SENDER", ""), recipient, b"", mail)
            return lmtp.deliver(destination, [job])[0]
    return TEMPFAIL, _BAD_USAGE  # our own mistake, and no reason to bounce mail


def _to_maildir(path: list[str], variables: dict[str, str], mail: int, *, junk: bool) -> tuple[str, str]:
    maildir = Maildir(path[0] if path else f"{variables.get('HOME', '')}/Maildir")
    delivery = maildir.write(mail, b"", variables.get("EXTENSION", ""), junk)
    delivery.finish()
    sync_folder(delivery.folder)
    return OK, ""
