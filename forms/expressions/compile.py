"""Tree → closures, with types checked. An expression is compiled once and evaluated for every submission."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from forms.expressions import complaints
from forms.expressions.advice import ExpressionWarning, warnings_of
from forms.expressions.errors import EvaluationError, ExpressionError, Refused
from forms.expressions.explain import Explained, explained
from forms.expressions.functions import CATALOGUE, NOT_HERE
from forms.expressions.functions_numbers import quotient, remainder
from forms.expressions.pieces import Call, Piece, Shape, calls_in, references_in
from forms.expressions.signatures import Argument, Environment, Function, Reference, Run, Takes
from forms.expressions.syntax import (
    EQUALITY,
    LOGIC,
    ORDER,
    FunctionCall,
    Literal,
    Name,
    Negative,
    Node,
    Operation,
    Path,
    parse,
    text_of,
)
from forms.expressions.values import TEXTS, Nodeset, Value, ValueType, equal, to_boolean, to_number
from forms.sheets import Text


@dataclass(frozen=True, slots=True)
class Scope:
    """What the names of an expression stand for.

    `resolve` is given the text between the braces of `${…}`; `names` are offered as "did you mean". `path` is given
    an absolute node path (`/root/group/name`), `context` is the path of the node that holds the expression, for `.`,
    `..` and relative paths. Whoever resolves decides whether a reference is repeated as seen from that node.
    """

    resolve: Callable[[str], Reference | None]
    names: tuple[str, ...] = ()
    functions: Mapping[str, Function] = field(default_factory=lambda: CATALOGUE)
    path: Callable[[str], Reference | None] | None = None
    context: str = ""


@dataclass(frozen=True)
class Expression:
    """A compiled expression. `text` is the author's own; `type` is known before any answer is seen."""

    text: str
    piece: Piece

    @property
    def type(self) -> ValueType:
        return self.piece.type

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """Every reference once, in the order of the text."""
        return tuple(dict.fromkeys(references_in(self.piece)))

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """Every function call in the order of the text, with its quoted arguments."""
        return tuple(calls_in(self.piece))

    @cached_property
    def warnings(self) -> tuple[ExpressionWarning, ...]:
        """What will not do what its author thinks; `grave` where publishing must stop."""
        return warnings_of(self.piece)

    def evaluate(self, env: Environment) -> Value:
        """The value; raises EvaluationError where Collect would stop with an error too."""
        return self.piece.run(env)

    def truth(self, env: Environment) -> bool:
        """The value as a condition: blank, 0 and NaN are false."""
        return to_boolean(self.piece.run(env))

    def explain(self, env: Environment) -> Explained:
        """The value with what each meaningful part of the text came to. Never raises for a part."""
        return explained(self.piece, env)


def compile_expression(text: str, scope: Scope) -> Expression:
    """Compiles an expression; raises ExpressionError with the place and a cure."""
    return Expression(text, _Compiler(text, scope).piece(parse(text)))


