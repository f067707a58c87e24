"""Timespans and sizes as smtpd.conf(5) writes them.

Holds `seconds` (OpenSMTPD's delaytonum: digits and one of s, m, h, d) and `scaled` (scan_scaled(3): a number,
a fraction perhaps, and one of B K M G T P E). Pure arithmetic; must not know who asks.
"""

import re

INT_MAX = (1 << 31) - 1
LLONG_MAX = (1 << 63) - 1

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# strtonum(3) reads with strtoll(3): blanks before the number and a sign are taken.
_COUNT = re.compile(r"[ \t\n\v\f\r]*\+?([0-9]+)", re.ASCII)

_SCALED = re.compile(r"[ \t\n\v\f\r]*([+-]?)([0-9]*)(?:\.([0-9]*))?", re.ASCII)
_SCALES = "bkmgtpe"
_MAX_DIGITS = 3 * len(_SCALES)


def seconds(text: str) -> int | None:
    """Seconds of a timespan such as "4d", at least 1 and below 2^31; None when it is none."""
    if len(text) < 2 or text[-1] not in UNITS:
        return None
    factor = UNITS[text[-1]]
    match = _COUNT.fullmatch(text[:-1])
    if match is None or len(match[1]) > 4000:
        return None
    count = int(match[1])
    return count * factor if 1 <= count <= INT_MAX // factor else None


def span(seconds: int) -> str:
    """The timespan with the largest unit that divides it: 86400 -> "1d"."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % UNITS[unit] == 0:
            return f"{seconds // UNITS[unit]}{unit}"
    return f"{seconds}s"


def scaled(text: str) -> int | None:
    """Bytes of a size such as "35M" or "1.5k"; None when it is none or out of range. May be negative."""
    match = _SCALED.match(text)
    if match is None:
        return None
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if len(whole) >= _MAX_DIGITS:
        return None
    value = int(whole or "0")
    if value > LLONG_MAX:
        return None
    rest = text[match.end() :]
    if not rest:
        return -value if sign == "-" else value
    scale = _SCALES.find(rest[0].lower()) if rest[0].isascii() else -1
    if scale < 0 or (len(rest) > 1 and rest[1].isascii() and rest[1].isalnum()):
        return None
    factor = 1 << 10 * scale
    if value > LLONG_MAX // factor:
        return None
    # scan_scaled(3) keeps 19 digits of a fraction, and drops its last ones until it can be multiplied.
    digits = fraction[: _MAX_DIGITS - 2]
    part = int(digits or "0")
    if part > LLONG_MAX:
        return None
    count = len(digits)
    while part >= LLONG_MAX // factor:
        part //= 10
        count -= 1
    part *= factor
    for _ in range(count):
        part //= 10
    total = value * factor + part
    return -total if sign == "-" else total
