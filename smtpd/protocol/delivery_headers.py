"""Header lines around a local delivery: those put before the content, and those that tell something of it.

Pure functions; a header is bytes with LF-ended lines, up to but not including the empty line.
"""

import re

from smtpd.mail.address import MailAddress

_DELIVERED_TO = re.compile(rb"^Delivered-To: (.*?)\r?$", re.IGNORECASE | re.MULTILINE)
_JUNK = re.compile(rb"^X-Spam(?:-Flag)?: Yes\r?$", re.IGNORECASE | re.MULTILINE)


def delivery_headers(sender: MailAddress, rcpt: MailAddress) -> bytes:
    """Return-Path (none for a bounce) and Delivered-To, as OpenSMTPD's mda writes them."""
    delivered = f"Delivered-To: {rcpt.user}@{rcpt.domain}\n"
    if sender.user and sender.domain:
        delivered = f"Return-Path: <{sender.user}@{sender.domain}>\n{delivered}"
    return delivered.encode("utf-8", "surrogateescape")


def header_of(head: bytes) -> bytes:
    """The header at the beginning of a message, as far as `head` reaches."""
    if head.startswith(b"\n"):
        return b""
    end = head.find(b"\n\n")
    return head if end < 0 else head[: end + 1]


def is_loop(header: bytes, dest: str) -> bool:
    """Has the mail been delivered to `dest` before? Letters are compared without their case."""
    wanted = dest.encode("utf-8", "surrogateescape").lower()
    return any(found.lower() == wanted for found in _DELIVERED_TO.findall(header))


def is_junk(header: bytes) -> bool:
    """Did a spam filter mark the mail (X-Spam: yes, X-Spam-Flag: yes)?"""
    return _JUNK.search(header) is not None
