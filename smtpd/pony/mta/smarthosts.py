"""Which smart host an envelope goes to: `relay host`, asked of lookup, and the next one when one fails.

Of a table with one host in the text of smtpd.conf nothing has to be asked. Of others lookup gives the entries
in turn, as OpenSMTPD does. Where OpenSMTPD leaves an envelope whose host cannot be reached to the scheduler,
this goes on to the next host of the list first.
"""

from collections.abc import Callable
from typing import NamedTuple

from smtpd.config.model import Config, RelayAction
from smtpd.mail.envelope import Envelope
from smtpd.mail.status import OK
from smtpd.messages.pony_lookup import FindInTable, FoundInTable

Ask = Callable[[FindInTable, Callable[[FoundInTable | None], None]], None]

AGAIN_MOST = 3
"""So many answers in a row that are not new end the search: the list has no other host."""

HOSTS_MOST = 20
"""Hosts that one envelope is taken to in one try."""


class _Tried(NamedTuple):
    urls: list[str]
    error: str


class Smarthosts:
    """`found(envelope, url)`: called with an answer; "" when there is none. `gone(envelope, error)`: all
    hosts have been tried.
    """

    def __init__(
        self,
        config: Config,
        ask: Ask,
        found: Callable[[Envelope, str], None],
        gone: Callable[[Envelope, str], None],
    ) -> None:
        self._generation = config.generation
        self._spelled = spelled_hosts(config)
        self._ask = ask
        self._found = found
        self._gone = gone
        self._waiting: dict[tuple[str, str], list[Envelope]] = {}
        self._last: dict[int, str] = {}  # evpid -> the host it was given to
        self._tried: dict[int, _Tried] = {}

    def find(self, action: RelayAction, envelope: Envelope) -> None:
        """Ask which host to relay to. Envelopes that come while the same is being asked share the answer."""
        spelled = self._spelled.get(action.host, ())
        if len(spelled) == 1:
            self._found(envelope, spelled[0])
            return
        key = (action.host, envelope.dest.domain.lower() if action.host_is_domain else "")
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(envelope)
            return
        self._waiting[key] = [envelope]

        def answered(reply: FoundInTable | None) -> None:
            url = reply.value if reply is not None and reply.status == OK else ""
            for one in self._waiting.pop(key):
                if self._is_list(action):
                    self._last[one.evpid] = url
                self._found(one, url)

        self._ask(FindInTable(self._generation, *key[:1], "relayhost", key[1]), answered)

    def another(self, action: RelayAction, envelope: Envelope, error: str) -> bool:
        """Its host failed. Go on to the next, if it came from a list: True, and found or gone follow."""
        last = self._last.pop(envelope.evpid, "")
        if not last or not self._is_list(action):
            return False
        before = self._tried.get(envelope.evpid)
        urls = before.urls if before is not None else []
        tried = self._tried[envelope.evpid] = _Tried([*urls, last], error)
        if len(tried.urls) >= HOSTS_MOST:
            self.forget(envelope.evpid)
            return False
        self._again(action, envelope, AGAIN_MOST)
        return True

    def _again(self, action: RelayAction, envelope: Envelope, left: int) -> None:
        evpid = envelope.evpid

        def answered(reply: FoundInTable | None) -> None:
            url = reply.value if reply is not None and reply.status == OK else ""
            tried = self._tried.get(evpid)
            if tried is None:
                return
            if url and url not in tried.urls:
                self._last[evpid] = url
                self._found(envelope, url)
            elif url and left > 1:
                self._again(action, envelope, left - 1)
            else:
                self.forget(evpid)
                self._gone(envelope, tried.error)

        self._ask(FindInTable(self._generation, action.host, "relayhost", ""), answered)

    def forget(self, evpid: int) -> None:
        """This try of an envelope has an end."""
        self._last.pop(evpid, None)
        self._tried.pop(evpid, None)

    def _is_list(self, action: RelayAction) -> bool:
        """Can there be another host?"""
        if not action.host or action.host_is_domain:
            return False
        spelled = self._spelled.get(action.host)
        return spelled is None or len(spelled) > 1


def spelled_hosts(config: Config) -> dict[str, list[str]]:
    """Table -> URLs, of the tables that stand in the configuration's text.

    pony knows the entries of lists of hosts alone.
    """
    return {
        name: [key for key, _value in table.entries]
        for name, table in config.tables.items()
        if table.backend == "static" and not table.config
    }
