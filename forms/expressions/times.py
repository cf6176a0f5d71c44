"""Dates and times as JavaRosa reads, counts and writes them.

JavaRosa knows one kind of date: an instant. A date is its local midnight. Here a date stays a date, and becomes an
instant only where a zone is at hand; a datetime or time without a zone is local.
"""

from __future__ import annotations

import datetime as dt
import re

from forms.expressions.errors import Refused
from forms.sheets import Text

EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
MS_PER_DAY = 86_400_000

Moment = dt.date | dt.datetime | dt.time

_DATE = re.compile(r"(\+?\d{1,9})-(\+?\d{1,9})-(\+?\d{1,9})")
_OFFSET = re.compile(r"(\+?\d{1,4})(?::(\+?\d{1,4}).*)?")
_CLOCK = re.compile(r"(\+?\d{1,9}):(\+?\d{1,9})(?::(\d+\.?\d*|\.\d+)\D*.*)?", re.DOTALL)

# English, whatever the server's language: a stored text must not depend on the machine that computed it.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def parse_date(text: str) -> dt.date | None:
    """`2024-03-01` or `2024-3-1`; None for what is no day of the calendar."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    try:
        return dt.date(*(int(part) for part in found.groups()))
    except ValueError:
        return None


def parse_moment(text: str) -> dt.date | dt.datetime | None:
    """A date, or date and time joined by T (`2024-03-01T10:30:00.000+07:00`); without an offset it stays naive."""
    day_text, joined, clock_text = text.partition("T")
    day = parse_date(day_text)
    if day is None or not joined:
        return day
    clock = parse_time(clock_text)
    return None if clock is None else dt.datetime.combine(day, clock)


def parse_time(text: str) -> dt.time | None:
    """`10:30`, `10:30:05.250`, each with or without Z, +07:00 or +07."""
    clock, zone = _split_offset(text)
    found = _CLOCK.fullmatch(clock)
    if found is None or (zone is None and clock != text):
        return None
    seconds = float(found[3] or "0")
    # Truncated as JavaRosa does it: 1.001 s has 0 ms, because 1000 times 1.001 falls short of 1001.
    milliseconds = int(1000.0 * seconds - 1000.0 * int(seconds))
    try:
        return dt.time(int(found[1]), int(found[2]), int(seconds), milliseconds * 1000, tzinfo=zone)
    except ValueError:
        return None


def _split_offset(text: str) -> tuple[str, dt.timezone | None]:
    if text.endswith("Z"):
        return text[:-1], dt.UTC
    for sign, factor in (("+", 1), ("-", -1)):
        clock, found, offset = text.partition(sign)
        if found:
            parts = _OFFSET.fullmatch(offset)
            if parts is None:
                return clock, None
            away = dt.timedelta(hours=int(parts[1]), minutes=int(parts[2] or 0))
            return clock, dt.timezone(factor * away) if away < dt.timedelta(days=1) else None
    return text, None


def instant(value: Moment, now: dt.datetime) -> dt.datetime:
    """The moment in the zone of `now`: a date at its midnight, a time on the day of `now`."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=now.tzinfo) if value.tzinfo is None else value.astimezone(now.tzinfo)
    if isinstance(value, dt.time):
        moment = dt.datetime.combine(now.date(), value)
        return moment.replace(tzinfo=now.tzinfo) if value.tzinfo is None else moment.astimezone(now.tzinfo)
    return dt.datetime.combine(value, dt.time(), tzinfo=now.tzinfo)


def local_date(value: Moment, now: dt.datetime) -> dt.date:
    """The day on which the moment falls, in the zone of `now`."""
    if isinstance(value, dt.datetime | dt.time):
        return instant(value, now).date()
    return value


def whole_days(value: Moment, now: dt.datetime) -> float:
    """Days from 1970-01-01 to the moment's local day: what a date is worth in arithmetic and comparisons."""
    return float(local_date(value, now).toordinal() - EPOCH_ORDINAL)


