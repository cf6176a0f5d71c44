"""Text → tree. The grammar is JavaRosa's: XPath 1.0 without predicates, axes and unions, plus `${name}`.

or < and < = != < < <= > >= < + - < * div mod < unary minus < literal, ${name}, path, call, parentheses
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace

from forms.expressions import complaints
from forms.expressions.errors import ExpressionError

# Excel and Word turn quotes as one types; pyxform turns them back, and so do we.
_SMART_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"'})

_MOST_DEPTH = 100
"""Parentheses and calls within each other; beyond any honest expression, and safely within Python's own stack."""

_MOST_OPERANDS = 200
"""Operands of one sum or chain of conditions."""

_MOST_LEVELS = 250
"""Levels of the whole tree: whoever walks it may call itself."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number (`3`, `.5`) or a quoted text."""

    value: str | float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Name:
    """`${name}` or `${group/name}`; `name` is what stands between the braces, in NFC."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Path:
    """A path as pyxform writes it: `/root/group/name`, `.`, `..`, `../name`, `current()/../name`.

    `steps` are names, `.` and `..`; `absolute` where it begins with a slash.
    """

    steps: tuple[str, ...]
    absolute: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FunctionCall:
    name: str
    arguments: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Negative:
    operand: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Operation:
    """Two operands and what stands between them: or and = != < <= > >= + - * div mod."""

    operator: str
    left: Node
    right: Node
    start: int
    end: int


Node = Literal | Name | Path | FunctionCall | Negative | Operation

LOGIC = frozenset({"and", "or"})
ORDER = frozenset({"<", "<=", ">", ">="})
EQUALITY = frozenset({"=", "!="})
COMPARISONS = ORDER | EQUALITY

_WORD_OPERATORS = frozenset({"and", "or", "div", "mod"})

#: Loosest first.
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"or"}),
    frozenset({"and"}),
    EQUALITY,
    ORDER,
    frozenset({"+", "-"}),
    frozenset({"*", "div", "mod"}),
)


def parse(text: str) -> Node:
    """The tree of an expression; raises ExpressionError with the place and a cure."""
    parser = _Parser(text)
    node = parser.expression()
    parser.finish()
    if _depth(node) > _MOST_LEVELS:
        raise complaints.too_deep(node.start)
    return node


def _depth(root: Node) -> int:
    """The number of levels of a tree, counted without recursion."""
    deepest, waiting = 0, [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        match node:
            case Operation(_, left, right):
                waiting += [(left, depth + 1), (right, depth + 1)]
            case Negative(operand):
                waiting.append((operand, depth + 1))
            case FunctionCall(_, arguments):
                waiting += [(argument, depth + 1) for argument in arguments]
    return deepest


@dataclass(frozen=True, slots=True)
class _Token:
    """`kind` is number, text, name (`${…}`), word, operator, mark (one character of punctuation) or end."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def shown(self) -> str:
        """The token as it stands in the text."""
        return {"name": f"${{{self.text}}}", "text": f'"{self.text}"'}.get(self.kind, self.text)


_NUMBER = re.compile(r"\d+\.?\d*|\.\d+", re.ASCII)
_BRACES = re.compile(r"\$\{([^{}]*)\}")
_WORD_OPERATOR = re.compile(r"(?:and|or|div|mod)(?![^\W\d])")
_WORD = re.compile(r"[^\W\d](?:[\w.·-]|[\u0300-\u036f])*(?::(?!:)[^\W\d][\w.-]*)?")
_OPERATOR = re.compile(r"!=|<=|>=|[=<>+*-]")
_MARK = re.compile(r"\.\.|//|::|[().,/\[\]|@]")

# What people write who know Excel or a programming language, and what stands for it here.
_OTHER_TONGUES = {
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "<>": "!=",
    "==": "=",
    "=>": ">=",
    "=<": "<=",
    "&&": "and",
    "||": "or",
    "&": "and",
    "!": "not(…)",
    "%": "mod",
    "÷": "div",
    "×": "*",
    "–": "-",
    "—": "-",
    "−": "-",
    "^": "pow(…, …)",
    ";": ",",
}
_FOREIGN = re.compile("|".join(re.escape(sign) for sign in sorted(_OTHER_TONGUES, key=len, reverse=True)))


