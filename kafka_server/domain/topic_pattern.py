"""Owns: regular expressions over topic names (KIP-848), in RE2's syntax. Must never know: groups, which topics exist.

Patterns come from the wire, so that matching must not take longer than the pattern and the name allow: Python's ``re``
backtracks and can be kept busy for years by ``(a+)+$``. Like RE2, which Apache Kafka uses, this runs an automaton that
looks at each character once. That is small here, because a topic name has only 65 different characters: a character
class is a set of those, and what lies outside of them can never match.

What RE2 refuses is refused (look-around, back references, possessive quantifiers), and so is a pattern that would
become too large. Names of Unicode classes are known as far as they say something about the 65.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Iterable, Sequence

from kafka_server.domain.errors import InvalidRegularExpression

ALPHABET = frozenset(string.ascii_letters + string.digits + "._-")
PATTERN_LENGTH_MAX = 4_096
REPEAT_MAX = 1_000
"""RE2's bound on ``{n,m}``."""
STATES_MAX = 20_000
"""Bounds what nested repetitions blow up to."""
NESTING_MAX = 100

_DIGITS = frozenset(string.digits)
_WORD = frozenset(string.ascii_letters + string.digits + "_")
_ESCAPED_CLASSES = {"d": _DIGITS, "w": _WORD, "s": frozenset[str]()}
_NAMED_CLASSES = {
    "alnum": frozenset(string.ascii_letters + string.digits),
    "alpha": frozenset(string.ascii_letters),
    "ascii": ALPHABET,
    "blank": frozenset[str](),
    "cntrl": frozenset[str](),
    "digit": _DIGITS,
    "graph": ALPHABET,
    "lower": frozenset(string.ascii_lowercase),
    "print": ALPHABET,
    "punct": frozenset("._-"),
    "space": frozenset[str](),
    "upper": frozenset(string.ascii_uppercase),
    "word": _WORD,
    "xdigit": frozenset(string.hexdigits),
}
_UNICODE_CLASSES = {
    "L": _NAMED_CLASSES["alpha"],
    "Ll": _NAMED_CLASSES["lower"],
    "Lu": _NAMED_CLASSES["upper"],
    "N": _DIGITS,
    "Nd": _DIGITS,
    "P": frozenset("._-"),
    "Pc": frozenset("_"),
    "Pd": frozenset("-"),
    "Po": frozenset("."),
    "Latin": _NAMED_CLASSES["alpha"],
    "Common": _DIGITS | frozenset("._-"),
}
_CONTROL_ESCAPES = frozenset("aftnrv")
_PUNCTUATION = frozenset(string.punctuation)

_Eat = tuple[frozenset[str], int]
"""A state that takes one of these characters and goes on to that state. Others fork, or assert where they are."""


