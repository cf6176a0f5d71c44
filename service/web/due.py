"""How much of the allowed time is used: the words and the ruler beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from service.web.language import Reader

#: Widths in the ruler's own units: the tick stands at the limit, what lies beyond it is overdue.
TICK = 72
LENGTH = 104


@dataclass(frozen=True, slots=True)
class Ruler:
    """`run` and `over` are widths in the ruler's units, the limit at TICK; `used` is in percent of the time allowed."""

    words: str
    late: bool
    run: int
    over: int
    used: int


def ruler(reader: Reader, *, start: datetime, due: datetime, now: datetime) -> Ruler:
    """The ruler of something that began at `start` and is due at `due`. Beyond 144 % it stays full."""
    allowed = max(due - start, timedelta(minutes=1))
    share = max((now - start) / allowed, 0.0)
    run = min(round(share * TICK), TICK)
    over = min(round((share - 1) * TICK), LENGTH - TICK) if share > 1 else 0
    return Ruler(words(reader, due - now), now > due, run, max(over, 4 if now > due else 0), round(share * 100))


def words(reader: Reader, left: timedelta) -> str:
    """`Còn 5 giờ`, `Quá hạn 1 ngày`: whole units, the largest that fits."""
    late, length = left < timedelta(0), abs(left)
    if length >= timedelta(days=1):
        return _days(reader, late, length.days)
    if length >= timedelta(hours=1):
        hours = int(length / timedelta(hours=1))
        if late:
            return reader.ngettext("Quá hạn %(num)s giờ", "Quá hạn %(num)s giờ", hours)
        return reader.ngettext("Còn %(num)s giờ", "Còn %(num)s giờ", hours)
    minutes = int(length / timedelta(minutes=1))
    if late:
        return reader.ngettext("Quá hạn %(num)s phút", "Quá hạn %(num)s phút", minutes)
    return reader.ngettext("Còn %(num)s phút", "Còn %(num)s phút", minutes)


def day_words(reader: Reader, due: date, today: date) -> str:
    """The same for something that is due on a day, not at an hour."""
    if due == today:
        return reader.gettext("Hôm nay")
    return _days(reader, due < today, abs((due - today).days))


def _days(reader: Reader, late: bool, days: int) -> str:
    if late:
        return reader.ngettext("Quá hạn %(num)s ngày", "Quá hạn %(num)s ngày", days)
    return reader.ngettext("Còn %(num)s ngày", "Còn %(num)s ngày", days)
