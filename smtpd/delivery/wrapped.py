"""`python -P -m smtpd.delivery.wrapped`: one delivery as a command, for what is put around deliveries.

smtpd.conf(5) has `wrapper` for that, with `%{mda}` as the command that delivers: a program that reads a mail
on its standard input, as mail.maildir(8), mail.mboxfile(8) and mail.lmtp(8) do. This is that program. It runs
as the user, with the environment of a delivery command and nothing else.

It ends with 0 when the mail is on disk or the server has it, with EX_UNAVAILABLE of sysexits(3) when it never
will be, else with EX_TEMPFAIL, and says the reason on standard error. A fault of our own is never a reason to
bounce mail; an interpreter that cannot begin ends with 1, which is no status of ours, and pony knows that
(smtpd/pony/mda/command.py).
"""

import os
import sys

EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75


def main(words: list[str], variables: dict[str, str], source: int) -> int:
    """Deliver what can be read from `source`; the exit status. The words: as_command.py."""
    try:
        # Not at the top: of a program that is being replaced, half may be there.
        from smtpd.delivery.as_command import deliver
        from smtpd.mail.status import PERMFAIL

        failure = deliver(words, variables, source)
        if failure is None:
            return 0
        status = EX_UNAVAILABLE if failure.status == PERMFAIL else EX_TEMPFAIL
        reason = str(failure)
    except BaseException as error:
        status, reason = EX_TEMPFAIL, f"{type(error).__name__}: {error}"
    try:
        print(reason, file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        pass  # nobody listens, or there is no such thing; the status says enough
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ), 0))
