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
from .updates import Programs, Updates
from .values import Values


class Process(ChildProcess):
    """lookup."""

    NAME = "lookup"
    parts = (Names, Recipients, Values, Explaining, Updates)

    config: Config

    def load_config(self, data: bytes) -> None:
        """Its slice of the configuration."""
        self.config = wire.loads(Config, data)

    def prepare(self) -> None:
        """resolv.conf, the hosts file, and the files of tables: root may be the only one to read them."""
        self._resolver = Resolver()
        self._tables = TableSet(self.config, self.log, self.homes, Programs(self))

    def start(self) -> None:
        """Build the parts."""
        tables = self._tables
        rules = Rules(self.config, tables)
        forwards, includes = ForwardFiles(self), IncludeFiles(self.log)
        expander = Expander(self.config, rules, tables, forwards, includes, self.log.warn)
        self.add(Names(self._resolver, self.log))
        self.add(Recipients(self, expander, tables))
        self.add(Values(self.config, self.log, tables))
        self.add(Explaining(self, tables, forwards, includes, self._resolver))
        self.add(Updates(self, tables))

    def begin(self) -> None:
        """Have the programs of tables started."""
        self._tables.begin()

    async def stop(self) -> None:
        """Let go of them."""
        await self._tables.close()
