"""The lookup process."""

from smtpd.config import wire
from smtpd.config.model import Config
from smtpd.mproc.process import ChildProcess

from .expansion import Expander
from .explaining import Explaining
from .forwards import ForwardFiles, IncludeFiles
from .names import Names
from .recipients import Recipients
from .resolver import Resolver
from .rules import Rules
from .tables import TableSet
from .values import Values


class Process(ChildProcess):
    """lookup."""

    NAME = "lookup"
    parts = (Names, Recipients, Values, Explaining)

    config: Config

    def load_config(self, data: bytes) -> None:
        """Its slice of the configuration."""
        self.config = wire.loads(Config, data)

    def prepare(self) -> None:
        """resolv.conf and the hosts file."""
        self._resolver = Resolver()

    def start(self) -> None:
        """Build the parts."""
        tables = TableSet(self.config, self.log, self.homes)
        rules = Rules(self.config, tables)
        forwards, includes = ForwardFiles(self), IncludeFiles(self.log)
        expander = Expander(self.config, rules, tables, forwards, includes)
        self.add(Names(self._resolver))
        self.add(Recipients(self, expander, tables))
        self.add(Values(self.config, self.log, tables))
        self.add(Explaining(self, tables, forwards, includes, self._resolver))
