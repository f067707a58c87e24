"""POSIX extended regular expressions (IEEE Std 1003.1, 9.4), with the GNU C library's additions, over bytes.

Holds `compile_all`: many expressions become one automaton that reads a text once, whatever the expressions
are, so that no text a client sends can make a match slow. It answers only whether one of them is found
somewhere in the text, which is what tables of regular expressions are asked (regexec(3) with REG_NOSUB). Must
not hold what such a table is used for.

Of the library's own, words and spaces (`\\w \\W \\s \\S`) and their edges (`\\< \\> \\b \\B`) are known here;
a back-reference is refused.
"""

from collections.abc import Iterable

MAX_NODES = 100_000
"""Largest automaton (nodes, all expressions together); an expression that would make it larger is refused."""
MAX_REPEAT = 255
"""Largest count in braces."""
MAX_REPEATED = 100
"""Longest row of counts and stars behind one thing, in bytes."""
MAX_STEPS = 50_000
"""Steps from a state by a byte that are remembered between texts; all are forgotten when there are more."""

_ALL = (1 << 256) - 1
_CLASSES = {
    "alpha": b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "digit": b"0123456789",
    "alnum": b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "upper": b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "lower": b"abcdefghijklmnopqrstuvwxyz",
    "space": b" \t\n\v\f\r",
    "blank": b" \t",
    "punct": b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "print": bytes(range(32, 127)),
    "graph": bytes(range(33, 127)),
    "cntrl": bytes([*range(32), 127]),
    "xdigit": b"0123456789abcdefABCDEF",
}


class ExpressionError(ValueError):
    """An expression is none, or one that is not taken."""


def _set(members: Iterable[int]) -> int:
    bits = 0
    for member in members:
        bits |= 1 << member
    return bits


_WORD = _set(_CLASSES["alnum"] + b"_")
_SPACE = _set(_CLASSES["space"])
_WORD_BYTES = frozenset(_CLASSES["alnum"] + b"_")

# Conditions between two bytes.
_BEGIN, _END, _WORD_BEGIN, _WORD_END, _WORD_EDGE, _NO_WORD_EDGE = range(6)
_EDGES = {
    ord("<"): _WORD_BEGIN,
    ord(">"): _WORD_END,
    ord("b"): _WORD_EDGE,
    ord("B"): _NO_WORD_EDGE,
    ord("`"): _BEGIN,
    ord("'"): _END,
}

# A tree is ("set", bits), ("edge", condition), ("seq", [..]), ("alt", [..]) or ("rep", tree, low, high).
type _Tree = tuple[str, object] | tuple[str, object, int, int]


