"""Languages, dates and measures of time on the pages."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po

from service.web import due, language
from service.web.language import LANGUAGES, LOCALE, SOURCE, Reader

WEB = Path(language.__file__).parent
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
VI, EN = Reader("vi", HANOI), Reader("en", HANOI)
NOON = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


def sentences() -> Iterator[str | tuple[str, ...]]:
    """Every sentence that code and templates of the pages say."""
    keywords = {**DEFAULT_KEYWORDS, "N_": None}
    methods = [("**.py", "python"), ("**.html", "jinja2")]
    options = {"**.html": {"newstyle_gettext": "true"}}
    found = extract_from_dir(WEB, method_map=methods, options_map=options, keywords=keywords)
    return (sentence for _, _, sentence, _, _ in found)


def translations(code: str) -> Catalog:
    with (LOCALE / f"{code}.po").open("rb") as file:
        return read_po(file, locale=code)


@pytest.mark.parametrize("code", [item for item in LANGUAGES if item != SOURCE])
def test_every_sentence_has_a_translation_and_none_is_left_over(code: str):
    said = {item if isinstance(item, str) else item[0] for item in sentences()}
    kept = {
        message.id if isinstance(message.id, str) else message.id[0]: message
        for message in translations(code)
        if message.id
    }
    assert len(said) > 200
    assert said - kept.keys() == set()
    assert kept.keys() - said == set()
    assert [key for key, message in kept.items() if not all(_both(message.string)) or message.fuzzy] == []


@pytest.mark.parametrize("code", [item for item in LANGUAGES if item != SOURCE])
def test_translations_keep_the_places_for_values(code: str):
    assert [message.id for message in translations(code) if message.id and any(message.check())] == []


def _both(string: str | tuple[str, ...]) -> tuple[str, ...]:
    return (string,) if isinstance(string, str) else string


def test_dates_are_written_in_one_order_on_the_programmes_clock():
    evening = datetime(2026, 11, 22, 20, 12, tzinfo=UTC)
    assert VI.moment(evening) == EN.moment(evening) == "23/11/2026 03:12"
    assert VI.day(evening) == "23/11/2026"
    assert VI.day(date(2026, 3, 4)) == "04/03/2026"
    assert VI.weekday(date(2026, 11, 23)) == "Thứ Hai, 23/11/2026"


def test_numbers_follow_the_language():
    assert (VI.number(12480), EN.number(12480)) == ("12.480", "12,480")


def test_english_has_a_plural_and_vietnamese_none():
    assert due.words(EN, timedelta(hours=1)) == "1 hour left"
    assert due.words(EN, timedelta(hours=5)) == "5 hours left"
    assert due.words(VI, timedelta(hours=1)) == "Còn 1 giờ"


def test_labels_are_found_by_code_by_name_and_else_in_vietnamese():
    assert EN.label({"vi": "Cao", "en": "High"}) == "High"
    assert EN.label({"Tiếng Việt (vi)": "Cao", "English (en)": "High"}) == "High"
    assert EN.label({"vi": "Cao"}) == "Cao"
    assert EN.label({"": "Hoch"}) == "Hoch"
    assert EN.label({"fr": "Haut"}) == "Haut"
    assert EN.label({}, "high") == "high"


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(days=2, hours=3), "Còn 2 ngày"),
        (timedelta(hours=23, minutes=59), "Còn 23 giờ"),
        (timedelta(minutes=20), "Còn 20 phút"),
        (timedelta(minutes=-20), "Quá hạn 20 phút"),
        (timedelta(hours=-3, minutes=-50), "Quá hạn 3 giờ"),
        (timedelta(days=-1, hours=-1), "Quá hạn 1 ngày"),
    ],
)
def test_what_is_left_is_said_in_whole_units(left: timedelta, words: str):
    assert due.words(VI, left) == words


def test_the_ruler_shows_the_share_of_the_time_allowed():
    half = due.ruler(VI, start=NOON - timedelta(days=2), due=NOON + timedelta(days=2), now=NOON)
    assert (half.run, half.over, half.used, half.late) == (due.TICK // 2, 0, 50, False)


def test_beyond_the_limit_the_ruler_is_hatched_and_never_longer_than_its_bed():
    late = due.ruler(VI, start=NOON - timedelta(days=4), due=NOON - timedelta(days=1), now=NOON)
    very_late = due.ruler(VI, start=NOON - timedelta(days=90), due=NOON - timedelta(days=89), now=NOON)
    assert (late.run, late.late, late.used) == (due.TICK, True, 133)
    assert 0 < late.over < very_late.over
    assert very_late.run + very_late.over == due.LENGTH


def test_something_due_the_moment_it_began_divides_by_nothing():
    assert due.ruler(VI, start=NOON, due=NOON, now=NOON + timedelta(hours=1)).late


def test_a_day_is_late_from_the_next_one_on():
    today = date(2026, 11, 23)
    assert due.day_words(VI, today, today) == "Hôm nay"
    assert due.day_words(VI, date(2026, 11, 20), today) == "Quá hạn 3 ngày"
    assert due.day_words(VI, date(2026, 11, 27), today) == "Còn 4 ngày"
