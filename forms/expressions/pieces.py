"""A compiled expression as a tree of pieces: what advice and explanations look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from forms.expressions.signatures import Environment, Function, Reference, Run
from forms.expressions.syntax import Node
from forms.expressions.values import Nodeset, ValueType


class Shape(Enum):
    """What a piece is to its reader."""

    LITERAL = "literal"
    REFERENCE = "reference"
    COMPARISON = "comparison"
    LOGIC = "logic"
    ARITHMETIC = "arithmetic"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Call:
    """A function call: its quoted arguments (None for others) and its place in the text."""

    name: str
    literals: tuple[str | None, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A node with its type and its compiled run. `pieces` are its operands or arguments.

    `column` gives a reference's whole column, `repeated` says that it may have several rows here.
    """

    node: Node
    text: str
    shape: Shape
    type: ValueType
    run: Run
    pieces: tuple[Piece, ...] = ()
    operator: str = ""
    function: Function | None = None
    call: Call | None = None
    reference: Reference | None = None
    column: Callable[[Environment], Nodeset] | None = None
    repeated: bool = False

    def is_call(self, *names: str) -> bool:
        return self.function is not None and self.function.name in names


def every(piece: Piece) -> Iterator[Piece]:
    """The piece and all pieces within it, in the order of the text."""
    yield piece
    for inner in piece.pieces:
        yield from every(inner)


def references_in(piece: Piece) -> Iterator[Reference]:
    return (inner.reference for inner in every(piece) if inner.reference is not None)


def calls_in(piece: Piece) -> Iterator[Call]:
    return (inner.call for inner in every(piece) if inner.call is not None)
