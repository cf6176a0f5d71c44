"""Rows computed by JavaRosa 5.1, in the zone of Vietnam and in UTC; ours must be equal, errors included.

The rows are about one form: integer a, decimal b, text t, select_multiple m, select_one o, dates d and e, a repeat r
with decimal v, and the calculate flag = `${a} > 5`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from forms.definition import FieldType
from forms.expressions import (
    Environment,
    ExpressionError,
    Nodeset,
    Reference,
    Scope,
    Value,
    ValueType,
    compile_expression,
    evaluate_plain,
    from_answer,
    stored,
    type_of_field,
)

_FIELDS = {
    "a": FieldType.INTEGER,
    "b": FieldType.DECIMAL,
    "t": FieldType.TEXT,
    "m": FieldType.SELECT_MULTIPLE,
    "o": FieldType.SELECT_ONE,
    "d": FieldType.DATE,
    "e": FieldType.DATE,
    "flag": FieldType.BOOLEAN,
    "v": FieldType.DECIMAL,
}
_ROWS = [json.loads(line) for line in (Path(__file__).parent / "golden.jsonl").read_text("utf-8").splitlines()]
_ZONES = {"value_plus7": ZoneInfo("Asia/Ho_Chi_Minh"), "value_utc": ZoneInfo("UTC")}
_REFUSED = "refused"


def _resolve(name: str) -> Reference | None:
    if name == "r":
        return Reference("r", "r", ValueType.NODESET, repeated=True)
    if name not in _FIELDS:
        return None
    return Reference(name, name, type_of_field(_FIELDS[name]), repeated=name == "v")


_SCOPE = Scope(resolve=_resolve, names=(*_FIELDS, "r"))


def _values(inputs: Mapping[str, object]) -> dict[str, Value | Nodeset]:
    rows = inputs.get("v", [])
    values: dict[str, Value | Nodeset] = {"v": (), "r": ("",) * len(rows)}
    for name, given in inputs.items():
        values[name] = from_answer(_FIELDS[name], tuple(given) if name == "m" else given)
    score = compile_expression("${a} > 5", _SCOPE)
    values["flag"] = score.evaluate(_environment(values, ZoneInfo("UTC")))
    return values


def _environment(values: Mapping[str, Value | Nodeset], zone: ZoneInfo) -> Environment:
    return Environment(values=lambda key: values.get(key, ""), now=dt.datetime(2026, 3, 1, 9, 30, tzinfo=zone))


def _computed(row: Mapping[str, object], zone: ZoneInfo) -> str:
    try:
        expression = compile_expression(row["expression"], _SCOPE)
        return stored(expression.evaluate(_environment(_values(row["inputs"]), zone)), zone)
    except ExpressionError:
        return _REFUSED


def _expected(row: Mapping[str, object], column: str) -> object:
    return _REFUSED if isinstance(row[column], dict) else row[column]


@pytest.mark.parametrize("column", _ZONES)
def test_every_row_comes_to_what_javarosa_stores(column):
    different = [
        (row["expression"], row["inputs"], _expected(row, column), _computed(row, _ZONES[column]))
        for row in _ROWS
        if _computed(row, _ZONES[column]) != _expected(row, column)
    ]

    assert different == []
    assert len(_ROWS) > 350


@pytest.mark.parametrize("column", _ZONES)
def test_json_values_alone_come_to_the_same_where_no_form_is_needed(column):
    different = []
    for row in _ROWS:
        # A calculate needs its form, and so does the knowledge that a blank question has a node to count.
        if "flag" in row["expression"] or (row["expression"], row["inputs"]) == ("count(${a})", {}):
            continue
        try:
            result = evaluate_plain(
                row["expression"], row["inputs"], dt.datetime(2026, 3, 1, 9, 30, tzinfo=_ZONES[column])
            ).stored
        except ExpressionError:
            result = _REFUSED
        if result != _expected(row, column):
            different.append((row["expression"], row["inputs"], _expected(row, column), result))

    assert different == []
