"""Words to a command: a table of patterns, abbreviations, parameters, and what to say when nothing fits.

A pattern is words and parameters: "show queue <msgid>". A word may be given as any prefix that only one of
the words possible at its place has; a word that OpenSMTPD's smtpctl knows wins over one that is only ours, so
that what was unambiguous for scripts stays so. Nothing here prints, reads, or knows what a command does.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from smtpd.mail.ids import parse_evpid, parse_msgid


class Option(NamedTuple):
    """`--name` or, with `argument` not empty, `--name VALUE`."""

    name: str
    argument: str
    help: str


class Command(NamedTuple):
    """One line of the table. `own`: OpenSMTPD's smtpctl does not have it. `hidden`: not for people."""

    pattern: str
    run: Callable[..., int]
    help: str
    options: Sequence[Option] = ()
    own: bool = False
    hidden: bool = False


class Parameter(NamedTuple):
    """A parameter as given.

    `kind`: "evpid", "msgid", "routeid", "int" (a number), "str", "addr" (text), "words" (all that follow).
    """

    kind: str
    value: Any


class Match(NamedTuple):
    """The command that was meant. `options`: by name without the dashes; a flag's value is ""."""

    command: Command
    parameters: tuple[Parameter, ...]
    options: dict[str, str]


class NoMatch(Exception):
    """No command was meant, or it is not clear which.

    `reason` says why in a line; `possibilities`: the patterns that begin with the words understood so far;
    `suggestions`: those of them that may have been meant.
    """

    def __init__(self, reason: str, possibilities: list[str], suggestions: list[str]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.possibilities = possibilities
        self.suggestions = suggestions


class _Node:
    """A place in the tree of all patterns."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.children: dict[str, _Node] = {}
        self.command: Command | None = None
        self.own = True  # no pattern of OpenSMTPD leads through here
        self.hidden = True  # nor any that is for people

    @property
    def kind(self) -> str:
        """The kind of a parameter, "" of a word."""
        return self.token[1:-1] if self.token.startswith("<") else ""


class Table:
    """All commands."""

    def __init__(self, commands: Iterable[Command]) -> None:
        self.commands = tuple(commands)
        self._root = _Node("")
        for command in self.commands:
            node = self._root
            for token in command.pattern.split():
                node = node.children.setdefault(token, _Node(token))
                if node.kind and node.kind not in _READERS:
                    raise ValueError(f"{command.pattern}: no such parameter: {token}")
                node.own = node.own and command.own
                node.hidden = node.hidden and command.hidden
            if node.command is not None:
                raise ValueError(f"{command.pattern}: twice in the table")
            node.command = command

    def match(self, words: Sequence[str]) -> Match:
        """The command that `words` mean; NoMatch."""
        words, options = self._split_options(words)
        node = self._root
        path: list[str] = []
        parameters: list[Parameter] = []
        for i, word in enumerate(words):
            child, value = self._step(node, word, path)
            node = child
            path.append(child.token)
            if child.kind == "words":
                parameters.append(Parameter("words", tuple(words[i:])))
                break
            if child.kind:
                parameters.append(Parameter(child.kind, value))
        if node.command is None:
            reason = f"{' '.join(path)}: more words are needed" if path else "no command given"
            raise NoMatch(reason, _below(node, path), [])
        return Match(node.command, tuple(parameters), _check_options(node.command, options))

    def beginning_with(self, words: Sequence[str]) -> list[Command]:
        """The commands that begin with `words`, abbreviated or not; NoMatch."""
        node = self._root
        path: list[str] = []
        for word in words:
            node, _ = self._step(node, word, path)
            path.append(node.token)
        return _commands_below(node)

    def following(self, words: Sequence[str]) -> list[str]:
        """What may stand after `words`: words, parameters and options; nothing if they mean nothing."""
        node = self._root
        words, _ = self._split_options(words)
        for word in words:
            try:
                node, _ = self._step(node, word, [])
            except NoMatch:
                return []
        options = node.command.options if node.command is not None else ()
        words = [token for token, child in node.children.items() if not child.hidden]
        return [*words, *(f"--{option.name}{'=' * bool(option.argument)}" for option in options)]

    def _split_options(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """Words, and those that begin with "--" before a lone "--".

        `--name VALUE` means `--name=VALUE` where no command that begins with the words before it has that
        option without a value.
        """
        plain: list[str] = []
        options: list[str] = []
        node: _Node | None = self._root
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word == "--":
                return plain + rest, options
            if not word.startswith("--"):
                plain.append(word)
                node = self._follow(node, word)
            elif node is not None and rest and rest[0][:2] != "--" and _takes_value(node, word[2:]):
                options.append(f"{word}={rest.pop(0)}")
            else:
                options.append(word)
        return plain, options

    def _follow(self, node: _Node | None, word: str) -> _Node | None:
        """As `_step`, None where the word means nothing."""
        if node is None or node.kind == "words":
            return node
        try:
            return self._step(node, word, [])[0]
        except NoMatch:
            return None

    def _step(self, node: _Node, word: str, path: list[str]) -> tuple[_Node, Any]:
        """The child of `node` that `word` means, and its value if it is a parameter; NoMatch."""
        for child in node.children.values():
            if child.kind:
                try:
                    return child, _READERS[child.kind](word)
                except ValueError:
                    continue
            elif child.token == word:
                return child, None
        words = [child for child in node.children.values() if not child.kind]
        fitting = [child for child in words if child.token.startswith(word)] if word else []
        if len(fitting) > 1:
            fitting = [child for child in fitting if not child.own] or fitting
        if len(fitting) == 1:
            return fitting[0], None
        raise _no_match(node, word, path, fitting)


def _no_match(node: _Node, word: str, path: list[str], fitting: list[_Node]) -> NoMatch:
    said = " ".join((*path, word))
    if fitting:
        return NoMatch(f"{said}: ambiguous", [" ".join((*path, child.token)) for child in fitting], [])
    if not node.children:
        return NoMatch(f"{said}: nothing can follow {node.token!r}", _below(node, path), [])
    kinds = [child.kind for child in node.children.values() if child.kind]
    tokens = [child.token for child in node.children.values() if not child.kind]
    close = similar(word, tokens)
    suggestions = [" ".join((*path, token)) for token in close]
    if kinds and not close:
        wanted = " nor ".join(_NAMES[kind] for kind in kinds)
        return NoMatch(f"{said}: {word!r} is no {wanted}", _below(node, path), [])
    return NoMatch(f"{said}: no such command", _below(node, path), suggestions)


def similar(word: str, known: Iterable[str]) -> list[str]:
    """Those that look like `word`, the likeliest first."""
    import difflib  # here, because nobody waits for it who makes no mistakes

    return difflib.get_close_matches(word, list(known))


def _below(node: _Node, path: list[str]) -> list[str]:
    """The next words after a path; the path itself if there are none."""
    shown = [" ".join((*path, child.token)) for child in node.children.values() if not child.hidden]
    return shown or [" ".join(path)]


def _commands_below(node: _Node) -> list[Command]:
    found = [node.command] if node.command is not None else []
    for child in node.children.values():
        found.extend(_commands_below(child))
    return found


def _takes_value(node: _Node, name: str) -> bool:
    """Whether an option of the commands from a place on has to have a value; `name` may be abbreviated."""
    every = [option for command in _commands_below(node) for option in command.options]
    fitting = [option for option in every if option.name == name]
    fitting = fitting or [option for option in every if name and option.name.startswith(name)]
    return bool(fitting) and all(option.argument for option in fitting)


def _check_options(command: Command, given: list[str]) -> dict[str, str]:
    """`--name=value` by name, a prefix of the name being enough; NoMatch."""
    known = {option.name: option for option in command.options}
    shown = [f"{command.pattern} {describe_option(option)}" for option in command.options] or [
        command.pattern
    ]
    found: dict[str, str] = {}
    for word in given:
        name, equals, value = word[2:].partition("=")
        fitting = [name] if name in known else [each for each in known if name and each.startswith(name)]
        if len(fitting) != 1:
            problem = "ambiguous" if fitting else "no such option"
            close = similar(name, known)
            raise NoMatch(f"{command.pattern} {word}: {problem}", shown, [f"--{each}" for each in close])
        option = known[fitting[0]]
        if bool(equals) != bool(option.argument):
            problem = f"needs a value: {describe_option(option)}" if option.argument else "takes no value"
            raise NoMatch(f"{command.pattern} {word}: {problem}", shown, [])
        found[option.name] = value
    return found


def describe_option(option: Option) -> str:
    """As it is written."""
    return f"--{option.name}={option.argument}" if option.argument else f"--{option.name}"


# parameters


def _read_evpid(text: str) -> int:
    """Exactly 16 hex digits, so that a shorter one is not taken for another envelope's."""
    if len(text) != 16:
        raise ValueError(text)
    return parse_evpid(text)


def _read_msgid(text: str) -> int:
    if len(text) != 8:
        raise ValueError(text)
    return parse_msgid(text)


def _read_number(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 20):
        raise ValueError(text)
    number = int(text)
    if not low <= number <= high:
        raise ValueError(text)
    return number


def _read_address(text: str) -> str:
    from ipaddress import ip_address

    return str(ip_address(text))


_READERS: dict[str, Callable[[str], Any]] = {
    "evpid": _read_evpid,
    "msgid": _read_msgid,
    "routeid": lambda text: _read_number(text, 1, 2**63 - 1),
    "int": lambda text: _read_number(text, -(2**31), 2**31 - 1),
    "addr": _read_address,
    "str": str,
    "words": str,
}

_NAMES = {
    "evpid": "envelope id (16 hex digits)",
    "msgid": "message id (8 hex digits)",
    "routeid": "route id",
    "int": "number",
    "addr": "address",
    "str": "word",
    "words": "word",
}