def fractional_days(value: Moment, now: dt.datetime) -> float:
    """Days from 1970-01-01T00:00Z to the instant, with their fraction."""
    since = instant(value, now) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (since // dt.timedelta(milliseconds=1)) / MS_PER_DAY


def day_fraction(value: Moment, now: dt.datetime) -> float:
    """The time of day as a fraction of 24 hours, with today's offset from UTC as JavaRosa takes it."""
    offset = now.utcoffset() or dt.timedelta()
    days = (fractional_days(value, now) * MS_PER_DAY + offset / dt.timedelta(milliseconds=1)) / MS_PER_DAY
    return days - float(days // 1)


def date_of_day(days: float) -> dt.date:
    """The day that many whole days after 1970-01-01; raises Refused beyond the years 1 to 9999."""
    try:
        return dt.date.fromordinal(EPOCH_ORDINAL + int(days))
    except (ValueError, OverflowError):
        raise out_of_range() from None


def datetime_of_days(days: float, now: dt.datetime) -> dt.datetime:
    """The instant that many days after 1970-01-01T00:00Z, in the zone of `now`."""
    try:
        since = dt.timedelta(milliseconds=int(days * MS_PER_DAY))
        return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + since).astimezone(now.tzinfo)
    except OverflowError:
        raise out_of_range() from None


def out_of_range() -> Refused:
    return Refused(
        Text(vi="Số này nằm ngoài khoảng biểu thị được một ngày.", en="This number lies beyond all dates."),
        Text(
            vi="Ngày tính bằng số ngày kể từ 1970-01-01.",
            en="A date is counted in days since 1970-01-01.",
        ),
    )


def iso_datetime(value: dt.datetime, zone: dt.tzinfo) -> str:
    """`2024-03-01T10:30:00.000+07:00`, with Z for UTC: as Collect stores a date and time."""
    local = value.replace(tzinfo=zone) if value.tzinfo is None else value.astimezone(zone)
    return f"{local.year}-{local:%m-%d}T{iso_clock(local.timetz(), local.utcoffset())}"


def iso_clock(value: dt.time, offset: dt.timedelta | None) -> str:
    clock = f"{value:%H:%M:%S}.{value.microsecond // 1000:03d}"
    if offset is None:
        return clock
    minutes = abs(offset) // dt.timedelta(minutes=1)
    if not offset:
        return f"{clock}Z"
    return f"{clock}{'-' if offset < dt.timedelta() else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def formatted(value: Moment, pattern: str, now: dt.datetime) -> str:
    """The moment under a pattern of format-date (%Y-%m-%d …); raises Refused for an escape that Collect has not."""
    local = instant(value, now)
    written: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character != "%":
            written.append(character)
            continue
        escape = next(characters, "")
        text = _escape(escape, local)
        if text is None:
            raise Refused(
                Text(
                    vi=f"Mẫu ngày có ký hiệu lạ '%{escape}'.", en=f"The date pattern has an unknown escape '%{escape}'."
                ),
                Text(
                    vi="Dùng %Y %y %m %n %b %d %e %H %h %M %S %3 %a hoặc %%.",
                    en="Use %Y %y %m %n %b %d %e %H %h %M %S %3 %a or %%.",
                ),
            )
        written.append(text)
    return "".join(written)


def _escape(letter: str, local: dt.datetime) -> str | None:
    """What an escape stands for. %W is left out: which week it is depends on the phone's language."""
    known = {
        "%": "%",
        "Y": f"{local.year:04d}",
        "y": f"{local.year:04d}"[2:],
        "m": f"{local.month:02d}",
        "n": str(local.month),
        "b": _MONTHS[local.month - 1],
        "d": f"{local.day:02d}",
        "e": str(local.day),
        "H": f"{local.hour:02d}",
        "h": str(local.hour),
        "M": f"{local.minute:02d}",
        "S": f"{local.second:02d}",
        "3": f"{local.microsecond // 1000:03d}",
        "a": _WEEKDAYS[local.weekday()],
    }
    return known.get(letter)
