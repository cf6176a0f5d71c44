"""The expressions of an XLSForm: names, functions, grammar. pyxform passes most mistakes on to the phones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

from forms.definition import FieldType
from forms.expressions import (
    CATALOGUE,
    ExpressionError,
    Reference,
    Scope,
    ValueType,
    compile_expression,
    parse,
    type_of_field,
)
from forms.lint.findings import error, warning
from forms.question_types import ASKED, CHOOSING, SILENT
from forms.sheets import Cell, Finding, Text
from forms.suggestions import did_you_mean
from forms.survey import Columns, Item, Kind, Survey
from forms.workbook import Row
from forms.xform import PLAIN_NAME

#: Columns of the sheet survey that hold an expression, and whether the expression speaks of the question itself.
_EXPRESSIONS = ("relevant", "constraint", "calculation", "required", "read_only", "choice_filter", "repeat_count")

#: Texts that may show another answer.
_TEXTS = ("label", "hint", "guidance_hint", "constraint_message", "required_message")

#: What pyxform turns into true() and false().
_WORDS = frozenset({"yes", "no", "true", "false", "true()", "false()"})

#: Functions of JavaRosa 5.1 and Collect, whether or not our own language has them.
ON_PHONE = frozenset(
    {
        *("if", "coalesce", "once", "selected", "is-selected", "selected-at", "count-selected", "jr:choice-name"),
        *("indexed-repeat", "count", "count-non-empty", "sum", "min", "max", "position", "instance", "current"),
        *("true", "false", "boolean", "boolean-from-string", "not", "number", "int", "string", "depend"),
        *("concat", "join", "substr", "substring-before", "substring-after", "string-length", "contains", "translate"),
        *("starts-with", "ends-with", "normalize-space", "regex", "base64-decode", "digest", "extract-signed"),
        *("today", "now", "date", "date-time", "decimal-date-time", "decimal-time", "format-date", "format-date-time"),
        *("abs", "round", "pow", "sqrt", "exp", "exp10", "log", "log10", "pi", "random", "uuid"),
        *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "checklist", "weighted-checklist", "randomize"),
        *("area", "distance", "enclosed-area", "geofence", "jr:itext", "pulldata", "search", "property", "version"),
        *("node", "text", "id", "last", "name", "local-name"),
    }
)

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_FUNCTION = re.compile(r"(?<![\w.$}])([^\W\d][\w.-]*(?::[^\W\d][\w.-]*)?)\s*\(")
_OPERATORS = frozenset({"and", "or", "div", "mod"})
_DECIMAL_COMMA = re.compile(r"(?<![\w.])\d+,\d+")
_PULLDATA = re.compile(r"pulldata\(\s*['\"]([^'\"]*)['\"]")


def formulas(survey: Survey) -> Iterator[Finding]:
    for item in survey.items:
        for column in _EXPRESSIONS:
            text = survey.columns.value(item.row, column)
            if text and text.lower() not in _WORDS:
                place = _Place(survey, item, survey.columns.cell(item.row, column))
                yield from _expression(place, text, closed=column == "choice_filter")
        default = survey.columns.value(item.row, "default")
        if "${" in default or _FUNCTION.search(default):
            yield from _expression(_Place(survey, item, survey.columns.cell(item.row, "default")), default)
        yield from _trigger(survey, item)
        yield from _calculation_missing(survey, item)
        yield from _shown(survey, item.row, survey.columns)
    for row in survey.workbook.rows("choices"):
        yield from _shown(survey, row, survey.choice_columns)
    yield from _instance_name(survey)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an expression stands. `item` is None for settings."""

    survey: Survey
    item: Item | None
    cell: Cell


def _expression(place: _Place, text: str, *, closed: bool = False) -> Iterator[Finding]:
    """One expression. `closed`: it speaks of a list's columns too, so its types cannot be known."""
    unknown = [*_unknown_names(place, text), *_unknown_functions(place, text), *_bad_files(place, text)]
    if unknown:
        yield from unknown
        return
    try:
        if closed or not _functions_in(text) <= CATALOGUE.keys():
            parse(text)
        else:
            compiled = compile_expression(text, _scope(place))
            for advice in compiled.warnings:
                if advice.grave:
                    yield warning(f"expression.{advice.code}", place.cell, advice.problem, advice.cure)
    except ExpressionError as wrong:
        # The phone's language is wider than ours: what is good XPath, and calls nothing unknown, is the phone's to run.
        if not _is_xpath(text) or _DECIMAL_COMMA.search(_QUOTED.sub("''", text)):
            yield error("bad-expression", place.cell, wrong.problem, _cure(text, wrong))


def _cure(text: str, wrong: ExpressionError) -> Text:
    comma = _DECIMAL_COMMA.search(_QUOTED.sub("''", text))
    if comma is None:
        return wrong.cure
    number = comma[0].replace(",", ".")
    return Text(
        f"Số thập phân viết bằng dấu chấm: {number}, không phải {comma[0]}.",
        f"Decimals are written with a point: {number}, not {comma[0]}.",
    )


def _is_xpath(text: str) -> bool:
    try:
        etree.XPath(_REFERENCE.sub("/x", text))
    except (etree.XPathError, ValueError):
        return False
    return True


