"""Message kinds: how one is declared, and the catalogue of all of them.

A kind is a NamedTuple class with typed fields under the `@message` decorator. The declaration is the only
place where the kind exists: its number, who sends it to whom, its reply, whether a descriptor rides along,
which fields are secret. Encoding, decoding and its checks, traces and tables are made from it.

A payload is one msgpack array (https://github.com/msgpack/msgpack/blob/master/spec.md) of the fields in
order; a nested NamedTuple is a nested array. Nothing here does input or output, or knows which process may
talk to which.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from types import ModuleType
from typing import Any, Literal, NoReturn

import msgpack  # type: ignore[import-untyped]

from imsg import fields
from imsg.fields import I64, MAX_PAYLOAD, U8, U16, U32, U64, FieldError, Id32, Id64, Opt, Range, Shape

try:  # as the library's random does: hashlib would load OpenSSL, which a short program waits for
    from _sha2 import sha256  # type: ignore[import-not-found]
except ImportError:
    from hashlib import sha256

__all__ = [
    "I64",
    "MAX_PAYLOAD",
    "Catalogue",
    "DeclarationError",
    "Id32",
    "Id64",
    "Kind",
    "MessageError",
    "Opt",
    "Range",
    "U8",
    "U16",
    "U32",
    "U64",
    "describe",
    "kind_of",
    "message",
]

type Descriptor = bool | Literal["optional"]

MAX_NUMBER = 0xFFFFFFFF
_ATTRIBUTE = "__kind__"
_SHOWN = 64  # characters of a string that a trace line shows
_QUOTED = frozenset(" '\"()[]=,")  # with one of these it is shown in quotes

# Bytes that no utf-8 string holds survive as surrogate escapes, but the strict packer is quicker.
_pack: Callable[[Any], bytes] = msgpack.Packer(autoreset=True).pack
_pack_escaped: Callable[[Any], bytes] = msgpack.Packer(autoreset=True, unicode_errors="surrogateescape").pack


class MessageError(ValueError):
    """A message that is not what its declaration says. Never names a value, only types and field names."""


class DeclarationError(TypeError):
    """A kind or a catalogue that is declared wrongly. Raised at import, never by input."""


class Kind:
    """One declared kind of message; made by `@message`, found with `kind_of`.

    `senders` and `receivers` are tuples of process names; `reply` is the class of the reply or None;
    `descriptor` is False, True or "optional"; `shape` is the tree of the fields.
    """

    def __init__(
        self,
        cls: type,
        number: int,
        senders: tuple[str, ...],
        receivers: tuple[str, ...],
        reply: type | None,
        descriptor: Descriptor,
        secret: tuple[str, ...],
    ) -> None:
        self.cls = cls
        self.number = number
        self.name = cls.__name__
        self.senders = senders
        self.receivers = receivers
        self.reply = reply
        self.descriptor = descriptor
        self.secret = secret
        self.shape: Shape = fields.shape_of(cls)
        self.fields: tuple[tuple[str, Shape], ...] = self.shape.parts

    def __repr__(self) -> str:
        return f"<Kind {self.number} {self.name} {'|'.join(self.senders)} -> {'|'.join(self.receivers)}>"

    @cached_property
    def handler_name(self) -> str:
        """What the method that handles it is called."""
        return snake_case(self.name)

    @cached_property
    def check(self) -> Callable[[Any], Any]:
        """check(unpacked payload) -> message; MessageError. Compiled on first use, then one call."""
        return fields.compile_check(self.shape, self._refuse_received)

    @cached_property
    def encode(self) -> Callable[[Any], bytes]:
        """encode(message) -> payload, if its fields have the declared types; MessageError. The caller checks
        the payload's length."""
        return fields.compile_encode(self.shape, _pack, self._pack_rare, self._refuse_sent)

    def _pack_rare(self, message: Any) -> bytes:
        try:
            return _pack_escaped(message)
        except UnicodeEncodeError:
            raise MessageError(f"{self.name}: a string holds a surrogate that stands for no byte") from None

    def text(self) -> str:
        """The canonical one-line description, from which the catalogue's digest is made."""
        reply = getattr(self.reply, "__name__", "-")
        return (
            f"{self.number} {self.name} {','.join(self.senders)}>{','.join(self.receivers)} reply={reply} "
            f"descriptor={self.descriptor} secret={','.join(self.secret)} {self.shape.text()}"
        )

    def _refuse_received(self, value: Any) -> NoReturn:
        raise MessageError(f"{self.name}: {fields.fault(self.shape, value, received=True)}")

    def _refuse_sent(self, value: Any) -> NoReturn:
        raise MessageError(f"{self.name}: {fields.fault(self.shape, value, received=False)}")


