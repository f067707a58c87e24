"""The Received field that a message gets on its way in (RFC 5321 4.4), as OpenSMTPD writes it.

Text in, octets out; the TLS clause comes as text from whoever knows the connection.
"""


def received(
    *,
    helo: str,
    host: str,
    address: str,
    hostname: str,
    software: str,
    protocol: str,
    msgid: int,
    date: str,
    recipient: str = "",
    mask_source: bool = False,
) -> bytes:
    """The whole field with its line ends.

    `host`: the client's name as looked up; `address`: its address in brackets; `protocol`: "SMTP", "ESMTP",
    "ESMTPSA"; `recipient`: the only one's address, "" when there are several, so that none learns of another.
    """
    source = "" if mask_source else f"from {helo} ({host} {address})"
    target = f"\n\tfor <{recipient}>" if recipient else ""
    by = f"by {hostname} ({software}) with {protocol} id {msgid:08x}"
    return f"Received: {source}\n\t{by}{target};\n\t{date}\n".encode("utf-8", "surrogateescape")
