"""Which text is a domain name, for the names of pki and ca entries.

Holds `domain_name`: res_hnok(3) of the GNU C library, which is what OpenSMTPD asks on Linux. Must not ask
DNS.
"""

_LABEL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def domain_name(text: str) -> bool:
    """Labels of letters, digits, "-" and "_", at most 63 bytes each and 255 in all, that do not begin with
    "-" (the first label only); one dot may end it, and the root is empty."""
    if text in ("", "."):
        return True
    labels = text.removesuffix(".").split(".")
    if any(not label or len(label) > 63 or not _LABEL.issuperset(label) for label in labels):
        return False
    return not text.startswith("-") and sum(len(label) + 1 for label in labels) + 1 <= 255
