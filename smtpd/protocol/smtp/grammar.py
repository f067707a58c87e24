"""The text of SMTP commands: verb and argument, paths, ESMTP parameters (RFC 5321 4.1, RFC 3461 4, RFC 1870).

What is accepted is what OpenSMTPD accepts: paths without quoted strings, source routes cut off, an address
without a domain at the server's own. Verbs are read as bytes (nothing but ASCII folds), arguments as text
with surrogateescape. No replies here and no state: a failure is a value, server.py says it to the client.
"""

import re
from typing import NamedTuple

from smtpd.mail import address, envelope
from smtpd.mail.address import EMPTY, MailAddress

MAIL = b"MAIL FROM"
RCPT = b"RCPT TO"

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", re.ASCII)
_NOTIFY = {
    "SUCCESS": envelope.DSN_SUCCESS,
    "FAILURE": envelope.DSN_FAILURE,
    "DELAY": envelope.DSN_DELAY,
    "NEVER": envelope.DSN_NEVER,
}
_SIZE_DIGITS = 20
_LOGIN = re.compile(rb"[^0-9A-Za-z]*AUTH", re.IGNORECASE)
_SECRET = b"********"
_MECHANISMS = frozenset(
    b"ANONYMOUS CRAM-MD5 DIGEST-MD5 EXTERNAL GSSAPI LOGIN NTLM OAUTHBEARER PLAIN SCRAM-SHA-1 SCRAM-SHA-1-PLUS"
    b" SCRAM-SHA-256 SCRAM-SHA-256-PLUS SCRAM-SHA-512 SCRAM-SHA-512-PLUS XOAUTH2".split()
)
"""Those that clients use (IANA's registry of SASL mechanisms)."""


class Problem(NamedTuple):
    """Why a path's parameters are refused: `kind` "unsupported", "envid", "notify", "orcpt" or "size"; the
    option.
    """

    kind: str
    option: str


class MailParameters(NamedTuple):
    """What followed the path of MAIL FROM. `size`: octets as the client counted them, 0 when it did not
    say.
    """

    size: int = 0
    eight_bit: bool = True
    dsn_ret: str = ""
    dsn_envid: str = ""


class RcptParameters(NamedTuple):
    """What followed the path of RCPT TO."""

    dsn_notify: int = 0
    dsn_orcpt: str = ""


NO_MAIL_PARAMETERS = MailParameters()
NO_RCPT_PARAMETERS = RcptParameters()


def split_command(line: bytes) -> tuple[bytes, str | None]:
    """Verb in upper case and argument of a line without its end; None when there is none. The two verbs with
    a blank in them end in a colon. White space at the line's end is the client's mistake and ignored (RFC
    5321 4.1.1).
    """
    if line[:8].upper() == b"RCPT TO:":
        return RCPT, line[8:].decode("utf-8", "surrogateescape").strip(" \t")
    if line[:10].upper() == b"MAIL FROM:":
        return MAIL, line[10:].decode("utf-8", "surrogateescape").strip(" \t")
    verb, _, rest = line.partition(b" ")
    argument = rest.strip(b" \t")
    return verb.strip(b"\t").upper(), argument.decode("utf-8", "surrogateescape") if argument else None


def begins_login(line: bytes) -> bool:
    """Whether a client means AUTH by this line, however it writes that: what comes next may be a secret.

    Whoever gets the blank wrong ("AUTH\\tPLAIN") gets an error for an answer, and has sent its secret.
    """
    return _LOGIN.match(line) is not None


def without_secret(line: bytes, login: bool = False) -> bytes:
    """A command line as it may be logged: what a client sends with AUTH is nobody's business, wanted or
    not. Of an AUTH a mechanism's name is shown, if it is one: who forgets it sends its secret in that place.
    `login`: the line is no command and came after AUTH, from a client that minds no reply.
    """
    verb, _, rest = line.partition(b" ")
    if verb.upper() != b"AUTH":
        return _SECRET if login or begins_login(line) else line
    mechanism, blank, _ = rest.partition(b" ")
    if not rest:
        return b"AUTH"
    if mechanism.upper() not in _MECHANISMS:
        return b"AUTH " + _SECRET
    return b"AUTH " + mechanism + (blank and b" " + _SECRET)


