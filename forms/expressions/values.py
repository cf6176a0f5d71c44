"""The values of the language, how they turn into each other, and how they are stored.

The conversions are those of JavaRosa 5.1, which differ from the XPath standard: a blank is a missing number, texts
have no order, two numbers nearer than 1e-12 are equal.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from enum import StrEnum

from forms.definition import Answer, FieldType
from forms.expressions import times

#: "" is blank. Numbers are always float, as in XPath.
Value = str | float | bool | dt.date | dt.datetime | dt.time

#: A repeat's column: one value per row, "" where the row left it blank.
Nodeset = tuple[Value, ...]

NAN = math.nan
_NEAR = 1e-12
_INT_MAX, _INT_MIN = 2**31 - 1, -(2**31)
_LONG_MAX, _LONG_MIN = 2**63 - 1, -(2**63)

#: What Java's String.trim() removes: everything up to and including the space.
JAVA_BLANKS = "".join(map(chr, range(0x21)))
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")


class ValueType(StrEnum):
    """The type of an expression or of a part of it, as far as it is known before any answer is seen."""

    BOOLEAN = "boolean"
    NUMBER = "number"
    TEXT = "text"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"
    MULTIPLE = "multiple"
    """The chosen codes of a select_multiple, joined by spaces."""
    NODESET = "nodeset"
    """A repeat itself: one place per row."""
    ANY = "any"


TEXTS = frozenset({ValueType.TEXT, ValueType.MULTIPLE})
MOMENTS = frozenset({ValueType.DATE, ValueType.DATETIME, ValueType.TIME})

_TYPES = {
    FieldType.INTEGER: ValueType.NUMBER,
    FieldType.DECIMAL: ValueType.NUMBER,
    FieldType.BOOLEAN: ValueType.BOOLEAN,
    FieldType.SELECT_MULTIPLE: ValueType.MULTIPLE,
    FieldType.RANK: ValueType.MULTIPLE,
    FieldType.DATE: ValueType.DATE,
    FieldType.TIME: ValueType.TIME,
    FieldType.DATETIME: ValueType.DATETIME,
}


def type_of_field(field: FieldType) -> ValueType:
    """The type that a field's answers have in expressions; text where nothing better is known."""
    return _TYPES.get(field, ValueType.TEXT)


def type_of_value(value: Value | Nodeset) -> ValueType:
    """The type of a value in hand; text for a blank."""
    if isinstance(value, bool):
        return ValueType.BOOLEAN
    if isinstance(value, float | int):
        return ValueType.NUMBER
    if isinstance(value, dt.datetime):
        return ValueType.DATETIME
    if isinstance(value, dt.date):
        return ValueType.DATE
    if isinstance(value, dt.time):
        return ValueType.TIME
    return ValueType.NODESET if isinstance(value, tuple) else ValueType.TEXT


def from_answer(field: FieldType, answer: Answer | list[Answer | None] | None) -> Value | Nodeset:
    """A typed answer as a value; a list (a field inside a repeat) as a nodeset; None and blanks as "".

    An answer that does not fit its field's type stays the text it is: what was sent is not lost, it only fails to
    count as a number or a date. Booleans are stored as 1/0 by Collect and as true/false by others; both are read.
    """
    if isinstance(answer, list):
        return tuple(_single(field, item) for item in answer)
    return _single(field, answer)


def _single(field: FieldType, answer: Answer | None) -> Value:
    if answer is None:
        return ""
    if isinstance(answer, tuple):
        return " ".join(answer)
    if isinstance(answer, bool):
        return answer
    if isinstance(answer, int | float):
        return bool(answer) if field is FieldType.BOOLEAN else float(answer)
    return _from_text(type_of_field(field), answer)


def _from_text(kind: ValueType, text: str) -> Value:
    if kind is ValueType.NUMBER:
        number = number_of_text(text)
        return text if math.isnan(number) else number
    if kind is ValueType.BOOLEAN:
        return {"1": True, "true": True, "0": False, "false": False}.get(text, text)
    if kind is ValueType.DATE:
        return times.parse_date(text.partition("T")[0]) or text
    if kind is ValueType.DATETIME:
        return times.parse_moment(text) or text
    if kind is ValueType.TIME:
        clock = times.parse_time(text)
        return text if clock is None else clock
    return text


