"""What is called a secret is declared as one: then no trace, capture, tape or crash file can show it."""

import re

import pytest

from imsg.fields import Shape
from imsg.layout import SECRET_FIELDS
from imsg.message import Kind
from smtpd.messages.catalogue import CATALOGUE
from smtpd.mproc.taping import rule_of

NAMED = re.compile(r"passw|secret|credential|private|token|^auth_|_key$")


def names(shape: Shape) -> set[str]:
    """All names in a shape, at any depth."""
    found = set()
    for name, part in shape.parts:
        found |= {name} | names(part)
    return found


@pytest.mark.parametrize("kind", CATALOGUE.by_number.values(), ids=lambda kind: kind.name)
def test_a_field_with_the_name_of_a_secret_is_declared_secret(kind: Kind) -> None:
    for name, part in kind.fields:
        called = {each for each in {name} | names(part) if NAMED.search(each)}
        assert not called or name in kind.secret


def test_a_secret_field_has_its_bit_in_the_rule_of_the_tape() -> None:
    for kind in CATALOGUE.by_number.values():
        bits = rule_of(kind) & ((1 << SECRET_FIELDS) - 1)
        assert bits.bit_count() == len(kind.secret) or not bits
