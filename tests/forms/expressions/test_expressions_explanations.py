"""Explanations: what supervisors read of a condition."""

from __future__ import annotations

import datetime as dt

from forms.expressions import Environment, Reference, Scope, ValueType, compile_expression

_TYPES = {
    "age": ValueType.NUMBER,
    "needs": ValueType.MULTIPLE,
    "birth": ValueType.DATE,
    "town": ValueType.TEXT,
    "cost": ValueType.NUMBER,
}
_NOW = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=7)))


def _resolve(name):
    return Reference(f"home/{name}", name, _TYPES[name], repeated=name == "cost", labels={"en": name.title()})


def _explained(text, **values):
    by_key = {f"home/{name}": value for name, value in values.items()}
    return compile_expression(text, Scope(resolve=_resolve)).explain(
        Environment(values=lambda key: by_key.get(key, ""), now=_NOW)
    )


def _outline(part):
    return (part.text, part.value, *(_outline(inner) for inner in part.parts))


def test_a_comparison_shows_what_the_question_held():
    shown = _explained("${age} >= 18", age=20.0)

    assert (shown.text, shown.value, shown.type) == ("${age} >= 18", "1", "boolean")
    (age,) = shown.parts
    assert (age.text, age.value, age.type, age.key, age.labels) == ("${age}", "20", "number", "home/age", {"en": "Age"})


def test_a_chain_of_conditions_is_one_list_without_literals():
    shown = _explained("${age} > 3 and (selected(${needs}, 'legal') and true()) and ${town} = 'x'", age=5.0)

    assert _outline(shown)[1:] == (
        "0",
        ("${age} > 3", "1", ("${age}", "5")),
        ("selected(${needs}, 'legal')", "0", ("${needs}", "")),
        ("${town} = 'x'", "0", ("${town}", "")),
    )


def test_arithmetic_shows_its_operands_only():
    shown = _explained("(${age} + 1) * 2 > today() - ${birth}", age=5.0, birth=dt.date(2026, 2, 1))

    assert _outline(shown)[2:] == (("${age}", "5"), ("today()", "2026-03-01"), ("${birth}", "2026-02-01"))


def test_only_the_branch_that_was_taken_is_shown():
    shown = _explained("if(${age} > 3, ${town}, ${birth})", age=5.0, town="Hanoi")

    assert _outline(shown)[1:] == ("Hanoi", ("${age} > 3", "1", ("${age}", "5")), ("${town}", "Hanoi"))


def test_a_part_that_cannot_be_computed_does_not_hide_the_others():
    shown = _explained("${age} > 9 and date(${town}) > today()", age=5.0, town="x")

    assert shown.value == "0"
    assert [(part.text, part.type) for part in shown.parts] == [
        ("${age} > 9", "boolean"),
        ("date(${town}) > today()", "error"),
    ]


def test_a_column_shows_its_rows():
    shown = _explained("sum(${cost}) > 2", cost=(1.0, "", 2.5))

    assert _outline(shown) == ("sum(${cost}) > 2", "1", ("sum(${cost})", "3.5", ("${cost}", "1, , 2.5")))


def test_a_part_of_unknown_type_takes_the_type_of_its_value():
    assert _explained("if(${age} > 3, 1, 'x')", age=5.0).type == "number"
    assert _explained("if(${age} > 3, 1, 'x')", age=1.0).type == "text"
