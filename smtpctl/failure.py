"""Why a run of smtpctl ends without what was asked for. What raises these is loaded where it is needed."""

import os


class Failed(Exception):
    """Something could not be done; the text says why. `status`: exit status (sysexits.h)."""

    status = os.EX_UNAVAILABLE


class BadFilter(Failed, ValueError):
    """The value of an option means nothing; the text says what would."""

    status = os.EX_USAGE
