"""smtpd/mproc/dispatch.py: kinds and handlers must fit together when a class is made."""

from typing import Any

import pytest

from imsg.message import DeclarationError, kind_of
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_process import GetCounters, SetTrace
from smtpd.messages.links import DELIVERY, PROCESSES
from smtpd.messages.parent_child import Begin, PeerLink
from smtpd.messages.pony_queue import CommitMessage, CreateMessage, MessageCreated, RollbackMessage
from smtpd.mproc.dispatch import DispatchError, check_parts, handlers_of, handles, replies
from smtpd.mproc.process import Process

from .conftest import kinds_for, part_of, rest_of

# marking


def test_a_marked_method_is_found() -> None:
    class Part:
        @handles(CreateMessage)
        def create_message(self, peer: object, reqid: int, message: CreateMessage) -> None: ...

        @handles(RollbackMessage)
        async def rollback_message(self, peer: object, message: RollbackMessage) -> None: ...

        def commit_message(self) -> None: ...

    class Heir(Part):
        @handles(CommitMessage)
        def commit_message(self, peer: object, reqid: int, message: CommitMessage) -> None:  # type: ignore[override]
            ...

    both = {
        kind_of(CreateMessage).number: "create_message",
        kind_of(RollbackMessage).number: "rollback_message",
    }
    assert handlers_of(Part) == both
    assert handlers_of(Heir) == both | {kind_of(CommitMessage).number: "commit_message"}


def test_another_name_than_the_message() -> None:
    with pytest.raises(DispatchError, match="the handler of CreateMessage must be called create_message"):

        @handles(CreateMessage)
        def make_message(self: Any, peer: Any, reqid: int, message: Any) -> None: ...


@pytest.mark.parametrize(
    ("message", "source", "wanted"),
    [
        (CreateMessage, "def create_message(self, peer, message): pass", 4),
        (RollbackMessage, "def rollback_message(self, peer, reqid, message): pass", 3),
        (PeerLink, "def peer_link(self, peer, message): pass", 4),
        (PeerLink, "def peer_link(self, peer, reqid, message, fd): pass", 4),
        (Begin, "def begin(peer, message): pass", 3),
    ],
)
def test_another_number_of_arguments(message: type, source: str, wanted: int) -> None:
    names: dict[str, Any] = {}
    exec(source, names)
    function = next(value for name, value in names.items() if not name.startswith("__"))
    with pytest.raises(DispatchError, match=f"must take {wanted} arguments, self included"):
        handles(message)(function)


def test_what_is_no_message() -> None:
    with pytest.raises(DeclarationError):
        handles(str)


# whole processes


def test_replies_go_to_who_asked() -> None:
    assert kind_of(MessageCreated).number in replies()
    assert kind_of(CreateMessage).number not in replies()
    assert replies() == {
        kind_of(kind.reply).number for kind in CATALOGUE.by_number.values() if kind.reply is not None
    }


@pytest.mark.parametrize("process", [*PROCESSES, DELIVERY])
def test_every_kind_once(process: str) -> None:
    kinds = kinds_for(process)
    assert kinds, "everybody is sent something"
    half = len(kinds) // 2
    check_parts(process, (part_of("One", kinds[:half]), part_of("Two", kinds[half:])))
    for kind in kinds:
        others = [other for other in kinds if other is not kind]
        with pytest.raises(DispatchError, match=f"{process}: nothing handles {kind.name}$"):
            check_parts(process, (part_of("All", others),))
        twice = (part_of("All", kinds), part_of("More", [kind]))
        with pytest.raises(DispatchError, match=rf"is handled by All\.{kind.handler_name} and by More\."):
            check_parts(process, twice)


@pytest.mark.parametrize("process", PROCESSES)
def test_what_is_not_sent_here(process: str) -> None:
    kinds = kinds_for(process)
    foreign = [kind for kind in CATALOGUE.by_number.values() if kind not in kinds]
    assert foreign
    for kind in foreign:
        with pytest.raises(
            DispatchError, match=rf"All\.{kind.handler_name} handles {kind.name}, which is not"
        ):
            check_parts(process, (part_of("All", [*kinds, kind]),))


# when a class is made


def test_a_class_is_checked_when_it_is_made() -> None:
    whole = rest_of("parent", Process)
    kinds = [kind for kind in kinds_for("parent") if kind.number in handlers_of(whole)]

    class Good(Process):
        NAME = "parent"
        parts = (whole,)

    assert Good.every_part()[-1] is whole
    with pytest.raises(DispatchError, match="parent: nothing handles"):

        class Incomplete(Process):
            NAME = "parent"
            parts = (part_of("Part", kinds[1:]),)

    with pytest.raises(DispatchError, match="get_counters is handled by"):

        class Twice(Process):
            NAME = "parent"
            parts = (part_of("Part", [*kinds, kind_of(GetCounters)]),)

    with pytest.raises(DispatchError, match="nobody: .* is not sent here"):

        class Nobody(Process):
            NAME = "nobody"
            parts = ()


def test_a_class_in_between_has_no_name_and_is_not_checked() -> None:
    class Between(Process):
        parts = ()

    assert SetTrace in [kind.cls for kind in kinds_for("parent")]
    assert not hasattr(Between, "NAME")