class TopicPattern:
    """A compiled pattern. Raises InvalidRegularExpression when it is none."""

    __slots__ = ("_asserts", "_eats", "_forks", "_start", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > PATTERN_LENGTH_MAX:
            raise InvalidRegularExpression(f"A pattern of {len(text)} characters is too long")
        parser = _Parser(text)
        tree = parser.parse()
        builder = _Builder(text)
        self._start = builder.add(tree, END)
        self._eats, self._forks, self._asserts = builder.eats, builder.forks, builder.asserts

    def matches(self, name: str) -> bool:
        """Whether the pattern describes the whole name."""
        states = self._closure({self._start}, name, 0)
        for position, character in enumerate(name):
            following = {self._eats[s][1] for s in states if s in self._eats and character in self._eats[s][0]}
            if not following:
                return False
            states = self._closure(following, name, position + 1)
        return END in states

    def _closure(self, states: set[int], name: str, position: int) -> set[int]:
        """The states that are reached from these without a character."""
        seen, todo = set(states), list(states)
        while todo:
            state = todo.pop()
            following: Iterable[int] = self._forks.get(state, ())
            if state in self._asserts:
                kind, target = self._asserts[state]
                following = (target,) if _holds(kind, name, position) else ()
            for one in following:
                if one not in seen:
                    seen.add(one)
                    todo.append(one)
        return seen


END = 0
"""The state in which everything has matched."""


@functools.lru_cache(maxsize=256)
def topic_pattern(text: str) -> TopicPattern:
    """The compiled pattern; a few are kept, because all members of a group bring the same one."""
    return TopicPattern(text)


def _holds(kind: str, name: str, position: int) -> bool:
    if kind == "^":
        return position == 0
    if kind == "$":
        return position == len(name)
    before = position > 0 and name[position - 1] in _WORD
    after = position < len(name) and name[position] in _WORD
    return (before != after) == (kind == "b")


# ---- the tree: what the parser makes and the builder reads -----------------------------------------------------------


class _Node:
    """``eat`` characters | ``assert`` kind | ``all`` parts in a row | ``any`` of the parts | ``repeat`` one part."""

    __slots__ = ("characters", "high", "kind", "low", "parts")

    def __init__(
        self,
        kind: str,
        parts: Sequence[_Node] = (),
        characters: frozenset[str] = frozenset(),
        low: int = 0,
        high: int | None = None,
    ) -> None:
        self.kind, self.parts, self.characters, self.low, self.high = kind, parts, characters, low, high


class _Builder:
    """Turns a tree into states, from the end to the start."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._count = 1
        self.eats: dict[int, _Eat] = {}
        self.forks: dict[int, tuple[int, ...]] = {}
        self.asserts: dict[int, tuple[str, int]] = {}

    def _new(self) -> int:
        self._count += 1
        if self._count > STATES_MAX:
            raise _invalid(self._text, "the repetitions make it too large")
        return self._count - 1

    def add(self, node: _Node, target: int) -> int:
        """The state from which the node leads to ``target``."""
        if node.kind == "all":
            for part in reversed(node.parts):
                target = self.add(part, target)
            return target
        if node.kind == "repeat":
            return self._add_repeat(node, target)
        state = self._new()
        if node.kind == "eat":
            self.eats[state] = (node.characters, target)
        elif node.kind == "any":
            self.forks[state] = tuple(self.add(part, target) for part in node.parts)
        else:
            self.asserts[state] = (node.kind, target)
        return state

    def _add_repeat(self, node: _Node, target: int) -> int:
        (part,) = node.parts
        if node.high is None:
            loop = self._new()
            self.forks[loop] = (self.add(part, loop), target)
            start = loop
        else:
            start = target
            for _ in range(node.high - node.low):
                state = self._new()
                self.forks[state] = (self.add(part, start), target)
                start = state
        for _ in range(node.low):
            start = self.add(part, start)
        return start


# ---- the parser ------------------------------------------------------------------------------------------------------


class _Parser:
    """Recursive descent over RE2's syntax."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._folds = False
        self._depth = 0

    def parse(self) -> _Node:
        tree = self._alternatives()
        if self._at < len(self._text):
            raise self._error("unexpected )")
        return tree

    def _error(self, why: str) -> InvalidRegularExpression:
        return _invalid(self._text, why)

    def _peek(self, size: int = 1) -> str:
        return self._text[self._at : self._at + size]

    def _take(self, size: int = 1) -> str:
        taken = self._peek(size)
        self._at += size
        return taken

    def _alternatives(self) -> _Node:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise self._error("expression nests too deeply")
        folds = self._folds
        parts = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._sequence())
        self._folds = folds  # A flag that is set inside of a group ends with the group.
        self._depth -= 1
        return parts[0] if len(parts) == 1 else _Node("any", parts)

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            if self._peek(2) == "\\Q":
                parts += self._quoted()
                continue
            node = self._one()
            if node is not None:
                parts.append(self._repeated(node))
        return _Node("all", parts)

    def _quoted(self) -> list[_Node]:
        end = self._text.find("\\E", self._at)
        stop = len(self._text) if end < 0 else end
        literals = self._text[self._at + 2 : stop]
        self._at = min(stop + 2, len(self._text))
        return [self._literal(character) for character in literals]

    def _one(self) -> _Node | None:
        """One thing that can be repeated; None for flags."""
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return _Node("eat", characters=self._bracket())
        if character == ".":
            return _Node("eat", characters=ALPHABET)
        if character in "^$":
            return _Node(character)
        if character in "*+?":
            raise self._error(f"missing argument to repetition operator: `{character}`")
        if character == "\\":
            return self._escape()
        return self._literal(character)

    def _literal(self, character: str) -> _Node:
        return _Node("eat", characters=self._fold(frozenset(character) & ALPHABET))

    def _fold(self, characters: frozenset[str]) -> frozenset[str]:
        if not self._folds:
            return characters
        return frozenset(c for one in characters for c in (one.lower(), one.upper()))

    def _repeated(self, node: _Node) -> _Node:
        is_repeated = False
        while True:
            start = self._at
            bounds = self._bounds()
            if bounds is None:
                return node
            if is_repeated:
                raise self._error(f"invalid nested repetition operator: `{self._text[start : self._at]}`")
            if self._peek() == "?":
                self._at += 1  # Lazy or greedy makes no difference to whether a name matches.
            node, is_repeated = _Node("repeat", [node], low=bounds[0], high=bounds[1]), True

    def _bounds(self) -> tuple[int, int | None] | None:
        character = self._peek()
        if character and character in "*+?":
            self._at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[character]
        end = self._text.find("}", self._at)
        if character != "{" or end < 0:
            return None
        low, comma, high = self._text[self._at + 1 : end].partition(",")
        if not (low.isascii() and low.isdigit()) or not (high == "" or (high.isascii() and high.isdigit())):
            return None  # RE2 takes a brace that begins no repetition for itself.
        self._at = end + 1
        bounds = int(low[:6]), (int(low[:6]) if not comma else int(high[:6]) if high else None)
        if bounds[0] > REPEAT_MAX or (bounds[1] is not None and not bounds[0] <= bounds[1] <= REPEAT_MAX):
            raise self._error("invalid repeat count")
        return bounds

    def _group(self) -> _Node | None:
        outer = self._folds
        if self._peek() == "?" and self._group_head():
            return None
        tree = self._alternatives()
        self._folds = outer
        if self._take() != ")":
            raise self._error("missing closing )")
        return tree

    def _group_head(self) -> bool:
        """What follows ``(?``; True when that was flags for the rest of the group around."""
        self._at += 1
        for name in ("P<", "<"):
            if self._peek(len(name)) == name:
                end = self._text.find(">", self._at)
                word = self._text[self._at + len(name) : end] if end > 0 else ""
                if not word or not set(word) <= _WORD:
                    raise self._error("invalid named capture")
                self._at = end + 1
                return False
        folds, is_on = self._folds, True
        while (character := self._take()) not in (":", ")"):
            if character == "i":
                folds = is_on
            elif character == "-":
                is_on = False
            elif character not in ("m", "s", "U"):  # Those change nothing for a name of one line.
                raise self._error("invalid or unsupported Perl syntax")
        self._folds = folds
        return character == ")"

    def _escape(self) -> _Node:
        character = self._take()
        if character in ("A", "z"):
            return _Node("^" if character == "A" else "$")
        if character in ("b", "B"):
            return _Node(character)
        if character == "C":
            return _Node("eat", characters=ALPHABET)
        return _Node("eat", characters=self._fold(self._escaped_characters(character)))

    def _escaped_characters(self, character: str) -> frozenset[str]:
        if not character:
            raise self._error("trailing backslash at end of expression")
        if character.lower() in _ESCAPED_CLASSES:
            inside = _ESCAPED_CLASSES[character.lower()]
            return inside if character.islower() else ALPHABET - inside
        if character in "pP":
            return self._unicode_class(is_negated=character == "P")
        if character == "x":
            return self._hexadecimal()
        if character in _CONTROL_ESCAPES or character == "0":
            return frozenset()
        if character in _PUNCTUATION:
            return frozenset(character) & ALPHABET
        raise self._error(f"invalid escape sequence: `\\{character}`")

    def _unicode_class(self, *, is_negated: bool) -> frozenset[str]:
        name = self._take()
        if name == "{":
            end = self._text.find("}", self._at)
            if end < 0:
                raise self._error("invalid character class range")
            name = self._text[self._at : end]
            self._at = end + 1
        if name.startswith("^"):
            name, is_negated = name[1:], not is_negated
        inside = ALPHABET if name == "Any" else _UNICODE_CLASSES.get(name)
        if inside is None:
            raise self._error(f"invalid character class range: `\\p{{{name}}}`")
        return ALPHABET - inside if is_negated else inside

    def _hexadecimal(self) -> frozenset[str]:
        if self._peek() == "{":
            end = self._text.find("}", self._at)
            digits = self._text[self._at + 1 : end] if end > 0 else ""
            self._at = end + 1 if end > 0 else self._at
        else:
            digits = self._take(2)
            if len(digits) != 2:
                digits = ""
        if not digits or len(digits) > 6 or not set(digits) <= set(string.hexdigits) or int(digits, 16) > 0x10FFFF:
            raise self._error("invalid escape sequence: `\\x`")
        return frozenset(chr(int(digits, 16))) & ALPHABET

    def _bracket(self) -> frozenset[str]:
        """A character class, behind its opening bracket."""
        is_negated = self._peek() == "^"
        self._at += is_negated
        inside: set[str] = set()
        is_first = True
        while is_first or self._peek() != "]":
            is_first = False
            if not self._peek():
                raise self._error("missing closing ]")
            inside |= self._class_item()
        self._at += 1
        if self._folds:
            inside = {c for one in inside for c in (one.lower(), one.upper())}
        return ALPHABET - inside if is_negated else frozenset(inside)

    def _class_item(self) -> frozenset[str]:
        if self._peek(2) == "[:":
            end = self._text.find(":]", self._at + 2)
            if end > 0:
                name = self._text[self._at + 2 : end]
                self._at = end + 2
                is_negated = name.startswith("^")
                named = _NAMED_CLASSES.get(name.removeprefix("^"))
                if named is None:
                    raise self._error(f"invalid character class range: `[:{name}:]`")
                return ALPHABET - named if is_negated else named
        low = self._class_character()
        if isinstance(low, frozenset):
            return low
        if self._peek() != "-" or self._peek(2)[1:] in ("]", ""):
            return frozenset(low) & ALPHABET
        self._at += 1
        high = self._class_character()
        if isinstance(high, frozenset) or high < low:
            raise self._error("invalid character class range")
        return frozenset(c for c in ALPHABET if low <= c <= high)

    def _class_character(self) -> str | frozenset[str]:
        """One character of a class, or the set that an escape stands for."""
        character = self._take()
        if character != "\\":
            if not character:
                raise self._error("missing closing ]")
            return character
        escaped = self._take()
        if escaped and escaped in _PUNCTUATION:
            return escaped
        return self._escaped_characters(escaped)


def _invalid(text: str, why: str) -> InvalidRegularExpression:
    return InvalidRegularExpression(f"{text[:200]!r} is no valid regular expression: {why}")
