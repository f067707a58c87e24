"""smtpd/messages/catalogue.py: all kinds together, and what is refused when it is imported."""

import importlib.util
import pkgutil
from types import ModuleType
from typing import NamedTuple

import pytest

import smtpd.messages
from imsg.message import Catalogue, DeclarationError, Kind, kind_of, message
from smtpd.messages import catalogue, delivery, links, pony_queue
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import CLIENT, DELIVERY, PONY, PROCESSES, QUEUE, SCHEDULER, linked

from .conftest import kinds_in

FILES_WITHOUT_KINDS = {"catalogue", "client_catalogue", "client_digest", "links"}


def fresh() -> ModuleType:
    """The catalogue imported once more, apart from the real one."""
    spec = importlib.util.spec_from_file_location("smtpd.messages.catalogue_again", catalogue.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_file_is_in_it() -> None:
    files = {module.name for module in pkgutil.iter_modules(smtpd.messages.__path__)} - FILES_WITHOUT_KINDS
    declared: dict[int, Kind] = {}
    for name in files:
        kinds = kinds_in(importlib.import_module(f"smtpd.messages.{name}"))
        assert kinds, f"{name} declares nothing"
        declared |= {kind.number: kind for kind in kinds}
    assert declared == CATALOGUE.by_number


def test_names_and_numbers() -> None:
    kinds = list(CATALOGUE.by_number.values())
    assert len({kind.name for kind in kinds}) == len({kind.handler_name for kind in kinds}) == len(kinds)
    assert all(CATALOGUE.by_number[kind.number] is kind for kind in kinds)


@pytest.mark.parametrize("kind", CATALOGUE.by_number.values(), ids=lambda kind: kind.name)
def test_routes(kind: Kind) -> None:
    assert {*kind.senders, *kind.receivers} <= {*PROCESSES, CLIENT, DELIVERY}
    assert all(linked(sender, receiver) for sender in kind.senders for receiver in kind.receivers)


def test_replies_are_in_it_too() -> None:
    for kind in CATALOGUE.by_number.values():
        if kind.reply is not None:
            assert kind.reply in CATALOGUE.replies and kind.reply in CATALOGUE.by_class


def test_digest() -> None:
    """The same every time it is made, another one with any kind less."""
    assert fresh().CATALOGUE.digest() == CATALOGUE.digest()
    kinds = list(CATALOGUE.by_number.values())
    unused = next(kind for kind in kinds if kind.reply is None and kind.cls not in CATALOGUE.replies)
    assert Catalogue([kind for kind in kinds if kind is not unused]).digest() != CATALOGUE.digest()


@pytest.mark.parametrize(
    ("pair", "kind"), [((PONY, QUEUE), "MessageCreated"), ((PONY, DELIVERY), "MaildirDelivered")]
)
def test_a_route_on_no_link(monkeypatch: pytest.MonkeyPatch, pair: tuple[str, str], kind: str) -> None:
    """Were a link not there, the first kind on it would end the import."""
    for name in ("LINKS", "EDGE_LINKS"):
        monkeypatch.setattr(links, name, getattr(links, name) - {frozenset(pair)})
    with pytest.raises(TypeError, match=f"{kind}: there is no link between .*{pair[0]}"):
        fresh()


def test_a_kind_between_those_who_do_not_talk(monkeypatch: pytest.MonkeyPatch) -> None:
    @message(0x7777, SCHEDULER, PONY)
    class Hint(NamedTuple):
        """Of no use."""

    monkeypatch.setattr(pony_queue, "Hint", Hint, raising=False)
    with pytest.raises(TypeError, match="Hint: there is no link between scheduler and pony"):
        fresh()


def test_a_number_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    @message(kind_of(pony_queue.CreateMessage).number, PONY, DELIVERY)
    class Again(NamedTuple):
        """The number is another's."""

    monkeypatch.setattr(delivery, "Again", Again, raising=False)
    with pytest.raises(DeclarationError, match="share a number or a name"):
        fresh()
