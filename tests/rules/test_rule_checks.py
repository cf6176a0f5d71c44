"""Publish checks: what an author is told before a rulebook goes into force."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from forms.compile import compile_workbook
from forms.definition import FormDefinition
from forms.sheets import Finding, Level
from forms.workbook import from_markdown
from rules.check import check
from rules.model import MAX_CHAINING_RULES
from rules.programme import Programme, read_programme
from rules.workbook import read_rules

FORM = """
| survey |
|        | type             | name     | label    | required | relevant             | calculation |
|        | integer          | score    | Score    |          |                      |             |
|        | select_one yes_no | danger  | Danger   | yes      |                      |             |
|        | select_one yes_no | worse   | Worse    | yes      | ${danger} = 'yes'    |             |
|        | begin_group      | one      | One      |          |                      |             |
|        | integer          | twice    | Twice    |          |                      |             |
|        | end_group        |          |          |          |                      |             |
|        | begin_group      | two      | Two      |          |                      |             |
|        | integer          | twice    | Twice    |          |                      |             |
|        | end_group        |          |          |          |                      |             |
|        | begin_repeat     | people   | People   |          |                      |             |
|        | integer          | age      | Age      |          |                      |             |
|        | end_repeat       |          |          |          |                      |             |
|        | calculate        | severe   |          |          |                      | ${score} > 9 |
| choices |
|         | list_name | name | label |
|         | yes_no    | yes  | Yes   |
|         | yes_no    | no   | No    |
| settings |
|          | form_id | version | form_title |
|          | visit   | 1       | Visit      |
"""

PROGRAMME = """
| settings |
|  | programme_id | title::English (en) |
|  | p            | P                   |
| areas |
|  | code | label::English (en) |
|  | a    | A                   |
| services |
|  | code   | label::English (en) | internal |
|  | clinic | Clinic              |          |
|  | ward   | Ward                |          |
|  | talk   | Talk                | yes      |
| providers |
|  | code | label::English (en) | services | areas |
|  | c    | C                   | clinic   | a     |
| fields |
|  | form | field | means |
| roles |
|  | role | forms |
"""

SETTINGS = "| settings |\n|  | rulebook_id | version | title::English (en) |\n|  | t | 1 | T |\n"


@cache
def visit() -> FormDefinition:
    return compile_workbook(from_markdown(FORM)).require()


@cache
def programme() -> Programme:
    return read_programme(from_markdown(PROGRAMME)).require()


def findings(*sheets: str, forms: tuple[FormDefinition, ...] = (), plan: Programme | None = None) -> list[Finding]:
    book = read_rules(from_markdown(SETTINGS + "\n".join(sheets))).require()
    return list(check(book, forms or (visit(),), plan))


def of(code: str, found: list[Finding]) -> list[tuple[str, str]]:
    return [(item.cell.address, item.problem.en) for item in found if item.code == code]


def rule(when: str, **more: str) -> str:
    cells = {"rule_id": "A1", "form": "visit", "when": when, "flag": "f", "level": "low", **more}
    return f"| rules |\n| | {' | '.join(cells)} |\n| | {' | '.join(cells.values())} |\n"


@pytest.mark.parametrize(
    ("when", "code", "cure"),
    [
        ("${scor} > 1", "rules.unknown-field", "Did you mean"),
        ("${twice} > 1", "rules.unknown-field", "${one/twice}"),
        ("${score} > ", "rules.condition", ""),
        ("latest('scor') > 1", "rules.unknown-field", "Did you mean 'score'?"),
        ("latest('age') > 1", "rules.repeated", "Calculate one value"),
        ("days-since('visist') > 1", "rules.unknown-form", "Did you mean 'visit'?"),
        ("has-flag('ff')", "rules.unknown-flag", ""),
        ("refers-to('clinic')", "rules.unknown-service", "Correct the name"),
        ("has-flag('f') = true()", "rules.chain", "and, or, not()"),
        ("if(has-flag('f'), 1, 2) = 1", "rules.chain", "and, or, not()"),
        ("referral('state') = 'sent'", "rules.function-here", "subject is referral"),
        ("service() = 'clinic'", "rules.function-here", "stops"),
        ("consents-to('clinic') = 'yes'", "rules.boolean-as-text", "Write consents-to"),
        ("${severe} = 'yes'", "rules.boolean-as-text", "Write ${severe}"),
        ("${score} + 1", "rules.not-a-condition", "true or false"),
        ("${age} > 18", "rules.repeated-as-one", "max("),
        ("${score} > '2026-01-01'", "rules.date-as-text", "date("),
    ],
)
def test_a_condition_that_cannot_be_meant_is_an_error_at_its_cell(when: str, code: str, cure: str):
    (found,) = [item for item in findings(rule(when)) if item.level is Level.ERROR]
    assert (found.code, found.cell.address) == (code, "rules!C2")
    assert cure in found.cure.en


def test_event_and_clock_rules_have_no_answers():
    found = findings(rule("${score} > 1", form="", trigger="clock"))
    (error,) = [item for item in found if item.level is Level.ERROR]
    assert error.cure.en == "Write latest('score')."
    assert of("rules.function-here", findings(rule("previous('score') > 1", form="", trigger="clock")))


def test_all_errors_of_all_rows_are_told_at_once():
    sheet = """
    | rules |
    |  | rule_id | form  | when         | flag | level | resolved_when |
    |  | A1      | visit | ${scor} > 1  | f    | low   |               |
    |  | A2      | visit | ${score} > 1 | g    | low   | ${score} = 1  |
    | stops |
    |  | stop_id | service | when             |
    |  | Z1      | *       | consents-to(svc) |
    | calculations |
    |  | name | calculation |
    |  | x    | ${y} + 1    |
    """
    sheet = sheet.replace("| level | resolved_when |", "| level | resolved_when | referral | urgency |")
    sheet = sheet.replace("|               |", "|               | clinic | soon |")
    cells = {item.cell.address for item in findings(sheet) if item.level is Level.ERROR}
    assert cells == {"rules!C2", "rules!F3", "stops!C2", "calculations!B2"}


def test_a_name_that_a_form_has_is_no_name_for_a_parameter():
    sheet = rule("${score} > 1") + "| parameters |\n| | name | value |\n| | score | 3 |\n"
    assert of("rules.name-clash", findings(sheet)) == [
        ("parameters!A2", "'score' is the name of a question in form 'visit'.")
    ]


def test_calculations_that_compute_each_other_are_refused():
    sheet = rule("${a} > 1") + "| calculations |\n| | name | calculation |\n| | a | ${b} + 1 |\n| | b | ${a} + 1 |\n"
    assert [item.code for item in findings(sheet) if item.level is Level.ERROR] == ["rules.calculation"]


def test_a_field_that_one_accepted_version_lacks_is_a_warning_and_one_that_all_lack_an_error():
    older = replace(visit(), version="0", fields=tuple(f for f in visit().fields if f.name != "score"))
    found = findings(rule("${score} > 1"), forms=(visit(), older))
    assert of("rules.field-not-in-version", found) == [
        ("rules!C2", "Form 'visit' version '0' has no question 'score'.")
    ]
    assert not [item for item in found if item.level is Level.ERROR]
    assert of("rules.unknown-field", findings(rule("${score} > 1"), forms=(older,)))


def test_a_rule_runs_on_the_forms_that_are_published_and_must_fit_each():
    other = replace(visit(), form_id="call", fields=tuple(f for f in visit().fields if f.name != "score"))
    assert of("rules.form-not-published", findings(rule("${score} > 1", form="visit later"))) == [
        ("rules!B2", "The form 'later' is not published yet.")
    ]
    assert of("rules.unknown-field", findings(rule("${score} > 1", form="visit call"), forms=(visit(), other)))


def test_a_rule_without_a_form_runs_wherever_its_names_mean_something():
    other = replace(visit(), form_id="call", fields=tuple(f for f in visit().fields if f.name != "score"))
    assert not [f for f in findings(rule("${score} > 1", form=""), forms=(visit(), other)) if f.level is Level.ERROR]
    assert of("rules.unknown-field", findings(rule("${scor} > 1", form=""), forms=(visit(), other)))


def test_a_stop_is_checked_even_while_no_rule_refers():
    stop = "| stops |\n| | stop_id | service | when |\n| | Z1 | * | consent() |\n"
    assert [item.cell.address for item in findings(rule("1 = 1") + stop) if item.level is Level.ERROR] == ["stops!C2"]


# ---- bands ----


def bands(*rows: str) -> str:
    table = ["| bands |", "| | table | input | from | to | value |", *(f"| | grade | score | {row} |" for row in rows)]
    return rule("${grade} = 'low'") + "\n".join(table) + "\n"


def test_gaps_and_overlaps_of_bands_are_errors_with_the_number_to_write():
    found = findings(bands("0 | 3 | low", "3 | 9 | mid", "11 | 20 | high"))
    assert of("rules.band-overlap", found) == [("bands!C3", "This overlaps row 2: 3 lies in both.")]
    assert of("rules.band-gap", found) == [("bands!C4", "Nothing stands between 9 (row 3) and 11.")]
    cures = {item.code: item.cure.en for item in found if item.code.startswith("rules.band")}
    assert cures == {"rules.band-overlap": "Begin this band at 4.", "rules.band-gap": "Begin this band at 10."}


def test_whole_numbers_follow_each_other_without_a_gap_and_tenths_too():
    assert not of("rules.band-gap", findings(bands("0 | 3 | low", "4 | 26 | mid", "27 | 39 | high")))
    assert not of("rules.band-gap", findings(bands("0 | 3.9 | low", "4 | 26 | mid")))
    assert of("rules.band-gap", findings(bands("0 | 3.8 | low", "4 | 26 | mid")))


# ---- the programme ----


def test_services_must_stand_in_the_programme_and_somebody_must_offer_them():
    wrong = findings(rule("1 = 1", referral="clinik", urgency="soon"), plan=programme())
    (error,) = [item for item in wrong if item.code == "rules.unknown-service"]
    assert (error.cell.address, error.cure.en) == ("rules!F2", "Did you mean 'clinic'?")
    nobody = findings(rule("1 = 1", referral="ward", urgency="soon"), plan=programme())
    assert of("rules.nobody-offers", nobody) == [("rules!F2", "No provider offers 'ward'.")]
    assert not of("rules.nobody-offers", findings(rule("1 = 1", referral="talk", urgency="soon"), plan=programme()))
    assert of("rules.unknown-service", findings(rule("in-treatment('klinic')"), plan=programme()))
    assert of("rules.same-visit", findings(rule("1 = 1", referral="clinic", urgency="same_visit"), plan=programme()))


# ---- blanks ----

SAFE = [
    "${score} > 1",
    "${danger} != 'yes'",
    "${score} != '' and ${score} != 3",
    "not(has-flag('f')) or ${score} > 1",
    "not(consents-to-take-part())",
]
RISKY = ["${score} != 3", "not(${score} > 3)", "not(${worse} = 'yes')", "not(latest('score') = 3)"]


@pytest.mark.parametrize("when", RISKY)
def test_a_condition_that_is_true_of_a_blank_is_warned_of(when: str):
    ((where, _),) = of("rules.blank-is-true", findings(rule(when)))
    assert where == "rules!C2"


@pytest.mark.parametrize("when", SAFE)
def test_no_warning_where_a_blank_does_no_harm(when: str):
    other = "|  | B1 | visit | ${score} > 3 | f | low |\n"
    sheet = rule(when, flag="g") + other
    assert not of("rules.blank-is-true", findings(sheet))


@pytest.mark.parametrize("when", RISKY)
def test_an_example_that_leaves_the_field_blank_silences_the_warning(when: str):
    blank = "| tests |\n| | test_id | form | given | expect |\n| | T1 | visit | danger = yes | A1 |\n"
    assert not of("rules.blank-is-true", findings(rule(when) + blank))
    about_another = blank.replace("| A1 |", "| flag:g |")
    other = "|  | B1 | visit | ${score} > 3 | g | low |\n"
    assert of("rules.blank-is-true", findings(rule(when) + other + about_another))
    answered = blank.replace("danger = yes", "danger = yes; score = 4; worse = no")
    if "latest" not in when:
        assert of("rules.blank-is-true", findings(rule(when) + answered))


# ---- examples, texts, engine ----


def test_a_rule_wants_an_example_that_fires_and_one_that_does_not():
    sheet = rule("${score} > 1")
    assert of("rules.no-firing-test", findings(sheet))
    assert of("rules.no-silent-test", findings(sheet))
    tests = """
    | tests |
    |  | test_id | form  | given     | expect | expect_not |
    |  | T1      | visit | score = 2 | A1     |            |
    |  | T2      | visit | score = 1 |        | A1         |
    """
    assert not [item for item in findings(sheet + tests) if "test" in item.code]


def test_a_missing_translation_is_a_warning():
    two = """
    | rules |
    |  | rule_id | form  | when         | flag | level | message::Tiếng Việt (vi) | message::English (en) |
    |  | A1      | visit | ${score} > 1 | f    | low   | Chào                     |                       |
    |  | A2      | visit | ${score} > 2 | g    | low   |                          |                       |
    """
    assert of("rules.translation", findings(two)) == [
        ("rules!G2", "There is no text in 'en'."),
        ("settings!2", "There is no text in 'vi'."),
    ]
    assert [where for where, _ in of("rules.no-message", findings(two))] == ["rules!3"]


def test_more_chaining_rules_than_the_engine_holds_are_refused():
    head = "| rules |\n| | rule_id | form | when | flag | level |\n| | A0 | visit | ${score} > 1 | start | low |\n"
    rows = "".join(f"| | C{n} | visit | has-flag('start') | f{n} | low |\n" for n in range(MAX_CHAINING_RULES + 1))
    ((where, problem),) = of("rules.too-many-chaining", findings(head + rows))
    assert where == "rules!C253"
    assert "250 at most" in problem


def test_as_many_chaining_rules_as_are_allowed_pass_the_smoke_test():
    head = "| rules |\n| | rule_id | form | when | flag | level |\n| | A0 | visit | ${score} > 1 | start | low |\n"
    rows = "".join(f"| | C{n} | visit | has-flag('start') | f{n} | low |\n" for n in range(MAX_CHAINING_RULES))
    assert not [item for item in findings(head + rows) if item.level is Level.ERROR]
