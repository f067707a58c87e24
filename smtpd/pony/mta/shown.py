"""What the trace shows of a session's lines: commands, but neither passwords nor a byte of content."""

from smtpd.protocol.smtp.client_commands import AUTH_PASSWORD, AUTH_USER, HIDDEN

MOST = 50
"""Lines of one write that are shown."""


def shown_output(data: bytes, awaiting: str, content: bool) -> list[str]:
    """The lines for what is being written.

    `awaiting`: the command whose reply is due next; `content`: whether mail content may be among the data.
    """
    if content:
        return [f"[MSG] {len(data)} octets"]
    if awaiting in (AUTH_USER, AUTH_PASSWORD):
        return [f"AUTH {HIDDEN}"]
    lines = data.decode("utf-8", "surrogateescape").splitlines()[:MOST]
    return [f"AUTH {HIDDEN}" if line.upper().startswith("AUTH ") else line for line in lines]
