"""`ketnoi check`: every finding with its cell and its cure, for forms, rules and programmes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import openpyxl
import pytest

import forms
import rules
from forms.workbook import from_markdown
from service.cli import main
from tests.forms.markdown_forms import xlsx

SHIPPED_FORMS = Path(forms.__file__).parent / "xlsform"
SHIPPED_SHEETS = Path(rules.__file__).parent / "sheets"

FORM = """
| survey |
| | type | name | label |
| | integer | score | Score |
| | | | |
| | text | why | Why |
| settings |
| | form_title | form_id | version |
| | Visit | visit | 1 |
"""

RULES = """
| settings |
| | rulebook_id | version | title |
| | t | 1 | T |
| rules |
| | rule_id | form | when | flag | level | referral | urgency | message |
| | A1 | visit | ${score} > 3 | high | high | clinic | soon | Too much |
| tests |
| | test_id | form | given | expect | expect_not |
| | yes | visit | score = 4 | A1 | |
| | no | visit | score = 3 | | A1 |
"""

PROGRAMME = """
| settings |
| | programme_id | title |
| | p | P |
| areas |
| | code | label |
| | a | A |
| services |
| | code | label |
| | clinic | Clinic |
| providers |
| | code | label | services | areas |
| | c | C | clinic | a |
| fields |
| | form | field | means |
| | visit | why | note |
"""


def put(folder: Path, name: str, sheets: str) -> str:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(xlsx(from_markdown(sheets)))
    return str(path)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder of its own: what lies beside it is looked at too."""
    folder = tmp_path / "house"
    folder.mkdir()
    return folder


def checked(capsys, *arguments):
    """Exit code and findings; ODK Validate has tests of its own."""
    code = main(["check", "--no-validate", "--format", "json", "--language", "en", *arguments])
    return code, json.loads(capsys.readouterr().out)


def told(capsys, *arguments):
    code = main(["check", "--no-validate", "--language", "en", *arguments])
    return code, capsys.readouterr()


def test_good_workbooks_pass_and_are_counted(capsys, house):
    files = [put(house, "f.xlsx", FORM), put(house, "r.xlsx", RULES), put(house, "p.xlsx", PROGRAMME)]
    code, said = told(capsys, *files)

    assert code == 0
    assert said.out.splitlines()[-1] == "1 form, 1 rule, 2 of 2 tests passed; 0 errors, 0 warnings."


def test_a_wrong_field_name_is_found_at_its_cell_with_a_suggestion(capsys, house):
    form, wrong = put(house, "f.xlsx", FORM), put(house, "r.xlsx", RULES.replace("${score}", "${scoer}"))
    code, found = checked(capsys, form, wrong)

    assert code == 1
    (finding,) = [item for item in found if item["level"] == "error"]
    assert (finding["file"], finding["sheet"], finding["cell"]) == (wrong, "rules", "rules!C2")
    assert (finding["row"], finding["column"]) == (2, "when")
    assert "scoer" in finding["message"]
    assert "score" in finding["cure"].replace("scoer", "")


def test_an_unknown_question_type_is_found_at_its_row(capsys, house):
    wrong = put(house, "f.xlsx", FORM.replace("| text | why", "| txet | why"))
    code, found = checked(capsys, wrong)

    assert code == 1
    assert [(item["sheet"], item["row"], item["cell"]) for item in found] == [("survey", 4, "survey!A4")]
    assert "text" in found[0]["cure"]


def test_text_says_where_what_and_how_to_mend_it_in_the_readers_language(capsys, house):
    wrong = put(house, "f.xlsx", FORM.replace("| text | why", "| txet | why"))
    assert main(["check", wrong]) == 1
    lines = capsys.readouterr().out.splitlines()

    assert lines[0] == f"LỖI  {wrong} · survey!A4 · trang 'survey', dòng 4, cột 'type'"
    assert "txet" in lines[1]
    assert lines[2].startswith("    → ")
    assert lines[-1] == "0 biểu mẫu, 0 quy tắc, 0/0 ví dụ đúng; 1 lỗi, 0 chú ý."


def test_a_red_test_of_the_workbook_is_an_error_at_its_cell(capsys, house):
    wrong = RULES.replace("score = 3", "score = 9")
    files = [put(house, "f.xlsx", FORM), put(house, "r.xlsx", wrong), put(house, "p.xlsx", PROGRAMME)]
    code, found = checked(capsys, *files)

    assert code == 1
    assert [(item["code"], item["cell"]) for item in found] == [("rules.test-red", "tests!E3")]
    _, said = told(capsys, *files)
    assert "1 of 2 tests passed; 1 error" in said.out.splitlines()[-1]


@pytest.mark.parametrize("place", ["visit.xlsx", "../forms/visit.xlsx", "another name.xlsx", "../forms/any.xlsx"])
def test_forms_that_rules_name_are_found_beside_them_and_said_so(capsys, house, place):
    (house.parent / "forms").mkdir()
    put(house, place, FORM)
    code, said = told(capsys, put(house, "r.xlsx", RULES))

    assert (code, said.out) == (0, "0 forms, 1 rule, 2 of 2 tests passed; 0 errors, 0 warnings.\n")
    assert Path(place).name in said.err
    assert "'visit'" in said.err


