"""What smtpd.conf(5) can ask for and this version does not do yet: said at every start, never passed over.

What would be unsafe to do half is not done at all: a port that promises TLS from the first byte stays
closed, and a spool that is to be encrypted is not written to in the clear.
"""

from dataclasses import replace

from smtpd.config.model import Config, Filter, Listener


class Unsafe(Exception):
    """The daemon must not run on this configuration."""


def serve(config: Config) -> tuple[Config, list[str]]:
    """The configuration without listeners that cannot be served, and a line for each thing that is left out.

    The listeners keep their places. Raises Unsafe.
    """
    if config.queue.encryption:
        raise Unsafe("queue encryption is not there yet, and the mail would lie in the spool in the clear")
    lines: list[str] = []
    listeners: list[Listener] = []
    for listener in config.listeners:
        if listener.smtps:
            lines.append(f"listen on {listener.on} smtps: TLS is not there yet: not listening")
            listener = replace(listener, on="", addresses=())
        else:
            lines += [f"listen on {listener.on} {word}: not there yet" for word in _options(listener)]
        listeners.append(listener)
    if config.queue.compression:
        lines.append("queue compression: not there yet: messages are stored as they are")
    lines += [f"filter {filter.name}: not there yet: mail passes without it" for filter in _filters(config)]
    return replace(config, listeners=tuple(listeners)), lines


def _options(listener: Listener) -> list[str]:
    """The options of a listener that have no effect yet."""
    options = {
        "tls-require": listener.tls_require,
        "tls": listener.starttls and not listener.tls_require,
        "auth": listener.auth_require,
        "auth-optional": listener.auth and not listener.auth_require,
        "proxy-v2": listener.proxy_v2,
        "senders": bool(listener.sender_table),
        "hostnames": bool(listener.hostname_table),
    }
    return [option for option, asked in options.items() if asked]


def _filters(config: Config) -> list[Filter]:
    return [filter for filter in config.filters.values() if filter.smtp_in or filter.smtp_out]
