"""The words for TLS versions and ciphers: `protocols` and `ciphers` of listeners and relay actions, `smtp
ciphers`.

Holds what tls_config_parse_protocols(3) and tls_config_set_ciphers(3) make of them in OpenSMTPD's copy of
libtls. Must not make a TLS context: importing this must cost nothing.
"""

_CURRENT = frozenset({"tlsv1.2", "tlsv1.3"})

PROTOCOLS: dict[str, frozenset[str]] = {
    "tlsv1.0": frozenset({"tlsv1.0"}),
    "tlsv1.1": frozenset({"tlsv1.1"}),
    "tlsv1.2": frozenset({"tlsv1.2"}),
    "tlsv1.3": frozenset({"tlsv1.3"}),
    "tlsv1": _CURRENT,
    "all": _CURRENT,
    "legacy": _CURRENT,
    "default": _CURRENT,
    "secure": _CURRENT,
}
"""Words for versions of TLS, and the versions they stand for."""

CIPHERS = {
    "default": "HIGH:!aNULL",
    "secure": "HIGH:!aNULL",
    "compat": "HIGH:!aNULL",
    "legacy": "HIGH:MEDIUM:!aNULL",
    "insecure": "ALL:!aNULL:!eNULL",
    "all": "ALL:!aNULL:!eNULL",
}
"""Words for ciphers, and what they stand for in the library's language."""


def unknown_protocol(text: str) -> str:
    """The first word of a `protocols` string that is none, "" when all are known."""
    for word in _words(text):
        if word.removeprefix("!").lower() not in PROTOCOLS:
            return word or text
    return ""


def parse_protocols(text: str) -> frozenset[str]:
    """The versions ("tlsv1.2", ...) that a `protocols` string allows: words separated by "," or ":", each
    adds its versions or, after "!", takes them away (from all there are when nothing was added yet); "" is
    the default. Unknown words add nothing."""
    if not text:
        return _CURRENT
    versions: frozenset[str] = frozenset()
    for word in _words(text):
        named = PROTOCOLS.get(word.removeprefix("!").lower(), frozenset())
        if word.startswith("!"):
            versions = (versions or PROTOCOLS["all"]) - named
        else:
            versions |= named
    return versions


def cipher_string(text: str) -> str:
    """A `ciphers` string in the library's language; "" is its default."""
    return CIPHERS.get(text.lower(), text) if text else CIPHERS["default"]


def _words(text: str) -> list[str]:
    return [word.lstrip(" \t") for word in text.replace(",", ":").split(":")]
