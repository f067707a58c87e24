"""What every production of the grammar works with: the words, one of them looked at ahead, and the draft.

Holds `Parser` and `Fault`. A production reads ahead exactly where OpenSMTPD's generated parser has to, so
that `lexer.lineno`, the line of the last word read, is the line OpenSMTPD names when something is wrong.
Must not hold productions.
"""

from collections.abc import Callable, Collection

from smtpd.config.draft import Draft
from smtpd.config.errors import ConfigError, did_you_mean
from smtpd.config.keywords import KEYWORDS
from smtpd.config.lexer import ARROW, END, NEWLINE, NUMBER, STRING, Lexer, Token
from smtpd.config.machine import Machine
from smtpd.config.model import Place

_NAMES = {NEWLINE: "the end of the line", END: "the end of the file", STRING: "a word", NUMBER: "a number"}


class Fault(Exception):
    """The statement being read is refused; `error` is None when the cause is another fault, already told."""

    def __init__(self, error: ConfigError | None) -> None:
        super().__init__(error.message if error else "")
        self.error = error


class Parser:
    """Words of a configuration, and what they have declared so far.

    `warn` is told what OpenSMTPD logs without refusing the file.
    """

    def __init__(self, lexer: Lexer, machine: Machine, warn: Callable[[ConfigError], None]) -> None:
        self.lexer = lexer
        self.machine = machine
        self.draft = Draft(machine)
        self.depth = 0
        """How many braces of the statement being read are open."""
        self.first: Token | None = None
        """The first word of the statement being read."""
        self.later: list[tuple[Callable[[], bool], ConfigError]] = []
        """Checks for when everything was read: what must be true then, and the fault when it is not."""
        self._warn = warn
        self._ahead: Token | None = None
        self._last: Token | None = None
        self._asked: set[str] = set()
        self._declaring: set[tuple[str, str]] = set()
        """Kind and name of what the statement being read is to declare."""

    # words

    def peek(self) -> Token:
        """The next word, still to be taken; LexicalError."""
        if self._ahead is None:
            self._ahead = self.lexer.next()
        return self._ahead

    def take(self) -> Token:
        """The next word; LexicalError."""
        token = self.peek()
        self._ahead = None
        self._last = token
        self._asked.clear()
        if token.kind == "{":
            self.depth += 1
        elif token.kind == "}":
            self.depth -= 1
        return token

    def at(self, *kinds: str) -> str:
        """The next word's kind if it is one of these, else ""."""
        kind = self.peek().kind
        if kind in kinds:
            return kind
        self._asked.update(kinds)
        return ""

    def accept(self, kind: str) -> Token | None:
        """The next word, taken, if it is of this kind."""
        return self.take() if self.at(kind) else None

    def expect(self, kind: str) -> Token:
        """The next word, which must be of this kind; Fault."""
        if self.at(kind):
            return self.take()
        raise self.syntax_error()

    def string(self, what: str) -> Token:
        """The next word, which must be an argument (`what` it means, for the message); Fault."""
        if self.peek().kind == STRING:
            return self.take()
        raise self.syntax_error(what)

    def number(self, what: str) -> Token:
        """The next word, which must be a number; Fault."""
        if self.peek().kind == NUMBER:
            return self.take()
        raise self.syntax_error(what)

    def newlines(self) -> None:
        """Any number of line ends."""
        while self.at(NEWLINE):
            self.take()

    def at_line_start(self) -> bool:
        """Whether the word taken last was the end of a line."""
        return self._last is not None and self._last.kind == NEWLINE

    def place(self) -> Place:
        """Where the statement being read began."""
        first = self.first
        return Place(first.source.name, first.line) if first is not None else Place()

    # faults

    def problem(self, message: str, token: Token | None = None, hint: str = "") -> ConfigError:
        """Something to tell about what was read, pointing at `token` or else at the word taken last."""
        at = token or self._last or self.peek()
        shown = "" if at.kind in (NEWLINE, END) else at.value
        return self.lexer.fault(message, shown, at.source, at.start, at.end, hint)

    def fail(self, message: str, token: Token | None = None, hint: str = "") -> Fault:
        """A fault in what was read."""
        return Fault(self.problem(message, token, hint))

    def warn(self, message: str, token: Token | None = None) -> None:
        """Tell about something doubtful in what was read."""
        self._warn(self.problem(message, token))

    def syntax_error(self, wanted: str = "") -> Fault:
        """The next word cannot stand here; `wanted` says what would, else it is the kinds asked for."""
        token = self.peek()
        kinds = self._asked - {NEWLINE}
        keywords = sorted(kind for kind in kinds if kind in KEYWORDS)
        hint = ""
        if token.kind == "\r":
            return self.fail(
                "syntax error: carriage return", token, "the lines end with CRLF; smtpd.conf wants LF"
            )
        if token.kind in (NEWLINE, END):
            message = f"syntax error at {_NAMES[token.kind]}, where {_a(wanted, keywords, kinds)} belongs"
        else:
            message = f"syntax error at {_shown(token)}"
            if wanted:
                message += f", where {wanted} belongs"
                hint = _quote_hint(token)
            else:
                hint = did_you_mean(token.value, keywords) if token.kind == STRING else ""
                if not hint and 0 < len(keywords) <= 6:
                    hint = f"expected {_a('', keywords, kinds)}"
        return self.fail(message, token, hint)

    def declares(self, *names: tuple[str, str]) -> None:
        """The statement being read is to declare these (kind and name)."""
        self._declaring.update(names)

    def declared(self, *names: tuple[str, str]) -> None:
        """The statement being read has declared these."""
        self._declaring.difference_update(names)
        self.draft.broken.difference_update(names)

    def refused(self) -> None:
        """The statement being read is at fault: nobody is to miss what it was to declare.

        Only now, so that a statement that refers to itself is a fault like any other.
        """
        self.draft.broken |= self._declaring
        self._declaring.clear()

    def check_later(self, good: Callable[[], bool], message: str, token: Token, hint: str = "") -> None:
        """A fault in the statement being read, unless `good()` is true when everything was read.

        OpenSMTPD finds such faults after the whole file was read, so that a fault of a later line comes
        first.
        """
        self.later.append((good, self.problem(message, token, hint)))

    def missing(self, kind: str, token: Token, message: str, known: Collection[str]) -> Fault:
        """A fault about a name that is not declared; nothing new if its declaration was refused."""
        if (kind, token.value) in self.draft.broken:
            return Fault(None)
        return self.fail(message, token, did_you_mean(token.value, known))


def _a(wanted: str, keywords: list[str], kinds: set[str]) -> str:
    if wanted:
        return wanted
    others = [_NAMES.get(kind, f'"{kind}"') for kind in sorted(kinds - set(keywords) - {ARROW})]
    words = [f'"{keyword}"' for keyword in keywords] + others
    if not words:
        return "something else"
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _quote_hint(token: Token) -> str:
    if token.kind in KEYWORDS:
        return f'"{token.value}" is a reserved word: put it in quotes to use it as an argument'
    if token.kind == NUMBER:
        return "a number is no word: put it in quotes"
    if len(token.kind) == 1 and token.kind > "~":
        return "only ASCII can stand outside quotes"
    if len(token.kind) == 1 and token.kind not in "{},=<>!()":
        return 'an argument that does not begin with a letter, a digit or "_" must be in quotes'
    return ""


def _shown(token: Token) -> str:
    """A word for a message."""
    if len(token.kind) == 1 and not " " <= token.kind <= "~":
        return f"byte 0x{ord(token.kind):02x}"
    text = token.value if len(token.value) <= 60 else token.value[:57] + "..."
    return f'"{text}"'
