"""imsg/message.py: declarations, the catalogue, encoding and decoding, and lines for traces."""

import types
from typing import Any, NamedTuple

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg.message import (
    MAX_PAYLOAD,
    U8,
    U32,
    U64,
    Catalogue,
    DeclarationError,
    Id32,
    Id64,
    MessageError,
    Opt,
    describe,
    kind_of,
    message,
    snake_case,
)


class Address(NamedTuple):
    user: str
    domain: str


@message(2, "queue", "pony")
class MessageCreated(NamedTuple):
    reqid: U32
    msgid: Id32


@message(1, "pony", "queue", reply=MessageCreated)
class CreateMessage(NamedTuple):
    session: Id64
    sender: Address
    size: U64
    tag: str


@message(3, ("parent", "pony"), "lookup", descriptor="optional", secret=("password",))
class CheckPassword(NamedTuple):
    user: str
    password: str
    tables: list[str]
    extra: Opt[bytes]
    flag: bool
    small: U8


@message(4, "queue", "pony", descriptor=True)
class Opened(NamedTuple):
    reqid: U32


CATALOGUE = Catalogue([MessageCreated, CreateMessage, CheckPassword, Opened])
CREATE = CreateMessage(42, Address("ann", "example.org"), 7, "in")
PASSWORD = CheckPassword("ann", "hunter2", ["a", "b"], None, True, 3)


def test_kind() -> None:
    kind = kind_of(CREATE)
    assert kind is kind_of(CreateMessage)
    assert (kind.number, kind.name, kind.senders, kind.receivers) == (
        1,
        "CreateMessage",
        ("pony",),
        ("queue",),
    )
    assert kind.reply is MessageCreated and kind.descriptor is False and kind.handler_name == "create_message"
    assert kind_of(PASSWORD).senders == ("parent", "pony") and kind_of(PASSWORD).descriptor == "optional"
    assert [name for name, _ in kind.fields] == ["session", "sender", "size", "tag"]
    assert "CreateMessage pony -> queue" in repr(kind)
    assert CATALOGUE.replies == {MessageCreated}


def test_snake_case() -> None:
    assert [snake_case(n) for n in ("Ok", "CreateMessage", "ResolveMX", "MTAHostUp", "V2Done")] == [
        *("ok", "create_message", "resolve_mx", "mta_host_up", "v2_done")
    ]


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((0, "a", "b"), {}),
        ((2**32, "a", "b"), {}),
        ((True, "a", "b"), {}),
        ((9, "", "b"), {}),
        ((9, (), "b"), {}),
        ((9, ("a", "a"), "b"), {}),
        ((9, "pony", "queue"), {"secret": ("nothing",)}),
        ((9, "pony", "queue"), {"descriptor": "perhaps"}),
        ((9, "pony", "queue"), {"reply": Address}),
        ((9, "pony", "queue"), {"reply": CreateMessage}),
        ((9, "lookup", "queue"), {"reply": MessageCreated}),
    ],
)
def test_wrong_declarations(arguments: Any, keywords: Any) -> None:
    with pytest.raises(DeclarationError, match="message X"):
        message(*arguments, **keywords)(NamedTuple("X", [("a", str)]))


def test_only_named_tuples_of_known_types() -> None:
    with pytest.raises(DeclarationError, match="not a NamedTuple"):
        message(9, "a", "b")(type("X", (), {}))
    with pytest.raises(DeclarationError, match="message X: field a"):
        message(9, "a", "b")(NamedTuple("X", [("a", float)]))
    with pytest.raises(DeclarationError, match="no declared message|not a declared message"):
        kind_of(Address("a", "b"))
    with pytest.raises(DeclarationError):
        Catalogue([Address])


def test_numbers_and_names_are_unique_and_replies_there() -> None:
    other = message(1, "a", "b")(NamedTuple("Other", [("a", str)]))
    named = message(77, "a", "b")(NamedTuple("CreateMessage", [("a", str)]))
    for extra in (other, named):
        with pytest.raises(DeclarationError, match="share a number or a name"):
            Catalogue([MessageCreated, CreateMessage, extra])
    with pytest.raises(DeclarationError, match="MessageCreated is not in the catalogue"):
        Catalogue([CreateMessage])


