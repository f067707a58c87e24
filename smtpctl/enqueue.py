"""One message of offline/, submitted as its owner: `python -m smtpctl.enqueue UID GID HOME`.

The file is standard input. parent starts this with all its rights, because the owner may not be able to enter
where the interpreter lies; they are gone before the first byte is read. UID -1: no switch.
"""

import os
import sys
from collections.abc import Sequence

from . import sendmail
from .offline_mail import ARGUMENTS_MOST, CannotKeep, split


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of sendmail; the message is only taken when it is 0."""
    words = sys.argv[1:] if argv is None else argv
    load()
    become(int(words[0]), int(words[1]), words[2])
    try:
        arguments = split(sys.stdin.buffer.readline(ARGUMENTS_MOST))
    except CannotKeep as error:
        print(f"enqueue: {error}", file=sys.stderr)
        return os.EX_DATAERR
    return sendmail.main(["-S", *arguments])


def load() -> None:
    """Codecs, and what sendmail loads where it needs it: from then on there may be nothing to import from."""
    import random
    from email.utils import formatdate

    formatdate(random.random(), localtime=True)
    for codec in ("ascii", "latin-1", "utf-8", "idna", "punycode"):
        "a".encode(codec)


def become(uid: int, gid: int, home: str) -> None:
    """Be the owner for good, at home if there is one."""
    os.umask(0o077)
    if uid != -1:
        os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    try:
        os.chdir(home)
    except OSError:
        os.chdir("/")


if __name__ == "__main__":
    sys.exit(main())