def number_of_text(text: str) -> float:
    """A text as a number, NaN for a blank and for what is none. No exponents, no plus sign; a comma is a point."""
    trimmed = text.strip(JAVA_BLANKS).replace(",", ".")
    return float(trimmed) if _NUMBER.fullmatch(trimmed) else NAN


def to_number(value: Value, now: dt.datetime) -> float:
    """Any value as a number: NaN for a blank, 1 or 0 for a boolean, whole days since 1970-01-01 for a date."""
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        return number_of_text(value)
    if isinstance(value, bool | int):
        return float(value)
    return times.whole_days(value, now)


def to_boolean(value: Value) -> bool:
    """Any value as true or false: blank, 0 and NaN are false; every other text is true, '0' and 'false' too."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value != ""
    if isinstance(value, float | int):
        return abs(value) > _NEAR
    return True


def to_text(value: Value, now: dt.datetime) -> str:
    """Any value as text: true/false, a whole number without decimals, NaN, a moment as its local day."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | int):
        return number_text(float(value))
    day = times.local_date(value, now)
    return f"{day.year}-{day:%m-%d}"


def number_text(number: float) -> str:
    """A number as JavaRosa writes it into a text: `7`, `2.5`, `1.0E12`, `NaN`, `Infinity`."""
    if math.isfinite(number):
        if abs(number) < _NEAR:
            return "0"
        whole = clamp(number, _INT_MIN, _INT_MAX)
        if abs(number - whole) < _NEAR:
            return str(whole)
    return _double_text(number)


def _double_text(number: float) -> str:
    """As Java writes a double: always with a decimal, with an exponent from 1e7 upwards and below 1e-3."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "-0.0" if math.copysign(1, number) < 0 else "0.0"
    if 1e-3 <= abs(number) < 1e7:
        return repr(number)
    sign, digits, exponent = Decimal(repr(number)).as_tuple()
    figures = "".join(map(str, digits)).rstrip("0") or "0"
    power = len(digits) - 1 + int(exponent)
    return f"{'-' if sign else ''}{figures[0]}.{figures[1:] or '0'}E{power}"


def clamp(number: float, low: int = _INT_MIN, high: int = _INT_MAX) -> int:
    """The whole part, as Java casts a double: 0 for NaN, the nearest bound for what is too large."""
    if math.isnan(number):
        return 0
    return max(low, min(high, int(number))) if math.isfinite(number) else (high if number > 0 else low)


def whole_part(number: float) -> float:
    """The number without its fraction, as `int()` gives it: NaN, the infinities and the sign of zero are kept."""
    if not math.isfinite(number) or not _LONG_MIN < number < _LONG_MAX:
        return number
    return math.copysign(float(int(number)), number)


def equal(left: Value, right: Value, now: dt.datetime) -> bool:
    """The language's `=`: booleans if either is one, else numbers if either is one, else texts."""
    if isinstance(left, bool) or isinstance(right, bool):
        return to_boolean(left) is to_boolean(right)
    if isinstance(left, float | int) or isinstance(right, float | int):
        return abs(to_number(left, now) - to_number(right, now)) < _NEAR
    return to_text(left, now) == to_text(right, now)


def stored(value: Value, zone: dt.tzinfo) -> str:
    """The text that JavaRosa would store for this result of a calculate.

    "" for a blank and for NaN, 1 or 0 for a boolean, a whole number without decimals, a date as its midnight in
    `zone` (`2024-03-01T00:00:00.000+07:00`).
    """
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float | int):
        return _stored_number(float(value))
    if isinstance(value, dt.datetime):
        return times.iso_datetime(value, zone)
    if isinstance(value, dt.date):
        return times.iso_datetime(dt.datetime.combine(value, dt.time(), tzinfo=zone), zone)
    if isinstance(value, dt.time):
        return times.iso_clock(value, value.utcoffset())
    return value


def _stored_number(number: float) -> str:
    if math.isnan(number):
        return ""
    whole = clamp(number, _LONG_MIN, _LONG_MAX)
    if math.isfinite(number) and abs(number - whole) < 1e-9:
        return str(whole)
    return _double_text(number)
