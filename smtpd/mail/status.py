"""Enhanced status codes (RFC 3463) as OpenSMTPD numbers them, and the results of a delivery.

A code is `subject * 10 + detail` (11 is x.1.1), the class is a number of its own; an envelope stores both.
Details above 9 (RFC 7372 and later) do not fit this and are read as the subject's "other".
"""

import re

# results of a delivery
OK = "ok"
TEMPFAIL = "tempfail"
PERMFAIL = "permfail"
LOOP = "loop"

# classes (RFC 3463 3.1)
STATUS_OK = 2
STATUS_TEMPFAIL = 4
STATUS_PERMFAIL = 5

# codes (RFC 3463 3.2 to 3.8)
OTHER_STATUS = 0

OTHER_ADDRESS_STATUS = 10
BAD_DESTINATION_MAILBOX_ADDRESS = 11
BAD_DESTINATION_SYSTEM_ADDRESS = 12
BAD_DESTINATION_MAILBOX_ADDRESS_SYNTAX = 13
DESTINATION_MAILBOX_ADDRESS_AMBIGUOUS = 14
DESTINATION_ADDRESS_VALID = 15
DESTINATION_MAILBOX_HAS_MOVED = 16
BAD_SENDER_MAILBOX_ADDRESS_SYNTAX = 17
BAD_SENDER_SYSTEM_ADDRESS = 18

OTHER_MAILBOX_STATUS = 20
MAILBOX_DISABLED = 21
MAILBOX_FULL = 22
MESSAGE_LENGTH_TOO_LARGE = 23
MAILING_LIST_EXPANSION_PROBLEM = 24

OTHER_MAIL_SYSTEM_STATUS = 30
MAIL_SYSTEM_FULL = 31
SYSTEM_NOT_ACCEPTING_MESSAGES = 32
SYSTEM_NOT_CAPABLE_OF_SELECTED_FEATURES = 33
MESSAGE_TOO_BIG_FOR_SYSTEM = 34
SYSTEM_INCORRECTLY_CONFIGURED = 35

OTHER_NETWORK_ROUTING_STATUS = 40
NO_ANSWER_FROM_HOST = 41
BAD_CONNECTION = 42
DIRECTORY_SERVER_FAILURE = 43
UNABLE_TO_ROUTE = 44
MAIL_SYSTEM_CONGESTION = 45
ROUTING_LOOP_DETECTED = 46
DELIVERY_TIME_EXPIRED = 47

INVALID_RECIPIENT = 50
INVALID_COMMAND = 51
SYNTAX_ERROR = 52
TOO_MANY_RECIPIENTS = 53
INVALID_COMMAND_ARGUMENTS = 54
WRONG_PROTOCOL_VERSION = 55

OTHER_MEDIA_ERROR = 60
MEDIA_NOT_SUPPORTED = 61
CONVERSION_REQUIRED_AND_PROHIBITED = 62
CONVERSION_REQUIRED_BUT_NOT_SUPPORTED = 63
CONVERSION_WITH_LOSS_PERFORMED = 64
CONVERSION_FAILED = 65

OTHER_SECURITY_STATUS = 70
DELIVERY_NOT_AUTHORIZED_MESSAGE_REFUSED = 71
MAILING_LIST_EXPANSION_PROHIBITED = 72
SECURITY_CONVERSION_REQUIRED_NOT_POSSIBLE = 73
SECURITY_FEATURES_NOT_SUPPORTED = 74
CRYPTOGRAPHIC_FAILURE = 75
CRYPTOGRAPHIC_ALGORITHM_NOT_SUPPORTED = 76
MESSAGE_INTEGRITY_FAILURE = 77

_UNKNOWN = "Other/Undefined"