def test_a_workbook_with_a_forms_name_but_another_id_is_not_taken_for_it(capsys, house):
    put(house, "visit.xlsx", FORM.replace("| visit |", "| other |"))
    _, found = checked(capsys, put(house, "r.xlsx", RULES))
    assert "rules.test-skipped" in {item["code"] for item in found}


def test_the_programme_beside_the_rules_counts_unless_one_is_given(capsys, house):
    put(house, "programme.xlsx", PROGRAMME.replace("| clinic |", "| hospital |").replace("C | clinic", "C | hospital"))
    files = [put(house, "f.xlsx", FORM), put(house, "r.xlsx", RULES)]
    code, said = told(capsys, *files)
    assert code == 1
    assert "clinic" in said.out
    assert "programme.xlsx" in said.err

    given = put(house, "p.xlsx", PROGRAMME)
    assert checked(capsys, *files, given) == (0, [])


def test_a_programme_that_names_a_field_which_no_form_has_is_an_error(capsys, house):
    wrong = put(house, "p.xlsx", PROGRAMME.replace("| why |", "| wyh |"))
    code, found = checked(capsys, put(house, "f.xlsx", FORM), wrong)

    assert code == 1
    assert [(item["cell"], item["file"]) for item in found] == [("fields!B2", wrong)]
    assert "why" in found[0]["cure"]


def test_rules_wait_for_a_form_that_has_errors(capsys, house):
    broken = put(house, "f.xlsx", FORM.replace("| text | why", "| txet | why"))
    code, found = checked(capsys, broken, put(house, "r.xlsx", RULES))

    assert code == 1
    assert [item["code"] for item in found if item["level"] == "warning"] == ["rules.form-broken"]


def test_errors_of_all_files_come_at_once(capsys, house):
    files = [
        put(house, "f.xlsx", FORM.replace("| text | why", "| txet | why")),
        put(house, "r.xlsx", RULES.replace("| high |", "| hihg |")),
        put(house, "p.xlsx", PROGRAMME.replace("| a |\n", "| nowhere |\n")),
    ]
    _, found = checked(capsys, *files)
    assert {item["file"] for item in found} == set(files)


def test_what_is_no_workbook_of_ours_is_a_finding(capsys, house):
    other = put(house, "o.xlsx", "| surveys |\n| | type | name |\n| | text | a |")
    rubbish, missing = house / "rubbish.xlsx", house / "missing.xlsx"
    rubbish.write_bytes(b"PK\x03\x04 no more")
    code, found = checked(capsys, other, str(rubbish), str(missing), str(house))

    assert code == 1
    assert {Path(item["file"]).name: item["code"] for item in found} == {
        "o.xlsx": "workbook.unknown-kind",
        "rubbish.xlsx": "workbook.unreadable",
        "missing.xlsx": "workbook.unreadable",
        "house": "workbook.unreadable",
    }
    assert "'survey'" in found[0]["cure"]


def test_the_shipped_workbooks_have_no_errors(capsys):
    code, found = checked(capsys, *(str(path) for path in sorted(SHIPPED_FORMS.glob("*.xlsx"))))
    assert code == 0, found
    code, found = checked(capsys, *(str(path) for path in sorted(SHIPPED_SHEETS.glob("*.xlsx"))))
    assert code == 0, found


def test_rules_anywhere_are_checked_against_the_instruments_that_ship(capsys, house):
    shutil.copy(SHIPPED_SHEETS / "referral.xlsx", house)
    code, said = told(capsys, str(house / "referral.xlsx"))

    assert code == 0, said.out
    assert "screening.xlsx" in said.err
    assert "0 of" not in said.out.splitlines()[-1]


def test_a_slip_in_a_copy_of_the_shipped_rules_is_the_only_error(capsys, house):
    made = openpyxl.load_workbook(SHIPPED_SHEETS / "referral.xlsx")
    sheet = made["rules"]
    place = next(cell for row in sheet.iter_rows() for cell in row if cell.value == "${assist_opioids} >= 27")
    place.value = "${assist_opiods} >= 27"
    made.save(house / "copy.xlsx")
    code, found = checked(capsys, str(house / "copy.xlsx"))

    assert code == 1
    (error,) = [item for item in found if item["level"] == "error"]
    assert error["cell"] == f"rules!{place.coordinate}"
    assert "assist_opioids" in error["cure"]


@pytest.mark.jdk
def test_odk_validate_looks_at_forms_unless_it_is_left_out(capsys, house):
    # What only JavaRosa refuses: the two need each other.
    circle = FORM.replace("| label |", "| label | calculation |").replace("| Why |", "| Why | |") + ""
    path = put(
        house, "f.xlsx", circle.replace("| | | | |", "| | calculate | x | | ${y} |\n| | calculate | y | | ${x} |")
    )
    assert main(["check", path]) == 1
    capsys.readouterr()
    assert main(["check", "--no-validate", path]) == 0
