"""Which rows of the queue are wanted: the filters of `show queue`."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from smtpd.mail.address import MailAddress, lower

from ..failure import BadFilter
from ..matching import Option

if TYPE_CHECKING:
    from .rows import Row

STATES = ("pending", "inflight", "held", "suspended", "offline")
TYPES = ("mda", "mta", "bounce")

FILTERS = (
    Option("sender", "ADDRESS", "only from this sender; user@, @domain and the wildcards * and ? work too"),
    Option("recipient", "ADDRESS", "only to this recipient, before or after aliases"),
    Option("domain", "DOMAIN", "only to this destination domain"),
    Option("runstate", "STATE", f"only {', '.join(STATES[:-1])} or {STATES[-1]} ones"),
    Option("type", "TYPE", f"only of type {', '.join(TYPES[:-1])} or {TYPES[-1]}"),
    Option("error", "TEXT", "only with this text in the error of the last try"),
    Option("older", "AGE", "only those that are older: 90s, 30m, 12h, 2d"),
    Option("newer", "AGE", "only those that are newer"),
)

_DIGITS = 9
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Selection:
    """The filters given as options; BadFilter."""

    def __init__(self, options: Mapping[str, str], now: int) -> None:
        self._tests: list[Callable[[Row], bool]] = []
        for name, value in options.items():
            make = _MAKERS.get(name)
            if make is not None:
                self._tests.append(make(name, value, now))

    def wants(self, row: "Row") -> bool:
        """Whether the row passes all filters."""
        return all(test(row) for test in self._tests)


def _by_sender(_name: str, value: str, _now: int) -> Callable[["Row"], bool]:
    fits = _address_test(value)
    return lambda row: fits(row.envelope.sender)


def _by_recipient(_name: str, value: str, _now: int) -> Callable[["Row"], bool]:
    fits = _address_test(value)
    return lambda row: fits(row.envelope.rcpt) or fits(row.envelope.dest)


def _by_domain(_name: str, value: str, _now: int) -> Callable[["Row"], bool]:
    pattern = _pattern(value)
    return lambda row: pattern(row.envelope.dest.domain)


def _by_runstate(_name: str, value: str, _now: int) -> Callable[["Row"], bool]:
    if value == "suspended":
        return lambda row: row.state is not None and row.state.suspended
    _one_of("runstate", value, STATES)
    return lambda row: row.runstate == value


def _by_type(_name: str, value: str, _now: int) -> Callable[["Row"], bool]:
    _one_of("type", value, TYPES)
    return lambda row: row.envelope.type == value


def _by_error(_name: str, value: str, _now: int) -> Callable[["Row"], bool]:
    text = value.casefold()
    return lambda row: text in row.envelope.errorline.casefold()


def _by_age(name: str, value: str, now: int) -> Callable[["Row"], bool]:
    limit = now - read_age(value)
    if name == "older":
        return lambda row: row.envelope.ctime < limit
    return lambda row: row.envelope.ctime >= limit


_MAKERS: dict[str, Callable[[str, str, int], Callable[["Row"], bool]]] = {
    "sender": _by_sender,
    "recipient": _by_recipient,
    "domain": _by_domain,
    "runstate": _by_runstate,
    "type": _by_type,
    "error": _by_error,
    "older": _by_age,
    "newer": _by_age,
}


def read_age(text: str) -> int:
    """Seconds; BadFilter."""
    number = text.rstrip("smhdw")
    factor = _SECONDS.get(text[len(number) :])
    if factor is None or not (number.isascii() and number.isdigit() and len(number) <= _DIGITS):
        raise BadFilter(f"{text!r} is no age; 90s, 30m, 12h, 2d are")
    return int(number) * factor


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadFilter(f"{value!r} is no {what}; {', '.join(known)} are")


def _address_test(value: str) -> Callable[[MailAddress], bool]:
    """ "<>" and "@" mean the null sender; a value without "@" is a user."""
    if value in ("<>", "@", ""):
        return lambda address: not address.user and not address.domain
    user, at, domain = value.rpartition("@")
    if not at:
        user, domain = value, ""
    user_fits = _pattern(user) if user else _anything
    domain_fits = _pattern(domain) if domain else _anything
    return lambda address: user_fits(address.user) and domain_fits(address.domain)


def _pattern(value: str) -> Callable[[str], bool]:
    import fnmatch  # here: without a filter nobody waits until they are loaded
    import re

    fits = re.compile(fnmatch.translate(lower(value))).match
    return lambda text: fits(lower(text)) is not None


def _anything(_text: str) -> bool:
    return True
