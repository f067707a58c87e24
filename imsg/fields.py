"""Field types of a message, and the code that checks them.

`shape_of` reads a NamedTuple's annotations into a tree of Shapes. From that tree the two functions that every
message goes through are generated as source and compiled once: one that checks what msgpack unpacked and
builds the message, one that checks a message before it is packed. Each is a single expression over exact
types (`type(x) is int`, so that a bool is no int), because it runs for every message in both directions.

Allowed are bool, str, bytes, the integer aliases below (or Annotated[int, range(...)]), Opt[T] (or
`T | None`), list[T] and NamedTuples of these. It knows nothing about kinds or numbers, and error texts name
fields and types, never values.
"""

import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, NoReturn

MAX_PAYLOAD = 16384 - 16  # a whole frame is at most 16384 bytes (libimsg's MAX_IMSGSIZE), header included


class Range(NamedTuple):
    """The bounds of an integer, both inclusive; in how many hex digits a trace shows it (0: decimal)."""

    low: int
    high: int
    name: str
    hex_digits: int = 0


type Opt[T] = T | None

U8 = Annotated[int, Range(0, 2**8 - 1, "u8")]
U16 = Annotated[int, Range(0, 2**16 - 1, "u16")]
U32 = Annotated[int, Range(0, 2**32 - 1, "u32")]
U64 = Annotated[int, Range(0, 2**64 - 1, "u64")]
I64 = Annotated[int, Range(-(2**63), 2**63 - 1, "i64")]
# An identifier: on the wire and in checks U32 and U64, but shown as 8 or 16 hex digits.
Id32 = Annotated[int, Range(0, 2**32 - 1, "u32", 8)]
Id64 = Annotated[int, Range(0, 2**64 - 1, "u64", 16)]

_NAMES = {(r.low, r.high): r.name for r in (typing.get_args(a)[1] for a in (U8, U16, U32, U64, I64))}


class FieldError(TypeError):
    """An annotation that is no field type."""


class Shape(NamedTuple):
    """One node of a message's type. base: bool, str, bytes, int, opt, list or tuple (a NamedTuple)."""

    base: str
    cls: type
    parts: tuple[tuple[str, "Shape"], ...] = ()
    low: int = 0
    high: int = 0
    name: str = ""
    hex_digits: int = 0

    def text(self) -> str:
        """Canonical text: `u32`, `list[str]`, `opt[u64]`, `(user:str,domain:str)`."""
        if self.base == "int":
            return self.name
        if self.base == "tuple":
            return f"({','.join(f'{name}:{part.text()}' for name, part in self.parts)})"
        if self.parts:
            return f"{self.base}[{self.parts[0][1].text()}]"
        return self.base


def shape_of(cls: type) -> Shape:
    """The Shape of a NamedTuple class. FieldError if a field has another type than those above."""
    return _named_tuple(cls, ())


def _named_tuple(cls: type, inside: tuple[type, ...]) -> Shape:
    if cls in inside:
        raise FieldError(f"{cls.__name__} contains itself")
    names: tuple[str, ...] = getattr(cls, "_fields", ())
    hints = _hints(cls, names)
    parts = tuple((name, _shape(hints[name], name, (*inside, cls))) for name in names)
    return Shape("tuple", cls, parts)


def _hints(cls: type, names: tuple[str, ...]) -> dict[str, Any]:
    """The annotations. Where none is a string, as almost always, they are what get_type_hints would find out
    in ten times the time, which every program that declares messages waits for."""
    found: dict[str, Any] = cls.__annotations__
    if all(name in found and not _written(found[name]) for name in names):
        return found
    return typing.get_type_hints(cls, include_extras=True)


def _written(hint: Any) -> bool:
    """Whether an annotation, or a part of it, is a string."""
    return isinstance(hint, str | typing.ForwardRef) or any(map(_written, getattr(hint, "__args__", ())))


def _shape(hint: Any, name: str, inside: tuple[type, ...]) -> Shape:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if isinstance(hint, typing.TypeAliasType):
        return _shape(hint.__value__, name, inside)
    if origin is Annotated:
        if arguments[0] is int and (bounds := _bounds(hint.__metadata__)) is not None:
            return Shape("int", int, (), bounds.low, bounds.high, bounds.name, bounds.hex_digits)
        return _shape(arguments[0], name, inside)
    if origin is Opt:
        return _optional(arguments[0], name, inside)
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        return _optional(arguments[arguments[0] is type(None)], name, inside)
    if origin is list:
        return Shape("list", list, (("", _shape(arguments[0], name, inside)),))
    if hint in (bool, str, bytes):
        return Shape(hint.__name__, hint)
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return _named_tuple(hint, inside)
    raise FieldError(f"field {name}: {hint!r} is no field type (a plain int must be U8 ... I64)")


