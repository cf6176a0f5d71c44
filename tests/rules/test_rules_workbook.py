"""Reading a rules workbook: every bad cell at once, each with its cell and its cure; and the JSON it compiles to."""

from __future__ import annotations

import datetime as dt
import json
from fractions import Fraction
from pathlib import Path

import pytest

from forms.sheets import Finding, Level
from forms.workbook import from_markdown, read
from rules.decision import FlagLevel, Urgency
from rules.model import (
    FollowUp,
    Instead,
    InsteadAction,
    ParameterType,
    Recipient,
    Rulebook,
    RulebookInvalid,
    StartsFrom,
    Status,
    Trigger,
    from_json,
    schema_validator,
    to_json,
)
from rules.workbook import read_rules

SHIPPED = Path(__file__).parents[2] / "rules" / "sheets" / "referral.xlsx"

WHOLE = """
| settings |
|  | rulebook_id | version | title::Tiếng Việt (vi) | title::English (en) | default_language | valid_from |
|  | trial       | 2026.1  | Thử                    | Trial               | Tiếng Việt (vi)  | 2026-01-01 |
| parameters |
|  | name    | value | type    | label::Tiếng Việt (vi) |
|  | cut_off | 10    | integer | Ngưỡng                 |
|  | half    | 0.5   |         |                        |
|  | open    | có    | yes_no  |                        |
|  | start   | 2026-02-01 | date |                      |
| calculations |
|  | name  | form  | calculation         | label::Tiếng Việt (vi) |
|  | total | visit | ${score} + ${other} | Tổng                   |
| bands |
|  | table | input | from | to  | value |
|  | grade | total | 10.5 | 99  | high  |
|  | grade | total | 0    | 10.4 | low  |
| rules |
| |rule_id|form|priority| when | flag | level | referral | urgency | due | follow_up | notify | message::vi | status |
|  | A1 | visit call | 50 | ${score} > 1 | risk | High | clinic | soon | 3 | visit + 14 | worker supervisor | Cao | |
|  | A2 | visit | | ${score} > 9 | | | | | | course | | Hẹn | draft |
| stops |
|  | stop_id | service | when                         | instead          | message::English (en) |
|  | Z1      | *       | not(consents-to-take-part()) | offer_again + 30 | Later                 |
| schedules |
|  | schedule | step | form  | due | opens_before | closes_after | starts_from | label::English (en) |
|  | course   | m1   | visit | 30  | 7            | 14           | scheduled   | Month 1             |
|  | visit    |      | visit |     | 3            | 7            |             | Visit               |
| tests |
|  | test_id | form  | given      | today      | expect         | expect_not |
|  | T1      | visit | score = 12 | 2026-02-01 | A1 flag:risk   | A2         |
"""


def whole() -> Rulebook:
    return read_rules(from_markdown(WHOLE)).require()


def found(markdown: str) -> list[tuple[str, str]]:
    return [(item.code, item.cell.address) for item in read_rules(from_markdown(markdown)).findings]


def errors(markdown: str) -> list[Finding]:
    checked = read_rules(from_markdown(markdown))
    assert checked.value is None
    return [item for item in checked.findings if item.level is Level.ERROR]


def test_a_whole_workbook_is_read():
    book = whole()
    assert book.settings.title == {"vi": "Thử", "en": "Trial"}
    assert (book.settings.default_language, book.settings.valid_from) == ("vi", dt.date(2026, 1, 1))
    assert [(item.value, item.type) for item in book.parameters] == [
        (10, ParameterType.INTEGER),
        (0.5, ParameterType.DECIMAL),
        ("yes", ParameterType.YES_NO),
        ("2026-02-01", ParameterType.DATE),
    ]
    first = book.rules[0]
    assert (first.forms, first.level, first.urgency, first.due) == (("visit", "call"), FlagLevel.HIGH, Urgency.SOON, 3)
    assert first.follow_up == FollowUp("visit", 14)
    assert first.notify == (Recipient.WORKER, Recipient.SUPERVISOR)
    assert first.message == {"vi": "Cao"}
    assert (first.trigger, first.status, first.row) == (Trigger.SUBMISSION, Status.ACTIVE, 2)
    assert book.rules[1].follow_up == FollowUp("course")
    assert not book.rules[1].runs
    assert book.stops[0].instead == Instead(InsteadAction.OFFER_AGAIN, 30)
    assert [step.starts_from for step in book.schedules] == [StartsFrom.SCHEDULED, StartsFrom.ACTUAL]
    assert book.tests[0].expect == ("A1", "flag:risk")


def test_bands_are_exact_and_stand_from_low_to_high():
    (table,) = whole().bands
    assert [(band.lowest, band.highest) for band in table.bands] == [(0, Fraction(104, 10)), (Fraction(21, 2), 99)]


def test_a_cell_is_named_as_excel_names_it():
    assert whole().cell("rules", 3, "when").address == "rules!D3"


HEAD = "| settings |\n| | rulebook_id | version | title |\n| | t | 1 | Thử |\n"


