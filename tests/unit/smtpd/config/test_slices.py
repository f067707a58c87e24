import dataclasses

import pytest

from smtpd.config import wire
from smtpd.config.machine import FixedMachine
from smtpd.config.model import Config
from smtpd.config.parse import Options, parse_text
from smtpd.config.slices import slice_for

SECRETS = {
    "queue": "0123456789abcdef0123456789abcdef",
    "srs": "sesame-open",
    "older srs": "sesame-shut",
    "key": "PRIVATE-KEY-BYTES",
    "credentials": "label-password",
}
TEXT = f"""
queue encryption "{SECRETS["queue"]}"
srs key "{SECRETS["srs"]}"
srs key backup "{SECRETS["older srs"]}"
action f relay srs
pki a cert "/c" key "/k"
table creds {{ joe = "{SECRETS["credentials"]}" }}
listen on lo tls pki a auth <creds>
action l maildir ttl 2h
match from any for local action l
"""


@pytest.fixture(scope="module")
def config() -> Config:
    read = parse_text(TEXT, options=Options(machine=FixedMachine(files={}), load=False, generation=4))
    pki = dataclasses.replace(read.pkis["a"], key=SECRETS["key"].encode())
    return dataclasses.replace(read, pkis={"a": pki})


MAY_KNOW = {
    "parent": {"queue", "srs", "older srs", "key", "credentials"},
    "control": set(),
    "lookup": {"srs", "older srs", "credentials"},
    "pony": {"srs", "key"},
    "queue": {"queue"},
    "scheduler": set(),
}


@pytest.mark.parametrize("process", MAY_KNOW)
def test_secrets_go_to_those_who_use_them(config: Config, process: str) -> None:
    data = wire.dumps(slice_for(config, process))
    assert {name for name, secret in SECRETS.items() if secret.encode() in data} == MAY_KNOW[process]
    assert wire.loads(Config, data).generation == 4


def test_what_each_needs_is_there(config: Config) -> None:
    assert slice_for(config, "parent") == config
    lookup, pony = slice_for(config, "lookup"), slice_for(config, "pony")
    assert lookup.rules == config.rules
    assert lookup.tables == config.tables
    assert pony.listeners == config.listeners
    assert pony.tables.keys() == config.tables.keys()
    assert pony.rules == ()
    assert slice_for(config, "queue").queue == config.queue
    assert slice_for(config, "scheduler").scheduler == config.scheduler
    assert slice_for(config, "control").hostname == config.hostname


def test_pony_has_the_entries_of_hosts_to_relay_to_alone(config: Config) -> None:
    hosts = "table h { smtp://a }\naction a relay host <h>\n"
    domains = "table m { a.test = smtp://b }\naction b relay domain <m>\n"
    machine = FixedMachine(files={})
    read = parse_text(TEXT + hosts + domains, options=Options(machine=machine, load=False))
    tables = slice_for(read, "pony").tables
    assert [name for name, table in tables.items() if table.entries] == ["h"]
    assert tables["h"] == read.tables["h"]


def test_no_key_to_rewrite_with_where_nothing_is_rewritten(config: Config) -> None:
    without = dataclasses.replace(config, actions={"l": config.actions["l"]})
    assert slice_for(without, "pony").srs.key == ""
    assert slice_for(without, "lookup").srs == config.srs  # what was rewritten before comes back


def test_other_names() -> None:
    with pytest.raises(KeyError):
        slice_for(Config(), "smtpctl")
