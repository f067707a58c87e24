"""Which method handles which kind of message.

Every kind sent to a process has exactly one handler there, and every handler a kind: checked when the
process's class is made, that is at import. A handler is named as its message in snake_case, so that one grep
finds the declaration, the senders and the handler.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from imsg.message import Kind, kind_of
from smtpd.messages.catalogue import CATALOGUE

Handler = Callable[..., Any]

_MARK = "_handles_kind"


class DispatchError(TypeError):
    """Kinds and handlers of a process do not fit together."""


def handles[F: Handler](message: type) -> Callable[[F], F]:
    """Mark a method as the handler of a kind.

    Its arguments after self: peer; the request's id, for a kind that has a reply; the message; the descriptor
    or None, for a kind that may carry one.
    """
    kind = kind_of(message)

    def mark(function: F) -> F:
        if function.__name__ != kind.handler_name:
            raise DispatchError(f"the handler of {kind.name} must be called {kind.handler_name}")
        wanted = 3 + (kind.reply is not None) + (kind.descriptor is not False)
        if len(inspect.signature(function).parameters) != wanted:
            raise DispatchError(f"{function.__qualname__} must take {wanted} arguments, self included")
        setattr(function, _MARK, kind)
        return function

    return mark


def handlers_of(part: type) -> dict[int, str]:
    """Kind number -> method name, of the handlers a part (a plain class) has."""
    found = {}
    for name, member in inspect.getmembers(part, inspect.isfunction):
        kind: Kind | None = getattr(member, _MARK, None)
        if kind is not None:
            found[kind.number] = name
    return found


def replies() -> frozenset[int]:
    """The numbers of the kinds that answer another: they go to who asked, not to a handler."""
    return frozenset(kind_of(reply).number for reply in CATALOGUE.replies)


def check_parts(process: str, parts: Iterable[type]) -> None:
    """Raise DispatchError unless the parts together handle each kind sent to `process` exactly once."""
    handled: dict[int, str] = {}
    for part in parts:
        for number, name in handlers_of(part).items():
            where = f"{part.__name__}.{name}"
            if number in handled:
                raise DispatchError(f"{process}: {name} is handled by {handled[number]} and by {where}")
            handled[number] = where
    answers = replies()
    for kind in CATALOGUE.by_number.values():
        expected = process in kind.receivers and kind.number not in answers
        if expected and kind.number not in handled:
            raise DispatchError(f"{process}: nothing handles {kind.name}")
        if not expected and kind.number in handled:
            raise DispatchError(
                f"{process}: {handled[kind.number]} handles {kind.name}, which is not sent here"
            )