class _Compiler:
    """Turns nodes into pieces, inside out."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._text = text
        self._scope = scope

    def piece(self, node: Node) -> Piece:
        match node:
            case Literal():
                return _literal(node, self._text)
            case Name():
                return self._name(node)
            case Path():
                return self._path(node)
            case Negative():
                return self._negative(node)
            case Operation():
                return self._operation(node)
            case FunctionCall():
                return self._call(node)

    def _name(self, node: Name) -> Piece:
        reference = self._scope.resolve(node.name)
        if reference is None:
            raise complaints.unknown_name(node.name, self._scope.names, node.start, node.end)
        return _reference(node, self._text, reference)

    def _path(self, node: Path) -> Piece:
        written = text_of(node, self._text)
        if not node.absolute and not self._scope.context:
            raise complaints.no_context(written, node.start, node.end)
        absolute = _absolute(node, self._scope.context)
        reference = self._scope.path(absolute) if self._scope.path and absolute else None
        is_current = not node.absolute and absolute == self._scope.context
        if reference is None and is_current:
            reference = Reference(key="", name=".", type=ValueType.ANY)
        if reference is None:
            raise complaints.unknown_path(written, node.start, node.end)
        if is_current:
            return _current(node, self._text, reference)
        return _reference(node, self._text, reference)

    def _negative(self, node: Negative) -> Piece:
        operand = self.piece(node.operand)
        number = _number(operand)
        return Piece(
            node=node,
            text=text_of(node, self._text),
            shape=Shape.ARITHMETIC,
            type=ValueType.NUMBER,
            run=lambda env: -number(env),
            pieces=(operand,),
        )

    def _operation(self, node: Operation) -> Piece:
        left, right = self.piece(node.left), self.piece(node.right)
        shape, result, run = _joined(node.operator, left, right)
        return Piece(
            node=node,
            text=text_of(node, self._text),
            shape=shape,
            type=result,
            run=run,
            pieces=(left, right),
            operator=node.operator,
        )

    def _call(self, node: FunctionCall) -> Piece:
        function = self._function(node)
        pieces = tuple(self.piece(argument) for argument in node.arguments)
        literals = tuple(
            argument.value if isinstance(argument, Literal) and isinstance(argument.value, str) else None
            for argument in node.arguments
        )
        for place, piece in enumerate(pieces):
            _check_argument(function, function.argument(place), piece)
        if function.check:
            try:
                function.check(literals)
            except Refused as refused:
                raise ExpressionError(refused.problem, refused.cure, node.start, node.end) from None
        return Piece(
            node=node,
            text=text_of(node, self._text),
            shape=Shape.CALL,
            type=_returned(function, pieces, literals),
            run=_called(node, function, pieces),
            pieces=pieces,
            function=function,
            call=Call(function.name, literals, node.start, node.end),
        )

    def _function(self, node: FunctionCall) -> Function:
        function = self._scope.functions.get(node.name)
        if function is None:
            cure = NOT_HERE.get(node.name) or NOT_HERE.get(node.name.lower())
            if cure:
                raise complaints.function_not_here(node.name, cure, node.start, node.end)
            raise complaints.unknown_function(node.name, self._scope.functions, node.start, node.end)
        given, most = len(node.arguments), function.most
        if given < function.fewest or (most is not None and given > most):
            raise complaints.wrong_count(function, given, node.start, node.end)
        return function


def _absolute(node: Path, context: str) -> str:
    """The absolute path that a path means; "" where it leaves the form."""
    steps = [] if node.absolute else context.strip("/").split("/")
    for step in node.steps:
        if step == ".." and steps:
            steps.pop()
        elif step == "..":
            return ""
        elif step != ".":
            steps.append(step)
    return "/" + "/".join(steps) if steps else ""


def _literal(node: Literal, text: str) -> Piece:
    value = node.value
    return Piece(
        node=node,
        text=text_of(node, text),
        shape=Shape.LITERAL,
        type=ValueType.TEXT if isinstance(value, str) else ValueType.NUMBER,
        run=lambda env: value,
    )


def _reference(node: Name | Path, text: str, reference: Reference) -> Piece:
    key = reference.key
    repeated = reference.repeated or reference.type is ValueType.NODESET

    def one(env: Environment) -> Value:
        value = env.values(key)
        return value if not isinstance(value, tuple) else _only(value, node)

    def column(env: Environment) -> Nodeset:
        value = env.values(key)
        return value if isinstance(value, tuple) else (value,)

    return Piece(
        node=node,
        text=text_of(node, text),
        shape=Shape.REFERENCE,
        type=reference.type,
        run=one,
        reference=reference,
        column=column,
        repeated=repeated,
    )


def _only(column: Nodeset, node: Node) -> Value:
    """The value of a column with one row; Collect stops where there are more."""
    if len(column) > 1:
        raise EvaluationError(
            Text(
                vi="Câu hỏi này nằm trong phần lặp và có nhiều dòng.",
                en="This question stands in a repeat and has several rows.",
            ),
            Text(
                vi="Dùng sum(), max(), min(), count() hoặc indexed-repeat().",
                en="Use sum(), max(), min(), count() or indexed-repeat().",
            ),
            node.start,
            node.end,
        )
    return column[0] if column else ""


def _current(node: Path, text: str, reference: Reference) -> Piece:
    return Piece(
        node=node,
        text=text_of(node, text),
        shape=Shape.REFERENCE,
        type=reference.type,
        run=lambda env: env.current,
        reference=reference,
        column=lambda env: (env.current,),
    )


# ---- operators ---------------------------------------------------------------------------------------------------

_Number = Callable[[Environment], float]

_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "div": quotient,
    "mod": remainder,
}
_ORDERING: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _joined(sign: str, left: Piece, right: Piece) -> tuple[Shape, ValueType, Run]:
    if sign in LOGIC:
        return Shape.LOGIC, ValueType.BOOLEAN, _logic(sign, left, right)
    if sign in EQUALITY:
        return Shape.COMPARISON, ValueType.BOOLEAN, _equality(left, right, wanted=sign == "=")
    if sign in ORDER:
        return Shape.COMPARISON, ValueType.BOOLEAN, _computed(_ORDERING[sign], left, right)
    return Shape.ARITHMETIC, ValueType.NUMBER, _computed(_ARITHMETIC[sign], left, right)


def _number(piece: Piece) -> _Number:
    """A piece's run as a number."""
    if isinstance(piece.node, Literal) and isinstance(piece.node.value, float):
        constant = piece.node.value
        return lambda env: constant
    run = piece.run

    def number(env: Environment) -> float:
        value = run(env)
        return value if isinstance(value, float) else to_number(value, env.now)

    return number


