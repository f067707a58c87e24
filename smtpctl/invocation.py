"""One run of smtpctl, as its commands see it: where things are, where results go, a connection if needed."""

import time
from typing import TYPE_CHECKING

from .output import Output
from .places import Places

if TYPE_CHECKING:
    from pathlib import Path

    from .client import Client


class Invocation:
    """What every command gets, besides its parameters and options."""

    def __init__(self, places: Places, output: Output) -> None:
        self.places = places
        self.output = output
        self.now = int(time.time())
        self._client: Client | None = None

    @property
    def client(self) -> "Client":
        """The connection to the daemon, made at first use. NotRunning, NoPermission, Incompatible."""
        if self._client is None:
            from .client import Client  # here, because not every command needs a daemon

            self._client = Client(self.places.socket)
        return self._client

    @property
    def spool(self) -> "Path":
        """The spool's folder."""
        from pathlib import Path  # here: it takes long to load, and a running daemon reads its spool itself

        return Path(self.places.spool)

    def close(self) -> None:
        """The end of the run."""
        if self._client is not None:
            self._client.close()
            self._client = None
