"""How a client logs in: AUTH with PLAIN (RFC 4616) or LOGIN, as RFC 4954 has it.

Holds the name and the password, says what is to be sent in each step, and keeps both out of what is shown: a
server may repeat what it did not understand.
"""

from smtpd.protocol.smtp.client_commands import AUTH, AUTH_PASSWORD, AUTH_USER, HIDDEN, base64


class Login:
    """One session's. True if there is anything to log in with."""

    __slots__ = ("_password", "_secrets", "_user")

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        # the longest first
        forms = (self._plain(), base64(password), password) if password else ()
        self._secrets = forms

    def __bool__(self) -> bool:
        return bool(self._user)

    def _plain(self) -> str:
        return base64(f"\0{self._user}\0{self._password}")

    def first(self, methods: str) -> tuple[str, str] | None:
        """The command, and what its reply is waited for as; None when the server knows none of the methods
        that we know. `methods`: the parameters of AUTH in its reply to EHLO.
        """
        known = methods.upper().split()
        if "PLAIN" in known:
            return AUTH_PASSWORD, f"AUTH PLAIN {self._plain()}"
        return (AUTH, "AUTH LOGIN") if "LOGIN" in known else None

    def next(self, what: str) -> tuple[str, str] | None:
        """What follows a 334 that `what` got; None when it should have got none."""
        if what == AUTH:
            return AUTH_USER, base64(self._user)
        return (AUTH_PASSWORD, base64(self._password)) if what == AUTH_USER else None

    def masked(self, text: str) -> str:
        """What the server said, fit for a log."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text
