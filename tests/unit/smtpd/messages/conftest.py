"""Messages of any kind, made from the shapes of their fields, and what has to hold for each kind."""

from types import ModuleType
from typing import Any

import msgpack
import pytest
from hypothesis import strategies as st

from imsg.fields import Shape
from imsg.message import Kind, MessageError, describe, kind_of, snake_case
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import linked

# Text from outside: any characters, and bytes that are no utf-8 as surrogate escapes.
TEXT = st.one_of(
    st.text(max_size=20),
    st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape")),
)

OTHERS: dict[str, list[Any]] = {
    "int": [None, True, 1.0, "1", b"1", [1], {}],
    "bool": [None, 0, 1, "", b"", []],
    "str": [None, 0, b"text", ["t"], False],
    "bytes": [None, 0, "text", [0], False],
    "list": [None, 0, "text", b"bytes", {}],
    "tuple": [None, 0, "text", b"bytes", {}],
}
"""Values of other types, as msgpack brings them, by the kind of field."""


def kinds_in(module: ModuleType) -> list[Kind]:
    """The kinds that a module declares itself."""
    own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
    return [kind_of(value) for value in own if "__kind__" in vars(value)]


def each_kind(module: ModuleType) -> pytest.MarkDecorator:
    """Run a test for each of them."""
    kinds = kinds_in(module)
    assert kinds
    return pytest.mark.parametrize("kind", kinds, ids=[kind.name for kind in kinds])


def values_of(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of a field."""
    match shape.base:
        case "int":
            return st.one_of(st.sampled_from([shape.low, shape.high]), st.integers(shape.low, shape.high))
        case "bool":
            return st.booleans()
        case "str":
            return TEXT
        case "bytes":
            return st.binary(max_size=20)
        case "opt":
            return st.none() | values_of(shape.parts[0][1])
        case "list":
            return st.lists(values_of(shape.parts[0][1]), max_size=3)
        case "tuple":
            parts = [values_of(part) for _name, part in shape.parts]
            return st.tuples(*parts).map(lambda fields, cls=shape.cls: cls(*fields))  # type: ignore[misc]
    raise AssertionError(f"a new kind of field: {shape.base}")


def messages(kind: Kind) -> st.SearchStrategy[Any]:
    """Messages of a kind."""
    return values_of(kind.shape)


def round_trip(message: Any) -> None:
    """What is decoded is what was encoded, of the same types all the way down."""
    number, payload = CATALOGUE.encode(message)
    decoded = CATALOGUE.decode(number, payload)
    assert decoded == message and type(decoded) is type(message)
    assert _types(decoded) == _types(message)
    assert CATALOGUE.encode(decoded) == (number, payload)
    line = describe(message)
    assert line.isprintable() and line.startswith(type(message).__name__)


def _types(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return (type(value), [_types(item) for item in value])
    return type(value)


def plain(value: Any) -> Any:
    """A message as msgpack brings it: arrays in place of its tuples and lists."""
    if isinstance(value, tuple | list):
        return tuple(plain(item) for item in value)
    return value


def refuses_wrong_fields(message: Any) -> None:
    """Each field with a value of each other type, out of its range, and too few or too many of them."""
    kind = kind_of(message)
    assert kind.check(plain(message)) == message
    for path, shape in _leaves(kind.shape, ()):
        if shape.base == "opt":
            shape = shape.parts[0][1]
            wrong = [value for value in OTHERS[shape.base] if value is not None]
        else:
            wrong = list(OTHERS[shape.base])
        if shape.base == "int":
            wrong += [shape.low - 1, shape.high + 1]
        for value in wrong:
            broken = _replaced(plain(message), path, value)
            with pytest.raises(MessageError, match=kind.name):
                kind.check(broken)
    for fields in ((*plain(message), 0), plain(message)[:-1] if message else (None,), [], None, {}, 0):
        if fields == () and not message:
            continue
        with pytest.raises(MessageError):
            kind.check(fields)


def _leaves(shape: Shape, path: tuple[int, ...]) -> list[tuple[tuple[int, ...], Shape]]:
    found = []
    for index, (_name, part) in enumerate(shape.parts):
        found.append(((*path, index), part))
        if part.base == "tuple":
            found += _leaves(part, (*path, index))
    return found


def _replaced(value: Any, path: tuple[int, ...], new: Any) -> Any:
    if not path:
        return new
    items = list(value)
    items[path[0]] = _replaced(items[path[0]], path[1:], new)
    return tuple(items)


def refuses_other_payloads(kind: Kind, data: bytes) -> None:
    """Bytes are a message of the kind, or a MessageError: nothing else, and never more than the message."""
    try:
        message = CATALOGUE.decode(kind.number, data)
    except MessageError:
        return
    assert type(message) is kind.cls
    # What one packer writes as a shorter number another may write longer; both are the same message.
    assert CATALOGUE.decode(*CATALOGUE.encode(message)) == message
    assert plain(message) == msgpack.unpackb(data, use_list=False, unicode_errors="surrogateescape")


def well_declared(kind: Kind, numbers: range, pair: frozenset[str] | None = None) -> None:
    """Its number lies in its file's range, its routes on links, its reply goes the way back."""
    assert kind.number in numbers
    assert CATALOGUE.by_number[kind.number] is kind and CATALOGUE.by_class[kind.cls] is kind
    assert (kind.cls.__doc__ or "").strip(), "says what it is"
    assert kind.handler_name == snake_case(kind.name)
    for sender in kind.senders:
        for receiver in kind.receivers:
            assert linked(sender, receiver)
            assert pair is None or {sender, receiver} == pair
    if kind.reply is not None:
        back = kind_of(kind.reply)
        assert back.fields[0][0] == "reqid"
        assert set(kind.senders) <= set(back.receivers) and set(kind.receivers) <= set(back.senders)
    if kind.fields and kind.fields[0][0] == "reqid":
        assert kind.reply is None, "a request's id is in the header of its frame"