def message[T: type](
    number: int,
    sender: str | tuple[str, ...],
    receiver: str | tuple[str, ...],
    *,
    reply: type | None = None,
    descriptor: Descriptor = False,
    secret: tuple[str, ...] = (),
) -> Callable[[T], T]:
    """Declare a NamedTuple class to be a message kind.

    number: 1 to 2**32-1, unique in a catalogue. sender, receiver: names of processes. reply: a kind that is
    already declared and whose first field is `reqid: U32`. descriptor: False (never), True (always) or
    "optional". secret: names of fields whose values no trace may show. Raises DeclarationError.
    """

    def declare(cls: T) -> T:
        where = f"message {cls.__name__}"
        if not (isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")):
            raise DeclarationError(f"{where}: not a NamedTuple")
        if type(number) is not int or not 1 <= number <= MAX_NUMBER:
            raise DeclarationError(f"{where}: number {number!r} is not in 1..2**32-1")
        if descriptor not in (False, True, "optional"):
            raise DeclarationError(f"{where}: descriptor={descriptor!r}")
        names = cls._fields
        for name in secret:
            if name not in names:
                raise DeclarationError(f"{where}: secret field {name!r} does not exist")
        try:
            senders, receivers = _names(where, sender), _names(where, receiver)
            kind = Kind(cls, number, senders, receivers, reply, descriptor, secret)
        except FieldError as error:
            raise DeclarationError(f"{where}: {error}") from None
        if reply is not None:
            _check_reply(where, kind, reply)
        setattr(cls, _ATTRIBUTE, kind)
        return cls

    return declare


def _names(where: str, value: str | tuple[str, ...]) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    if not names or len(set(names)) != len(names) or not all(isinstance(n, str) and n for n in names):
        raise DeclarationError(f"{where}: sender and receiver are names of processes, not {value!r}")
    return names


def _check_reply(where: str, request: Kind, reply: type) -> None:
    kind = vars(reply).get(_ATTRIBUTE)
    if not isinstance(kind, Kind):
        raise DeclarationError(f"{where}: its reply {reply.__name__} is not a declared message")
    if not kind.fields or kind.fields[0][0] != "reqid" or kind.fields[0][1].text() != "u32":
        raise DeclarationError(f"{where}: the first field of its reply {kind.name} is not reqid: U32")
    if not (set(request.receivers) <= set(kind.senders) and set(request.senders) <= set(kind.receivers)):
        raise DeclarationError(f"{where}: its reply {kind.name} does not go the way back")


def kind_of(item: Any) -> Kind:
    """The Kind of a message or of a message class; DeclarationError if it is none."""
    cls = item if isinstance(item, type) else type(item)
    kind = vars(cls).get(_ATTRIBUTE)
    if not isinstance(kind, Kind):
        raise DeclarationError(f"{cls.__name__} is not a declared message")
    return kind


def snake_case(name: str) -> str:
    """CreateMessage -> create_message, ResolveMX -> resolve_mx."""
    import re  # here: who only sends and receives does not wait for it

    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class _Checks(dict[int, Callable[[Any], Any]]):
    """number -> check for frames without (or with) a descriptor; filled in on first use."""

    def __init__(self, by_number: dict[int, Kind], descriptor: bool) -> None:
        super().__init__()
        self._by_number = by_number
        self._descriptor = descriptor

    def __missing__(self, number: int) -> Callable[[Any], Any]:
        kind = self._by_number.get(number)
        if kind is None:
            raise MessageError(f"no message has the number {number}")
        if self._descriptor and kind.descriptor is False:
            raise MessageError(f"{kind.name}: came with a descriptor")
        if not self._descriptor and kind.descriptor is True:
            raise MessageError(f"{kind.name}: came without its descriptor")
        self[number] = kind.check
        return kind.check


class _Encoders(dict[type, tuple[int, Callable[[Any], bytes]]]):
    """class -> (number, encode) for messages without (or with) a descriptor; filled in on first use."""

    def __init__(self, by_class: dict[type, Kind], descriptor: bool) -> None:
        super().__init__()
        self._by_class = by_class
        self._descriptor = descriptor

    def __missing__(self, cls: type) -> tuple[int, Callable[[Any], bytes]]:
        kind = self._by_class.get(cls)
        if kind is None:
            raise MessageError(f"{cls.__name__} is no message of this catalogue")
        if self._descriptor and kind.descriptor is False:
            raise MessageError(f"{kind.name}: goes without a descriptor")
        if not self._descriptor and kind.descriptor is True:
            raise MessageError(f"{kind.name}: has to be sent with a descriptor")
        entry = self[cls] = (kind.number, kind.encode)
        return entry


class Catalogue:
    """All kinds that two peers know, by number and by class. Both ends must have the same `digest()`.

    Made from message classes, from Kinds, or from modules (then every kind declared in them counts; a kind
    that several modules import counts once). Raises DeclarationError if two kinds share a number or a name.
    """

    def __init__(self, items: Iterable[ModuleType | type | Kind]) -> None:
        self.by_number: dict[int, Kind] = {}
        self.by_class: dict[type, Kind] = {}
        self.by_name: dict[str, Kind] = {}
        self.replies: frozenset[type] = frozenset()
        self.add(items)
        self.checks = _Checks(self.by_number, descriptor=False)
        self.checks_with_descriptor = _Checks(self.by_number, descriptor=True)
        self.encoders = _Encoders(self.by_class, descriptor=False)
        self.encoders_with_descriptor = _Encoders(self.by_class, descriptor=True)

    def add(self, items: Iterable[ModuleType | type | Kind]) -> None:
        """More kinds; a channel that has this catalogue knows them from here on. DeclarationError."""
        for item in items:
            for kind in _kinds_in(item):
                self._add(kind)
        self.replies = frozenset(k.reply for k in self.by_number.values() if k.reply is not None)
        for reply in self.replies:
            if reply not in self.by_class:
                raise DeclarationError(f"the reply {reply.__name__} is not in the catalogue")

    def _add(self, kind: Kind) -> None:
        if kind.cls in self.by_class:
            return
        for other in (self.by_number.get(kind.number), self.by_name.get(kind.name)):
            if other is not None:
                raise DeclarationError(f"{kind!r} and {other!r} share a number or a name")
        self.by_number[kind.number] = kind
        self.by_class[kind.cls] = kind
        self.by_name[kind.name] = kind

    def digest(self) -> str:
        """SHA-256, in hex, over the canonical description of every kind in order of number."""
        lines = [self.by_number[number].text() for number in sorted(self.by_number)]
        digest: str = sha256("\n".join(lines).encode()).hexdigest()
        return digest

    def encode(self, message: Any) -> tuple[int, bytes]:
        """(number, payload) of a message; MessageError if it has wrong types, is too long or not ours."""
        kind = self.by_class.get(type(message))
        if kind is None:
            raise MessageError(f"{type(message).__name__} is no message of this catalogue")
        payload = kind.encode(message)
        if len(payload) > MAX_PAYLOAD:
            raise MessageError(f"{kind.name}: {len(payload)} bytes do not fit in a frame")
        return kind.number, payload

    def decode(self, number: int, payload: bytes) -> Any:
        """The message in a payload; MessageError on anything that is not exactly such a message."""
        kind = self.by_number.get(number)
        if kind is None:
            raise MessageError(f"no message has the number {number}")
        return kind.check(unpack(kind.name, payload))


def _kinds_in(item: ModuleType | type | Kind) -> Iterable[Kind]:
    if isinstance(item, Kind):
        return (item,)
    if isinstance(item, ModuleType):
        kinds = (vars(x).get(_ATTRIBUTE) for x in vars(item).values() if isinstance(x, type))
        return tuple(kind for kind in kinds if isinstance(kind, Kind))
    return (kind_of(item),)


def unpack(name: str, payload: Any) -> Any:
    """Unpack exactly one msgpack object, arrays as tuples; MessageError."""
    if len(payload) > MAX_PAYLOAD:
        raise MessageError(f"{name}: a payload of {len(payload)} bytes")
    try:
        return msgpack.unpackb(payload, use_list=False, unicode_errors="surrogateescape")
    except msgpack.ExtraData:
        raise MessageError(f"{name}: bytes after the end of the array") from None
    except Exception as error:  # msgpack raises ValueError, TypeError, its own and others on hostile bytes
        raise MessageError(f"{name}: not one msgpack array ({type(error).__name__})") from None


def unpack_joined(payloads: Any) -> tuple[Any, ...]:
    """Unpack one array of payloads, each of which is known to be exactly one object (FrameReader.joined)."""
    values: tuple[Any, ...] = msgpack.unpackb(payloads, use_list=False, unicode_errors="surrogateescape")
    return values


def describe(message: Any, mask_secrets: bool = True) -> str:
    """One line for traces: `CreateMessage session=000000000000002a sender=ann@example.org`.

    Secret fields read `***`; long strings are cut, bytes are counted only; never holds a control character.
    """
    kind = kind_of(message)
    words = [kind.name]
    for (name, shape), value in zip(kind.fields, message, strict=True):
        hidden = mask_secrets and name in kind.secret
        words.append(f"{name}={'***' if hidden else _show(shape, value)}")
    return " ".join(words)


def _show(shape: Shape, value: Any) -> str:
    if value is None:
        return "-"
    if shape.base == "opt":
        return _show(shape.parts[0][1], value)
    if shape.base == "tuple":
        inner = (f"{name}={_show(part, item)}" for (name, part), item in zip(shape.parts, value, strict=True))
        return f"({' '.join(inner)})"
    if shape.base == "list":
        shown = [_show(shape.parts[0][1], item) for item in value[:8]]
        return f"[{','.join(shown)}{f',+{len(value) - 8}' if len(value) > 8 else ''}]"
    if shape.base == "bytes":
        return f"<{len(value)} bytes>"
    if shape.base == "int":
        return f"{value:0{shape.hex_digits}x}" if shape.hex_digits else str(value)
    if shape.base == "bool":
        return "yes" if value else "no"
    text = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    plain = text and text.isprintable() and _QUOTED.isdisjoint(text)
    return text if plain else repr(text)
