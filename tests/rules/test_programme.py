"""The programme workbook: what it says, and what it says when a cell is wrong."""

import datetime as dt

from forms.workbook import Workbook, from_markdown
from rules.facts import TAKE_PART, ConsentState
from rules.programme import Means, from_json, read_programme, to_json

_SHEETS = """
| settings |
|          | programme_id | title::English (en) | client_code_prefix |
|          | clinic       | Clinic              | C                  |
| areas    |
|          | code | parent | label::English (en) | valid_from | valid_to   |
|          | N    |        | North               |            |            |
|          | N1   | N      | North 1             | 2019-01-01 | 2025-06-30 |
| services |
|          | code | label::English (en) | internal | compartment | urgency |
|          | talk | Talk                | yes      |             | same_visit |
|          | lab  | Laboratory          |          | hiv         | soon    |
|          | ward | Ward                |          |             |         |
| providers |
|          | code | label::English (en) | services | areas | capacity_per_week | phone |
|          | p1   | Provider 1          | lab ward | N     | 12                | 1900  |
| fields   |
|          | form | field   | means             | compartment | reportable |
|          | f    | part    | consent_take_part |             | yes        |
|          | f    | share   | consent_share     |             |            |
|          | f    | parent  | consent_guardian  |             |            |
|          | f    | stop    | consent_withdrawn |             |            |
|          | f    | id/name | name              |             |            |
"""
_DAY = dt.date(2026, 1, 5)


def _programme():
    return read_programme(from_markdown(_SHEETS)).require()


def _states(answers):
    return {fact.service: fact.state for fact in _programme().own_consents("f", answers, _DAY)}


def test_each_sheet_is_read():
    programme = _programme()
    assert programme.internal_services == {"talk"}
    assert programme.areas[1].valid_to == dt.date(2025, 6, 30)
    assert programme.providers[0].services == ("lab", "ward")
    assert programme.providers[0].details == {"phone": "1900"}
    assert programme.meaning("f", "id/name").means is Means.NAME


def test_a_programme_survives_its_json():
    assert from_json(to_json(_programme())) == _programme()


def test_a_service_that_was_not_ticked_is_refused():
    assert _states({"part": "yes", "share": ("lab",)}) == {
        TAKE_PART: ConsentState.GIVEN,
        "lab": ConsentState.GIVEN,
        "ward": ConsentState.REFUSED,
    }


def test_ticking_nothing_shares_nothing():
    assert _states({"part": "yes"})["lab"] is ConsentState.REFUSED


def test_silence_about_taking_part_says_nothing():
    assert _states({}) == {}


def test_a_refusal_refuses_every_external_service():
    assert set(_states({"part": "no", "share": ("lab",)}).values()) == {ConsentState.REFUSED}
    assert _programme().refuses("f", {"part": "no"})


def test_a_guardians_no_outweighs_a_minors_yes():
    assert _states({"part": "yes", "parent": "no", "share": ("lab",)})[TAKE_PART] is ConsentState.REFUSED


def test_withdrawal_takes_back_everything():
    assert set(_states({"part": "yes", "share": ("lab",), "stop": "yes"}).values()) == {ConsentState.WITHDRAWN}


def test_without_a_roles_sheet_every_role_is_offered_every_form():
    assert _programme().forms_for("enumerator") is None


def test_a_role_that_is_not_listed_is_offered_no_form():
    book = from_markdown(_SHEETS + "| roles |\n| | role | forms |\n| | enumerator | * |\n| | police | a b |\n")
    programme = read_programme(book).require()
    assert programme.forms_for("enumerator") is None
    assert programme.forms_for("police") == {"a", "b"}
    assert programme.forms_for("provider") == frozenset()


def test_every_bad_cell_is_reported_at_once():
    broken = _SHEETS.replace("2025-06-30", "30/6/2025").replace("lab ward", "lob ward").replace("| 12 ", "| ten ")
    broken = broken.replace("consent_guardian", "consent_gardian").replace("| N1   | N ", "| N1   | X ")
    checked = read_programme(from_markdown(broken))
    assert checked.value is None
    assert [(f.cell.sheet, f.cell.row, f.cell.column) for f in checked.errors] == [
        ("areas", 3, "valid_to"),
        ("providers", 2, "capacity_per_week"),
        ("fields", 4, "means"),
        ("areas", 3, "parent"),
        ("providers", 2, "services"),
    ]
    assert "consent_guardian" in checked.errors[2].describe("vi")


def test_an_area_cannot_lie_within_itself():
    book = from_markdown(_SHEETS.replace("| N    |        |", "| N    | N1     |"))
    assert {f.code for f in read_programme(book).errors} == {"programme.area-circle"}


def test_a_missing_sheet_is_named():
    sheets = dict(from_markdown(_SHEETS).sheets)
    del sheets["services"]
    checked = read_programme(Workbook(sheets))
    assert "programme.sheet-missing" in {f.code for f in checked.errors}
