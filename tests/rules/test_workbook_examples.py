"""The sheet `tests`: filled in as on the phone, decided, compared, and explained where it does not hold."""

from __future__ import annotations

import datetime as dt
from functools import cache

import pytest

from forms.compile import compile_workbook
from forms.definition import FormDefinition
from forms.sheets import Level
from forms.workbook import from_markdown
from rules.examples import DEFAULT_TODAY, ExampleResult, run
from rules.facts import ConsentState, Observation
from rules.programme import Programme, read_programme
from rules.workbook import read_rules

FORM = """
| survey |
| | type | name | label | relevant | calculation |
| | select_one yes_no | agrees | Agrees | | |
| | select_multiple where | share | Share | ${agrees} = 'yes' | |
| | integer | score | Score | | |
| | date | tested | Tested | | |
| | calculate | level | | | if(${score} = '', '', if(${score} > 9, 'high', 'low')) |
| | begin_repeat | people | People | | |
| | integer | age | Age | | |
| | end_repeat | | | | |
| | calculate | oldest | | | max(${age}) |
| choices |
| | list_name | name | label |
| | yes_no | yes | Yes |
| | yes_no | no | No |
| | where | clinic | Clinic |
| | where | ward | Ward |
| settings |
| | form_id | version | form_title |
| | visit | 1 | Visit |
"""

PROGRAMME = """
| settings |
|  | programme_id | title |
|  | p            | P     |
| areas |
|  | code | label |
|  | a    | A     |
| services |
|  | code   | label  | internal |
|  | clinic | Clinic |          |
|  | ward   | Ward   |          |
|  | talk   | Talk   | yes      |
| providers |
|  | code | label | services    | areas |
|  | c    | C     | clinic ward | a     |
| fields |
|  | form  | field  | means             |
|  | visit | agrees | consent_take_part |
|  | visit | share  | consent_share     |
"""

RULES = """
| settings |
| | rulebook_id | version | title |
| | t | 1 | T |
| parameters |
| | name | value | type |
| | top  | 50    |      |
| rules |
| | rule_id | trigger | subject | form | when | flag | level | referral | urgency | follow_up | notify |
| | A1 | | | visit | ${level} = 'high' | high | high | clinic | soon | course | worker |
| | A2 | | | visit | ${score} > ${top} | now | high | ward | same_day | | |
| | A3 | | | visit | change('score') > 3 | rise | low | | | call + 2 | |
| | A4 | | | visit | ${oldest} > 60 | old | low | | | | |
| | A5 | | | visit | today() - ${tested} > 30 | late | low | | | | |
| | A6 | | | later | ${x} = 'yes' | x | low | | | | |
| | P1 | clock | client | | missed-in-a-row() >= 2 | lost | high | | | | |
| | P2 | event | referral | | referral('state') = 'no_show' | gone | low | | | | |
| stops |
| | stop_id | service | when | instead |
| | Z1 | * | not(consents-to(service())) | drop |
| | Z2 | * | count-open(service()) > 0 | attach_to_open |
| schedules |
| | schedule | step | form | due |
| | course | m1 | visit | 30 |
| | course | m3 | visit | 90 |
| | call | | visit | |
"""


@cache
def visit() -> FormDefinition:
    return compile_workbook(from_markdown(FORM)).require()


@cache
def programme() -> Programme:
    return read_programme(from_markdown(PROGRAMME)).require()


def example(**cells: str) -> ExampleResult:
    row = {"test_id": "T1", "form": "visit", "given": "", "expect": "", **cells}
    sheet = f"| tests |\n| | {' | '.join(row)} |\n| | {' | '.join(row.values())} |\n"
    (result,) = run(read_rules(from_markdown(RULES + sheet)).require(), [visit()], programme())
    return result


AGREES = "agrees = yes; share = clinic ward"


@pytest.mark.parametrize(
    "expect",
    [
        "A1",
        "flag:high",
        "flag:high/high",
        "referral:clinic",
        "referral:clinic/soon",
        "follow_up:course",
        "follow_up:course/m1",
        "notice:worker",
        "A1 flag:high referral:clinic",
    ],
)
def test_what_is_expected_may_be_said_in_many_words(expect: str):
    assert example(given=f"{AGREES}; score = 12", expect=expect).passed
    assert not example(given=f"{AGREES}; score = 2", expect=expect).passed
    assert not example(given=f"{AGREES}; score = 12", expect="", expect_not=expect).passed
    assert example(given=f"{AGREES}; score = 2", expect="", expect_not=expect).passed


def test_what_the_form_calculates_is_calculated_unless_it_is_given():
    assert example(given="score = 12", expect="A1").passed
    assert example(given="score = 12; level = low", expect_not="A1").passed


def test_what_is_not_given_is_blank_and_what_is_given_stands_even_where_the_phone_would_not_ask():
    assert example(expect_not="A1 A2 A3 A4 A5").passed
    refused = example(given="agrees = no; share = clinic; score = 12", expect="stop:Z1")
    assert refused.passed
    assert refused.cases[0].facts.answers["share"] == ("clinic",)


