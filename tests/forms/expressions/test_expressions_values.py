"""Values: read from answers, turned into each other, stored."""

from __future__ import annotations

import datetime as dt
import math
from zoneinfo import ZoneInfo

import pytest

from forms.definition import FieldType
from forms.expressions import from_answer, stored, to_boolean, to_number, to_text

_HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
_NOW = dt.datetime(2026, 3, 1, 9, 30, tzinfo=_HANOI)
_SEVEN = dt.timezone(dt.timedelta(hours=7))


@pytest.mark.parametrize(
    ("field", "answer", "value"),
    [
        (FieldType.INTEGER, 7, 7.0),
        (FieldType.DECIMAL, "7.50", 7.5),
        (FieldType.INTEGER, "seven", "seven"),
        (FieldType.TEXT, "007", "007"),
        (FieldType.BOOLEAN, "1", True),
        (FieldType.BOOLEAN, "true", True),
        (FieldType.BOOLEAN, "0", False),
        (FieldType.BOOLEAN, "false", False),
        (FieldType.BOOLEAN, False, False),
        (FieldType.SELECT_MULTIPLE, ("tap", "well"), "tap well"),
        (FieldType.DATE, "2026-03-01", dt.date(2026, 3, 1)),
        (FieldType.DATE, "yesterday", "yesterday"),
        (
            FieldType.DATETIME,
            "2026-03-01T10:30:05.250+07:00",
            dt.datetime(2026, 3, 1, 10, 30, 5, 250_000, tzinfo=_SEVEN),
        ),
        (FieldType.TIME, "10:30:00.000Z", dt.time(10, 30, tzinfo=dt.UTC)),
        (FieldType.INTEGER, None, ""),
        (FieldType.DECIMAL, [1, None, 2.5], (1.0, "", 2.5)),
    ],
)
def test_answers_become_values(field, answer, value):
    assert from_answer(field, answer) == value
    assert type(from_answer(field, answer)) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        (math.nan, ""),
        (True, "1"),
        (False, "0"),
        (7.0, "7"),
        (-0.0, "0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (3.0000000001, "3"),
        (1e12, "1000000000000"),
        (1e20, "1.0E20"),
        (1.5e-4, "1.5E-4"),
        (-math.inf, "-Infinity"),
        (dt.date(2026, 3, 1), "2026-03-01T00:00:00.000+07:00"),
        (dt.datetime(2026, 3, 1, 20, 0, 0, 5999, tzinfo=dt.UTC), "2026-03-02T03:00:00.005+07:00"),
        (dt.datetime(2026, 3, 1, 20, 0), "2026-03-01T20:00:00.000+07:00"),  # noqa: DTZ001 - without a zone: local
    ],
)
def test_values_are_stored_as_collect_stores_them(value, text):
    assert stored(value, _HANOI) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [(" 12 ", 12), ("1,5", 1.5), ("5.", 5), (".5", 0.5), ("-3", -3), ("012", 12)],
)
def test_a_text_is_a_number_when_it_is_written_as_one(text, number):
    assert to_number(text, _NOW) == number


@pytest.mark.parametrize("text", ["", " ", "1e3", "+5", "0x10", "1_000", "NaN", "inf", "٣", "1-2", "--1", ".", "-"])
def test_everything_else_is_no_number(text):
    assert math.isnan(to_number(text, _NOW))


def test_a_moment_is_worth_its_local_day():
    late_in_utc = dt.datetime(2026, 2, 28, 20, 0, tzinfo=dt.UTC)

    assert to_number(late_in_utc, _NOW) == to_number(dt.date(2026, 3, 1), _NOW)
    assert to_text(late_in_utc, _NOW) == "2026-03-01"


def test_only_blanks_zero_and_nan_are_false():
    assert [to_boolean(value) for value in ("", 0.0, math.nan, False)] == [False] * 4
    assert [to_boolean(value) for value in ("0", "false", -1.0, dt.date(2026, 3, 1))] == [True] * 4
