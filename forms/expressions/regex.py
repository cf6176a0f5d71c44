"""Java's regular expressions, matched whole and in linear time.

Collect asks whether the *whole* text matches. Patterns come from spreadsheets and texts from strangers, so a
backtracking matcher could be made to run for hours. Here a pattern becomes a set of remainders that is followed
character by character, after Antimirov ("Partial derivatives of regular expressions", 1996): the time is bounded by
the pattern's size times the text's length, whatever both are.

Refused, because they go beyond regular languages or mean something else elsewhere: back references, look-behind,
look-ahead except at the very beginning, word boundaries, possessive and atomic groups, class intersections.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from forms.expressions.errors import Refused
from forms.sheets import Text

_MOST_SIZE = 2_000
"""Places in a pattern with its counted repetitions written out; `(a{50}){50}` has 2,500."""

_MOST_STATES = 500
"""States remembered per pattern before they are forgotten and made anew."""

_MOST_COUNT = 1_000


@dataclass(frozen=True, slots=True)
class _Set:
    """One character: within a range or of a class; with `fold`, ASCII letters match in either case."""

    ranges: tuple[tuple[str, str], ...] = ()
    classes: tuple[tuple[str, bool], ...] = ()
    negated: bool = False
    fold: bool = False

    def holds(self, character: str) -> bool:
        found = self._found(character)
        if not found and self.fold and character.isascii():
            found = self._found(character.swapcase())
        return found is not self.negated

    def _found(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges) or any(
            _in_class(character, name) is not negated for name, negated in self.classes
        )


@dataclass(frozen=True, slots=True)
class _Sequence:
    items: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Either:
    choices: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    """`least` to `most` times; None is without end."""

    item: _Node
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class _Edge:
    """`^` or `$`."""

    start: bool


@dataclass(frozen=True, slots=True)
class _Ahead:
    item: _Node
    negative: bool


_Node = _Set | _Sequence | _Either | _Repeat | _Edge | _Ahead
_Term = tuple[_Node, ...]

_ANYTHING = _Repeat(_Set(negated=True), 0, None)
_LINE_ENDS = tuple((end, end) for end in "\n\r\u0085\u2028\u2029")


def _in_class(character: str, name: str) -> bool:
    if name == "cased":
        return unicodedata.category(character) in {"Lu", "Ll", "Lt"}
    if name.startswith("category:"):
        return unicodedata.category(character).startswith(name.removeprefix("category:"))
    return character.isascii() and _ASCII_CLASSES[name].match(character) is not None


_ASCII_CLASSES = {
    "d": re.compile(r"[0-9]"),
    "w": re.compile(r"[a-zA-Z_0-9]"),
    "s": re.compile(r"[ \t\n\x0b\f\r]"),
    "Lower": re.compile(r"[a-z]"),
    "Upper": re.compile(r"[A-Z]"),
    "Alpha": re.compile(r"[a-zA-Z]"),
    "Digit": re.compile(r"[0-9]"),
    "Alnum": re.compile(r"[a-zA-Z0-9]"),
    "Punct": re.compile(r"[!-/:-@\[-`{-~]"),
    "Graph": re.compile(r"[!-~]"),
    "Print": re.compile(r"[ -~]"),
    "Blank": re.compile(r"[ \t]"),
    "Cntrl": re.compile(r"[\x00-\x1f\x7f]"),
    "XDigit": re.compile(r"[0-9a-fA-F]"),
    "Space": re.compile(r"[ \t\n\x0b\f\r]"),
    "ASCII": re.compile(r"[\x00-\x7f]"),
}
_CATEGORIES = re.compile(r"L[ultmo]?|M[nce]?|N[dlo]?|P[cdseifo]?|S[mcko]?|Z[slp]?|C[cfson]?")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}


@dataclass(slots=True)
class Pattern:
    """A compiled pattern. Safe to share: what it remembers only saves time."""

    main: _Node
    ahead: tuple[_Ahead, ...] = ()
    _machines: list[_Machine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._machines = [_Machine((part.item, _ANYTHING)) for part in self.ahead]
        self._machines.append(_Machine((self.main,)))

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        for part, machine in zip(self.ahead, self._machines, strict=False):
            if machine.accepts(text) is part.negative:
                return False
        return self._machines[-1].accepts(text)


class _Machine:
    """Follows a term through a text; remembers which set of remainders each character leads to."""

    def __init__(self, term: _Term) -> None:
        self._begin = term
        self._steps: dict[tuple[frozenset[_Term], str, bool], frozenset[_Term]] = {}

    def accepts(self, text: str) -> bool:
        state = frozenset({self._begin})
        for place, character in enumerate(text):
            state = self._step(state, character, place == 0)
            if not state:
                return False
        return any(head is None for head, _ in _heads(state, at_start=not text, at_end=True))

    def _step(self, state: frozenset[_Term], character: str, at_start: bool) -> frozenset[_Term]:
        key = (state, character, at_start)
        known = self._steps.get(key)
        if known is None:
            heads = _heads(state, at_start=at_start, at_end=False)
            known = frozenset(rest for head, rest in heads if head is not None and head.holds(character))
            if len(self._steps) > _MOST_STATES:
                self._steps = {}
            self._steps[key] = known
        return known


def _heads(state: frozenset[_Term], *, at_start: bool, at_end: bool) -> Iterator[tuple[_Set | None, _Term]]:
    """Each character set that may come next with what remains after it; None where nothing more is needed."""
    waiting = list(state)
    # One for the whole state: a remainder that several others lead to is opened once.
    seen = set(state)
    while waiting:
        current = waiting.pop()
        if not current:
            yield None, ()
            continue
        first, rest = current[0], current[1:]
        if isinstance(first, _Set):
            yield first, rest
            continue
        for opened in _opened(first, rest, at_start=at_start, at_end=at_end):
            if opened not in seen:
                seen.add(opened)
                waiting.append(opened)


def _opened(first: _Node, rest: _Term, *, at_start: bool, at_end: bool) -> list[_Term]:
    match first:
        case _Sequence(items):
            return [items + rest]
        case _Either(choices):
            return [(choice, *rest) for choice in choices]
        case _Repeat(item, least, most):
            again = [] if most == 0 else [(item, _Repeat(item, max(least - 1, 0), most and most - 1), *rest)]
            return again + ([rest] if least == 0 else [])
        case _Edge(start):
            return [rest] if (at_start if start else at_end) else []
    return []


@lru_cache(maxsize=512)
def pattern(text: str) -> Pattern:
    """The pattern of a text; raises Refused where it cannot be used, with a cure."""
    reader = _Reader(text)
    node = reader.either()
    if not reader.done:
        raise reader.refused(")")
    return _checked(node)


def _checked(node: _Node) -> Pattern:
    """Takes the look-aheads off the front, and refuses those elsewhere and what is too large."""
    items = list(node.items) if isinstance(node, _Sequence) else [node]
    ahead: list[_Ahead] = []
    while items and (isinstance(items[0], _Ahead) or items[0] == _Edge(start=True)):
        first = items.pop(0)
        if isinstance(first, _Ahead):
            ahead.append(first)
    main = _Sequence(tuple(items))
    parts = [main, *(part.item for part in ahead)]
    if any(_has_ahead(part) for part in parts):
        raise _refusal("(?=", "(?=")
    if sum(_size(part) for part in parts) > _MOST_SIZE:
        raise Refused(
            Text(vi="Mẫu regex này quá lớn.", en="This pattern is too large."),
            Text(vi="Giảm số lần lặp trong {…}.", en="Use smaller counts in {…}."),
        )
    return Pattern(main, tuple(ahead))


def _children(node: _Node) -> tuple[_Node, ...]:
    match node:
        case _Sequence(items):
            return items
        case _Either(choices):
            return choices
        case _Repeat(item) | _Ahead(item):
            return (item,)
    return ()


def _has_ahead(node: _Node) -> bool:
    return isinstance(node, _Ahead) or any(_has_ahead(child) for child in _children(node))


def _size(node: _Node) -> int:
    inner = 1 + sum(_size(child) for child in _children(node))
    if isinstance(node, _Repeat):
        return inner * max(node.least, node.most or 1, 1)
    return inner


def _refusal(sign: str, shown: str) -> Refused:
    if sign == ")":
        return Refused(
            Text(
                vi="Mẫu regex chưa trọn: ngoặc mở mà không đóng, hoặc ngược lại.",
                en="The pattern is not complete: a bracket is opened and not closed, or the other way round.",
            ),
            _CURES[")"],
        )
    return Refused(
        Text(
            vi=f"Mẫu regex có '{shown}', không dùng được ở đây.", en=f"The pattern has '{shown}', which cannot be used."
        ),
        _CURES.get(sign, _CURES[""]),
    )


_CURES = {
    "": Text(
        vi="Dùng chữ, [..], \\d, ., *, +, ?, {n,m}, | và ( ). Ký hiệu đặc biệt viết sau \\.",
        en="Use letters, [..], \\d, ., *, +, ?, {n,m}, | and ( ). Special signs are written after \\.",
    ),
    ")": Text(vi="Kiểm tra các dấu ngoặc của mẫu.", en="Check the pattern's parentheses."),
    "(?=": Text(
        vi="(?=…) và (?!…) chỉ đứng ở đầu mẫu.",
        en="(?=…) and (?!…) can only stand at the beginning of the pattern.",
    ),
    "\\b": Text(
        vi="regex() so cả chữ, nên không cần \\b.",
        en="regex() compares the whole text, so \\b is not needed.",
    ),
}


_QUOTED = re.compile(r"\\Q(.*?)(?:\\E|\Z)|\\.", re.DOTALL)


def _unquoted(found: re.Match[str]) -> str:
    """`\\Qa.b\\E` as `a\\.b`, so that a count after it belongs to the last character, as in Java."""
    if found[1] is None:
        return found[0]
    return "".join(character if character.isalnum() else f"\\{character}" for character in found[1])


class _Reader:
    """Reads a pattern as Java does."""

    def __init__(self, text: str) -> None:
        self._text = _QUOTED.sub(_unquoted, text)
        self._place = 0
        self._fold = False
        self._dot_all = False
        self._depth = 0

    @property
    def done(self) -> bool:
        return self._place >= len(self._text)

    def refused(self, sign: str = "") -> Refused:
        return _refusal(sign, sign if sign in {"(?=", "\\b"} else self._text[max(self._place - 1, 0) : self._place + 3])

    def _peek(self) -> str:
        return self._text[self._place : self._place + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise self.refused(")")
        self._place += 1
        return character

    def _skip(self, text: str) -> bool:
        if self._text.startswith(text, self._place):
            self._place += len(text)
            return True
        return False

    def either(self) -> _Node:
        fold, dot_all = self._fold, self._dot_all
        self._depth += 1
        if self._depth > 50:
            raise self.refused(")")
        choices = [self._sequence()]
        while self._skip("|"):
            choices.append(self._sequence())
        self._depth -= 1
        # Inline flags hold until the end of their group.
        self._fold, self._dot_all = fold, dot_all
        return choices[0] if len(choices) == 1 else _Either(tuple(choices))

    def _sequence(self) -> _Node:
        items: list[_Node] = []
        while not self.done and self._peek() not in "|)":
            atom = self._atom()
            if atom is not None:
                items.append(self._repeated(atom))
        return _Sequence(tuple(items))

    def _repeated(self, atom: _Node) -> _Node:
        counts = self._counts()
        if counts is None:
            return atom
        if isinstance(atom, _Ahead) or self._peek() in {"+", "*", "{"}:
            raise self.refused()
        # A lazy repetition matches the same whole texts as a greedy one.
        self._skip("?")
        if self._peek() in {"+", "*", "?", "{"}:
            raise self.refused()
        return _Repeat(atom, *counts)

    def _counts(self) -> tuple[int, int | None] | None:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self._peek() in simple:
            return simple[self._take()]
        if self._peek() != "{":
            return None
        found = re.compile(r"\{(\d+)(,(\d*))?\}", re.ASCII).match(self._text, self._place)
        if found is None:
            raise self.refused()
        least = int(found[1])
        most = least if found[2] is None else (int(found[3]) if found[3] else None)
        if max(least, most or 0) > _MOST_COUNT or (most is not None and most < least):
            raise self.refused()
        self._place = found.end()
        return least, most

    def _atom(self) -> _Node | None:
        character = self._take()
        match character:
            case "(":
                return self._group()
            case "[":
                return self._set()
            case ".":
                return _Set(negated=True) if self._dot_all else _Set(_LINE_ENDS, negated=True)
            case "^" | "$":
                return _Edge(start=character == "^")
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                self._place -= 1
                raise self.refused()
        return self._one(character)

    def _one(self, character: str) -> _Set:
        return _Set(((character, character),), fold=self._fold)

    def _group(self) -> _Node | None:
        if self._skip("?=") or self._skip("?!"):
            negative = self._text[self._place - 1] == "!"
            node: _Node = _Ahead(self.either(), negative)
        elif self._skip("?"):
            flags = re.compile(r"([is]*)(\)|:)|(:)|<[a-zA-Z]\w*>", re.ASCII).match(self._text, self._place)
            if flags is None:
                raise self.refused()
            self._place = flags.end()
            if flags[2] == ")":
                self._fold, self._dot_all = self._fold or "i" in flags[1], self._dot_all or "s" in flags[1]
                return None
            node = self._flagged_group(flags[1] or "")
        else:
            node = self.either()
        if not self._skip(")"):
            raise self.refused(")")
        return node

    def _flagged_group(self, flags: str) -> _Node:
        fold, dot_all = self._fold, self._dot_all
        self._fold, self._dot_all = fold or "i" in flags, dot_all or "s" in flags
        node = self.either()
        self._fold, self._dot_all = fold, dot_all
        return node

    def _escape(self) -> _Node:
        letter = self._take()
        if letter in {"b", "B"}:
            raise self.refused("\\b")
        if letter in {"z", "Z"}:
            return _Edge(start=False)
        if letter == "A":
            return _Edge(start=True)
        named = self._class(letter)
        return _Set(classes=(named,)) if named else self._one(self._literal(letter))

    def _class(self, letter: str) -> tuple[str, bool] | None:
        """The class that `\\d`, `\\W`, `\\p{L}` … stands for, and whether it is negated."""
        if letter.lower() in {"d", "w", "s"}:
            return letter.lower(), letter.isupper()
        if letter not in {"p", "P"}:
            return None
        found = re.compile(r"\{(?:Is)?(\w+)\}|([A-Z])", re.ASCII).match(self._text, self._place)
        name = (found[1] or found[2]) if found else ""
        name = {"IsAlphabetic": "L", "Alphabetic": "L"}.get(name, name)
        if found is None or not (name in _ASCII_CLASSES or _CATEGORIES.fullmatch(name)) or name in {"d", "w", "s"}:
            raise self.refused()
        self._place = found.end()
        if self._fold and name in {"Lu", "Ll", "Lt", "Lower", "Upper"}:
            name = "cased" if len(name) == 2 else "Alpha"
        return (name if name in _ASCII_CLASSES or name == "cased" else f"category:{name}"), letter == "P"

    def _literal(self, letter: str) -> str:
        """The one character that an escape stands for."""
        if letter in _ESCAPED:
            return _ESCAPED[letter]
        found = re.compile(r"x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})").match(
            self._text, self._place - 1
        )
        if found:
            self._place = found.end()
            code = int(found[1] or found[2] or found[3], 16)
            if code > 0x10FFFF:
                raise self.refused()
            return chr(code)
        if letter.isascii() and letter.isalnum():
            raise self.refused()
        return letter

    def _set(self) -> _Set:
        negated = self._skip("^")
        ranges: list[tuple[str, str]] = []
        classes: list[tuple[str, bool]] = []
        while self._peek() != "]" or not (ranges or classes):
            item = self._set_item()
            if isinstance(item, tuple):
                classes.append(item)
            else:
                ranges.append((item, self._range_end(item)))
        self._take()
        return _Set(tuple(ranges), tuple(classes), negated, self._fold)

    def _range_end(self, low: str) -> str:
        if self._peek() != "-" or self._text[self._place + 1 : self._place + 2] in {"]", ""}:
            return low
        self._take()
        high = self._set_item()
        if isinstance(high, tuple) or high < low:
            raise self.refused()
        return high

    def _set_item(self) -> str | tuple[str, bool]:
        """A character or a class. Nested classes and intersections are Java's own; they are refused."""
        character = self._take()
        if character == "[" or (character == "&" and self._peek() == "&"):
            raise self.refused()
        if character != "\\":
            return character
        letter = self._take()
        return self._class(letter) or self._literal(letter)