def test_consent_comes_from_the_answers_that_the_programme_says_mean_consent():
    assert example(given="agrees = yes; share = clinic; score = 12", expect="referral:clinic").passed
    assert example(
        given="agrees = yes; share = ward; score = 12", expect="stop:Z1", expect_not="referral:clinic"
    ).passed


def test_a_same_day_referral_is_held_inside_instead_of_stopped():
    result = example(given="score = 60", expect="referral:ward/same_day held:Z1 stop:Z1")
    assert result.passed
    assert "stop:Z1" in result.got


def test_the_rows_of_a_repeat_stand_with_commas():
    assert example(given="age = 12, 70, 3", expect="A4").passed
    assert example(given="age = 12, 50", expect_not="A4").passed


def test_a_record_is_written_item_by_item():
    record = (
        "visit 2026-01-05: score = 2; share = clinic ward; referral clinic sent 2026-01-06 due=2026-01-13 no_shows=1; "
        "consent ward given 2026-01-01; consent take_part withdrawn; flag high low 2026-01-05 visit; "
        "follow_up course m1 missed 2026-02-01; follow_up call done 2026-02-02; "
        "call 2026-01-07; later 2026-01-08: x = 3"
    )
    result = example(given=f"{AGREES}; score = 12", record=record, expect="A1 A3 stop:Z2")
    assert result.problem.en == ""
    kept = result.cases[0].facts.record
    assert kept.observations[0].answers == {"score": 2, "share": ("clinic", "ward")}
    assert kept.observations[1:] == (
        Observation("call", dt.date(2026, 1, 7), {}),
        Observation("later", dt.date(2026, 1, 8), {"x": 3.0}),
    )
    assert (kept.referrals[0].due, kept.referrals[0].no_shows) == (dt.date(2026, 1, 13), 1)
    assert [(item.service, item.state) for item in kept.consents] == [
        ("ward", ConsentState.GIVEN),
        ("take_part", ConsentState.WITHDRAWN),
    ]
    assert [(item.schedule, item.step) for item in kept.follow_ups] == [("course", "m1"), ("call", "")]
    assert kept.flags[0].form == "visit"


def test_today_is_the_latest_day_of_the_record_where_none_is_said():
    assert example().cases[0].today == DEFAULT_TODAY
    assert example(record="visit 2026-03-05: score = 2").cases[0].today == dt.date(2026, 3, 5)
    assert example(given="tested = 2026-01-01", today="2026-02-15", expect="A5").passed


def test_clock_and_event_rules_have_examples_too():
    missed = "follow_up course m1 missed 2026-02-01; follow_up course m3 missed 2026-04-01"
    assert example(form="", trigger="clock", record=missed, expect="P1", expect_not="P2").passed
    assert example(form="", trigger="event", record="referral clinic no_show 2026-02-01", expect="P2").passed
    assert example(form="", trigger="event", record="referral clinic sent 2026-02-01", expect_not="P2").passed


def test_an_example_of_a_form_that_is_not_published_proves_nothing():
    result = example(form="later", given="x = yes", expect="A6")
    assert (result.passed, result.skipped) == (True, True)
    (finding,) = result.findings
    assert finding.level is Level.WARNING


def test_a_red_example_says_what_was_missing_what_came_and_what_was_seen():
    result = example(given="score = 7", expect="A1", expect_not="A3")
    (finding,) = result.findings
    assert (finding.code, finding.level, finding.cell.address) == ("rules.test-red", Level.ERROR, "tests!D2")
    assert result.problem.en == "Missing: A1. Got: nothing. The conditions saw: A1 (${level} = low)."
    unwanted = example(given="score = 12", expect="", expect_not="A1")
    assert unwanted.cell.address == "tests!E2"
    assert unwanted.problem.en.startswith("Should not be there: A1.")
    assert [reason.rule_id for reason in unwanted.why] == ["A1"]


@pytest.mark.parametrize(
    ("cells", "column", "says"),
    [
        ({"given": "scor = 3"}, "given", "Did you mean 'score'?"),
        ({"given": "score = many"}, "given", "score"),
        ({"given": "agrees = maybe"}, "given", "yes, no"),
        ({"given": "score is 3"}, "given", "name = value"),
        ({"record": "yesterday all was well"}, "record", "Begin with a form and a day"),
        ({"record": "referral clinic lost 2026-01-01"}, "record", "referrals[0].state"),
        ({"record": "visit 2026-02-31: score = 2"}, "record", "not a date"),
        ({"record": "visit 2026-02-01: scor = 2"}, "record", "Did you mean 'score'?"),
        ({"expect": "A11"}, "expect", "Did you mean 'A1'?"),
        ({"expect_not": "flag:hihg"}, "expect_not", "Did you mean 'flag:high'?"),
        ({"expect": "referral:klinic"}, "expect", "Did you mean 'referral:clinic'?"),
        ({"form": ""}, "form", "of which form"),
    ],
)
def test_a_cell_that_cannot_be_read_is_red_and_named(cells: dict[str, str], column: str, says: str):
    result = example(**cells)
    assert not result.passed
    assert result.cell.column == column
    assert says in result.problem.en


def test_an_example_may_set_a_parameter():
    assert example(given="score = 20", expect_not="A2").passed
    assert example(given="score = 20; top = 19", expect="A2").passed
    assert "number" in example(given="score = 20; top = x", expect="A2").problem.en