def _bounds(metadata: tuple[Any, ...]) -> Range | None:
    """The Range among the metadata, or one made from a plain `range` and a format such as "016x": so that a
    package of values can say the bounds of its integers without importing this one."""
    for extra in metadata:
        if isinstance(extra, Range):
            return extra
        if isinstance(extra, range):
            low, high = extra.start, extra.stop - 1
            digits = next((int(e[:-1]) for e in metadata if isinstance(e, str) and e.endswith("x")), 0)
            return Range(low, high, _NAMES.get((low, high), f"{low}..{high}"), digits)
    return None


def _optional(hint: Any, name: str, inside: tuple[type, ...]) -> Shape:
    inner = _shape(hint, name, inside)
    if inner.base == "opt":
        raise FieldError(f"field {name}: optional twice")
    return Shape("opt", inner.cls, (("", inner),))


class _Source:
    """Collects the names a generated function uses, and writes its tests and its values.

    received: True for what msgpack unpacked (arrays are plain tuples and have to become NamedTuples and
    lists), False for a message to be sent (NamedTuples already, lists may be tuples).
    """

    def __init__(self, received: bool) -> None:
        self.received = received
        self.names: dict[str, Any] = {"new": tuple.__new__}
        self._count = 0

    def name(self, value: Any, prefix: str) -> str:
        self._count += 1
        name = f"{prefix}{self._count}"
        self.names[name] = value
        return name

    def tests(self, shape: Shape, x: str, first: str = "") -> tuple[list[str], list[tuple[Shape, str]]]:
        """What has to be true if the variable x has this shape: tests of types, which may bind further
        variables, and the integers whose range is still to be tested after them.

        first: what to write at the first use of x, `x := v[0]` if the test is to bind x itself.
        """
        first = first or x
        if shape.base == "int":
            return [f"type({first}) is int"], [(shape, x)]
        if shape.base == "opt":
            return [f"(({first}) is None or {self.test(shape.parts[0][1], x)})"], []
        if shape.base == "list":
            return [self._test_list(shape.parts[0][1], x, first)], []
        if shape.base == "tuple":
            if self.received:
                found = [f"type({first}) is tuple and len({x}) == {len(shape.parts)}"]
            else:
                found = [f"type({first}) is {self.name(shape.cls, 'cls')}"]
            ranges = []
            for index, (_, part) in enumerate(shape.parts):
                more, integers = self.tests(part, f"{x}_{index}", f"{x}_{index} := {x}[{index}]")
                found += more
                ranges += integers
            return found, ranges
        return [f"type({first}) is {shape.base}"], []

    def test(self, shape: Shape, x: str) -> str:
        """One expression that is true if the variable x has this shape."""
        return _all(*self.tests(shape, x))

    def _test_list(self, part: Shape, x: str, first: str) -> str:
        if self.received:
            kind = f"type({first}) is tuple"
        else:
            kind = f"(type({first}) is list or type({x}) is tuple)"
        if part.base in ("bool", "str", "bytes", "int"):
            test = f"{kind} and {self.name(frozenset((part.cls,)), 'types')}.issuperset(map(type, {x}))"
            if part.base == "int":
                test += f" and (not {x} or ({part.low} <= min({x}) and max({x}) <= {part.high}))"
            return test
        item = _compile(f"lambda e: {self.test(part, 'e')}", self.names)
        return f"{kind} and all(map({self.name(item, 'item')}, {x}))"

    def value(self, shape: Shape, x: str) -> str:
        """An expression for the field's value, once its test was true; x itself if it stays as it is."""
        if shape.base == "opt":
            inner = self.value(shape.parts[0][1], x)
            return x if inner == x else f"(None if {x} is None else {inner})"
        if shape.base == "list":
            part = shape.parts[0][1]
            if self.value(part, "e") == "e":
                return f"list({x})"
            build = _compile(f"lambda e: {self.test(part, 'e')} and {self.value(part, 'e')}", self.names)
            return f"list(map({self.name(build, 'build')}, {x}))"
        if shape.base == "tuple":
            values = [self.value(part, f"{x}_{i}") for i, (_, part) in enumerate(shape.parts)]
            same = all(value == f"{x}_{i}" for i, value in enumerate(values))
            whole = x if same else f"({''.join(value + ', ' for value in values)})"
            return f"new({self.name(shape.cls, 'cls')}, {whole})"
        return x


