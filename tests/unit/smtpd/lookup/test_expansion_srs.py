"""smtpd/lookup/expansion.py: bounces to addresses that this host forwarded mail under."""

import asyncio
import time

import pytest

from smtpd.config.model import SrsSettings
from smtpd.lookup.expansion import PERMFAIL, Expander
from smtpd.lookup.rules import Rules
from smtpd.lookup.steps import Asked
from smtpd.mail.address import EMPTY, MailAddress, parse
from smtpd.mail.envelope import FLAG_INTERNAL
from smtpd.protocol import srs

from .world import BASE, World, failed, here, local, whom

SRS = SrsSettings(key="key", key_backup="older")


def rewritten(sender: str, domain: str = "here.example", key: str = "key", age: int = 0) -> str:
    return srs.encode(sender, domain, key, int(time.time()) // 86400 - age)


@pytest.mark.parametrize("key", ["key", "older"])
def test_a_bounce_goes_to_the_sender(key: str) -> None:
    world = World(here(), users="alice", srs=SRS)
    address = rewritten("Bob@far.example", key=key)
    (envelope,) = world.expand(address, sender=EMPTY).envelopes
    assert envelope.type == "mta"
    assert envelope.dest == MailAddress("Bob", "far.example")
    assert envelope.rcpt == parse(address)
    assert envelope.flags & FLAG_INTERNAL  # so that "match from local" relays it
    assert Asked("srs", "srs", address, "found", "Bob@far.example") in world.told


def test_to_the_forwarder_before() -> None:
    first = rewritten("bob@far.example", "first.example")
    second = rewritten(first)
    assert whom(World(here(), srs=SRS).expand(second, sender=EMPTY)) == [f"-> {first}"]


def test_to_a_user_of_this_host() -> None:
    world = World(here(), users="alice", srs=SRS)
    assert whom(world.expand(rewritten("alice+tag@here.example"), sender=EMPTY)) == ["alice+tag"]


def test_through_an_alias() -> None:
    world = World(here(), users="alice", srs=SRS, aliases={"old": rewritten("bob@far.example")})
    assert whom(world.expand("old@here.example", sender=EMPTY)) == ["-> bob@far.example"]


@pytest.mark.parametrize(
    "address",
    [rewritten("b@far.example", key="forged"), rewritten("b@far.example", age=7), "srs1=@here.example"],
)
def test_what_is_not_ours_is_a_name_like_any_other(address: str) -> None:
    world = World(here(), users="alice", srs=SRS)
    assert failed(world.expand(address, sender=EMPTY))[0] == PERMFAIL
    assert [step.result for step in world.told if isinstance(step, Asked)] == ["refused"]


def test_only_bounces_and_only_with_a_key() -> None:
    address = rewritten("bob@far.example")
    assert failed(World(here(), srs=SRS).expand(address))[0] == PERMFAIL
    assert failed(World(here()).expand(address, sender=EMPTY))[0] == PERMFAIL
    local_part = address.rpartition("@")[0].lower()
    world = World({"here.example": local(alias="")}, users=local_part, srs=SRS)
    assert whom(world.expand(address)) == [local_part]


def test_a_forged_one_is_logged() -> None:
    world, lines = World(here(), srs=SRS), list[str]()
    expander = Expander(world.config, Rules(world.config, world), world, world, world, lines.append)  # type: ignore[arg-type]
    address = rewritten("bob@far.example", key="forged")
    envelope = BASE._replace(sender=EMPTY, rcpt=parse(address), dest=parse(address))
    asyncio.run(expander.expand(envelope, False))
    assert lines == [f"SRS failed to decode: {address}: the hash is not ours"]
