"""The replies of the SMTP server, as bytes ready to send (RFC 5321 4.2, RFC 2034).

Codes and texts are OpenSMTPD's: scripts look for them. Where OpenSMTPD has no such reply (a limit or an
extension of ours) the form is the same: code, enhanced status code, its description, what happened. No state,
no I/O.
"""

from functools import cache

from smtpd.mail import status

_C_STYLE = {
    "\0": "\\000",
    "\a": "\\a",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\v": "\\v",
    "\f": "\\f",
    "\r": "\\r",
}
_TEXT_SHOWN = 512


def reply(code: int, esc: int, text: str, *, described: bool = True) -> bytes:
    """One reply line: `reply(500, INVALID_COMMAND, "Command unrecognized")` is `500 5.5.1 Invalid command:
    Command unrecognized`. `esc` is a code of smtpd.mail.status, its class is the reply's first digit; with
    `described` false the code's description is left out.
    """
    shown = f"{status.esc_description(esc)}: {text}" if described else text
    return f"{code} {status.esc_code(code // 100, esc)} {shown}\r\n".encode("utf-8", "surrogateescape")


def echoed(text: str) -> str:
    """Text from outside as it may stand in a reply: one line, bounded, nothing invisible in it."""
    if len(text) > _TEXT_SHOWN:
        text = text[:_TEXT_SHOWN] + "..."
    return text if text.isprintable() else "".join(map(_visible, text))


def logged(text: str) -> str:
    """Text from outside as it may stand in the log: as `echoed`, and a backslash is doubled, so that it can
    be read back.
    """
    return echoed(text.replace("\\", "\\\\"))


