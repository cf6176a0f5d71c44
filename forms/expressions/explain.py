"""Why an expression came to its value: each meaningful part with what it saw. Supervisors read this."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from forms.expressions.errors import ExpressionError
from forms.expressions.pieces import Piece, Shape
from forms.expressions.signatures import Environment
from forms.expressions.values import Nodeset, Value, ValueType, stored, to_boolean, type_of_value

ERROR = "error"
"""In place of a type where a part could not be computed. It may stand behind an `and` that needed no further look."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A part of an expression and what it came to.

    `text` is the author's own. `value` is the text that would be stored, a date as its day, a repeat's column with
    ", " between rows. `type` is a ValueType's value, or ERROR. `key` and `labels` are the reference's, if it is one.
    """

    text: str
    value: str
    type: str
    key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Explained, ...] = ()


def explained(piece: Piece, env: Environment) -> Explained:
    """The piece with its value and its meaningful parts. A piece that fails has no value and the type ERROR."""
    reference = piece.reference
    value, kind = _seen(piece, env)
    return Explained(
        text=piece.text,
        value=value,
        type=kind,
        key=reference.key if reference else "",
        labels=reference.labels if reference else {},
        parts=tuple(part for inner in _inner(piece, env) for part in _parts(inner, env)),
    )


def _seen(piece: Piece, env: Environment) -> tuple[str, str]:
    try:
        value: Value | Nodeset = piece.column(env) if piece.column and piece.repeated else piece.run(env)
    except ExpressionError:
        return "", ERROR
    kind = type_of_value(value) if piece.type is ValueType.ANY and value != "" else piece.type
    if isinstance(value, tuple):
        return ", ".join(shown(row, env.now) for row in value), kind.value
    return shown(value, env.now), kind.value


def shown(value: Value, now: dt.datetime) -> str:
    """A value as people read it: as it is stored, but a date without its midnight."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value.isoformat()
    return stored(value, now.tzinfo or dt.UTC)


def _parts(piece: Piece, env: Environment) -> tuple[Explained, ...]:
    """What is worth showing of a piece: nothing of literals, the operands of arithmetic, else the piece itself."""
    if piece.shape is Shape.LITERAL or piece.is_call("true", "false"):
        return ()
    if piece.shape is Shape.ARITHMETIC:
        return tuple(part for inner in piece.pieces for part in _parts(inner, env))
    return (explained(piece, env),)


def _inner(piece: Piece, env: Environment) -> tuple[Piece, ...]:
    """The pieces to look into: all of a chain of `and` or of `or`, only the branch that `if` took."""
    if piece.shape is Shape.LOGIC:
        return tuple(link for operand in piece.pieces for link in _links(operand, piece.operator))
    if piece.is_call("if"):
        condition, yes, no = piece.pieces
        try:
            return condition, yes if to_boolean(condition.run(env)) else no
        except ExpressionError:
            return (condition,)
    return piece.pieces


def _links(piece: Piece, operator: str) -> tuple[Piece, ...]:
    if piece.operator != operator:
        return (piece,)
    return tuple(link for operand in piece.pieces for link in _links(operand, operator))
