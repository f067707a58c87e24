"""imsg/fields.py: annotations become shapes, shapes become the two functions every message goes through."""

from typing import Annotated, Any, NamedTuple, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg import fields
from imsg.fields import I64, U8, U16, U32, U64, FieldError, Id64, Opt

type Number = Annotated[int, range(10, 20)]
type Ident = Annotated[int, range(2**32), "08x"]


class Address(NamedTuple):
    user: str
    domain: str


class Deep(NamedTuple):
    inner: Address
    names: list[str]


class Everything(NamedTuple):
    a: bool
    b: U8
    c: U16
    d: U32
    e: U64
    f: I64
    g: str
    h: bytes
    i: Opt[U32]
    j: Opt[str]
    k: list[U64]
    l: list[str]  # noqa: E741
    m: Address
    n: list[Address]
    o: Opt[Address]
    p: Deep
    q: list[list[U8]]
    r: Opt[list[U8]]
    s: Number
    t: str | None
    u: list[Opt[U8]]
    v: list[Deep]
    w: Opt[Deep]
    x: Id64


class Empty(NamedTuple):
    pass


class Refused(Exception):
    pass


def refuse(_: Any) -> NoReturn:
    raise Refused


SHAPE = fields.shape_of(Everything)
CHECK = fields.compile_check(SHAPE, refuse)
ENCODE = fields.compile_encode(SHAPE, lambda m: b"packed", lambda m: b"rare", refuse)

addresses = st.builds(Address, st.text(max_size=5), st.text(max_size=5))
deeps = st.builds(Deep, addresses, st.lists(st.text(max_size=3), max_size=3))
u8 = st.integers(0, 255)
everything = st.builds(
    Everything,
    st.booleans(),
    u8,
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=9),
    st.binary(max_size=9),
    st.none() | st.integers(0, 2**32 - 1),
    st.none() | st.text(max_size=3),
    st.lists(st.integers(0, 2**64 - 1), max_size=4),
    st.lists(st.text(max_size=3), max_size=4),
    addresses,
    st.lists(addresses, max_size=3),
    st.none() | addresses,
    deeps,
    st.lists(st.lists(u8, max_size=2), max_size=2),
    st.none() | st.lists(u8, max_size=3),
    st.integers(10, 19),
    st.none() | st.text(max_size=3),
    st.lists(st.none() | u8, max_size=3),
    st.lists(deeps, max_size=2),
    st.none() | deeps,
    st.integers(0, 2**64 - 1),
)

EXAMPLE = Everything(
    *(
        True,
        1,
        2,
        3,
        4,
        -5,
        "g",
        b"h",
        None,
        None,
        [1, 2],
        ["x"],
        Address("u", "d"),
        [Address("a", "b")],
        None,
    ),
    *(Deep(Address("q", "r"), ["n"]), [[1]], [3], 10, None, [None, 4], [], None, 9),
)


def plain(value: Any) -> Any:
    """What msgpack makes of it: every array a tuple."""
    return tuple(plain(item) for item in value) if isinstance(value, (list, tuple)) else value


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)


@given(everything)
def test_check_rebuilds_the_very_message(message: Everything) -> None:
    assert same(CHECK(plain(message)), message)
    assert ENCODE(message) == b"packed"


WRONG: dict[str, list[Any]] = {
    "a": [0, 1, None, "x"],
    "b": [True, -1, 256, 1.0, None],
    "c": [-1, 65536],
    "d": [-1, 2**32, False, b""],
    "e": [-1, 2**64, "1"],
    "f": [-(2**63) - 1, 2**63],
    "g": [b"g", None, 1, ("g",)],
    "h": ["h", None],
    "i": [True, 2**32, "x"],
    "j": [b"x", 0],
    "k": [(1, True), (-1,), (2**64,), None, "ab", (None,)],
    "l": [("a", b"b"), (1,), "ab"],
    "m": [("a",), ("a", "b", "c"), ("a", 1), None, "ab"],
    "n": [(("a",),), ("a", "b"), ((("a"), None),)],
    "o": [(), ("a", None)],
    "p": [(("a", "b"), "n"), (("a", 1), ()), ()],
    "q": [((256,),), (1,), ((True,),)],
    "r": [(256,), (None,)],
    "s": [9, 20],
    "t": [b""],
    "u": [("x",), (256,)],
    "v": [(((1, "b"), ()),)],
    "w": [((("a", "b")), (1,))],
    "x": [2**64],
}