def test_from_modules_each_kind_once() -> None:
    first, second = types.ModuleType("first"), types.ModuleType("second")
    vars(first).update(CreateMessage=CreateMessage, MessageCreated=MessageCreated, Address=Address, x=1)
    vars(second).update(MessageCreated=MessageCreated, Opened=Opened)
    catalogue = Catalogue([first, second, kind_of(CheckPassword)])
    assert catalogue.by_number == CATALOGUE.by_number
    assert catalogue.digest() == CATALOGUE.digest()


def test_digest_tells_every_difference() -> None:
    def digest(number: int = 9, fields: Any = (("a", U8),), **keywords: Any) -> str:
        return Catalogue([message(number, "a", "b", **keywords)(NamedTuple("X", list(fields)))]).digest()

    digests = [
        digest(),
        digest(10),
        digest(fields=(("a", U32),)),
        digest(fields=(("b", U8),)),
        digest(fields=(("a", Opt[U8]),)),
        digest(descriptor=True),
        digest(secret=("a",)),
    ]
    assert len(set(digests)) == len(digests) and digest() == digest() and len(digest()) == 64


@given(
    st.integers(0, 2**64 - 1),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.integers(0, 2**64 - 1),
    st.text(),
)
def test_encode_decode(session: int, user: str, domain: bytes, size: int, tag: str) -> None:
    sent = CreateMessage(session, Address(user, domain.decode("utf-8", "surrogateescape")), size, tag)
    number, payload = CATALOGUE.encode(sent)
    received = CATALOGUE.decode(number, payload)
    assert received == sent and type(received) is CreateMessage and type(received.sender) is Address


def test_bytes_that_are_no_utf8_go_as_they_are() -> None:
    number, payload = CATALOGUE.encode(CREATE._replace(tag=b"\xff\xfe".decode("utf-8", "surrogateescape")))
    assert payload.endswith(b"\xa2\xff\xfe")
    assert CATALOGUE.decode(number, payload).tag.encode("utf-8", "surrogateescape") == b"\xff\xfe"
    with pytest.raises(MessageError, match="surrogate"):
        CATALOGUE.encode(CREATE._replace(tag="\ud800"))
    assert CATALOGUE.encode(CREATE)[1] == msgpack.packb(CREATE)  # the packer is clean after a failure


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "not one msgpack array"),
        (msgpack.packb([42, ["ann", "x"], 7]), "3 fields, not 4"),
        (msgpack.packb([42, ["ann", "x"], 7, "in", 1]), "5 fields, not 4"),
        (msgpack.packb([42, ["ann", "x"], 7, "in"]) + b"\xc0", "after the end"),
        (msgpack.packb([42, ["ann", "x"], 7, "in"])[:-1], "not one msgpack array"),
        (msgpack.packb([42, ["ann", "x"], 7, b"in"]), "tag is bytes, not str"),
        (msgpack.packb([42, ["ann", 5], 7, "in"]), "sender.domain is int, not str"),
        (msgpack.packb([-1, ["ann", "x"], 7, "in"]), "session is out of range for u64"),
        (msgpack.packb([True, ["ann", "x"], 7, "in"]), "session is bool, not u64"),
        (msgpack.packb([1.0, ["ann", "x"], 7, "in"]), "session is float"),
        (msgpack.packb({"a": 1}), "message is dict, not an array"),
        (msgpack.packb(msgpack.Timestamp(1)), "not an array"),
        (msgpack.packb("abcd"), "message is str, not an array"),
        (b"\x91" * 5000 + b"\xc0", "not one msgpack array"),
        (b"\xdd\xff\xff\xff\xff", "not one msgpack array"),
        (b"\x81\x90\x01", "not one msgpack array"),
        (b"\xc1", "not one msgpack array"),
        (bytes(MAX_PAYLOAD + 1), "a payload of"),
    ],
)
def test_decode_refuses(payload: bytes, text: str) -> None:
    with pytest.raises(MessageError, match=f"CreateMessage.*{text}"):
        CATALOGUE.decode(1, payload)


