"""A way to read configurations on a machine whose answers are given."""

import re
from collections.abc import Callable

import pytest

from smtpd.config.errors import ConfigError, ConfigErrors
from smtpd.config.machine import FixedMachine
from smtpd.config.model import Config
from smtpd.config.parse import Options, parse_text
from smtpd.protocol import berkeley_hash

FILES = {
    "/list": b"a.example\nb.example\n",
    "/map": b"joe: jim\n",
    "/bad": b"joe jim\nx\n",
    "/map.db": berkeley_hash.write([(b"joe\0", b"jim\0")]),
    "/more.conf": b"admd more.example\n",
}

Parse = Callable[..., Config]
Refused = Callable[[str], tuple[ConfigError, ...]]


@pytest.fixture
def machine() -> FixedMachine:
    """A machine with a few files and nothing else."""
    return FixedMachine(files=FILES, programs=frozenset({"ldap"}))


@pytest.fixture
def parse(machine: FixedMachine) -> Parse:
    """Read a text; a rule is put at its end unless it has one."""

    def read(text: str, load: bool = False) -> Config:
        whole = text if re.search("^match", text, re.MULTILINE) else text + "\nmatch for any reject\n"
        return parse_text(whole, options=Options(machine=machine, load=load))

    return read


@pytest.fixture
def refused(parse: Parse) -> Refused:
    """The faults of a text that is refused."""

    def read(text: str) -> tuple[ConfigError, ...]:
        with pytest.raises(ConfigErrors) as caught:
            parse(text)
        return caught.value.errors

    return read