@pytest.mark.parametrize("name", WRONG)
def test_one_wrong_field_is_refused_and_named(name: str) -> None:
    index = Everything._fields.index(name)
    right = plain(EXAMPLE)
    assert same(CHECK(right), EXAMPLE)
    for value in WRONG[name]:
        wrong = (*right[:index], value, *right[index + 1 :])
        with pytest.raises(Refused):
            CHECK(wrong)
        text = fields.fault(SHAPE, wrong, received=True)
        assert text.split(" ")[0].split(".")[0].split("[")[0] == name, text


@pytest.mark.parametrize("name", WRONG)
def test_the_sender_is_checked_too(name: str) -> None:
    for value in WRONG[name]:
        wrong = EXAMPLE._replace(**{name: value})
        with pytest.raises(Refused):
            ENCODE(wrong)
        assert fields.fault(SHAPE, wrong, received=False) != "refused"


def test_a_sender_may_give_a_tuple_for_a_list_but_no_tuple_for_a_named_tuple() -> None:
    assert ENCODE(EXAMPLE._replace(k=(1, 2))) == b"packed"
    with pytest.raises(Refused):
        ENCODE(EXAMPLE._replace(m=("u", "d")))


@pytest.mark.parametrize("value", [None, 1, "abc", b"abc", {}, [], (), (1,), plain(EXAMPLE)[:-1]])
def test_no_array_too_few_and_too_many(value: Any) -> None:
    with pytest.raises(Refused):
        CHECK(value)
    assert "message" in fields.fault(SHAPE, value, received=True)
    with pytest.raises(Refused):
        CHECK((*plain(EXAMPLE), 1))


def test_no_fields() -> None:
    shape = fields.shape_of(Empty)
    check = fields.compile_check(shape, refuse)
    assert same(check(()), Empty())
    assert fields.compile_encode(shape, lambda m: b"x", lambda m: b"", refuse)(Empty()) == b"x"
    with pytest.raises(Refused):
        check((1,))


def test_the_strict_packer_first_then_the_other() -> None:
    def strict(message: Any) -> bytes:
        return str(message.user).encode()

    encode = fields.compile_encode(fields.shape_of(Address), strict, lambda m: b"rare", refuse)
    assert encode(Address("a", "b")) == b"a"
    assert encode(Address("\udcff", "b")) == b"rare"


def test_text_of_a_shape() -> None:
    assert fields.shape_of(Deep).text() == "(inner:(user:str,domain:str),names:list[str])"
    texts = {name: part.text() for name, part in SHAPE.parts}
    assert texts["b"] == "u8" and texts["f"] == "i64" and texts["i"] == "opt[u32]" and texts["s"] == "10..19"
    assert texts["t"] == texts["j"] == "opt[str]" and texts["q"] == "list[list[u8]]" and texts["x"] == "u64"


def test_a_range_says_bounds_and_digits_without_importing_imsg() -> None:
    class Ids(NamedTuple):
        ident: Ident

    part = fields.shape_of(Ids).parts[0][1]
    assert (part.text(), part.low, part.high, part.hex_digits) == ("u32", 0, 2**32 - 1, 8)


NO_TYPES: list[Any] = [
    int,
    float,
    dict[str, str],
    tuple[str, str],
    object,
    Opt[Opt[U8]],
    str | bytes,
    list[int],
]


@pytest.mark.parametrize("hint", NO_TYPES)
def test_what_is_no_field_type(hint: Any) -> None:
    with pytest.raises(FieldError, match="field x"):
        fields.shape_of(named_tuple("Wrong", x=hint))


def named_tuple(name: str, **hints: Any) -> type:
    return NamedTuple(name, list(hints.items()))  # type: ignore[misc]


class Loop(NamedTuple):
    again: "list[Loop]"


def test_a_type_within_itself() -> None:
    with pytest.raises(FieldError, match="contains itself"):
        fields.shape_of(Loop)


def test_errors_never_show_a_value() -> None:
    for name in ("g", "d", "m"):
        wrong = EXAMPLE._replace(**{name: b"hunter2"})
        assert "hunter2" not in fields.fault(SHAPE, wrong, received=False)
