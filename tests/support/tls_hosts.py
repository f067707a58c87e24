"""Hosts to relay to under TLS, each at an address of its own, and the configuration that relays to them.

A host that fails is left alone for a while, whatever it was to be asked for: so none shares its address.
"""

import itertools
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from certificates import Authority
from daemon import Daemon
from tls_sink import TlsSink

HEAD = """\
ca "test" cert "{ca}"
pki "me" cert "{me.cert}" key "{me.key}"
listen on 127.0.0.1 port ${{port}}
"""


class TlsHosts:
    """`text`: the configuration. Mail for NAME.test goes to the host of that name."""

    def __init__(self, make: Callable[..., TlsSink], authority: Authority, first: int) -> None:
        """`make`: the fixture. `first`: last number of the first address."""
        self._make = make
        self.authority = authority
        self._numbers = itertools.count(first)
        self.sinks: dict[str, TlsSink] = {}
        self.places: dict[str, str] = {}
        self.text = HEAD.format(ca=authority.cert, me=authority.sign("client.test"))

    def add(
        self,
        name: str,
        options: str,
        *arguments: Any,
        names: tuple[str, ...] = (),
        days: int = 30,
        clients: Path | None = None,
        version: ssl.TLSVersion | None = None,
        tls: bool = True,
        **more: Any,
    ) -> TlsSink:
        """A host. `options` of the relay action, with `{at}` for its address and port.

        `names` of its certificate: its address, unless given; `version`: the oldest that it speaks.
        """
        listener = socket.create_server((f"127.0.0.{next(self._numbers)}", 0))
        address, port = listener.getsockname()
        context = None
        if tls:
            context = self.authority.sign(*(names or (address,)), days=days).server(clients)
            if version is not None:
                context.minimum_version = version
        sink = self._make(context, *arguments, listener=listener, **more)
        self.sinks[name] = sink
        self.places[name] = f"{address}:{port}"
        self.text += f'action "{name}" relay {options.format(at=self.places[name])}\n'
        self.text += f'match from any for domain "{name}.test" action "{name}"\n'
        return sink

    def send(self, one: Daemon) -> None:
        """A mail to each."""
        with one.smtp() as client:
            for name in self.sinks:
                client.sendmail("a@source.test", [f"b@{name}.test"], b"Subject: x\r\n\r\nHello.\r\n")

    def result(self, one: Daemon, name: str) -> str:
        """The log line of what became of it; a mail that arrived was written out."""
        return one.wait_log(f"to=<b@{name}.test> rcpt=", 30)

    def session(self, one: Daemon, name: str) -> list[str]:
        """All that was logged of sessions with the host, without their numbers."""
        lines = one.log().splitlines()
        numbers = {
            line.split(" mta connecting ")[0].split()[-1]
            for line in lines
            if " mta connecting " in line and self.places[name] in line
        }
        return [line for line in lines if any(number in line for number in numbers)]


def in_the_clear(sink: TlsSink) -> bool:
    """Was the sender told without TLS?"""
    return "TLS" not in sink.commands[: sink.commands.index("MAIL FROM:<a@source.test>")]
