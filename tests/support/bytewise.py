"""Mails that are hard to carry unchanged, and whether they were."""

HEADER = (
    b"From: a@source.test\r\nTo: you@peer.test\r\n"
    b"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@x>\r\n"
)

_EVERY_OCTET = bytes(octet for octet in range(1, 256) if octet not in b"\r\n")

CONTENTS = {
    "dots": HEADER + b"\r\n.\r\n..\r\n...\r\n.one\r\n..two\r\na.\r\n.\r\n",
    "eight bits": HEADER + "Subject: Grüße\r\n\r\nGrüße\r\n".encode() + b"\xff\xfe\x80\r\n",
    "an empty body": HEADER + b"\r\n",
    "no body at all": HEADER,
    "empty lines": HEADER + b"\r\n\r\n\r\n \r\n\t\r\n\r\nx\r\n\r\n\r\n",
    "blanks at line ends": HEADER + b"Subject: a  \r\n\r\nx \r\ny\t\r\n-- \r\n",
    "long lines": HEADER + b"\r\n" + b"".join(b"x" * n + b"\r\n" for n in (996, 998, 999, 1000, 1024)),
    "very long lines": HEADER + b"\r\n" + b"x" * 5000 + b"\r\n." + b"y" * 20_000 + b"\r\n",
    "a header as others write it": (
        b"received: by a.test;\r\n\tMon, 02 Nov 2026 10:00:00 +0000\r\nX-EMPTY:\r\n"
        b"x-Folded: a\r\n  b\r\n\tc\r\n"
        + HEADER
        + b"X-Twice: 1\r\nX-twice: 2\r\nX-Long: "
        + b"word " * 150
        + b"\r\n\r\nbody\r\n"
    ),
    "every octet": HEADER + b"\r\n" + (_EVERY_OCTET + b"\r\n") * 20,
    "5 MB": HEADER + b"\r\n" + b"".join(b"%07d %s\r\n" % (n, b"." * (n % 60)) for n in range(130_000)),
}


def own_part(got: bytes, content: bytes) -> bytes:
    """What was put in front of a mail; AssertionError when the rest is not that mail."""
    content = content.replace(b"\r\n", b"\n")
    if b"\n\n" not in content and got.endswith(b"\n\n"):
        got = got[:-1]  # Exim ends every header with an empty line
    assert got.endswith(content), difference(got, content)
    return got[: -len(content)]


def difference(got: bytes, content: bytes) -> str:
    """Where what arrived first differs from what was sent."""
    got = got[got.find(content[:20]) :]
    at = next((n for n, pair in enumerate(zip(got, content, strict=False)) if pair[0] != pair[1]), -1)
    return (
        f"at {at}: {got[at - 20 : at + 80]!r} for {content[at - 20 : at + 80]!r}; {len(got)}, {len(content)}"
    )