def _functions_in(text: str) -> set[str]:
    return {found for found in _FUNCTION.findall(_QUOTED.sub("''", text)) if found not in _OPERATORS}


def _unknown_functions(place: _Place, text: str) -> Iterator[Finding]:
    for name in sorted(_functions_in(text) - ON_PHONE):
        cure = did_you_mean(
            name, ON_PHONE, Text("Xem danh sách hàm tại docs.getodk.org.", "See docs.getodk.org for its functions.")
        )
        problem = Text(f"ODK không có hàm '{name}'.", f"ODK has no function '{name}'.")
        yield error("unknown-function", place.cell, problem, cure)


def _unknown_names(place: _Place, text: str) -> Iterator[Finding]:
    for written in dict.fromkeys(_REFERENCE.findall(text)):
        name = written.removeprefix("last-saved#")
        named = place.survey.names.get(name, ())
        if name in {"instanceID", "instanceName"} or len(named) == 1:
            continue
        if named:
            rows = ", ".join(str(item.row.number) for item in named)
            yield error(
                "ambiguous-name",
                place.cell,
                Text(f"Tên '{name}' có ở các dòng {rows}.", f"The name '{name}' stands in rows {rows}."),
                Text(
                    "Đặt tên khác nhau cho các câu hỏi được dùng trong biểu thức.",
                    "Give questions that expressions use names of their own.",
                ),
            )
            continue
        otherwise = Text("Sửa tên giữa ${ và }.", "Mend the name between ${ and }.")
        cure = did_you_mean(name.strip(), place.survey.names, otherwise)
        problem = Text(f"Không có câu hỏi tên '{name}'.", f"There is no question named '{name}'.")
        yield error("unknown-name", place.cell, problem, cure)


def _bad_files(place: _Place, text: str) -> Iterator[Finding]:
    for name in _PULLDATA.findall(text):
        if not PLAIN_NAME.fullmatch(name if "." in name else f"{name}.csv"):
            yield error(
                "bad-file-name",
                place.cell,
                Text(f"'{name}' không phải tên tệp dùng được.", f"'{name}' is not a file name that can be used."),
                Text(
                    "Chỉ ghi tên tệp, không có thư mục hay địa chỉ.",
                    "Write the file's name alone, without folder or address.",
                ),
            )


def _trigger(survey: Survey, item: Item) -> Iterator[Finding]:
    text = survey.columns.value(item.row, "trigger")
    if text:
        yield from _unknown_names(_Place(survey, item, survey.columns.cell(item.row, "trigger")), text)


def _calculation_missing(survey: Survey, item: Item) -> Iterator[Finding]:
    given = any(survey.columns.value(item.row, column) for column in ("calculation", "default"))
    if item.type == "calculate" and not given:
        yield error(
            "no-calculation",
            survey.columns.cell(item.row, "calculation"),
            Text(f"'{item.name}' chưa có phép tính.", f"'{item.name}' has no calculation."),
            Text("Ghi biểu thức vào cột calculation.", "Write its expression into the column calculation."),
        )


def _shown(survey: Survey, row: Row, columns: Columns) -> Iterator[Finding]:
    """Answers shown inside a text: `Chào ${name}`."""
    for column in _TEXTS:
        for language in columns.languages(column):
            text = columns.value(row, column, language)
            if "${" in text:
                yield from _unknown_names(_Place(survey, None, columns.cell(row, column, language)), text)


def _instance_name(survey: Survey) -> Iterator[Finding]:
    text = survey.setting("instance_name")
    if text and survey.settings is not None:
        cell = survey.setting_columns.cell(survey.settings, "instance_name")
        yield from _expression(_Place(survey, None, cell), text)


def _scope(place: _Place) -> Scope:
    """Names as pyxform resolves them; types as the sheet says, of calculates nothing."""
    inside = set() if place.item is None else {*place.item.repeats, place.item.path}
    return Scope(
        resolve=lambda name: _reference(place.survey, name, inside),
        names=tuple(sorted(place.survey.names)),
        path=lambda path: Reference(path, path.rpartition("/")[2], ValueType.ANY),
        context=f"/data/{place.item.path}" if place.item else "/data/meta/instanceName",
    )


def _reference(survey: Survey, name: str, inside: set[str]) -> Reference | None:
    bare = name.removeprefix("last-saved#")
    named = survey.names.get(bare, ())
    if not named:
        return Reference(name, name, ValueType.TEXT) if bare in {"instanceID", "instanceName"} else None
    item = named[0]
    if item.kind is not Kind.QUESTION:
        kind = ValueType.NODESET if item.kind is Kind.REPEAT else ValueType.ANY
        return Reference(item.path, name, kind, repeated=item.kind is Kind.REPEAT)
    return Reference(item.path, name, _value_type(item), repeated=not inside.issuperset(item.repeats))


_FIELD_TYPES: Mapping[str, FieldType] = {**ASKED, **SILENT, **CHOOSING}


def _value_type(item: Item) -> ValueType:
    if item.type in {"calculate", "hidden"}:
        return ValueType.ANY
    return type_of_field(_FIELD_TYPES.get(item.select or item.type, FieldType.TEXT))