class _Reader:
    """One expression to its tree."""

    def __init__(self, pattern: bytes, fold: bool) -> None:
        self._text = pattern
        self._at = 0
        self._fold = fold
        self._depth = 0

    def read(self) -> _Tree:
        tree = self._alternatives()
        if self._at < len(self._text):
            raise ExpressionError("unmatched )")
        return tree

    def _peek(self) -> int:
        return self._text[self._at] if self._at < len(self._text) else -1

    def _alternatives(self) -> _Tree:
        self._depth += 1
        if self._depth > 100:
            raise ExpressionError("too many parentheses")
        branches = [self._branch()]
        while self._peek() == ord("|"):
            self._at += 1
            branches.append(self._branch())
        self._depth -= 1
        return ("alt", branches) if len(branches) > 1 else branches[0]

    def _branch(self) -> _Tree:
        items: list[_Tree] = []
        while True:
            c = self._peek()
            if c < 0 or c == ord("|") or (c == ord(")") and self._depth > 1):
                return ("seq", items)
            item = self._atom()
            start = self._at
            while self._peek() >= 0 and chr(self._peek()) in "*+?{":
                if self._at - start > MAX_REPEATED:
                    raise ExpressionError("repeated too often")
                if item[0] == "edge":
                    raise ExpressionError("a condition cannot be repeated")
                item = self._repeated(item)
            items.append(item)

    def _atom(self) -> _Tree:
        c = self._text[self._at]
        self._at += 1
        if c == ord("("):
            tree = self._alternatives()
            if self._peek() != ord(")"):
                raise ExpressionError("unmatched (")
            self._at += 1
            return tree
        if c == ord("["):
            return ("set", self._bracket())
        if c == ord("."):
            return ("set", _ALL & ~1)
        if c == ord("^"):
            return ("edge", _BEGIN)
        if c == ord("$"):
            return ("edge", _END)
        if chr(c) in "*+?{":
            raise ExpressionError(f"nothing to repeat before {chr(c)}")
        if c == ord("\\"):
            return self._escaped()
        return ("set", self._folded(1 << c))

    def _escaped(self) -> _Tree:
        c = self._peek()
        if c < 0:
            raise ExpressionError("trailing backslash")
        self._at += 1
        if c in b"wWsS":
            bits = _WORD if c in b"wW" else _SPACE
            return ("set", bits if c in b"ws" else _ALL & ~bits & ~1)
        if c in _EDGES:
            return ("edge", _EDGES[c])
        if c in b"123456789":
            raise ExpressionError("back-references are not taken")
        return ("set", self._folded(1 << c))

    def _folded(self, bits: int) -> int:
        """The set with the other case of its letters."""
        if not self._fold:
            return bits
        upper = (bits >> 97) & 0x3FFFFFF
        lower = (bits >> 65) & 0x3FFFFFF
        return bits | upper << 65 | lower << 97

    def _repeated(self, item: _Tree) -> _Tree:
        c = self._text[self._at]
        self._at += 1
        if c == ord("*"):
            return ("rep", item, 0, -1)
        if c == ord("+"):
            return ("rep", item, 1, -1)
        if c == ord("?"):
            return ("rep", item, 0, 1)
        end = self._text.find(b"}", self._at)
        low, comma, high = self._text[self._at : end].partition(b",") if end >= 0 else (b"", b"", b"")
        if not (low or comma) or not all(part == b"" or part.isdigit() for part in (low, high)):
            raise ExpressionError("invalid count in {}")
        self._at = end + 1
        least = int(low or b"0")
        most = least if not comma else int(high) if high else -1
        if max(least, most) > MAX_REPEAT or -1 < most < least:
            raise ExpressionError("invalid count in {}")
        return ("rep", item, least, most)

    def _bracket(self) -> int:
        negated = self._peek() == ord("^")
        self._at += negated
        bits = 0
        first = True
        while True:
            if self._peek() < 0:
                raise ExpressionError("unmatched [")
            if self._peek() == ord("]") and not first:
                self._at += 1
                break
            first = False
            bits |= self._member()
        bits = self._folded(bits)
        return _ALL & ~bits & ~1 if negated else bits

    def _member(self) -> int:
        """One member or range of a bracket."""
        if self._text[self._at : self._at + 2] == b"[:":
            end = self._text.find(b":]", self._at + 2)
            members = _CLASSES.get(self._text[self._at + 2 : end].decode("latin-1")) if end >= 0 else None
            if members is None:
                raise ExpressionError("unknown class in []")
            self._at = end + 2
            if self._fold and members in (_CLASSES["upper"], _CLASSES["lower"]):
                members = _CLASSES["alpha"]
            if (
                self._text[self._at : self._at + 1] == b"-"
                and self._text[self._at + 1 : self._at + 2] != b"]"
            ):
                raise ExpressionError("a class cannot begin a range")
            return _set(members)
        low = self._element()
        if self._text[self._at : self._at + 1] != b"-" or self._text[self._at + 1 : self._at + 2] in (
            b"]",
            b"",
        ):
            return 1 << low
        self._at += 1
        high = self._element()
        if high < low:
            raise ExpressionError("range in [] is the wrong way round")
        return _set(range(low, high + 1))

    def _element(self) -> int:
        """One byte, perhaps as [.x.] or [=x=]."""
        for begin, end in ((b"[.", b".]"), (b"[=", b"=]")):
            if self._text[self._at : self._at + 2] == begin:
                stop = self._text.find(end, self._at + 3)
                if stop != self._at + 3:
                    raise ExpressionError("unknown element in []")
                self._at = stop + 2
                return self._text[stop - 1]
        if self._text[self._at : self._at + 2] == b"[:":
            raise ExpressionError("a class cannot end a range")
        if self._peek() < 0:
            raise ExpressionError("unmatched [")
        self._at += 1
        return self._text[self._at - 1]


class _State:
    """A set of nodes after some bytes, what follows on each byte, and whether the text may end here."""

    __slots__ = ("at_end", "found", "following", "nodes")

    def __init__(self, nodes: frozenset[int], found: bool) -> None:
        self.nodes = nodes
        self.found = found
        """An expression is found already."""
        self.at_end: bool | None = None
        """An expression is found if the text ends here; None is not known yet."""
        self.following: dict[int, _State] = {}