def test_unknown_number_and_foreign_class() -> None:
    with pytest.raises(MessageError, match="number 99"):
        CATALOGUE.decode(99, b"\x90")
    with pytest.raises(MessageError, match="Address is no message"):
        CATALOGUE.encode(Address("a", "b"))


@given(st.binary(max_size=80))
def test_decode_raises_nothing_else(payload: bytes) -> None:
    for number in (1, 2, 3):
        try:
            decoded = CATALOGUE.decode(number, payload)
        except MessageError:
            continue
        again = CATALOGUE.encode(decoded)
        assert again[0] == number and CATALOGUE.decode(*again) == decoded


@given(st.data())
def test_decode_of_a_damaged_message(data: st.DataObject) -> None:
    payload = bytearray(CATALOGUE.encode(PASSWORD)[1])
    index = data.draw(st.integers(0, len(payload) - 1))
    payload[index] = data.draw(st.integers(0, 255))
    try:
        assert type(CATALOGUE.decode(3, bytes(payload))) is CheckPassword
    except MessageError as error:
        assert "hunter2" not in str(error)


def test_the_sender_s_mistakes_are_the_sender_s() -> None:
    with pytest.raises(MessageError, match="CheckPassword: small is out of range for u8"):
        CATALOGUE.encode(PASSWORD._replace(small=256))
    with pytest.raises(MessageError, match="CheckPassword: password is bytes, not str") as caught:
        CATALOGUE.encode(PASSWORD._replace(password=b"hunter2"))
    assert "hunter2" not in str(caught.value)


def test_the_longest_payload() -> None:
    room = MAX_PAYLOAD - len(CATALOGUE.encode(CREATE._replace(tag="x" * 256))[1]) + 256
    number, payload = CATALOGUE.encode(CREATE._replace(tag="x" * room))
    assert len(payload) == MAX_PAYLOAD and CATALOGUE.decode(number, payload).tag == "x" * room
    with pytest.raises(MessageError, match="16369 bytes do not fit"):
        CATALOGUE.encode(CREATE._replace(tag="x" * (room + 1)))


def test_descriptor_rules_are_in_the_tables() -> None:
    assert CATALOGUE.encoders[CheckPassword] == CATALOGUE.encoders_with_descriptor[CheckPassword]
    with pytest.raises(MessageError, match="Opened: has to be sent with"):
        CATALOGUE.encoders[Opened]
    with pytest.raises(MessageError, match="CreateMessage: goes without"):
        CATALOGUE.encoders_with_descriptor[CreateMessage]
    with pytest.raises(MessageError, match="Opened: came without"):
        CATALOGUE.checks[4]
    with pytest.raises(MessageError, match="CreateMessage: came with"):
        CATALOGUE.checks_with_descriptor[1]
    assert CATALOGUE.checks[3]((*PASSWORD[:2], ("a", "b"), *PASSWORD[3:])) == PASSWORD


def test_describe() -> None:
    assert describe(CREATE) == (
        "CreateMessage session=000000000000002a sender=(user=ann domain=example.org) size=7 tag=in"
    )
    assert describe(PASSWORD) == "CheckPassword user=ann password=*** tables=[a,b] extra=- flag=yes small=3"
    assert "password=hunter2" in describe(PASSWORD, mask_secrets=False)
    assert " extra=<5 bytes> " in describe(PASSWORD._replace(extra=b"12345"))
    assert describe(PASSWORD._replace(tables=["t"] * 20)).split()[3] == "tables=[t,t,t,t,t,t,t,t,+12]"
    assert describe(PASSWORD._replace(user="a" * 100)).split()[1] == f"user={'a' * 64}…"
    assert describe(PASSWORD._replace(user="")).split()[1] == "user=''"
    assert describe(PASSWORD._replace(user="zoë")).split()[1] == "user=zoë"


@given(st.text(max_size=90))
def test_describe_is_one_line_of_printable_text(text: str) -> None:
    line = describe(PASSWORD._replace(user=text, tables=[text]))
    assert line.isprintable() and line.startswith("CheckPassword user=")
