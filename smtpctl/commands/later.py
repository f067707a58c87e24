"""Commands by name: the module that has one is imported when the command is run or its options are asked for.

A script calls smtpctl many times for one thing each; it shall not wait for what the other commands need.
Nothing here knows which commands there are.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from ..invocation import Invocation
    from ..matching import Option, Parameter

PACKAGE = __package__ or "smtpctl.commands"


class Topic:
    """A module of this package, by its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.options = Options(self)
        """Its OPTIONS."""

    def __call__(self, function: str) -> "Function":
        """A function of it."""
        return Function(self, function)

    def find(self, name: str) -> Any:
        """What the module calls so; AttributeError."""
        return getattr(import_module(f"{PACKAGE}.{self.name}"), name)


class Function:
    """A command's function."""

    def __init__(self, topic: Topic, name: str) -> None:
        self._topic = topic
        self._name = name

    def find(self) -> Callable[..., int]:
        """The function itself."""
        found: Callable[..., int] = self._topic.find(self._name)
        return found

    def __call__(
        self, invocation: "Invocation", parameters: "Sequence[Parameter]", options: Mapping[str, str]
    ) -> int:
        return self.find()(invocation, parameters, options)


class Options(Sequence["Option"]):
    """The options of a topic."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    def _found(self) -> "tuple[Option, ...]":
        found: tuple[Option, ...] = self._topic.find("OPTIONS")
        return found

    @overload
    def __getitem__(self, index: int) -> "Option": ...

    @overload
    def __getitem__(self, index: slice) -> "tuple[Option, ...]": ...

    def __getitem__(self, index: int | slice) -> "Option | tuple[Option, ...]":
        return self._found()[index]

    def __len__(self) -> int:
        return len(self._found())
