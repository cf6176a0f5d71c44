"""Warnings: what runs, but will not do what its author thinks."""

from __future__ import annotations

import pytest

from forms.expressions import Reference, Scope, ValueType, compile_expression

_REFERENCES = {
    "age": ValueType.NUMBER,
    "score": ValueType.NUMBER,
    "town": ValueType.TEXT,
    "needs": ValueType.MULTIPLE,
    "birth": ValueType.DATE,
    "flag": ValueType.BOOLEAN,
    "cost": ValueType.NUMBER,
}


def _resolve(name):
    return Reference(name, name, _REFERENCES[name], repeated=name == "cost") if name in _REFERENCES else None


def _warnings(text):
    return compile_expression(text, Scope(resolve=_resolve, context="/data/x")).warnings


def _codes(text):
    return [warning.code for warning in _warnings(text)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("${flag} = 'true'", "boolean-as-text"),
        ("'1' != (${age} > 3)", "boolean-as-text"),
        ("${birth} > '2000-01-01'", "date-as-text"),
        ("today() < '2000-01-01'", "date-as-text"),
        ("${birth} = '1/2/2000'", "date-as-text"),
        ("${town} > 'abc'", "text-order"),
        ("${cost} > 2", "repeated-as-one"),
        ("concat('x', ${cost})", "repeated-as-one"),
        ("${cost}", "repeated-as-one"),
    ],
)
def test_what_can_never_work_is_grave(text, code):
    found = [(warning.code, warning.grave) for warning in _warnings(text) if warning.code == code]

    assert found == [(code, True)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("${birth} + 30", "date-plus"),
        ("if(${age}, 1, 2) = 1", "not-a-condition"),
        ("${town} and ${age} > 3", "not-a-condition"),
        ("regex(${town}, '[a-z]+')", "regex-unanchored"),
        ("${needs} = 'legal'", "multiple-as-one"),
        ("floor(${age}) = 3", "not-on-phone"),
    ],
)
def test_what_surprises_is_a_plain_warning(text, code):
    found = [(warning.code, warning.grave) for warning in _warnings(text)]

    assert found == [(code, False)]


@pytest.mark.parametrize(
    "text",
    [
        "${age} > 3 and ${town} = 'x'",
        "${birth} = '2000-01-01'",
        "${birth} > date('2000-01-01')",
        "date(${birth} + 30) < today()",
        "${flag} = true()",
        "sum(${cost}) > 2 and max(${cost}) > 1 and concat(${cost}) = 'x'",
        "regex(${town}, '^[a-z]+$')",
        "selected(${needs}, 'legal')",
        "${age} > '3'",
    ],
)
def test_what_is_well_written_raises_no_warning(text):
    assert _codes(text) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("${age} != 3", ["age"]),
        ("${town} != 'x'", ["town"]),
        ("not(${age} > 3)", ["age"]),
        ("not(selected(${needs}, 'legal'))", ["needs"]),
        ("not(${age} > 5 or ${score} > 3)", ["age", "score"]),
        ("number(${town}) + 1 != 3", ["town"]),
        ("string-length(${town}) != 3", ["town"]),
        ("${score} > 1 and ${age} != 3", ["age"]),
        ("${score} = '' or ${age} != 3", ["age"]),
        ("${age} != 3 or ${age} != 4", ["age", "age"]),
    ],
)
def test_a_negation_that_a_blank_makes_true_names_the_question(text, names):
    found = [warning for warning in _warnings(text) if warning.code == "blank-is-true"]

    assert [reference.name for warning in found for reference in warning.references] == names
    assert not any(warning.grave for warning in found)


@pytest.mark.parametrize(
    "text",
    [
        "${age} != ''",
        "not(${age} = '')",
        "${age} != '' and ${age} != 3",
        "${age} != 3 and ${age} > 0",
        "count-selected(${needs}) > 0 and not(selected(${needs}, 'legal'))",
        "string-length(${town}) > 0 and ${town} != 'x'",
        "if(${age} = '', false(), ${age} != 3)",
        "if(${age} > 0, ${age} != 3, false())",
        "${age} = '' or ${age} != 3",
        "coalesce(${age}, 0) != 3",
        "not(${age} != 3)",
        "sum(${cost}) != 3",
        ". != 3",
        "not(today() > date('2026-01-01'))",
    ],
)
def test_a_blank_that_was_thought_of_raises_no_warning(text):
    assert "blank-is-true" not in _codes(text)


def test_the_cure_of_a_blank_is_never_a_mistake_itself():
    (warning,) = _warnings("not(${flag})")

    assert warning.code == "blank-is-true"
    assert "${flag} != ''" not in warning.cure.en


def test_warnings_stand_in_the_order_of_the_text_and_point_into_it():
    text = "${flag} = 'true' and ${birth} > '2000-01-01'"

    assert [text[warning.start : warning.end] for warning in _warnings(text)] == text.split(" and ")