def test_every_bad_cell_is_reported_at_once():
    bad = (
        HEAD
        + """
| parameters |
|  | name | value | type    |
|  | a    | ten   | integer |
|  | b    | maybe | yes_no  |
| rules |
|  | rule_id | trigger | subject  | when  | flag | level  | referral | urgency | due  | follow_up | notify  | status |
|  | A1      | submit  |          | 1 = 1 | f    | severe |          |         |      |           |         |        |
|  |         |         |          |       |      |        |          |         |      |           |         |        |
|  | A1      |         |          | 1 = 1 |      |        | s        | now     | soon |           |         |        |
|  | A3      |         | referral | 1 = 1 | f g  | low    |          |         |      | visit 14  | police  | gone   |
|  | A4      |         |          |       |      |        |          |         |      |           |         |        |
|  | A5      |         |          | 1 = 1 |      |        | s        |         | -1   | nowhere   |         |        |
"""
    )
    assert {(item.code, item.cell.row, item.cell.column) for item in errors(bad)} == {
        ("rules.not-a-number", 2, "value"),
        ("rules.yes-no", 3, "value"),
        ("rules.duplicate", 4, "rule_id"),
        ("rules.unknown-value", 2, "trigger"),
        ("rules.unknown-value", 2, "level"),
        ("rules.unknown-value", 5, "status"),
        ("rules.bad-name", 5, "flag"),
        ("rules.follow-up", 5, "follow_up"),
        ("rules.unknown-value", 5, "notify"),
        ("rules.subject", 5, "subject"),
        ("rules.blank", 6, "when"),
        ("rules.no-outcome", 6, None),
        ("rules.not-a-number", 7, "due"),
        ("rules.urgency-missing", 7, "urgency"),
        ("rules.unknown-schedule", 7, "follow_up"),
    }


def test_an_error_quotes_the_cell_and_says_how_to_mend_it():
    (error,) = errors(HEAD + "| rules |\n| | rule_id | when | flag | level |\n| | A1 | 1 = 1 | f | hihg |\n")
    assert (
        error.describe("en") == "sheet 'rules', row 2, column 'level': There is no value 'hihg'. Did you mean 'high'?"
    )
    assert error.describe("vi").startswith("trang 'rules', dòng 2, cột 'level':")


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("course + 7", "rules.follow-up-series"),
        ("visit", "rules.follow-up-days"),
        ("vist + 7", "rules.unknown-schedule"),
        ("visit + x", "rules.follow-up"),
        ("visit + 7", ""),
        ("visit+7", ""),
        ("course", ""),
    ],
)
def test_follow_up_is_a_series_or_a_schedule_and_days(cell: str, code: str):
    sheets = (
        HEAD
        + f"""
| rules |
|  | rule_id | when  | follow_up |
|  | A1      | 1 = 1 | {cell}    |
| schedules |
|  | schedule | step | form | due |
|  | course   | m1   | f    | 30  |
|  | visit    |      | f    |     |
"""
    )
    assert [item for item, _ in found(sheets)] == ([code] if code else [])


@pytest.mark.parametrize("cell", ["offer_again", "drop + 3", "wait", "offer_again + soon"])
def test_instead_says_one_of_five_things(cell: str):
    sheets = (
        HEAD
        + f"""
| rules |
|  | rule_id | when  | notify |
|  | A1      | 1 = 1 | worker |
| stops |
|  | stop_id | service | when  | instead |
|  | Z1      | *       | 1 = 1 | {cell}  |
"""
    )
    assert found(sheets) == [("rules.instead", "stops!D2")]


def test_columns_that_nobody_reads_are_warned_of_with_a_suggestion():
    sheets = (
        HEAD
        + """
| rules |
|  | rule_id | when  | notify | urgncy | message::English (en) |
|  | A1      | 1 = 1 | worker | soon   | Hello                 |
"""
    )
    (warning,) = read_rules(from_markdown(sheets)).findings
    assert (warning.code, warning.level, warning.cell.address) == ("rules.unknown-column", Level.WARNING, "rules!D")
    assert warning.cure.en == "Did you mean 'urgency'?"


def test_a_missing_sheet_or_column_is_said_once():
    assert found("| rules |\n| | rule_id | flag |\n| | A1 | f |\n| | A2 | f |\n") == [
        ("rules.sheet-missing", "settings"),
        ("rules.column-missing", "rules"),
        ("rules.level-missing", "rules!2"),
        ("rules.level-missing", "rules!3"),
    ]


def test_one_name_has_one_meaning_in_the_workbook():
    sheets = (
        HEAD
        + """
| parameters |
|  | name | value |
|  | x    | 1     |
| calculations |
|  | name | calculation |
|  | x    | 1 + 1       |
| rules |
|  | rule_id | when  | notify |
|  | A1      | 1 = 1 | worker |
"""
    )
    assert found(sheets) == [("rules.name-clash", "calculations!A2")]


def test_more_than_a_thousand_rules_are_refused():
    rows = "\n".join(f"| | A{n} | 1 = 1 | worker |" for n in range(1001))
    assert ("rules.too-many", "rules!A1002") in found(HEAD + "| rules |\n| | rule_id | when | notify |\n" + rows)


# ---- JSON ----


def test_a_rulebook_comes_back_from_json():
    book = whole()
    assert from_json(json.loads(json.dumps(to_json(book)))) == book


def test_the_compiled_rulebook_fits_the_schema_that_ships():
    schema_validator().validate(to_json(whole()))


def test_the_hash_is_of_the_content_alone():
    other = WHOLE.replace("${score} > 1 ", "${score} > 2 ")
    assert read_rules(from_markdown(other)).require().content_hash != whole().content_hash
    assert read_rules(from_markdown(WHOLE, file="renamed.xlsx")).require().content_hash == whole().content_hash
    assert from_json(to_json(whole())).content_hash == whole().content_hash


def test_a_document_that_does_not_fit_says_where():
    document = to_json(whole())
    document["rules"][0]["urgency"] = "now"
    del document["stops"][0]["when"]
    with pytest.raises(RulebookInvalid) as raised:
        from_json(document)
    assert [problem.partition(":")[0] for problem in raised.value.problems] == ["$.rules[0].urgency", "$.stops[0]"]


def test_the_shipped_workbook_is_read_without_a_word():
    checked = read_rules(read(SHIPPED.read_bytes(), SHIPPED.name).require())
    assert checked.findings == ()
    assert from_json(to_json(checked.require())) == checked.require()
