"""The catalogue: every function has what its reference page needs, and its example holds."""

from __future__ import annotations

import datetime as dt

import pytest

from forms.expressions import CATALOGUE, evaluate_plain

_NOW = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=7)))
_SAMPLE = {"cost": [60, None, 50], "visit": [None, None, None]}
_SAID_OF_AN_EXAMPLE_WITH_ROWS = {"indexed-repeat": "0", "count-non-empty": "0"}


@pytest.mark.parametrize("function", CATALOGUE.values(), ids=lambda function: function.name)
def test_every_function_is_described_and_its_example_holds(function):
    result = evaluate_plain(function.example, _SAMPLE, _NOW)

    assert result.type == "boolean"
    assert result.stored == _SAID_OF_AN_EXAMPLE_WITH_ROWS.get(function.name, "1")
    assert function.name in function.example
    for text in (function.summary, function.blank, *(argument.name for argument in function.arguments)):
        assert text.vi
        assert text.en


@pytest.mark.parametrize("function", CATALOGUE.values(), ids=lambda function: function.name)
def test_blank_arguments_never_break_a_function(function):
    for count in {function.fewest, len(function.arguments)}:
        blanks = ", ".join(f"${{q{place}}}" for place in range(count))

        evaluate_plain(f"{function.name}({blanks})", {}, _NOW)


def test_today_is_the_day_in_the_zone_of_the_programme():
    evening_in_london = dt.datetime(2026, 2, 28, 20, 0, tzinfo=dt.UTC)
    hanoi = evening_in_london.astimezone(dt.timezone(dt.timedelta(hours=7)))

    assert evaluate_plain("string(today())", {}, evening_in_london).stored == "2026-02-28"
    assert evaluate_plain("string(today())", {}, hanoi).stored == "2026-03-01"
