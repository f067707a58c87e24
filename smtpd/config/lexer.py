"""smtpd.conf text to words, exactly as OpenSMTPD cuts it (smtpd.conf(5), and the facts of its yylex).

Holds the stack of open files, macros, and the words. A file is read as latin-1, so that one character is one
byte; the value of a word is handed out as utf-8 with surrogateescape. The rules that are not obvious:

* A word begins with a letter, digit, "_" or ":" and goes on with those and punctuation but `(){}<>!=#,`.
  Any other character is a word of its own; there are no words like `/etc` or `@` without quotes.
* Digits are a number only before white space, `)`, `,`, `/`, `}`, `=` or the end; otherwise they start a
  word.
* Backslash-newline joins lines, backslash and any other character is that character. In quotes backslash
  only guards the quote, blank and tab, and joins lines; a newline in quotes is dropped.
* `$name` at the start of a word is replaced by the macro's text, which is cut into words in turn, but in
  which `$` means nothing; the bytes 1 and 2 mark its ends, and are dropped from files.
* The end of a file is the end of a line as well.

Must not know what the words mean. The line a fault is reported at is `lineno`, that of the last word read.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from smtpd.config.errors import ConfigError, did_you_mean
from smtpd.config.keywords import KEYWORDS

MAX_WORD = 8095
"""Longest word in bytes."""
MAX_QUOTED = 8094
"""Longest quoted string in bytes."""
MAX_FILE = 16 << 20
"""Largest file in bytes (a bound of our own, like the next three)."""
MAX_TEXT = 64 << 20
"""Largest sum of all files, a file counted each time it is included."""
MAX_DEPTH = 64
"""Deepest nesting of includes."""
MAX_EXPANSION = 32 << 20
"""Largest sum of the macro texts put in."""

STRING, NUMBER, ARROW, NEWLINE, END = "STRING", "NUMBER", "=>", "\n", "END"

_START_EXPAND, _DONE_EXPAND = "\x01", "\x02"
_DIGITS = frozenset("0123456789")
_ALNUM = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") | _DIGITS
_NAME = _ALNUM | {"_"}
_WORD_START = _ALNUM | {":", "_"}
_IN_WORD = _ALNUM | (frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") - frozenset("(){}<>!=#,"))
_ENDS_NUMBER = frozenset(" \t\n\v\f\r),/}=")
_LLONG_MAX = (1 << 63) - 1

_PLAIN_BLANKS = re.compile(r"[ \t]*")
_PLAIN_COMMENT = re.compile(r"#[^\n\\\x01\x02]*")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9:_][A-Za-z0-9\"$%&'*+\-./:;?@\[\]^_`|~]*")
_PLAIN_QUOTED = re.compile(r"\"([^\"\\\n\x00\x01\x02]*)\"|'([^'\\\n\x00\x01\x02]*)'")


class Token(NamedTuple):
    """A word: `kind` is the keyword itself, STRING, NUMBER, ARROW, NEWLINE, END or a character; `start` and
    `end` are offsets of the characters it came from in `source.text`."""

    kind: str
    value: str
    number: int
    line: int
    source: "Source"
    start: int
    end: int


class Source:
    """One open file."""

    __slots__ = ("end_seen", "lineno", "name", "pos", "pushed", "text")

    def __init__(self, name: str, text: str, lineno: int) -> None:
        self.name = name
        self.text = text
        self.pos = 0
        self.pushed: list[str] = []
        """Characters to be read before the text, last one first."""
        self.lineno = lineno
        self.end_seen = False

    def where(self, offset: int) -> tuple[int, int, str]:
        """Physical line number, column (both from 1) and the line's text at an offset."""
        text = self.text
        begin = text.rfind("\n", 0, offset) + 1
        stop = text.find("\n", offset)
        line = text[begin : len(text) if stop < 0 else stop]
        return text.count("\n", 0, begin) + 1, offset - begin + 1, line.rstrip("\r")


