"""One handler for every kind that a process receives, named as the kind; counted without dispatch's help."""

import ast
import importlib
import re
from collections import Counter

import pytest
import tree

from imsg.message import kind_of
from smtpd.messages import links
from smtpd.messages.catalogue import CATALOGUE

KINDS = sorted(CATALOGUE.by_number.values(), key=lambda kind: kind.number)
REPLIES = {kind_of(kind.reply).number for kind in KINDS if kind.reply is not None}


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def handlers_in(path) -> list[tuple[str, str, str]]:
    """(kind's name, method's name, where) of every `@handles(Kind)` in a source file."""
    found = []
    for node in ast.walk(tree.parsed(path)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func).split(".")[-1] == "handles":
                kind = ast.unparse(mark.args[0]).split(".")[-1]
                found.append((kind, node.name, f"{tree.relative(path)}:{node.lineno}"))
    return found


@pytest.mark.parametrize("process", links.PROCESSES)
def test_every_kind_sent_to_a_process_has_one_handler_there(process: str) -> None:
    expected = {kind.name for kind in KINDS if process in kind.receivers and kind.number not in REPLIES}
    module = importlib.import_module(f"smtpd.{process}.process")
    counted: Counter[str] = Counter()
    for part in module.Process.every_part():
        # A part is a plain class: its handlers stand in the file of the class, or of one it is made from.
        for cls in part.__mro__[:-1]:
            source = tree.ROOT / (cls.__module__.replace(".", "/") + ".py")
            lines = {name: kind for kind, name, _ in handlers_in(source)}
            counted.update(lines[name] for name in vars(cls) if name in lines)
    assert counted == Counter(dict.fromkeys(expected, 1))


def test_every_handler_is_named_as_its_message() -> None:
    wrong = [
        f"{where}: {name} handles {kind}"
        for path in tree.sources("smtpd")
        for kind, name, where in handlers_in(path)
        if name != snake_case(kind)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_handler_stands_in_the_folder_of_a_process_that_receives_its_kind() -> None:
    names = {kind.name: kind for kind in KINDS}
    wrong = []
    for process in links.PROCESSES:
        for path in tree.sources(f"smtpd/{process}"):
            for kind, _, where in handlers_in(path):
                if process not in names[kind].receivers:
                    wrong.append(f"{where}: {kind} is not sent to {process}")
    assert not wrong, "\n".join(wrong)
