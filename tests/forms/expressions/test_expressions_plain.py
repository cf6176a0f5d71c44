"""Expressions over JSON values, as the command line has them."""

from __future__ import annotations

import datetime as dt

import pytest

from forms.expressions import EvaluationError, evaluate_plain

_NOW = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=7)))


def _result(text, values):
    result = evaluate_plain(text, values, _NOW)
    return result.stored, result.type


def test_types_follow_the_json():
    assert _result("${a} > 3", {"a": 5}) == ("1", "boolean")
    assert _result("${a} + 1", {"a": 1.5}) == ("2.5", "number")
    assert _result("${a}", {"a": "x"}) == ("x", "text")
    assert _result("${a} = true()", {"a": True}) == ("1", "boolean")
    assert _result("${a} - date('2026-02-01')", {"a": "2026-03-01"}) == ("28", "number")
    assert _result("selected(${a}, 'tap')", {"a": ["well", "tap"]}) == ("1", "boolean")
    assert _result("${a}", {"a": ["well", "tap"]}) == ("well tap", "multiple")


def test_what_is_absent_or_null_is_blank():
    assert _result("${a} > 3", {}) == ("0", "boolean")
    assert _result("${a} + 1", {"a": None}) == ("", "number")
    assert _result("coalesce(${a}, 4)", {}) == ("4", "number")


def test_a_list_is_a_column_where_it_is_summed_counted_or_joined():
    assert _result("sum(${a}) + max(${a})", {"a": [1, None, 3]}) == ("7", "number")
    assert _result("join('|', ${a})", {"a": [1, None, 3]}) == ("1||3", "text")
    assert _result("count(${a})", {"a": ["x", "y"]}) == ("2", "number")


def test_a_repeat_that_is_not_given_has_the_rows_of_the_only_list():
    assert _result("count(${r})", {"v": [1, 2]}) == ("2", "number")
    assert _result("count(${r})", {}) == ("0", "number")
    assert _result("indexed-repeat(${v}, ${r}, 2)", {"v": [1, 9]}) == ("9", "number")


def test_a_column_of_several_rows_is_not_one_value():
    with pytest.raises(EvaluationError):
        _result("${v} > 2", {"v": [1, 3]})


def test_the_parts_are_explained():
    explained = evaluate_plain("${a} > 3 and ${b} = 'x'", {"a": 5, "b": "y"}, _NOW).explained

    assert [(part.text, part.value) for part in explained.parts] == [("${a} > 3", "1"), ("${b} = 'x'", "0")]


def test_a_moment_becomes_its_local_day_with_date_and_keeps_its_time_with_date_time():
    late = {"a": "2026-02-28T20:15:00.000Z"}

    assert _result("date(${a})", late) == ("2026-03-01T00:00:00.000+07:00", "date")
    assert _result("date-time(${a})", late) == ("2026-03-01T03:15:00.000+07:00", "datetime")
    assert _result("format-date(${a}, '%H:%M')", late) == ("03:15", "text")
    assert _result("round(decimal-time(${a}) * 24, 6)", late) == ("3.25", "number")
