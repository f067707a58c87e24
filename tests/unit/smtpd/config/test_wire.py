import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.config import wire
from smtpd.config.machine import FixedMachine
from smtpd.config.model import (
    Action,
    Config,
    Criterion,
    Filter,
    FilterCondition,
    LocalAction,
    Pki,
    Place,
    RelayAction,
    Rule,
)
from smtpd.config.parse import Options, parse_text

TEXT = """
pki a cert "/c" key "/k"
filter f phase connect match !rdns junk
listen on lo tls pki a filter f
action l maildir alias { a = b }
action r relay host smtp://h
match from any for local action l
match auth for any action r
"""


def test_config() -> None:
    config = parse_text(TEXT, options=Options(machine=FixedMachine(files={}), load=False))
    again = wire.loads(Config, wire.dumps(config))
    assert again == config
    assert again.rules[0].place == config.rules[0].place
    assert again.listeners[0].addresses == config.listeners[0].addresses
    assert isinstance(again.actions["r"], RelayAction)
    assert isinstance(again.rules[0].criteria[0], Criterion)


def test_bytes_and_odd_text() -> None:
    pki = Pki(name="\udcff\x00é", key=b"\x00\xff", place=Place("f", 3))
    again = wire.loads(Pki, wire.dumps(pki))
    assert (again, again.key, again.place) == (pki, pki.key, pki.place)


def test_unions_and_none() -> None:
    for condition in (None, FilterCondition("rdns", True)):
        item = Filter(name="f", type="builtin", condition=condition)
        assert wire.loads(Filter, wire.dumps(item)) == item
    for action in (LocalAction(name="a", method="mbox"), RelayAction(name="a")):
        assert wire.loads(Action, wire.dumps(action)) == action  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        ["Rule"],
        ["Other", [], "", False, ["", 0]],
        ["Rule", [["tag", 0, "", False]], "", False, ["", 0]],
        ["Rule", [["tag", False, ""]], "", False, ["", 0]],
        ["Rule", [], b"", False, ["", 0]],
        ["Rule", [], "", False, ["", 0], 1],
        ["Rule", {}, "", False, ["", 0]],
    ],
)
def test_other_shapes_are_refused(plain: object) -> None:
    with pytest.raises(wire.WireError):
        wire.loads(Rule, msgpack.packb(plain))


def test_trailing_bytes_are_refused() -> None:
    data = wire.dumps(Rule(criteria=()))
    for damaged in (data + b"\x00", data[:-1], b"", b"\xc1"):
        with pytest.raises(wire.WireError):
            wire.loads(Rule, damaged)


def test_what_cannot_be_carried() -> None:
    with pytest.raises(TypeError):
        wire.dumps({1.5})
    with pytest.raises(TypeError):
        wire.loads(float, wire.dumps(1))


@given(st.binary(max_size=100))
def test_any_bytes(data: bytes) -> None:
    try:
        rule = wire.loads(Rule, data)
    except wire.WireError:
        return
    assert wire.loads(Rule, wire.dumps(rule)) == rule
