"""A name has one meaning: what `${…}` stands for in one form (or in event and clock rules), and what it comes to."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from forms.definition import Field
from forms.expressions.compile import Expression, Scope, compile_expression
from forms.expressions.errors import ExpressionError
from forms.expressions.signatures import Environment, Reference
from forms.expressions.values import Nodeset, Value, ValueType, to_number, type_of_field
from forms.sheets import Text
from rules.fields import Fields, by_language_code
from rules.functions import Context, catalogue
from rules.model import Band, BandTable, Calculation, Parameter, ParameterType, Rulebook
from rules.sight import Sight

_BARE_NAME = re.compile(r"[^\W\d][\w.\-/]*")

FIELD, PARAMETER, CALCULATION, BANDS = "field:", "parameter:", "calculation:", "bands:"

Report = Callable[[str, int, str, ExpressionError], None]
"""Tells of an error: sheet, row, column, what is wrong."""


@dataclass
class Names:
    """What the names of one context stand for. `form` is empty in event and clock rules, which see no answers.

    Calculations and band tables are compiled when they are first named. An error in one is reported to `report` at its
    own cell, and its name then stands for a value of any type, so that no rule repeats the complaint.
    """

    rulebook: Rulebook
    fields: Fields
    form: str
    report: Report
    calculations: dict[str, Expression | None] = field(default_factory=dict)
    inputs: dict[str, Expression | None] = field(default_factory=dict)
    #: Names of calculations that are being compiled: one that is named again stands in a circle.
    _under_way: list[str] = field(default_factory=list)
    _scopes: dict[Context, Scope] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters: Mapping[str, Parameter] = {item.name: item for item in self.rulebook.parameters}
        self.sheet_calculations: Mapping[str, Calculation] = {item.name: item for item in self.rulebook.calculations}
        self.tables: Mapping[str, BandTable] = {item.table: item for item in self.rulebook.bands}

    def scope(self, context: Context) -> Scope:
        """Made once for each context: a thousand rules ask for it."""
        if context not in self._scopes:
            self._scopes[context] = Scope(self.resolve, self.known(), catalogue(self.fields, context))
        return self._scopes[context]

    def known(self) -> tuple[str, ...]:
        own = (*self.parameters, *self.tables)
        calculations = (name for name, item in self.sheet_calculations.items() if self._here(item))
        return (*(self.fields.names_of(self.form) if self.form else ()), *own, *calculations)

    def resolve(self, name: str) -> Reference | None:
        """The reference for a name; None where it means nothing here."""
        found = self.fields.find(self.form, name) if self.form else None
        if found is not None:
            return _of_field(found, name)
        if name in self.parameters:
            return _of_parameter(self.parameters[name])
        if name in self.sheet_calculations and self._here(self.sheet_calculations[name]):
            return self._of_calculation(self.sheet_calculations[name])
        return self._of_table(self.tables[name]) if name in self.tables else None

    def _here(self, calculation: Calculation) -> bool:
        return not calculation.forms or self.form in calculation.forms

    def _of_calculation(self, item: Calculation) -> Reference:
        if item.name not in self.calculations:
            self.calculations[item.name] = self._compiled(
                "calculations", item.row, "calculation", item.name, item.calculation
            )
        compiled = self.calculations[item.name]
        kind = compiled.type if compiled else ValueType.ANY
        return Reference(CALCULATION + item.name, item.name, kind, labels=item.label)

    def _of_table(self, table: BandTable) -> Reference:
        if table.table not in self.inputs:
            bare = _BARE_NAME.fullmatch(table.input)
            text = f"${{{table.input}}}" if bare else table.input
            self.inputs[table.table] = self._compiled("bands", table.row, "input", table.table, text)
        label = table.bands[0].label if len(table.bands) == 1 else {}
        return Reference(BANDS + table.table, table.table, ValueType.TEXT, labels=label)

    def _compiled(self, sheet: str, row: int, column: str, name: str, text: str) -> Expression | None:
        if name in self._under_way:
            circle = " → ".join((*self._under_way[self._under_way.index(name) :], name))
            self.report(sheet, row, column, _circle(circle))
            return None
        self._under_way.append(name)
        try:
            return compile_expression(text, self.scope(Context.CALCULATION))
        except ExpressionError as error:
            self.report(sheet, row, column, error)
            return None
        finally:
            self._under_way.pop()


def _circle(names: str) -> ExpressionError:
    return ExpressionError(
        Text(f"Phép tính tự tính chính nó: {names}.", f"The calculation computes itself: {names}."),
        Text("Bỏ một mắt xích.", "Take one link out."),
    )


def _of_field(found: Field, name: str) -> Reference:
    return Reference(
        # By name, not by path: an older version may have the question in another group.
        FIELD + name,
        name,
        type_of_field(found.type),
        repeated=bool(found.repeats),
        labels=by_language_code(found.labels),
    )


def _of_parameter(item: Parameter) -> Reference:
    kinds = {
        ParameterType.INTEGER: ValueType.NUMBER,
        ParameterType.DECIMAL: ValueType.NUMBER,
        ParameterType.DATE: ValueType.DATE,
    }
    return Reference(PARAMETER + item.name, item.name, kinds.get(item.type, ValueType.TEXT), labels=item.label)


def parameter_value(item: Parameter) -> Value:
    if item.type is ParameterType.DATE:
        return dt.date.fromisoformat(str(item.value))
    return item.value if isinstance(item.value, str) else float(item.value)


class Values:
    """What the names of one context come to for one set of facts. Each is computed once, when it is asked for."""

    def __init__(self, names: Names, sight: Sight, now: dt.datetime) -> None:
        self._names = names
        self._known: dict[str, Value | Nodeset] = {}
        self.sight = sight
        self.env = Environment(values=self, now=now, record=sight)

    def __call__(self, key: str) -> Value | Nodeset:
        if key not in self._known:
            self._known[key] = self._value(key)
        return self._known[key]

    def seen_with(self, sight: Sight) -> Environment:
        """The same names, seen with other outcomes or by a stop. No name depends on those."""
        return replace(self.env, record=sight)

    def band(self, table: str) -> Band | None:
        """The band in which the table's input lies."""
        compiled = self._names.inputs.get(table)
        if compiled is None:
            return None
        return band_of(self._names.tables[table], to_number(compiled.evaluate(self.env), self.env.now))

    def _value(self, key: str) -> Value | Nodeset:
        kind, _, name = key.partition(":")
        match f"{kind}:":
            case "field:":
                facts = self.sight.facts
                return self._names.fields.value(facts.form, facts.answers, name)
            case "parameter:":
                return parameter_value(self._names.parameters[name])
            case "calculation:":
                compiled = self._names.calculations[name]
                return compiled.evaluate(self.env) if compiled else ""
            case _:
                band = self.band(name)
                return band.value if band else ""


def grid(table: BandTable) -> Fraction:
    """The step in which a table's bounds are written: 1 for whole numbers, 1/10 where one has a decimal."""
    places = max(_places(bound) for band in table.bands for bound in (band.lowest, band.highest))
    return Fraction(1, 10**places)


def _places(bound: Fraction) -> int:
    places = 0
    while (bound * 10**places).denominator != 1 and places < 12:
        places += 1
    return places


def band_of(table: BandTable, number: float) -> Band | None:
    """The band of a number; a number between two steps of the table's grid belongs to the lower one (3.5 to 0–3)."""
    if not math.isfinite(number):
        return None
    step = grid(table)
    floored = (Fraction(number).limit_denominator(10**9) // step) * step
    return next((band for band in table.bands if band.lowest <= floored <= band.highest), None)
