"""Functions on dates and times. Everything local is in the programme's zone, that of Environment.now."""

from __future__ import annotations

import datetime as dt
import math

from forms.expressions import times
from forms.expressions.errors import Refused
from forms.expressions.functions_logic import Given, single
from forms.expressions.signatures import Argument, Environment, Function
from forms.expressions.values import Value, ValueType, to_text, whole_part
from forms.sheets import Text

_MOMENT = Argument(Text(vi="ngày, chữ năm-tháng-ngày hoặc số ngày", en="date, text year-month-day or number of days"))
_PATTERN = Argument(Text(vi="mẫu", en="pattern"), ValueType.TEXT)
_BLANK_STAYS = Text(vi="Trống thì kết quả trống.", en="A blank gives a blank.")
_FORMAT_SUMMARY = Text(
    vi="Viết ngày theo mẫu: %Y năm, %m tháng, %d ngày, %H giờ, %M phút, %b %a tên tháng và thứ bằng tiếng Anh.",
    en="Writes a date by a pattern: %Y year, %m month, %d day, %H hour, %M minute, %b %a names in English.",
)

_MOST_DAYS, _LEAST_DAYS = 2**31 - 1, -(2**31)


def _no_date() -> Refused:
    return Refused(
        Text(vi="Giá trị này không phải là ngày.", en="This value is not a date."),
        Text(vi="Ngày viết là năm-tháng-ngày: '2026-03-01'.", en="A date is written year-month-day: '2026-03-01'."),
    )


def _read(text: str) -> dt.date | dt.datetime:
    moment = times.parse_moment(text)
    if moment is None:
        raise _no_date()
    return moment


def _in_range(days: float) -> float:
    if not _LEAST_DAYS <= days <= _MOST_DAYS:
        raise times.out_of_range()
    return days


def _is_missing(value: Value) -> bool:
    return value == "" or (isinstance(value, float) and math.isnan(value))


def _moment(value: Value, now: dt.datetime) -> times.Moment:
    """A value that is not missing as a moment, its time of day kept."""
    if isinstance(value, bool):
        raise _no_date()
    if isinstance(value, str):
        return _read(value)
    if isinstance(value, float | int):
        return times.datetime_of_days(_in_range(value), now)
    return value


def _date(env: Environment, given: Given) -> Value:
    value = single(given[0])
    if _is_missing(value):
        return value
    if isinstance(value, float) and not isinstance(value, bool):
        return times.date_of_day(_in_range(whole_part(value)))
    # A text keeps its time of day even here, as JavaRosa has it.
    moment = _moment(value, env.now)
    return moment if isinstance(value, str) else times.local_date(moment, env.now)


def _date_time(env: Environment, given: Given) -> Value:
    value = single(given[0])
    return value if _is_missing(value) else _moment(value, env.now)


def _decimal_date_time(env: Environment, given: Given) -> Value:
    value = single(given[0])
    if _is_missing(value):
        return value
    if isinstance(value, float):
        return _in_range(value)
    return times.fractional_days(_moment(value, env.now), env.now)


def _decimal_time(env: Environment, given: Given) -> Value:
    value = single(given[0])
    if _is_missing(value):
        return value
    if isinstance(value, float):
        return _in_range(value) - math.floor(value)
    return times.day_fraction(_moment(value, env.now), env.now)


def _format(env: Environment, given: Given) -> str:
    value = single(given[0])
    if _is_missing(value):
        return ""
    return times.formatted(_moment(value, env.now), to_text(single(given[1]), env.now), env.now)


def _check_date(literals: tuple[str | None, ...]) -> None:
    if literals[0]:
        _read(literals[0])


def _check_format(literals: tuple[str | None, ...]) -> None:
    _check_date(literals)
    if literals[1] is not None:
        times.formatted(dt.date(2000, 1, 1), literals[1], dt.datetime(2000, 1, 1, tzinfo=dt.UTC))


FUNCTIONS = (
    Function(
        name="today",
        arguments=(),
        returns=ValueType.DATE,
        summary=Text(
            vi="Ngày hôm nay của lần khám, theo giờ của chương trình.", en="The day, in the programme's time zone."
        ),
        blank=Text(vi="Không áp dụng.", en="Does not apply."),
        example="today() >= date('2020-01-01')",
        call=lambda env, given: env.now.date(),
    ),
    Function(
        name="now",
        arguments=(),
        returns=ValueType.DATETIME,
        summary=Text(vi="Ngày và giờ lúc này.", en="The date and time."),
        blank=Text(vi="Không áp dụng.", en="Does not apply."),
        example="format-date(now(), '%Y') >= 2020",
        call=lambda env, given: env.now,
    ),
    Function(
        name="date",
        arguments=(_MOMENT,),
        returns=ValueType.DATE,
        summary=Text(
            vi="Đổi thành ngày. Ngày cộng số cho ra số, nên ngày sau đó 30 ngày là date(${ngay} + 30).",
            en="Turns a value into a date. A date plus a number is a number: 30 days later is date(${day} + 30).",
        ),
        blank=_BLANK_STAYS,
        example="date('2026-03-01') - date('2026-02-01') = 28",
        call=_date,
        check=_check_date,
    ),
    Function(
        name="date-time",
        arguments=(_MOMENT,),
        returns=ValueType.DATETIME,
        summary=Text(vi="Đổi thành ngày và giờ.", en="Turns a value into a date with its time."),
        blank=_BLANK_STAYS,
        example="date-time('2026-03-01T10:30:00.000+07:00') >= date('2026-03-01')",
        call=_date_time,
        check=_check_date,
    ),
    Function(
        name="decimal-date-time",
        arguments=(_MOMENT,),
        returns=ValueType.NUMBER,
        summary=Text(
            vi="Số ngày kể từ 1970-01-01 giờ UTC, có phần thập phân cho giờ.",
            en="Days since 1970-01-01 UTC, the time as a fraction.",
        ),
        blank=_BLANK_STAYS,
        example="decimal-date-time('1970-01-02T00:00:00.000Z') = 1",
        call=_decimal_date_time,
        check=_check_date,
    ),
    Function(
        name="decimal-time",
        arguments=(_MOMENT,),
        returns=ValueType.NUMBER,
        summary=Text(
            vi="Giờ trong ngày, là phần của 24 giờ: 12 giờ trưa là 0.5.",
            en="The time of day as a part of 24 hours: noon is 0.5.",
        ),
        blank=_BLANK_STAYS,
        example="decimal-time('2026-03-01T12:00:00') = 0.5",
        call=_decimal_time,
        check=_check_date,
    ),
    Function(
        name="format-date",
        arguments=(_MOMENT, _PATTERN),
        returns=ValueType.TEXT,
        summary=_FORMAT_SUMMARY,
        blank=_BLANK_STAYS,
        example="format-date('2026-03-01', '%d/%m/%Y') = '01/03/2026'",
        call=_format,
        check=_check_format,
    ),
    Function(
        name="format-date-time",
        arguments=(_MOMENT, _PATTERN),
        returns=ValueType.TEXT,
        summary=_FORMAT_SUMMARY,
        blank=_BLANK_STAYS,
        example="format-date-time('2026-03-01T10:30:00', '%H:%M') = '10:30'",
        call=_format,
        check=_check_format,
    ),
)
