"""The reader's language: sentences, dates and numbers as she writes them.

Sentences stand in the code in Vietnamese; `service/locale/en.po` translates them. A reader whose language has no
catalogue reads Vietnamese.
"""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from forms.sheets import Language

LOCALE = Path(__file__).parents[1] / "locale"
LANGUAGES: tuple[str, ...] = tuple(Language)
SOURCE = Language.VI


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """The sentences in this language; Vietnamese ones for a language without a catalogue."""
    file = LOCALE / f"{language}.po"
    if language == SOURCE or not file.exists():
        return gettext.NullTranslations()
    compiled = BytesIO()
    with file.open("rb") as source:
        write_mo(compiled, read_po(source, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who reads a page: in which language, and in which zone her clock runs."""

    language: str
    zone: ZoneInfo

    def gettext(self, sentence: str, **values: object) -> str:
        found = catalogue(self.language).gettext(sentence)
        return found % values if values else found

    def ngettext(self, one: str, many: str, num: int, **values: object) -> str:
        found = catalogue(self.language).ngettext(one, many, num)
        return found % {"num": self.number(num), **values}

    def day(self, value: date | datetime) -> str:
        """23/11/2026, in both languages: the one order that nobody in the programme misreads."""
        return f"{self._local(value):%d/%m/%Y}"

    def short_day(self, value: date | datetime) -> str:
        return f"{self._local(value):%d/%m}"

    def weekday(self, value: date) -> str:
        """Thứ Hai, 23/11/2026."""
        return format_date(value, "EEEE, dd/MM/yyyy", locale=self.language)

    def moment(self, value: datetime) -> str:
        """23/11/2026 08:12, on the programme's clock."""
        return f"{self._local(value):%d/%m/%Y %H:%M}"

    def time(self, value: datetime) -> str:
        return f"{self._local(value):%H:%M}"

    def number(self, value: float) -> str:
        """12.480 in Vietnamese, 12,480 in English."""
        return format_decimal(value, locale=self.language)

    def label(self, labels: Mapping[str, str], otherwise: str = "") -> str:
        """The text in this language, else in Vietnamese, else any. Keys are codes (`vi`) or names (`English (en)`)."""
        for wanted in (self.language, "", SOURCE):
            for name, text in labels.items():
                if text and (name == wanted or (wanted and name.endswith(f"({wanted})"))):
                    return text
        return next((text for text in labels.values() if text), otherwise)

    def _local(self, value: date | datetime) -> date | datetime:
        return value.astimezone(self.zone) if isinstance(value, datetime) else value