def has_control_characters(text: str) -> bool:
    """Whether there is one besides a tab: no command has a use for it."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def split_path(argument: str | None) -> tuple[str | None, str]:
    """The inside of `<...>` and what follows it; None when the argument does not start with a path."""
    if argument is None or argument[:1] != "<":
        return None, ""
    path, bracket, rest = argument[1:].partition(">")
    return (path, rest) if bracket else (None, "")


def parse_path(path: str | None, hostname: str, *, null_allowed: bool) -> MailAddress | None:
    """The mailbox of a path without its brackets, None when it is none.

    A source route is cut off (RFC 5321 appendix C); `hostname` completes an address without a domain;
    with `null_allowed` the empty path of a bounce is EMPTY.
    """
    if path is None:
        return None
    try:
        user, domain = address.parse(path)
    except ValueError:
        return None
    if ":" in user:
        user = user.partition(":")[2]
    if not user and not domain:
        return EMPTY if null_allowed else None
    if not address.valid_localpart(user):
        return None
    domain = domain or hostname
    return MailAddress(user, domain) if address.valid_domainpart(domain) else None


def parse_mail_parameters(text: str, *, dsn: bool) -> MailParameters | Problem:
    """The parameters of MAIL FROM. `dsn`: whether RET and ENVID are offered."""
    if not text:
        return NO_MAIL_PARAMETERS
    size, eight_bit, ret, envid = 0, True, "", ""
    for option in text.split(" "):
        if not option:
            continue
        name, _, value = option.partition("=")
        match name.upper():
            case "SIZE":
                if not (value.isascii() and value.isdecimal() and len(value) <= _SIZE_DIGITS):
                    return Problem("size", option)
                size = int(value)
            case "BODY" if value.upper() in ("7BIT", "8BITMIME"):
                eight_bit = value.upper() == "8BITMIME"
            case "AUTH":  # RFC 4954 5: may be ignored, and is
                pass
            case "RET" if dsn:
                if value.upper() in (envelope.RET_HDRS, envelope.RET_FULL):
                    ret = value.upper()
            case "ENVID" if dsn:
                if len(value.encode("utf-8", "surrogateescape")) > envelope.ENVID_MAX:
                    return Problem("envid", value)
                envid = value
            case _:
                return Problem("unsupported", option)
    return MailParameters(size, eight_bit, ret, envid)


def parse_rcpt_parameters(text: str, *, dsn: bool) -> RcptParameters | Problem:
    """The parameters of RCPT TO. `dsn`: whether NOTIFY and ORCPT are offered."""
    if not text:
        return NO_RCPT_PARAMETERS
    notify, orcpt = 0, ""
    for option in text.split(" "):
        if not option:
            continue
        name, _, value = option.partition("=")
        match name.upper():
            case "NOTIFY" if dsn:
                for word in value.upper().split(","):
                    notify |= _NOTIFY.get(word, 0)
                if notify & envelope.DSN_NEVER and notify != envelope.DSN_NEVER:
                    return Problem("notify", option)
            case "ORCPT" if dsn:
                kind, semicolon, xtext = value.partition(";")
                if not semicolon or not valid_xtext(xtext) or not kind.isascii():
                    return Problem("orcpt", option)
                if len(value) > envelope.ORCPT_MAX:
                    return Problem("orcpt", option)
                orcpt = value
            case _:
                return Problem("unsupported", option)
    return RcptParameters(notify, orcpt)


def valid_xtext(text: str) -> bool:
    """RFC 3461 4: printable ASCII without "=" and "+", or "+" and two upper-case hex digits."""
    return _XTEXT.fullmatch(text) is not None
