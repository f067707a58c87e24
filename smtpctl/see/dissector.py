"""A Wireshark dissector in Lua for our captures, made from the catalogue: every kind, every field by its
name.

It decodes msgpack by itself, knows requests from replies (`smtpd.request_in`, `smtpd.reply_in`,
`smtpd.elapsed`), and gives each field a name to filter by: `smtpd.CreateMessage.session`; ids also as
`smtpd.session`, `smtpd.msgid`, `smtpd.evpid`.
"""

import json
from collections.abc import Iterator
from importlib import resources

from imsg.fields import Shape
from imsg.message import Kind, kind_of
from smtpd.messages.catalogue import CATALOGUE

from .pcapng import ENDS

TEMPLATE = "dissector.lua"


def lua() -> str:
    """The plugin's text."""
    template = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    kinds = "\n".join(_kind(CATALOGUE.by_number[number]) for number in sorted(CATALOGUE.by_number))
    ends = ", ".join(f"[{index}] = {_text(name)}" for index, name in enumerate(ENDS))
    parts = {"DIGEST": _text(CATALOGUE.digest()), "ENDS": ends, "KINDS": kinds}
    for name, value in parts.items():
        template = template.replace(f"--[[{name}]]", value)
    return template


def _kind(kind: Kind) -> str:
    reply = 0 if kind.reply is None else kind_of(kind.reply).number
    fields = ", ".join(_field(name, part, name in kind.secret) for name, part in kind.shape.parts)
    return f"  [{kind.number}] = {{ name = {_text(kind.name)}, reply = {reply}, fields = {{ {fields} }} }},"


def _field(name: str, shape: Shape, secret: bool = False) -> str:
    return f"{{ {', '.join(_words(name, shape, secret))} }}"


def _words(name: str, shape: Shape, secret: bool) -> Iterator[str]:
    yield f"name = {_text(name)}"
    if secret:
        yield "secret = true"
    while shape.base == "opt":
        shape = shape.parts[0][1]
    yield f"base = {_text(shape.base)}"
    if shape.hex_digits:
        yield f"hex = {shape.hex_digits}"
    if shape.base == "list":
        yield f"item = {_field(name, shape.parts[0][1])}"
    elif shape.base == "tuple":
        yield f"fields = {{ {', '.join(_field(*part) for part in shape.parts)} }}"


def _text(value: str) -> str:
    """A Lua string; the names of a catalogue are ASCII words."""
    return json.dumps(value)
