"""Typed values <-> msgpack, so that a Config travels to a child process without pickle.

Holds `dumps` and `loads` for frozen dataclasses and NamedTuples whose fields are str, int, bool, bytes,
`X | None`, unions of dataclasses, `tuple[X, ...]`, `tuple[A, B]`, mappings, or such values again. A
dataclass is an array of its name and its fields in order, a NamedTuple one of its fields. Both ends run the
same code: there is no tolerance for other shapes. Must not import what it carries.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgpack  # type: ignore[import-untyped]

type _Reader = Callable[[Any], Any]

MAX_BYTES = 1 << 30
"""Size of the largest value `loads` takes."""


class WireError(ValueError):
    """The bytes do not hold a value of the type asked for."""


def dumps(value: Any) -> bytes:
    """The value as bytes; TypeError when it holds something this module does not carry."""
    packed = msgpack.packb(_plain(value), use_bin_type=True, unicode_errors="surrogateescape")
    return typing.cast(bytes, packed)


def loads[T](kind: type[T], data: bytes) -> T:
    """The value of type `kind` in `data`; WireError when it is anything else."""
    try:
        plain = msgpack.unpackb(
            data,
            use_list=True,
            raw=False,
            unicode_errors="surrogateescape",
            strict_map_key=True,
            max_bin_len=MAX_BYTES,
            max_str_len=MAX_BYTES,
            max_array_len=MAX_BYTES,
            max_map_len=MAX_BYTES,
        )
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"not msgpack: {error}") from None
    return typing.cast(T, _reader(typing.cast(Any, kind))(plain))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | bytes):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [_plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
        return [type(value).__name__, *items]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    raise TypeError(f"cannot carry a {type(value).__name__}")


@cache
def _reader(kind: Any) -> _Reader:
    """What turns the plain form of a `kind` into a value of it."""
    if isinstance(kind, typing.TypeAliasType):
        return _reader(kind.__value__)
    if kind in (str, int, bool, bytes):
        return _scalar(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _union(arguments)
    if origin is tuple:
        return _tuple(arguments)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(*arguments)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _namedtuple(kind)
    raise TypeError(f"cannot carry a {kind}")


def _scalar(kind: type) -> _Reader:
    def read(plain: Any) -> Any:
        if type(plain) is not kind:
            raise WireError(f"{type(plain).__name__} where {kind.__name__} belongs")
        return plain

    return read


def _items(plain: Any, count: int | None) -> list[Any]:
    if type(plain) is not list or (count is not None and len(plain) != count):
        raise WireError(f"array of {'any length' if count is None else count} expected")
    return plain


def _tuple(arguments: tuple[Any, ...]) -> _Reader:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        each = _reader(arguments[0])
        return lambda plain: tuple([each(item) for item in _items(plain, None)])
    readers = [_reader(argument) for argument in arguments]
    return lambda plain: tuple(
        [read(item) for read, item in zip(readers, _items(plain, len(readers)), strict=True)]
    )


def _mapping(key_kind: Any, value_kind: Any) -> _Reader:
    read_key, read_value = _reader(key_kind), _reader(value_kind)

    def read(plain: Any) -> Any:
        if type(plain) is not dict:
            raise WireError("map expected")
        return {read_key(key): read_value(value) for key, value in plain.items()}

    return read


def _union(arguments: tuple[Any, ...]) -> _Reader:
    others = [argument for argument in arguments if argument is not type(None)]
    optional = len(others) < len(arguments)
    if len(others) == 1:
        only = _reader(others[0])
        return lambda plain: None if plain is None and optional else only(plain)
    by_name = {record.__name__: _reader(record) for record in others}

    def read(plain: Any) -> Any:
        if plain is None and optional:
            return None
        items = _items(plain, None)
        name = items[0] if items else None
        if not isinstance(name, str) or name not in by_name:
            raise WireError("unknown record in a union")
        return by_name[name](plain)

    return read


def _fields(owner: str, names: list[str], readers: list[_Reader], items: list[Any]) -> list[Any]:
    values = []
    for name, reader, item in zip(names, readers, items, strict=True):
        try:
            values.append(reader(item))
        except WireError as error:
            raise WireError(f"{owner}.{name}: {error}") from None
    return values


def _dataclass(kind: Any) -> _Reader:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    readers = [_reader(hints[name]) for name in names]

    def read(plain: Any) -> Any:
        tag, *items = _items(plain, len(names) + 1)
        if tag != kind.__name__:
            raise WireError(f"{tag!r} where {kind.__name__} belongs")
        return kind(**dict(zip(names, _fields(kind.__name__, names, readers, items), strict=True)))

    return read


def _namedtuple(kind: Any) -> _Reader:
    hints = typing.get_type_hints(kind)
    names = list(kind._fields)
    readers = [_reader(hints[name]) for name in names]
    return lambda plain: kind(*_fields(kind.__name__, names, readers, _items(plain, len(names))))
