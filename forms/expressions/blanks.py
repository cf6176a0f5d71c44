"""Which conditions are true of a question that nobody answered.

In this language a comparison with a blank is false; so `!=` and `not()` over it are true, and a person who was never
asked would count as one who said no. The analysis never guesses: what it cannot decide raises no warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from forms.expressions.errors import Refused
from forms.expressions.pieces import Piece, Shape, every
from forms.expressions.regex import pattern
from forms.expressions.signatures import Reference
from forms.expressions.syntax import COMPARISONS, LOGIC, Literal, Path


class _Left(Enum):
    """What is left of a value when the answers in it are blank."""

    EMPTY = "empty"
    NAN = "nan"
    ZERO = "zero"


_NUMBER_OF = frozenset(
    {"number", "int", "round", "abs", "pow", "sqrt", "exp", "log", "log10", "floor", "ceiling", "min", "max"}
)
_KEEPS_EMPTY = frozenset({"string", "normalize-space", "date", "date-time", "decimal-date-time", "decimal-time",
                          "format-date", "format-date-time", "substr", "translate", "selected-at"})  # fmt: skip
_LENGTH_OF = frozenset({"string-length", "count-selected"})
_SEEKS = frozenset({"selected", "is-selected", "contains", "starts-with", "ends-with"})

Keys = frozenset[str]


@dataclass(frozen=True, slots=True)
class BlankRisk:
    """A piece that is true of blank answers: the references whose blanks make it so, and the functions' texts."""

    piece: Piece
    references: tuple[Reference, ...]
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Guard:
    """A condition beside a piece, that must hold, or must not hold, for the piece to matter."""

    piece: Piece
    holds: bool

    def rules_out(self, key: str) -> bool:
        truth = _truth(self.piece, frozenset({key}))
        return truth is not None and truth is not self.holds


def blank_risks(root: Piece) -> Iterator[BlankRisk]:
    """Each `!=` and `not()` that a blank answer makes true, unless something beside it asks for an answer."""
    for piece, guards in _negations(root, (_Guard(root, holds=True),)):
        keys = frozenset(_key(inner) for inner in every(piece) if _can_be_blank(inner))
        risky = frozenset(key for key in keys if _truth(piece, frozenset({key})) is True)
        if not risky and _truth(piece, keys) is True:
            risky = keys
        open_keys = {key for key in risky if not any(guard.rules_out(key) for guard in guards)}
        if open_keys:
            found = [inner for inner in every(piece) if _can_be_blank(inner) and _key(inner) in open_keys]
            yield BlankRisk(
                piece,
                tuple(dict.fromkeys(inner.reference for inner in found if inner.reference)),
                tuple(dict.fromkeys(inner.text for inner in found if not inner.reference)),
            )


def _negations(piece: Piece, guards: tuple[_Guard, ...]) -> Iterator[tuple[Piece, tuple[_Guard, ...]]]:
    """Each outermost `!=` and `not()`, with the conditions beside it."""
    if piece.operator == "!=" or piece.is_call("not"):
        yield piece, guards
        return
    for place, inner in enumerate(piece.pieces):
        yield from _negations(inner, guards + tuple(_beside(piece, place)))


def _beside(piece: Piece, place: int) -> Iterator[_Guard]:
    if piece.is_call("if") and place > 0:
        yield _Guard(piece.pieces[0], holds=place == 1)
    for other in piece.pieces:
        if other is piece.pieces[place]:
            continue
        if piece.operator == "and":
            yield _Guard(other, holds=True)
        elif piece.operator == "or" and other.operator == "=":
            # Who writes ${a} = '' or ${a} != 3 means the blank.
            yield _Guard(other, holds=False)


def _can_be_blank(piece: Piece) -> bool:
    if piece.reference is not None:
        # A constraint is never asked about a blank, so `.` is not one.
        return not piece.repeated and not (isinstance(piece.node, Path) and piece.node.steps == (".",))
    return piece.function is not None and piece.function.may_be_blank


def _key(piece: Piece) -> str:
    return piece.reference.key if piece.reference else piece.text


def _rest(piece: Piece, keys: Keys) -> _Left | None:
    """What a value becomes when the answers `keys` are blank; None where that cannot be said."""
    if _can_be_blank(piece) and _key(piece) in keys:
        return _Left.EMPTY
    inner = [_rest(part, keys) for part in piece.pieces]
    blank = {_Left.EMPTY, _Left.NAN}
    if piece.shape is Shape.ARITHMETIC:
        return _Left.NAN if blank & set(inner) else None
    if piece.shape is not Shape.CALL or not inner or inner[0] not in blank:
        return None
    if piece.is_call(*_NUMBER_OF):
        return _Left.NAN if all(left in blank for left in inner) or not piece.is_call("min", "max") else None
    if piece.is_call(*_KEEPS_EMPTY):
        return inner[0] if inner[0] is _Left.EMPTY else None
    return _Left.ZERO if piece.is_call(*_LENGTH_OF) else None


def _truth(piece: Piece, keys: Keys) -> bool | None:
    """Whether a piece is true when the answers `keys` are blank; None where that depends on others."""
    if piece.operator in LOGIC:
        decisive = piece.operator == "or"
        truths = [_truth(part, keys) for part in piece.pieces]
        if decisive in truths:
            return decisive
        return None if None in truths else not decisive
    if piece.operator in COMPARISONS:
        return _comparison(piece, keys)
    if piece.shape is Shape.CALL:
        return _call(piece, keys)
    return False if _rest(piece, keys) is not None else None


def _comparison(piece: Piece, keys: Keys) -> bool | None:
    left, right = (_rest(part, keys) for part in piece.pieces)
    if left is None and right is None:
        return None
    if piece.operator in {"=", "!="}:
        same = _equal(piece.pieces[0], left, piece.pieces[1], right)
        return same if same is None or piece.operator == "=" else not same
    if {_Left.EMPTY, _Left.NAN} & {left, right}:
        return False
    return _ordered(piece, left is _Left.ZERO)


def _equal(first: Piece, left: _Left | None, second: Piece, right: _Left | None) -> bool | None:
    if left is not None and right is not None:
        return left is right and left is not _Left.NAN
    rest, other = (left, second) if left is not None else (right, first)
    if isinstance(other.node, Literal):
        if rest is _Left.ZERO:
            return other.node.value == 0
        return other.node.value == "" and rest is _Left.EMPTY
    # Against another answer, which is taken as answered.
    return False if rest is not _Left.ZERO and other.shape is Shape.REFERENCE else None


def _ordered(piece: Piece, zero_is_left: bool) -> bool | None:
    other = piece.pieces[1 if zero_is_left else 0].node
    if not isinstance(other, Literal) or isinstance(other.value, str):
        return None
    low, high = (0.0, other.value) if zero_is_left else (other.value, 0.0)
    return {"<": low < high, "<=": low <= high, ">": low > high, ">=": low >= high}[piece.operator]


def _call(piece: Piece, keys: Keys) -> bool | None:
    if piece.is_call("true", "false"):
        return piece.is_call("true")
    if piece.is_call("not"):
        inner = _truth(piece.pieces[0], keys)
        return None if inner is None else not inner
    if not piece.pieces or _rest(piece.pieces[0], keys) is not _Left.EMPTY:
        return False if _rest(piece, keys) is not None else None
    if piece.is_call("boolean"):
        return False
    literal = piece.call.literals[-1] if piece.call else None
    if piece.is_call(*_SEEKS) and literal is not None:
        return literal == ""
    if piece.is_call("regex") and literal is not None:
        try:
            return pattern(literal).matches("")
        except Refused:
            return None
    return None
