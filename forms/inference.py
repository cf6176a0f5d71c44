"""The types of calculates: the XForm says "string" of all of them, whatever they hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from forms.definition import Field, FieldType, Group
from forms.expressions import ExpressionError, ValueType, compile_expression, type_of_field
from forms.references import Names

_TYPES = {
    ValueType.NUMBER: FieldType.DECIMAL,
    ValueType.BOOLEAN: FieldType.BOOLEAN,
    ValueType.DATE: FieldType.DATE,
    ValueType.DATETIME: FieldType.DATETIME,
}


def inferred(fields: Iterable[Field], groups: Iterable[Group], root: str) -> tuple[Field, ...]:
    """The same fields; calculates that hold a number, a truth value or a date have that type, the others are text."""
    known = _Known(fields, groups, root)
    return tuple(replace(item, type=known.type_of(item)) for item in known.fields)


def _is_open(item: Field) -> bool:
    return bool(item.calculation or item.triggered) and not item.asked and item.stored_as == "string"


class _Known:
    """Types found so far. A calculate asks for the types of those that it uses; a circle ends as text."""

    def __init__(self, fields: Iterable[Field], groups: Iterable[Group], root: str) -> None:
        self.fields = tuple(fields)
        self._found: dict[str, FieldType] = {}
        by_path = {item.path: item for item in self.fields}
        by_group = {item.path: item for item in groups}
        self._names = Names(root, by_path, by_group, lambda item: type_of_field(self.type_of(item)))

    def type_of(self, item: Field) -> FieldType:
        if not _is_open(item):
            return item.type
        if item.path not in self._found:
            self._found[item.path] = FieldType.TEXT
            self._found[item.path] = self._infer(item)
        return self._found[item.path]

    def _infer(self, item: Field) -> FieldType:
        try:
            expression = compile_expression(item.calculation or item.triggered, self._names.scope(item.path))
        except (ExpressionError, RecursionError):
            return FieldType.TEXT  # Beyond the language that we evaluate; the phone knows how.
        return _TYPES.get(expression.type, FieldType.TEXT)