def _visible(character: str) -> str:
    """What vis(3) makes of it with VIS_SAFE and VIS_CSTYLE; UTF-8 that can be printed stays."""
    if character.isprintable():
        return character
    if character in _C_STYLE:
        return _C_STYLE[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8
        low = code & 0x7F
        return f"\\M^{chr(low ^ 0x40)}" if low < 0x20 or low == 0x7F else f"\\M-{chr(low)}"
    return f"\\^{chr(code ^ 0x40)}" if code < 0x80 else f"\\u{code:04x}"


OK = reply(250, status.OTHER_STATUS, "Ok", described=False)
RESET = reply(250, status.OTHER_STATUS, "Reset state", described=False)
BYE = reply(221, status.OTHER_STATUS, "Bye", described=False)
RECIPIENT_OK = reply(250, status.DESTINATION_ADDRESS_VALID, "Recipient ok")
ENTER_MAIL = b'354 Enter mail, end with "." on a line by itself\r\n'
CANNOT_VERIFY = reply(
    252, status.OTHER_STATUS, "Cannot verify the user, but will take a message and try", described=False
)

# what the client may not do now, or not at all
UNRECOGNIZED = reply(500, status.INVALID_COMMAND, "Command unrecognized")
NOT_NOW = reply(503, status.INVALID_COMMAND, "Command not allowed at this point.")
NOT_SUPPORTED = reply(503, status.INVALID_COMMAND, "Command not supported")
ALREADY_IDENTIFIED = reply(503, status.INVALID_COMMAND, "Already identified")
NO_ARGUMENT = reply(500, status.INVALID_COMMAND_ARGUMENTS, "command does not accept arguments.")
NO_WIZARD = reply(500, status.INVALID_COMMAND, "this feature is not supported yet ;-)")
HELO_NAME_MISSING = reply(501, status.INVALID_COMMAND, "HELO requires domain name")
EHLO_NAME_MISSING = reply(501, status.INVALID_COMMAND, "EHLO requires domain name")
HELO_NAME_INVALID = reply(501, status.INVALID_COMMAND_ARGUMENTS, "Invalid domain name")
VRFY_NAME_MISSING = reply(501, status.INVALID_COMMAND_ARGUMENTS, "VRFY requires an address")
CONTROL_CHARACTERS = reply(500, status.SYNTAX_ERROR, "Control characters in the command")
NO_RECIPIENT = reply(503, status.INVALID_COMMAND_ARGUMENTS, "No recipient specified")
STARTTLS_FIRST = reply(530, status.INVALID_COMMAND, "Must issue a STARTTLS command first")
AUTH_FIRST = reply(530, status.INVALID_COMMAND, "Must issue an AUTH command first")

# addresses and parameters
BAD_SENDER = reply(553, status.OTHER_ADDRESS_STATUS, "Sender address syntax error", described=False)
BAD_RECIPIENT = reply(
    501, status.BAD_DESTINATION_MAILBOX_ADDRESS_SYNTAX, "Recipient address syntax error", described=False
)
BAD_NOTIFY = b"553 NOTIFY option NEVER cannot be combined with other options\r\n"
BAD_ORCPT = b"553 ORCPT address syntax error\r\n"
BAD_SIZE = reply(501, status.INVALID_COMMAND_ARGUMENTS, "SIZE takes a number")
DECLARED_TOO_BIG = reply(552, status.MESSAGE_TOO_BIG_FOR_SYSTEM, "Declared size exceeds the limit")

# limits
TOO_MANY_MESSAGES = reply(452, status.TOO_MANY_RECIPIENTS, "Too many messages sent")
TOO_MANY_RECIPIENTS = reply(451, status.TOO_MANY_RECIPIENTS, "Too many recipients")
TOO_MANY_COMMANDS = reply(421, status.OTHER_SECURITY_STATUS, "Too many commands", described=False)
TOO_MANY_ERRORS = reply(421, status.OTHER_SECURITY_STATUS, "Too many errors", described=False)
TOO_MANY_SESSIONS = reply(421, status.SYSTEM_NOT_ACCEPTING_MESSAGES, "Too many sessions", described=False)
LINE_TOO_LONG = reply(500, status.OTHER_STATUS, "Line too long", described=False)
COMMAND_TOO_LONG = reply(500, status.OTHER_STATUS, "Command line too long", described=False)
NOT_PIPELINED = reply(500, status.INVALID_COMMAND, "Pipelining not supported")
ENDLESS = reply(552, status.MESSAGE_TOO_BIG_FOR_SYSTEM, "No end of the message in sight")

# after the content
TOO_BIG = reply(554, status.MESSAGE_TOO_BIG_FOR_SYSTEM, "Transaction failed, message too big")
LOOP = reply(500, status.ROUTING_LOOP_DETECTED, "Loop detected")
MALFORMED = reply(550, status.DELIVERY_NOT_AUTHORIZED_MESSAGE_REFUSED, "Message is not RFC 2822 compliant")
FULL = reply(452, status.MAIL_SYSTEM_FULL, "Insufficient system storage")

# our own troubles
TEMPORARY_ERROR = reply(421, status.OTHER_MAIL_SYSTEM_STATUS, "Temporary Error", described=False)
TEMPORARY_FAILURE = reply(421, status.OTHER_MAIL_SYSTEM_STATUS, "Temporary failure", described=False)
SHUTTING_DOWN = reply(421, status.OTHER_MAIL_SYSTEM_STATUS, "Service shutting down", described=False)
TIMEOUT = reply(421, status.BAD_CONNECTION, "Timeout", described=False)


def banner(hostname: str, software: str) -> bytes:
    """The greeting (RFC 5321 4.3.1)."""
    return f"220 {hostname} ESMTP {software}\r\n".encode("utf-8", "surrogateescape")


def hello(code: str, hostname: str, helo: str, address: str) -> bytes:
    """The first line of HELO's and EHLO's answer. `code`: with what divides it from the text; `address`: in
    brackets.
    """
    return f"{code}{hostname} Hello {helo} {address}, pleased to meet you\r\n".encode(
        "utf-8", "surrogateescape"
    )


@cache
def extensions(max_message_size: int, *, dsn: bool) -> bytes:
    """EHLO's answer behind its first line."""
    offered = ["8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", f"SIZE {max_message_size}"]
    if dsn:
        offered.append("DSN")
    return ("".join(f"250-{line}\r\n" for line in offered) + "250 HELP\r\n").encode()


def help_text(software: str) -> bytes:
    """The answer to HELP."""
    return (
        f"214-2.0.0 This is {software}\r\n"
        "214-2.0.0 Commands: HELO EHLO MAIL RCPT DATA RSET NOOP QUIT VRFY HELP\r\n"
        "214 2.0.0 End of HELP info\r\n"
    ).encode("utf-8", "surrogateescape")


def accepted(msgid: int) -> bytes:
    """After the final dot, when the message is safe."""
    return f"250 2.0.0 {msgid:08x} Message accepted for delivery\r\n".encode()


def bad_parameter(kind: str, option: str, *, described: bool) -> bytes:
    """An ESMTP parameter that is wrong or not offered. `kind`: of grammar.Problem; `described`: what is
    not offered is said with its status code in MAIL, without one in RCPT.
    """
    match kind:
        case "size":
            return BAD_SIZE
        case "notify":
            return BAD_NOTIFY
        case "orcpt":
            return BAD_ORCPT
        case "envid":
            text = f"option too large, truncated: {echoed(option)}"
        case _:
            text = f"Unsupported option {echoed(option)}"
            if not described:
                return f"503 {text}\r\n".encode("utf-8", "surrogateescape")
    return reply(503, status.INVALID_COMMAND_ARGUMENTS, text)


def refused(text: str, rcpt: str) -> bytes:
    """A reply line that came from elsewhere (a rule, a table), safe to send; the recipient's address
    stands behind it.
    """
    shown = f": <{rcpt}>"
    return f"{echoed(text.removesuffix(shown))}{shown}\r\n".encode("utf-8", "surrogateescape")


def is_refusal(text: str) -> bool:
    """Whether text may be sent to a client as a refusal: 4xx or 5xx and something behind it."""
    return (
        len(text) >= 5
        and text[0] in "45"
        and text[1:3].isdecimal()
        and text[1:3].isascii()
        and text[3] == " "
    )