def _truth(piece: Piece) -> Callable[[Environment], bool]:
    run = piece.run

    def truth(env: Environment) -> bool:
        value = run(env)
        return value if isinstance(value, bool) else to_boolean(value)

    return truth


def _computed(compute: Callable[[float, float], float], left: Piece, right: Piece) -> Run:
    first, second = _number(left), _number(right)
    if isinstance(right.node, Literal) and isinstance(right.node.value, float):
        constant = right.node.value
        return lambda env: compute(first(env), constant)
    return lambda env: compute(first(env), second(env))


def _equality(left: Piece, right: Piece, *, wanted: bool) -> Run:
    first, second = left.run, right.run

    def run(env: Environment) -> bool:
        mine, other = first(env), second(env)
        if mine.__class__ is str and other.__class__ is str:
            return (mine == other) is wanted
        return equal(mine, other, env.now) is wanted

    return run


def _logic(sign: str, left: Piece, right: Piece) -> Run:
    first, second = _truth(left), _truth(right)
    if sign == "and":
        return lambda env: first(env) and second(env)
    return lambda env: first(env) or second(env)


# ---- calls -------------------------------------------------------------------------------------------------------


def _check_argument(function: Function, argument: Argument, piece: Piece) -> None:
    node = piece.node
    wants_column = argument.takes in {Takes.COLUMN, Takes.ROWS}
    is_repeat_itself = piece.type is ValueType.NODESET and argument.takes is not Takes.ROWS
    if wants_column and (piece.reference is None or is_repeat_itself):
        raise complaints.not_a_column(function, argument, node.start, node.end)
    if argument.literal and not (isinstance(node, Literal) and isinstance(node.value, str)):
        raise complaints.not_quoted(function, argument, node.start, node.end)
    if argument.strict and piece.type not in TEXTS | {ValueType.ANY}:
        raise complaints.wrong_type(function, argument, piece.text, node.start, node.end)


def _returned(function: Function, pieces: tuple[Piece, ...], literals: tuple[str | None, ...]) -> ValueType:
    if function.typed_by:
        return function.typed_by(literals)
    if function.same_type_as:
        types = {_kind(pieces[place]) for place in function.same_type_as} - {None}
        return types.pop() or ValueType.ANY if len(types) == 1 else ValueType.ANY
    return function.returns


def _kind(piece: Piece) -> ValueType | None:
    """The type of a piece; None for '', which fits every type."""
    if isinstance(piece.node, Literal) and piece.node.value == "":
        return None
    return piece.type


def _called(node: FunctionCall, function: Function, pieces: tuple[Piece, ...]) -> Run:
    if function.lazy:
        return function.lazy(tuple(piece.run for piece in pieces))
    runs = tuple(
        _argument_run(
            piece,
            as_column=function.takes_column(place, len(pieces)),
            or_value=function.argument(place).takes is Takes.EITHER,
        )
        for place, piece in enumerate(pieces)
    )
    call = function.call

    def run(env: Environment) -> Value:
        try:
            return call(env, tuple([argument(env) for argument in runs]))
        except Refused as refused:
            raise EvaluationError(refused.problem, refused.cure, node.start, node.end) from None

    return run


def _argument_run(piece: Piece, *, as_column: bool, or_value: bool) -> Callable[[Environment], Value | Nodeset]:
    """`or_value`: a field that does not repeat is one value, not a column of one."""
    if piece.column is None or not as_column or (or_value and not piece.repeated):
        return piece.run
    return piece.column
