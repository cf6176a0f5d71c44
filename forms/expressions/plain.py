"""Expressions without a form: every name is known, and types follow the values that are given."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from forms.expressions import times
from forms.expressions.compile import Expression, Scope, compile_expression
from forms.expressions.explain import Explained
from forms.expressions.functions import CATALOGUE
from forms.expressions.signatures import Environment, Reference, Takes
from forms.expressions.syntax import FunctionCall, Name, Negative, Node, Operation, parse
from forms.expressions.values import Nodeset, Value, ValueType, stored, type_of_value

_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:T|$)")

_COLUMN_IF_ALONE = frozenset({"min", "max", "join"})


@dataclass(frozen=True, slots=True)
class PlainResult:
    """What an expression came to: `stored` as JavaRosa would store it, and the parts that it was made of."""

    stored: str
    type: str
    explained: Explained
    expression: Expression


def evaluate_plain(text: str, values: Mapping[str, object], now: dt.datetime) -> PlainResult:
    """Evaluates an expression over JSON values; raises ExpressionError, EvaluationError included.

    Numbers are numbers, ISO dates are dates, other texts are texts, true and false are booleans. A list is the codes
    of a select_multiple, but a repeat's column where the expression sums, counts, joins or indexes it. null and what
    is absent are blank. A repeat that is only counted need not be given: it has the rows of the only column.
    `now` must carry a zone.
    """
    columns = frozenset(_columns(parse(text)))
    known = _known(columns, values)
    expression = compile_expression(text, Scope(resolve=_resolver(values, known, columns), names=tuple(values)))
    env = Environment(values=lambda key: known.get(key, () if key in columns else ""), now=now)
    value = expression.evaluate(env)
    explained = expression.explain(env)
    return PlainResult(stored(value, now.tzinfo or dt.UTC), explained.type, explained, expression)


def _known(columns: frozenset[str], values: Mapping[str, object]) -> dict[str, Value | Nodeset]:
    """The values by name, with the rows of a repeat that is counted but not given."""
    known = {name: _column(given) if name in columns else _given(given) for name, given in values.items()}
    lists = [_column(given) for given in values.values() if isinstance(given, list)]
    if len(lists) == 1:
        known.update({name: lists[0] for name in columns if name not in known})
    return known


def _given(given: object) -> Value | Nodeset:
    if not isinstance(given, list):
        return _one(given)
    # Codes are texts; a list of numbers can only be a repeat's column.
    return " ".join(given) if all(isinstance(item, str) for item in given) else _column(given)


def _column(given: object) -> Nodeset:
    return tuple(_one(item) for item in given) if isinstance(given, list) else (_one(given),)


def _one(given: object) -> Value:
    """One JSON value; a text that is an ISO date, with or without its time, is one."""
    if given is None:
        return ""
    if isinstance(given, bool):
        return given
    if isinstance(given, int | float):
        return float(given)
    text = given if isinstance(given, str) else str(given)
    return (times.parse_moment(text) or text) if _ISO.match(text) else text


def _resolver(
    values: Mapping[str, object], known: Mapping[str, Value | Nodeset], columns: frozenset[str]
) -> Callable[[str], Reference]:
    def resolve(name: str) -> Reference:
        value = known.get(name, "")
        repeated = name in columns or isinstance(value, tuple)
        kind = ValueType.MULTIPLE if isinstance(values.get(name), list) and not repeated else _type(value)
        return Reference(key=name, name=name, type=kind, repeated=repeated)

    return resolve


def _type(value: Value | Nodeset) -> ValueType:
    """The type that the value shows; a blank could have been anything."""
    if isinstance(value, tuple):
        types = {type_of_value(row) for row in value if row != ""}
        return types.pop() if len(types) == 1 else ValueType.ANY
    return ValueType.ANY if value == "" else type_of_value(value)


def _columns(node: Node) -> Iterator[str]:
    """The names that stand where a function takes a repeat's column."""
    match node:
        case Operation(_, left, right):
            yield from _columns(left)
            yield from _columns(right)
        case Negative(operand):
            yield from _columns(operand)
        case FunctionCall(name, arguments):
            for place, argument in enumerate(arguments):
                if isinstance(argument, Name) and _takes_column(name, place, len(arguments)):
                    yield argument.name
                yield from _columns(argument)


def _takes_column(name: str, place: int, count: int) -> bool:
    function = CATALOGUE.get(name)
    if function is None or not function.arguments or not function.takes_column(place, count):
        return False
    # A list given to concat() is read as chosen codes.
    return function.argument(place).takes is not Takes.EITHER or name in _COLUMN_IF_ALONE