class Expressions:
    """Some expressions, ready to be looked for together."""

    def __init__(self) -> None:
        # Node: a set of bytes and the node after it; or a condition and the node after it; or two ways.
        self._sets: list[int] = []
        self._edges: list[int] = []
        self._out: list[tuple[int, ...]] = []
        self._starts: list[int] = []
        self._accept = self._node(0, -1, ())
        self._has_word_edges = False
        self._states: dict[tuple[frozenset[int], bool], _State] = {}
        self._steps = 0

    def _node(self, bits: int, edge: int, out: tuple[int, ...]) -> int:
        if len(self._out) >= MAX_NODES:
            raise ExpressionError("the expressions are too large together")
        self._sets.append(bits)
        self._edges.append(edge)
        self._out.append(out)
        return len(self._out) - 1

    def add(self, pattern: bytes, fold: bool = False) -> None:
        """Look for `pattern` as well, with `fold` in either case; ExpressionError, and nothing is changed."""
        tree = _Reader(pattern, fold).read()
        size = len(self._out)
        try:
            self._starts.append(self._build(tree, self._accept))
        except ExpressionError:
            del self._sets[size:], self._edges[size:], self._out[size:]
            raise
        self._states.clear()

    def _build(self, tree: _Tree, after: int) -> int:
        """The node that begins the tree when `after` is what follows it."""
        kind, content = tree[0], tree[1]
        if kind == "set":
            assert isinstance(content, int)
            return self._node(content, -1, (after,))
        if kind == "edge":
            assert isinstance(content, int)
            self._has_word_edges |= content not in (_BEGIN, _END)
            return self._node(0, content, (after,))
        if kind == "rep":
            assert len(tree) == 4
            return self._repeat(content, tree[2], tree[3], after)  # type: ignore[arg-type]
        assert isinstance(content, list)
        if kind == "alt":
            return self._node(0, -1, tuple(self._build(branch, after) for branch in content))
        for item in reversed(content):
            after = self._build(item, after)
        return after

    def _repeat(self, item: _Tree, low: int, high: int, after: int) -> int:
        if high < 0:
            loop = self._node(0, -1, ())
            self._out[loop] = (self._build(item, loop), after)
            after = loop
        else:
            end = after
            for _ in range(high - low):
                after = self._node(0, -1, (self._build(item, after), end))
        for _ in range(low):
            after = self._build(item, after)
        return after

    def search(self, text: bytes) -> bool:
        """Whether one of the expressions is found in the text. As for regexec(3), a text ends at a NUL."""
        state = self._begin()
        last = -1
        for byte in text:
            if not byte:
                break
            if state.found:
                return True
            # A condition on words looks at both neighbours: the byte to come is part of what is met.
            key = byte if not self._has_word_edges else byte << 9 | last + 1
            following = state.following.get(key)
            if following is None:
                following = state.following[key] = self._step(state, last, byte)
                self._steps += 1
            state = following
            last = byte
        if state.found:
            return True
        if self._has_word_edges or state.at_end is None:
            state.at_end = self._accept in self._closed(state.nodes, last, -1)
        return state.at_end

    def _begin(self) -> _State:
        return self._remember(frozenset(self._starts), True)

    def _remember(self, nodes: frozenset[int], begin: bool) -> _State:
        key = (nodes, begin)
        state = self._states.get(key)
        if state is None:
            if self._steps >= MAX_STEPS:
                self._states.clear()
                self._steps = 0
            found = self._accept in self._plain(nodes)
            state = self._states[key] = _State(nodes, found)
        return state

    def _plain(self, nodes: frozenset[int]) -> set[int]:
        """The nodes reached without a byte and without a condition."""
        return self._closed(nodes, -2, -2)

    def _closed(self, nodes: frozenset[int], before: int, after: int) -> set[int]:
        """The nodes reached between two bytes (-1 is an end of the text, -2 says that no condition holds)."""
        seen = set(nodes)
        stack = list(nodes)
        while stack:
            node = stack.pop()
            if self._sets[node] or (self._edges[node] >= 0 and not _holds(self._edges[node], before, after)):
                continue
            for following in self._out[node]:
                if following not in seen:
                    seen.add(following)
                    stack.append(following)
        return seen

    def _step(self, state: _State, before: int, byte: int) -> _State:
        reached = self._closed(state.nodes, before, byte)
        if self._accept in reached:
            return self._remember(frozenset((self._accept,)), False)
        bit = 1 << byte
        nodes = {self._out[node][0] for node in reached if self._sets[node] & bit}
        nodes.update(self._starts)
        return self._remember(frozenset(nodes), False)


def _holds(edge: int, before: int, after: int) -> bool:
    """Whether a condition holds between two bytes."""
    if before == -2:
        return False
    if edge == _BEGIN:
        return before == -1
    if edge == _END:
        return after == -1
    left, right = before in _WORD_BYTES, after in _WORD_BYTES
    if edge == _WORD_BEGIN:
        return right and not left
    if edge == _WORD_END:
        return left and not right
    return (left != right) == (edge == _WORD_EDGE)


def compile_all(patterns: Iterable[bytes]) -> tuple[Expressions, list[tuple[bytes, str]]]:
    """The expressions as one, and those that are none with the reason. "(?i)" at the start of one looks for
    it in either case (OpenSMTPD's addition)."""
    expressions = Expressions()
    refused = []
    for pattern in patterns:
        fold = pattern.startswith(b"(?i)")
        try:
            expressions.add(pattern[4:] if fold else pattern, fold)
        except ExpressionError as error:
            refused.append((pattern, str(error)))
    return expressions, refused