# the texts go to clients and senders, so they are OpenSMTPD's
_DESCRIPTIONS = {
    OTHER_STATUS: _UNKNOWN,
    OTHER_ADDRESS_STATUS: "Other/Undefined address status",
    BAD_DESTINATION_MAILBOX_ADDRESS: "Bad destination mailbox address",
    BAD_DESTINATION_SYSTEM_ADDRESS: "Bad destination system address",
    BAD_DESTINATION_MAILBOX_ADDRESS_SYNTAX: "Bad destination mailbox address syntax",
    DESTINATION_MAILBOX_ADDRESS_AMBIGUOUS: "Destination mailbox address ambiguous",
    DESTINATION_ADDRESS_VALID: "Destination address valid",
    DESTINATION_MAILBOX_HAS_MOVED: "Destination mailbox has moved, No forwarding address",
    BAD_SENDER_MAILBOX_ADDRESS_SYNTAX: "Bad sender's mailbox address syntax",
    BAD_SENDER_SYSTEM_ADDRESS: "Bad sender's system address syntax",
    OTHER_MAILBOX_STATUS: "Other/Undefined mailbox status",
    MAILBOX_DISABLED: "Mailbox disabled, not accepting messages",
    MAILBOX_FULL: "Mailbox full",
    MESSAGE_LENGTH_TOO_LARGE: "Message length exceeds administrative limit",
    MAILING_LIST_EXPANSION_PROBLEM: "Mailing list expansion problem",
    OTHER_MAIL_SYSTEM_STATUS: "Other/Undefined mail system status",
    MAIL_SYSTEM_FULL: "Mail system full",
    SYSTEM_NOT_ACCEPTING_MESSAGES: "System not accepting network messages",
    SYSTEM_NOT_CAPABLE_OF_SELECTED_FEATURES: "System not capable of selected features",
    MESSAGE_TOO_BIG_FOR_SYSTEM: "Message too big for system",
    SYSTEM_INCORRECTLY_CONFIGURED: "System incorrectly configured",
    OTHER_NETWORK_ROUTING_STATUS: "Other/Undefined network or routing status",
    NO_ANSWER_FROM_HOST: "No answer from host",
    BAD_CONNECTION: "Bad connection",
    DIRECTORY_SERVER_FAILURE: "Directory server failure",
    UNABLE_TO_ROUTE: "Unable to route",
    MAIL_SYSTEM_CONGESTION: "Mail system congestion",
    ROUTING_LOOP_DETECTED: "Routing loop detected",
    DELIVERY_TIME_EXPIRED: "Delivery time expired",
    INVALID_RECIPIENT: "Invalid recipient",
    INVALID_COMMAND: "Invalid command",
    SYNTAX_ERROR: "Syntax error",
    TOO_MANY_RECIPIENTS: "Too many recipients",
    INVALID_COMMAND_ARGUMENTS: "Invalid command arguments",
    WRONG_PROTOCOL_VERSION: "Wrong protocol version",
    OTHER_MEDIA_ERROR: "Other/Undefined media error",
    MEDIA_NOT_SUPPORTED: "Media not supported",
    CONVERSION_REQUIRED_AND_PROHIBITED: "Conversion required and prohibited",
    CONVERSION_REQUIRED_BUT_NOT_SUPPORTED: "Conversion required but not supported",
    CONVERSION_WITH_LOSS_PERFORMED: "Conversion with loss performed",
    CONVERSION_FAILED: "Conversion failed",
    OTHER_SECURITY_STATUS: "Other/Undefined security status",
    DELIVERY_NOT_AUTHORIZED_MESSAGE_REFUSED: "Delivery not authorized, message refused",
    MAILING_LIST_EXPANSION_PROHIBITED: "Mailing list expansion prohibited",
    SECURITY_CONVERSION_REQUIRED_NOT_POSSIBLE: "Security conversion required but not possible",
    SECURITY_FEATURES_NOT_SUPPORTED: "Security features not supported",
    CRYPTOGRAPHIC_FAILURE: "Cryptographic failure",
    CRYPTOGRAPHIC_ALGORITHM_NOT_SUPPORTED: "Cryptographic algorithm not supported",
    MESSAGE_INTEGRITY_FAILURE: "Message integrity failure",
}

_TEXT_FORM = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])", re.ASCII)


def esc_code(esc_class: int, code: int) -> str:
    """The text form: esc_code(5, 11) is "5.1.1" (RFC 3463 2)."""
    return f"{esc_class}.{code // 10}.{code % 10}"


def esc_description(code: int) -> str:
    """What the code says, for a person."""
    return _DESCRIPTIONS.get(code, _UNKNOWN)


def parse_esc(text: str) -> tuple[int, int] | None:
    """Class and code of the status that `text` begins with ("5.1.1 User unknown"), or None."""
    match = _TEXT_FORM.match(text)
    if match is None:
        return None
    esc_class, subject, detail = (int(part) for part in match.groups())
    if subject > 7:
        return esc_class, OTHER_STATUS
    return esc_class, subject * 10 + (detail if detail <= 9 else 0)