def _tokens(source: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while place < len(source):
        if source[place].isspace():
            place += 1
            continue
        token = _token(source, place, after_operand=bool(tokens) and _ends_operand(tokens[-1]))
        tokens.append(token)
        place = token.end
    tokens.append(_Token("end", "", len(source), len(source)))
    return tokens


def _ends_operand(token: _Token) -> bool:
    if token.kind == "mark":
        return token.text in {")", "]", ".", ".."}
    return token.kind != "operator"


def _token(source: str, place: int, *, after_operand: bool) -> _Token:
    """The token at `place`. A word is an operator only after an operand: a field may be called `mod`."""
    foreign = _FOREIGN.match(source, place)
    if foreign and not source.startswith("!=", place):
        raise complaints.foreign_sign(foreign[0], _OTHER_TONGUES[foreign[0]], place)
    character = source[place]
    if character in "'\"":
        return _quoted(source, place)
    if character == "$":
        return _braces(source, place)
    patterns = [("number", _NUMBER), ("mark", _MARK), ("operator", _OPERATOR)]
    patterns.append(("operator", _WORD_OPERATOR) if after_operand else ("word", _WORD))
    for kind, pattern in patterns:
        found = pattern.match(source, place)
        if found:
            text = unicodedata.normalize("NFC", found[0]) if kind == "word" else found[0]
            return _Token(kind, text, place, found.end())
    word = _WORD.match(source, place)
    raise complaints.unexpected(word[0] if word else character, place)


def _quoted(source: str, place: int) -> _Token:
    close = source.find(source[place], place + 1)
    if close < 0:
        raise complaints.open_quote(source[place], place, len(source))
    return _Token("text", source[place + 1 : close], place, close + 1)


def _braces(source: str, place: int) -> _Token:
    found = _BRACES.match(source, place)
    if found is None:
        raise complaints.broken_braces(place)
    name = unicodedata.normalize("NFC", found[1].strip())
    if name.startswith("last-saved#"):
        raise complaints.last_saved(name.removeprefix("last-saved#"), place, found.end())
    if not name:
        raise complaints.empty_braces(place, found.end())
    return _Token("name", name, place, found.end())


def _balanced(operator: str, operands: list[Node]) -> Node:
    """A chain of `and` or of `or` as a tree of little depth; the order of evaluation stays."""
    if len(operands) == 1:
        return operands[0]
    half = (len(operands) + 1) // 2
    left, right = _balanced(operator, operands[:half]), _balanced(operator, operands[half:])
    return Operation(operator, left, right, left.start, right.end)


class _Parser:
    """Recursive descent over the tokens; every node keeps the span of the author's own text."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text.translate(_SMART_QUOTES))
        self._next = 0
        self._depth = 0

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _advance(self) -> _Token:
        token = self._token
        self._next += 1
        return token

    def _at(self, text: str, kind: str = "mark", ahead: int = 0) -> bool:
        token = self._tokens[min(self._next + ahead, len(self._tokens) - 1)]
        return token.kind == kind and token.text == text

    def finish(self) -> None:
        token = self._token
        if token.kind == "end":
            return
        if self._at(","):
            raise complaints.stray_comma(token.start, token.end)
        if self._at(")"):
            raise complaints.stray_parenthesis(token.start, token.end)
        self._refuse_path_parts()
        raise complaints.missing_operator(token.shown, token.start, token.end)

    def _refuse_path_parts(self) -> None:
        """Says clearly what is XPath, but not of this language."""
        token = self._token
        if token.kind == "mark" and token.text in complaints.NOT_IN_THIS_LANGUAGE:
            raise complaints.not_in_this_language(token.text, token.start, token.end)

    def expression(self, loosest: int = 0) -> Node:
        """An expression of operators that bind at least as tightly as those of the level `loosest`."""
        left = self._negative()
        for level in range(len(_LEVELS) - 1, loosest - 1, -1):
            left = self._chain(left, level)
        return left

    def _chain(self, first: Node, level: int) -> Node:
        """All that follows at one level: `a + b - c`."""
        operands, operators = [first], []
        while self._token.kind == "operator" and self._token.text in _LEVELS[level]:
            token = self._advance()
            operators.append(token.text)
            operands.append(self.expression(level + 1))
            if len(operands) > _MOST_OPERANDS:
                raise complaints.too_long(token.start, token.end)
        if operators and operators[0] in LOGIC:
            return _balanced(operators[0], operands)
        left = first
        for operator, right in zip(operators, operands[1:], strict=True):
            left = Operation(operator, left, right, left.start, right.end)
        return left

    def _negative(self) -> Node:
        signs: list[int] = []
        while self._at("-", "operator"):
            signs.append(self._advance().start)
            if len(signs) > _MOST_DEPTH:
                raise complaints.too_deep(signs[0])
        node = self._primary()
        for start in reversed(signs):
            node = Negative(node, start, node.end)
        return node

    def _primary(self) -> Node:
        token = self._token
        if token.kind == "number":
            self._advance()
            node: Node = Literal(float(token.text), token.start, token.end)
        elif token.kind == "text":
            self._advance()
            node = Literal(token.text, token.start, token.end)
        elif token.kind == "name":
            self._advance()
            node = Name(token.text, token.start, token.end)
        elif self._at("("):
            node = self._parentheses()
        elif token.kind == "word" and self._at("(", ahead=1):
            node = self._call()
            if isinstance(node, FunctionCall) and node.name == "instance":
                raise complaints.function_not_here(node.name, complaints.LOOK_UP_TABLES, node.start, node.end)
        else:
            node = self._path()
        self._refuse_path_parts()
        return node

    def _parentheses(self) -> Node:
        opening = self._advance()
        node = self._inside(opening)
        closing = self._close(opening)
        return replace(node, start=opening.start, end=closing.end)

    def _inside(self, opening: _Token) -> Node:
        """One expression within parentheses or a call's arguments, with the depth bounded."""
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise complaints.too_deep(opening.start)
        node = self.expression()
        self._depth -= 1
        return node

    def _close(self, opening: _Token) -> _Token:
        if not self._at(")"):
            if self._token.kind != "end" and not self._at(","):
                self._refuse_path_parts()
                raise complaints.missing_operator(self._token.shown, self._token.start, self._token.end)
            raise complaints.open_parenthesis(opening.start, opening.end)
        return self._advance()

    def _call(self) -> Node:
        name = self._advance()
        opening = self._advance()
        arguments: list[Node] = []
        while not self._at(")"):
            arguments.append(self._inside(opening))
            if not self._at(","):
                break
            comma = self._advance()
            if self._at(")"):
                raise complaints.missing_operand(",", comma.start, comma.end)
        closing = self._close(opening)
        if name.text == "current" and not arguments:
            return self._current_path(name.start, closing.end)
        return FunctionCall(name.text, tuple(arguments), name.start, closing.end)

    def _current_path(self, start: int, end: int) -> Node:
        """`current()/../name`: relative to the node that holds the expression, as every path here is."""
        if not self._at("/"):
            return Path((".",), absolute=False, start=start, end=end)
        self._advance()
        rest = self._steps(start)
        return Path(rest.steps, absolute=False, start=start, end=rest.end)

    def _path(self) -> Node:
        token = self._token
        if self._at("/"):
            self._advance()
            rest = self._steps(token.start)
            return Path(rest.steps, absolute=True, start=token.start, end=rest.end)
        if token.kind == "word" and token.text in _WORD_OPERATORS:
            raise complaints.missing_before(token.text, token.start, token.end)
        if token.kind == "word" and not self._at("/", ahead=1):
            raise complaints.bare_word(token.text, token.start, token.end)
        return self._steps(token.start)

    def _steps(self, start: int) -> Path:
        steps = [self._step()]
        while self._at("/"):
            self._advance()
            steps.append(self._step())
        end = self._tokens[self._next - 1].end
        return Path(tuple(steps), absolute=False, start=start, end=end)

    def _step(self) -> str:
        token = self._token
        if token.kind == "word" or self._at(".") or self._at(".."):
            return self._advance().text
        self._refuse_path_parts()
        raise self._missing_operand()

    def _missing_operand(self) -> ExpressionError:
        token = self._token
        before = self._tokens[self._next - 1] if self._next else None
        if before is None and token.kind == "end":
            return complaints.empty()
        wanted_after = before or token
        return complaints.missing_operand(wanted_after.shown, wanted_after.start, wanted_after.end)


def text_of(node: Node, source: str) -> str:
    """The author's own text of a node."""
    return source[node.start : node.end]