def _all(tests: list[str], ranges: list[tuple[Shape, str]]) -> str:
    """Tests of types, then of ranges. Integers from 0 to 2**n-1 are tested together: no bit of any of them
    lies above the n-th (a negative one has all of them), which costs less than comparing each twice."""
    together: dict[int, list[str]] = {}
    found = list(tests)
    for shape, x in ranges:
        bits = shape.high.bit_length()
        if shape.low == 0 and shape.high == (1 << bits) - 1:
            together.setdefault(bits, []).append(x)
        else:
            found.append(f"{shape.low} <= {x} <= {shape.high}")
    for bits, names in together.items():
        found.append(f"not ({' | '.join(names)}) >> {bits}")
    return " and ".join(found) or "True"


def _compile(source: str, names: dict[str, Any]) -> Any:
    return eval(compile(source, "<imsg check>", "eval"), names)


def _function(lines: list[str], names: dict[str, Any]) -> Any:
    exec(compile("\n".join(lines), "<imsg check>", "exec"), names)
    return names["function"]


def _fields(source: _Source, shape: Shape) -> tuple[str, str]:
    """The statement that takes the variable v apart, and the expression that tests its fields."""
    tests: list[str] = []
    ranges: list[tuple[Shape, str]] = []
    for index, (_, part) in enumerate(shape.parts):
        more, integers = source.tests(part, f"v_{index}")
        tests += more
        ranges += integers
    names = "".join(f"v_{index}, " for index in range(len(shape.parts)))
    return f"[{names}] = v", _all(tests, ranges)


def compile_check(shape: Shape, refuse: Callable[[Any], NoReturn]) -> Callable[[Any], Any]:
    """check(unpacked) -> message of shape.cls; calls refuse(unpacked), which raises, if anything is wrong."""
    source = _Source(received=True)
    apart, test = _fields(source, shape)
    lines = [
        "def function(v):",
        " if type(v) is tuple:",
        f"  try: {apart}",
        "  except ValueError: refuse(v)",
        f"  if {test}:",
        f"   return {source.value(shape, 'v')}",
        " refuse(v)",
    ]
    check: Callable[[Any], Any] = _function(lines, source.names | {"refuse": refuse})
    return check


def compile_encode(
    shape: Shape,
    pack: Callable[[Any], bytes],
    pack_rare: Callable[[Any], bytes],
    refuse: Callable[[Any], NoReturn],
) -> Callable[[Any], bytes]:
    """encode(message) -> pack(message); calls refuse(message), which raises, on a wrong type.

    pack_rare packs what pack raises UnicodeEncodeError for.
    """
    source = _Source(received=False)
    apart, test = _fields(source, shape)
    lines = [
        "def function(v):",
        f" {apart}",
        f" if {test}:",
        "  try:",
        "   return pack(v)",
        "  except UnicodeEncodeError:",
        "   return pack_rare(v)",
        " refuse(v)",
    ]
    names = source.names | {"pack": pack, "pack_rare": pack_rare, "refuse": refuse}
    encode: Callable[[Any], bytes] = _function(lines, names)
    return encode


def fault(shape: Shape, value: Any, received: bool, path: str = "") -> str:
    """Why a value failed its test: the first field at fault, its type or range, never its value."""
    found = _fault(shape, value, received, path)
    return found if found is not None else "refused"


def _fault(shape: Shape, value: Any, received: bool, path: str) -> str | None:
    where = path or "message"
    actual: type = type(value)
    if shape.base == "opt":
        return None if value is None else _fault(shape.parts[0][1], value, received, path)
    if shape.base == "tuple":
        if actual is not (tuple if received else shape.cls):
            return f"{where} is {actual.__name__}, not {'an array' if received else shape.cls.__name__}"
        if len(value) != len(shape.parts):
            return f"{where} has {len(value)} fields, not {len(shape.parts)}"
        prefix = f"{path}." if path else ""
        pairs = zip(shape.parts, value, strict=True)
        faults = (_fault(part, item, received, f"{prefix}{name}") for (name, part), item in pairs)
        return next((found for found in faults if found), None)
    if shape.base == "list":
        if actual is not tuple and (received or actual is not list):
            return f"{where} is {actual.__name__}, not {shape.text()}"
        part = shape.parts[0][1]
        faults = (_fault(part, item, received, f"{path}[{i}]") for i, item in enumerate(value))
        return next((found for found in faults if found), None)
    if actual is not shape.cls:
        return f"{where} is {actual.__name__}, not {shape.text()}"
    if shape.base == "int" and not shape.low <= value <= shape.high:
        return f"{where} is out of range for {shape.text()}"
    return None
