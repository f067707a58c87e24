"""`python -P -m smtpd.delivery.wrapped`: one delivery as a command, for what is put around deliveries.

smtpd.conf(5) has `wrapper` for that, with `%{mda}` as the command that delivers: a program that reads a mail
on its standard input, as mail.maildir(8), mail.mboxfile(8) and mail.lmtp(8) do. This is that program. It runs
as the user, with the environment of a delivery command and nothing else.

    maildir [-j] [PATH]         without PATH ~/Maildir; -j: junk goes to its Junk folder
    mboxfile -f FROM PATH       FROM as in a mailbox's line
    lmtp -d DESTINATION -u|-r   for $USER or $RECIPIENT

It ends with 0 when the mail is on disk or the server has it, else with a code of sysexits(3) and the reason
on standard error.
"""

import os
import sys
import tempfile
import time

from smtpd.delivery import lmtp, mbox
from smtpd.delivery.maildir import CHUNK, DeliveryError, Maildir, sync_folder
from smtpd.mail.status import OK, TEMPFAIL
from smtpd.protocol.mbox import from_line

EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75
_BAD_USAGE = "usage: maildir [-j] [PATH] | mboxfile -f FROM PATH | lmtp -d DESTINATION -u|-r"


def main(words: list[str], variables: dict[str, str], source: int) -> int:
    """Deliver what can be read from `source`; the exit status."""
    try:
        with tempfile.TemporaryFile() as mail:
            while chunk := os.read(source, CHUNK):
                mail.write(chunk)
            mail.flush()
            status, reason = _deliver(words, variables, mail.fileno())
    except DeliveryError as error:
        status, reason = error.status, str(error)
    except OSError as error:
        status, reason = TEMPFAIL, error.strerror or str(error)
    if status == OK:
        return 0
    print(reason, file=sys.stderr)
    return EX_TEMPFAIL if status == TEMPFAIL else EX_UNAVAILABLE


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ), 0))
