"""What a user is told about a configuration file that is refused.

Holds `ConfigError` (one fault and its place), `ConfigErrors` (the exception with all of them) and the
spelling help. The `file:line` of a fault is the one OpenSMTPD prints: the line of the word last read when
the fault was noticed. Must not know the language.
"""

from collections.abc import Iterable
from typing import NamedTuple


class ConfigError(NamedTuple):
    """One fault. `line` and `column` count from 1, 0 is unknown; `source` is the physical line that holds the
    offending word (without its end), `source_line` its number and `column` the word's place in it."""

    file: str
    line: int
    message: str
    word: str = ""
    column: int = 0
    source: str = ""
    source_line: int = 0
    width: int = 1
    hint: str = ""

    def __str__(self) -> str:
        """`file:line: message` and, where known, the line with a caret under the word, and a hint."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        lines = [printable(f"{place}: {self.message}")]
        if self.column:
            number = f"{self.source_line:5d} | "
            text, column = _shown(self.source, self.column)
            pad = "".join("\t" if c == "\t" else " " for c in text[: column - 1])
            width = max(1, min(self.width, len(text) - column + 1))
            lines.append(number + text)
            lines.append(" " * (len(number) - 2) + "| " + pad + "^" * width)
        if self.hint:
            lines.append("        " + printable(self.hint))
        return "\n".join(lines)


def printable(text: str) -> str:
    """Text for a line of the log: what cannot be printed as its code."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


_SHOWN = 160


def _shown(source: str, column: int) -> tuple[str, int]:
    """The part of a long line round the column, printable, and the column in it."""
    start = 0 if len(source) <= _SHOWN else max(0, min(column - 1 - _SHOWN // 2, len(source) - _SHOWN))
    part = source[start : start + _SHOWN]
    text = "".join(c if c == "\t" or c.isprintable() else "?" for c in part)
    return text, column - start


class ConfigErrors(Exception):
    """The configuration is refused; `errors` has all faults that can be told apart, in order of reading."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors: tuple[ConfigError, ...] = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean "X"?` for the known word nearest to `word`, or ""."""
    if not word or len(word) > 64:
        return ""
    lower = word.lower()
    near = sorted((_distance(lower, other.lower()), other) for other in known if other != word)
    if near and near[0][0] <= (1 if len(word) <= 4 else 2 if len(word) <= 9 else 3):
        return f'did you mean "{near[0][1]}"?'
    return ""


def _distance(a: str, b: str) -> int:
    """How many letters must be put in, left out, changed or swapped with the next to make a of b."""
    if abs(len(a) - len(b)) > 3:
        return 4
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row = row, [i]
        for j, y in enumerate(b, 1):
            cost = min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before = previous
    return row[-1]