class Macro(NamedTuple):
    """A macro's text and where it was defined; a persistent one (-D) is not redefined by a file."""

    text: str
    source: Source | None
    offset: int
    persist: bool


class LexicalError(Exception):
    """The text cannot be cut into words; the rest of the line was skipped. `error` is None where the cause is
    another fault, already told."""

    def __init__(self, error: ConfigError | None) -> None:
        super().__init__(error.message if error else "")
        self.error = error


class IncludeError(Exception):
    """A file cannot be included: the reason."""


class Lexer:
    """Words of a file and of those it includes; `read` gives a file's bytes or raises OSError."""

    def __init__(self, name: str, text: bytes, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._expanding = False
        self._expansion = 0
        self._expansion_from: tuple[int, int] = (0, 0)
        self._total = len(text)
        self.tolerate_crlf = False
        """Take a carriage return before the end of a line for white space, once it was complained about."""
        self.macros: dict[str, Macro] = {}
        self.used: set[str] = set()
        self.refused: set[str] = set()
        """Names of macros whose definition was refused."""
        self.top = Source(name, text.decode("latin-1"), 1)
        self.stack = [self.top]
        self.source = self.top
        self.lineno = 1
        """The line of the last word read, which OpenSMTPD names in its messages."""

    # macros and files

    def define(self, name: str, text: str, offset: int = 0, persist: bool = False) -> None:
        """Set a macro unless one of that name is persistent."""
        old = self.macros.get(name)
        if old is not None and old.persist:
            return
        raw = text.encode("utf-8", "surrogateescape").decode("latin-1")
        self.used.discard(name)
        self.macros[name] = Macro(raw, None if persist else self.source, offset, persist)

    def include(self, name: str) -> None:
        """Go on with the named file, then come back; IncludeError when that cannot be."""
        if len(self.stack) >= MAX_DEPTH:
            raise IncludeError(f"includes are nested deeper than {MAX_DEPTH}")
        if any(source.name == name for source in self.stack):
            raise IncludeError("the file includes itself")
        if "\0" in name:
            raise IncludeError("NUL byte in the name")
        try:
            text = self._read(name)
        except OSError as error:
            raise IncludeError(error.strerror or str(error)) from None
        self._total += len(text)
        if self._total > MAX_TEXT:
            raise IncludeError(f"the files are larger than {MAX_TEXT} bytes together")
        self.source = Source(name, text.decode("latin-1"), 0)
        # OpenSMTPD counts the included file's lines from 0 and gives it a newline to end the include line.
        self.source.pushed.append("\n")
        self.stack.append(self.source)

    def _pop(self) -> bool:
        if self.source is self.top:
            return False
        self.stack.pop()
        self.source = self.stack[-1]
        return True

    # characters

    def _raw(self) -> str:
        """The next character of the file or of what was pushed back; "" at its end."""
        source = self.source
        while True:
            if source.pushed:
                c = source.pushed.pop()
            elif source.pos < len(source.text):
                c = source.text[source.pos]
                source.pos += 1
            else:
                return ""
            if c == _START_EXPAND:
                self._expanding = True
            elif c == _DONE_EXPAND:
                self._expanding = False
            else:
                return c

    def _get(self) -> str:
        """The next character outside quotes: lines joined, ends of files as newlines; "" at the very end."""
        c = self._raw()
        while c == "\\":
            following = self._raw()
            if following != "\n":
                c = following
                break
            self.lineno = self.source.lineno
            self.source.lineno += 1
            c = self._raw()
        if c == "":
            if not self.source.end_seen:
                self.source.end_seen = True
                return "\n"
            while c == "":
                if not self._pop():
                    return ""
                c = self._raw()
        return c

    def _unget(self, c: str) -> None:
        if c == "":
            return
        source = self.source
        if not source.pushed and source.pos and source.text[source.pos - 1] == c:
            source.pos -= 1
        else:
            source.pushed.append(c)

    def skip_line(self) -> None:
        """Read away everything to the end of the line."""
        while True:
            c = self._get()
            if c == "\n":
                self.source.lineno += 1
                return
            if c == "":
                return

    # words

    def next(self) -> Token:
        """The next word; LexicalError when there is none that could be."""
        while True:
            token = self._plain()
            if token is not None:
                return token
            c = self._get()
            while c == " " or c == "\t" or (c == "\r" and self.tolerate_crlf):
                c = self._get()
            source = self.source
            self.lineno = source.lineno
            if source.pushed or self._expanding:
                start, end = self._expansion_from
            else:
                start, end = max(0, source.pos - 1), -1
            if c == "#":
                while c != "\n" and c != "":
                    c = self._get()
                start = end = source.pos
            if c == "$" and not self._expanding:
                self._expand(start)
                continue
            return self._word(c, source, start, end)

    def _plain(self) -> Token | None:
        """The next word by one look at the text, where no joint, macro or end of file is near."""
        source = self.source
        if source.pushed or self._expanding:
            return None
        text = source.text
        match = _PLAIN_BLANKS.match(text, source.pos)
        pos = match.end() if match else source.pos
        if pos >= len(text):
            return None
        c = text[pos]
        if c == "#":
            match = _PLAIN_COMMENT.match(text, pos)
            if match is None or match.end() >= len(text) or text[match.end()] != "\n":
                return None
            pos, c = match.end(), "\n"
        if c == "\n":
            source.pos = pos + 1
            self.lineno = line = source.lineno
            source.lineno += 1
            return Token(NEWLINE, "\n", 0, line, source, pos, pos + 1)
        if c == '"' or c == "'":
            match = _PLAIN_QUOTED.match(text, pos)
            if match is None or match.end() - pos - 2 > MAX_QUOTED:
                return None
            source.pos = match.end()
            self.lineno = source.lineno
            value = match[1] if match[1] is not None else match[2]
            return Token(STRING, _decoded(value), 0, source.lineno, source, pos, source.pos)
        if c in _WORD_START:
            match = _PLAIN_WORD.match(text, pos)
            if match is None:
                return None
            word, end = match[0], match.end()
            if end >= len(text) or text[end] in "\\\x01\x02" or end - pos > MAX_WORD or word.isdecimal():
                return None
            if c in _DIGITS and (digits := _leading_digits(word)) and word[digits] == "/":
                return None
            source.pos = end
            self.lineno = source.lineno
            kind = word if word in KEYWORDS else STRING
            return Token(kind, word, 0, source.lineno, source, pos, end)
        return None

    def _expand(self, start: int) -> None:
        """Put a macro's text in front of what is to be read."""
        name = ""
        while True:
            c = self._get()
            if c in _NAME:
                name += c
                if len(name) >= MAX_QUOTED:
                    raise self._error("macro name too long", "$" + name[:20], start)
            else:
                break
        end = max(start + 1, min(self.source.pos - 1, len(self.source.text)))
        self._unget(c)
        macro = self.macros.get(name)
        if macro is None and name in self.refused:
            self.skip_line()
            raise LexicalError(None)
        if macro is None:
            hint = (
                did_you_mean(name, self.macros) if name else '"$" begins a macro name; quote a word with "$"'
            )
            raise self._error(f"macro '{name}' not defined", "$" + name, start, hint)
        self.used.add(name)
        self._expansion += len(macro.text)
        if self._expansion > MAX_EXPANSION:
            raise self._error("the macros' texts are too long together", "$" + name, start)
        if not self.source.pushed:
            self._expansion_from = (start, end)
        pushed = self.source.pushed
        pushed.append(_DONE_EXPAND)
        pushed.extend(reversed(macro.text))
        pushed.append(_START_EXPAND)

    def _word(self, c: str, source: Source, start: int, end: int) -> Token:
        kind, value, number = c, c, 0
        if c == "'" or c == '"':
            kind, value = STRING, self._quoted(c, start)
        else:
            if c == "-" or c in _DIGITS:
                c, found = self._number(c, start)
                if found is not None:
                    return self._token(NUMBER, str(found), found, source, start, end)
                kind = value = c
                if c == "-":
                    return self._token(kind, value, 0, source, start, end)
            if c == "=":
                following = self._get()
                if following == ">":
                    return self._token(ARROW, "=>", 0, source, start, end)
                self._unget(following)
            if c in _WORD_START:
                value = self._string(c, start)
                kind = value if value in KEYWORDS else STRING
            elif c == "\n":
                self.lineno = self.source.lineno
                self.source.lineno += 1
            elif c == "":
                kind = END
            elif c == "\0":
                raise self._error("NUL byte", "", start)
        return self._token(kind, value, number, source, start, end)

    def _token(self, kind: str, value: str, number: int, source: Source, start: int, end: int) -> Token:
        if end < 0:
            end = max(start, source.pos if source is self.source else len(source.text))
        return Token(kind, _decoded(value), number, self.lineno, source, start, end)

    def _quoted(self, quote: str, start: int) -> str:
        value: list[str] = []
        while True:
            c = self._raw()
            if c == "":
                raise self._unterminated(start)
            if c == "\n":
                self.source.lineno += 1
                continue
            if c == "\\":
                following = self._raw()
                if following == "":
                    raise self._unterminated(start)
                if following == quote or following == " " or following == "\t":
                    c = following
                elif following == "\n":
                    self.source.lineno += 1
                    continue
                else:
                    self._unget(following)
            elif c == quote:
                return "".join(value)
            elif c == "\0":
                raise self._error("NUL byte in a quoted string", "", start)
            if len(value) >= MAX_QUOTED:
                raise self._error("string too long", quote + "".join(value[:20]), start)
            value.append(c)

    def _number(self, c: str, start: int) -> tuple[str, int | None]:
        """The number that begins with `c`; or None and the character to go on with, the others unread."""
        digits = c
        while (c := self._get()) and c in _DIGITS:
            digits += c
            if len(digits) > MAX_WORD:
                raise self._error("string too long", digits[:20], start)
        self._unget(c)
        if digits != "-" and (c == "" or c in _ENDS_NUMBER):
            number = int(digits)
            if not -_LLONG_MAX - 1 <= number <= _LLONG_MAX:
                size = "large" if number > 0 else "small"
                raise self._error(f'"{digits[:40]}" invalid number: too {size}', digits, start)
            return "", number
        for digit in reversed(digits[1:]):
            self._unget(digit)
        return digits[0], None

    def _string(self, c: str, start: int) -> str:
        value = [c]
        while (c := self._get()) and c in _IN_WORD:
            value.append(c)
            if len(value) > MAX_WORD:
                raise self._error("string too long", "".join(value[:20]), start)
        self._unget(c)
        return "".join(value)

    # faults

    def _unterminated(self, start: int) -> LexicalError:
        error = self.fault(
            "reached end of file while parsing quoted string", "", self.source, start, start + 1
        )
        self._pop()
        return LexicalError(error)

    def _error(self, message: str, word: str, start: int, hint: str = "") -> LexicalError:
        end = start + max(1, len(word))
        error = self.fault(message, _decoded(word), self.source, start, end, hint)
        self.skip_line()
        return LexicalError(error)

    def fault(
        self, message: str, word: str, source: Source, start: int, end: int, hint: str = ""
    ) -> ConfigError:
        """A ConfigError at the line of the last word read, pointing at the characters given."""
        line, column, text = source.where(min(start, len(source.text)))
        return ConfigError(
            self.source.name,
            self.lineno,
            message,
            word,
            column,
            _decoded(text),
            line,
            max(1, end - start),
            hint,
        )


def _decoded(text: str) -> str:
    """Characters that are bytes, as utf-8 text."""
    return text if text.isascii() else text.encode("latin-1").decode("utf-8", "surrogateescape")


def _leading_digits(word: str) -> int:
    """How many digits the word begins with, when others follow; 0 otherwise."""
    for i, c in enumerate(word):
        if c not in _DIGITS:
            return i
    return 0
