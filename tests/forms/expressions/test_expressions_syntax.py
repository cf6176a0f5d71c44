"""How expressions are written, and what is said where they are written wrongly."""

from __future__ import annotations

import datetime as dt
import unicodedata

import pytest

from forms.expressions import ExpressionError, evaluate_plain, parse
from forms.expressions.syntax import Literal, Name, Operation, Path

_NOW = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)


def _value(text, **values):
    return evaluate_plain(text, values, _NOW).stored


def _error(text, **values):
    with pytest.raises(ExpressionError) as caught:
        evaluate_plain(text, values, _NOW)
    return caught.value


def test_a_hyphen_in_a_name_is_no_subtraction():
    assert parse("${a-b}") == Name("a-b", 0, 6)
    assert parse("/data/a-b") == Path(("data", "a-b"), absolute=True, start=0, end=9)
    assert _value("${a}-${b}", a=5, b=2) == "3"


def test_names_are_unicode_and_composed():
    decomposed = unicodedata.normalize("NFD", "tuổi")

    assert parse(f"${{{decomposed}}}") == Name("tuổi", 0, len(decomposed) + 3)
    assert parse(f"/data/{decomposed}").steps == ("data", "tuổi")


def test_a_question_in_a_group_may_be_named_with_its_group():
    assert parse("${phq9/q9.a}").name == "phq9/q9.a"


def test_smart_quotes_are_plain_quotes():
    assert _value("${o} = ‘yes’", o="yes") == "1"
    assert _value("${o} = “yes”", o="yes") == "1"


def test_quotes_of_one_kind_hold_those_of_the_other():
    assert parse('"it\'s"') == Literal("it's", 0, 6)


def test_operators_bind_as_on_the_phone():
    assert _value("2 + 3 * 4 = 14 and 10 - 2 - 3 = 5 and -2 * -3 = 6") == "1"
    assert _value("true() or false() and false()") == "1"
    assert _value("--3") == "3"


def test_a_word_is_an_operator_only_after_a_value():
    tree = parse("/data/mod mod /data/div")

    assert isinstance(tree, Operation)
    assert (tree.operator, tree.left.steps, tree.right.steps) == ("mod", ("data", "mod"), ("data", "div"))


def test_a_node_in_parentheses_keeps_them_in_its_text():
    tree = parse("(1 + 2) * 3")

    assert (tree.left.start, tree.left.end) == (0, 7)


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("${a} ≥ 3", "Write >=."),
        ("${a} == 3", "Write =."),
        ("${a} <> 3", "Write !=."),
        ("${a} && ${b}", "Write and."),
        ("${a} AND ${b}", "Write it in small letters: and."),
        ("${a} > 0,5", "Decimals are written with a point: 0.5."),
        ("a > 3", "A question is written ${a}"),
        ("today - 3", "Write it with parentheses: today()."),
        ("and(${a})", "Write it between two parts: … and …"),
        ("selcted(${m}, 'x')", "Did you mean selected()?"),
        ("IF(${a} > 3, 1, 2)", "Did you mean if()?"),
        ("selected(${m})", "For example: selected("),
        ("selected(${m}, 0)", "For example: selected("),
        ("sum(1 + 2)", "For example: sum(${cost})"),
        ("isblank(${a})", "Write ${question} = ''."),
        ("lower-case(${a})", "Collect does not have it."),
        ("jr:choice-name(${o}, '${o}')", "Compare the choice's code"),
        ("instance('x')/root/item", "An expression sees answers, not look-up tables."),
        ("${r}[1]/v", "Use indexed-repeat()"),
        ("${grp}/name", "${group/question}"),
        ("${a} | ${b}", "write or"),
        ("${last-saved#a}", "Use ${a}"),
        ("${a", "Write ${question_name}."),
        ("'abc", "Add ' at the end of the text."),
        ("(${a} > 3", "Add ')' at the end of this part."),
        ("${a} > 3)", "Remove it"),
        ("${a} >", "Add a question, a number"),
        ("or ${a}", "with a condition or a number on each side"),
        ("concat(${a} ${b})", "Between two parts stands"),
        ("date('2026-02-30')", "A date is written year-month-day"),
        ("format-date(${d}, '%Q')", "Use %Y"),
        ("regex(${t}, '(a')", "Check the pattern's parentheses."),
        ("../a > 3", "Write the question's name within ${…}."),
        ("", "Write a condition"),
    ],
)
def test_every_mistake_has_a_cure_in_both_languages(text, cure):
    error = _error(text, a=1, b=2)

    assert cure in error.cure.en
    assert error.cure.vi
    assert error.problem.vi != error.problem.en
    assert 0 <= error.start <= error.end <= max(len(text), 1)


def test_an_error_knows_its_place():
    error = _error("${a} > 3 and ${a} => 5", a=1)

    assert (error.start, error.end) == (18, 20)
    assert error.describe("vi") == "Không có ký hiệu '=>' trong biểu thức. Viết >=."


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5_000 + "1" + ")" * 5_000,
        "not(" * 5_000 + "1" + ")" * 5_000,
        "-" * 5_000 + "1",
        "+".join("1" * 5_000),
        "(" * 90 + "1" + "+1" * 150 + (")" + "+1" * 150) * 90,
    ],
)
def test_an_expression_beyond_all_measure_is_refused(text):
    assert "Split the expression" in _error(text).cure.en


def test_long_sums_and_chains_of_conditions_are_computed():
    assert _value(" + ".join(["${a}"] * 150), a=2) == "300"
    assert _value(" or ".join(["${a} = 1"] * 150), a=2) == "0"
    assert _value("if(${a} = 1, 'x', " * 60 + "'y'" + ")" * 60, a=2) == "y"
