"""Every finding of an XLSForm at once, with its cell and a cure."""

import io

import openpyxl
import pytest
from pyxform.question_type_dictionary import QUESTION_TYPE_DICT

from forms.gate import gate, gate_workbook
from forms.lint import lint
from forms.question_types import ASKED, CHOOSING, OLD, SILENT
from forms.sheets import Finding, Level
from forms.survey import Survey
from forms.workbook import from_markdown, read
from tests.forms.markdown_forms import book, saved, xlsx

GOOD = """
| survey |
|        | type          | name | label | relevant   |
|        | integer       | age  | Age   |            |
|        | select_one yn | ok   | OK?   | ${age} > 3 |
| choices |
|         | list_name | name | label |
|         | yn        | yes  | Yes   |
|         | yn        | no   | No    |
"""

NO_JAVA = "/nowhere/java"


def linted(sheets: str) -> list[Finding]:
    return list(lint(Survey(book(sheets))))


def codes(sheets: str) -> list[tuple[str, str]]:
    return [(item.code.removeprefix("forms."), item.cell.address) for item in linted(sheets)]


def question(type_: str = "integer", name: str = "q", label: str = "Q", **columns: str) -> str:
    """A form with the integer `age` in row 2, the date `day` in row 3, and this question in row 4."""
    extra = list(columns.items())
    heading = "".join(f" {column} |" for column, _ in extra)
    blank = " |" * len(extra)
    cells = "".join(f" {text} |" for _, text in extra)
    return f"""
| survey |
|  | type    | name   | label   |{heading}
|  | integer | age    | Age     |{blank}
|  | date    | day    | Day     |{blank}
|  | {type_} | {name} | {label} |{cells}
| choices |
|  | list_name | name | label |
|  | yn        | yes  | Yes   |
|  | yn        | no   | No    |
"""


def settings(**columns: str) -> str:
    heading = "".join(f" {column} |" for column in columns)
    cells = "".join(f" {text} |" for text in columns.values())
    return f"| survey |\n| | type | name | label |\n| | text | a | A |\n| settings |\n| |{heading}\n| |{cells}\n"


def test_a_good_form_has_no_finding():
    assert codes(GOOD) == []


# The sheet settings.


def test_a_form_needs_an_id_and_a_version():
    assert codes(settings(form_title="T")) == [("no-form-id", "settings!2"), ("no-version", "settings!2")]


def test_a_workbook_without_settings_needs_them_all_the_same():
    bare = from_markdown("| survey |\n| | type | name | label |\n| | text | a | A |")
    assert [item.code for item in lint(Survey(bare))] == ["forms.no-form-id", "forms.no-version", "forms.no-title"]


def test_a_version_that_excel_keeps_as_a_number_or_date_is_warned_about():
    def kept(version: object) -> list[str]:
        made = openpyxl.load_workbook(io.BytesIO(xlsx(book(settings(form_title="T", form_id="t", version="x")))))
        made["settings"]["C2"] = version
        return [item.code for item in lint(Survey(read(saved(made)).require()))]

    assert kept(2024.1) == ["forms.version-not-text"]
    assert kept("2024.10") == []
    assert kept(20241101) == []


def test_settings_that_lead_the_data_elsewhere_are_refused():
    identity = {"form_title": "T", "form_id": "t", "version": "1"}
    assert codes(settings(**identity, submission_url="https://other.example")) == [("submission-url", "settings!D2")]
    assert codes(settings(**identity, omit_instanceID="yes")) == [("no-instance-id", "settings!D2")]


def test_encryption_hides_answers_from_rules_and_is_a_warning():
    found = linted(settings(form_title="T", form_id="t", version="1", public_key="MIIB"))
    assert [(item.code, item.level) for item in found] == [("forms.encrypted", Level.WARNING)]
    assert "luật" in found[0].problem.vi


def test_a_form_id_of_several_words_is_refused():
    assert codes(settings(form_title="T", form_id="my form", version="1")) == [("bad-form-id", "settings!B2")]


def test_a_default_language_that_no_label_has_is_warned_about():
    sheets = """
        | survey |
        |        | type | name | label::Tiếng Việt (vi) | label::English (en) |
        |        | text | a    | A                      | A                   |
        | settings |
        |          | form_title | form_id | version | default_language |
        |          | T          | t       | 1       | Tieng Viet (vi)  |
        """
    found = linted(sheets)
    assert [item.code for item in found] == ["forms.unknown-default-language"]
    assert "Tiếng Việt (vi)" in found[0].cure.en


# Types, lists, groups.


def test_an_unknown_type_has_its_row_and_a_suggestion():
    found = linted(question("interger"))
    assert [(item.code, item.cell.address) for item in found] == [("forms.unknown-type", "survey!A4")]
    assert found[0].cure.en == "Did you mean 'integer'?"
    assert linted(question("selec_one yn"))[0].cure.en == "Did you mean 'select_one yn'?"
    assert linted(question("number"))[0].cure.en == "Did you mean 'integer'?"


def test_our_list_of_types_is_pyxforms():
    ours = {*ASKED, *SILENT, *OLD}
    choosing = {"q select", "q select1", "select multiple from", "select multiple using", "select one using"}
    theirs = set(QUESTION_TYPE_DICT) - set(CHOOSING) - choosing - {"select one external"}
    assert theirs - ours == set()
    # "add photo prompt" is an alias, and these are not in the dictionary because they become others.
    assert ours - theirs <= {"add photo prompt"}


def test_a_missing_list_has_a_suggestion():
    found = linted(question("select_one yn_"))
    assert [(item.code, item.cell.address, item.cure.en) for item in found] == [
        ("forms.missing-list", "survey!A4", "Did you mean 'yn'?")
    ]


def test_or_other_speaks_english_and_is_warned_about_where_the_form_has_languages():
    sheets = """
        | survey |
        |        | type                   | name | label::vi |
        |        | select_one yn or_other | a    | A         |
        | choices |
        |         | list_name | name | label::vi |
        |         | yn        | yes  | Có        |
        """
    assert codes(sheets) == [("or-other-untranslated", "survey!A2")]


def test_a_choice_question_needs_a_list():
    assert codes(question("select_one")) == [("no-list", "survey!A4")]


def test_groups_open_and_close_in_pairs():
    assert codes("""
        | survey |
        |        | type        | name | label |
        |        | begin group | a    | A     |
        |        | text        | b    | B     |
        |        | end repeat  |      |       |
        |        | end group   |      |       |
        |        | end group   |      |       |
        |        | begin group | c    | C     |
        |        | text        | d    | D     |
        """) == [("unbalanced", "survey!A4"), ("unbalanced", "survey!A6"), ("unbalanced", "survey!A7")]


def test_an_empty_group_is_refused_as_the_phone_does():
    sheets = "| survey |\n| | type | name | label |\n| | text | a | A |\n| | begin group | g | G |\n| | end group | | |"
    assert codes(sheets) == [("empty-group", "survey!A3")]


# Names.


@pytest.mark.parametrize("name", ["birth year", "1st", "a:b", "họ&tên"])
def test_a_name_that_xml_cannot_hold_is_refused_with_one_that_it_can(name):
    found = linted(question("text", name))
    assert [(item.code, item.cell.address) for item in found] == [("forms.bad-name", "survey!B4")]


@pytest.mark.parametrize("name", ["tuổi", "a-b", "_x.1"])
def test_letters_of_any_language_make_a_name(name):
    assert codes(question("text", name)) == []


def test_a_name_stands_once_in_a_group():
    assert codes(question("text", "age")) == [("double-name", "survey!B4")]
    assert codes(question("text", "AGE")) == [("near-double-name", "survey!B4")]
    assert codes(question("text", "meta")) == [("reserved-name", "survey!B4")]
    assert codes(question("text", "")) == [("no-name", "survey!B4")]


def test_names_that_pyxform_makes_by_itself_count_too():
    assert codes("""
        | survey |
        |        | type                   | name    | label |
        |        | select_one yn or_other | a       | A     |
        |        | text                   | a_other | B     |
        | choices |
        |         | list_name | name | label |
        |         | yn        | yes  | Yes   |
        """) == [("double-name", "survey!B3")]


def test_two_headings_for_one_column_are_refused():
    assert codes(question(relevant="1 = 1", relevance="1 = 1")) == [("double-column", "survey!E")]


def test_a_misspelt_heading_is_not_passed_over_in_silence():
    found = linted(question(relevent="${age} > 3"))
    assert [(item.code, item.cell.address, item.cure.en) for item in found] == [
        ("forms.unknown-column", "survey!D", "Did you mean 'relevant'?")
    ]
    assert codes(question(notes="x", label_source="y")) == []


# Expressions.


def test_an_unknown_name_has_a_suggestion():
    found = linted(question(relevant="${agee} > 3"))
    assert [(item.code, item.cell.address, item.cure.en) for item in found] == [
        ("forms.unknown-name", "survey!D4", "Did you mean 'age'?")
    ]


def test_a_name_in_a_label_is_looked_up_too():
    assert codes(question(label="Bạn ${agee} tuổi")) == [("unknown-name", "survey!C4")]


def test_a_name_that_stands_twice_may_not_be_used():
    assert codes("""
        | survey |
        |        | type        | name | label | relevant |
        |        | begin group | g    | G     |          |
        |        | text        | a    | A     |          |
        |        | end group   |      |       |          |
        |        | text        | a    | A     |          |
        |        | text        | b    | B     | ${a} = 1 |
        """) == [("ambiguous-name", "survey!D6")]


def test_an_unknown_function_has_a_suggestion():
    found = linted(question(relevant="selectd(${age}, '1')"))
    assert [(item.code, item.cure.en) for item in found] == [("forms.unknown-function", "Did you mean 'selected'?")]


@pytest.mark.parametrize(
    ("expression", "cure"),
    [
        (". > 0,5", "0.5"),
        ("if(. > 0,5, 1, 0)", "0.5"),
        (". ≥ 3", ">="),
        (". > 3 and", ""),
        ("if(. > 3, 1", ""),
        ("'open", ""),
    ],
)
def test_an_expression_that_phones_cannot_read_is_refused(expression, cure):
    found = linted(question(constraint=expression))
    assert [(item.code, item.cell.address) for item in found] == [("forms.bad-expression", "survey!D4")]
    assert cure in found[0].cure.en


@pytest.mark.parametrize(
    "expression",
    [
        "if(${age} > 3,1,0)",
        "instance('yn')/root/item[name = ${age}]/label",
        "jr:choice-name(${age}, '${age}')",
        "pulldata('wards', 'label', 'name', ${age})",
        "once(uuid())",
        "${last-saved#age}",
        "regex(., '^[A-Z]{2}-[0-9]{1,3}$')",
        "position(..) > 1",
        "round(${age} * 2.5,1)",
    ],
)
def test_what_only_the_phone_can_run_is_the_phones_business(expression):
    assert codes(question("calculate", label="", calculation=expression)) == []


def test_a_date_compared_with_a_text_is_warned_about_although_the_phone_takes_it():
    found = linted(question(relevant="${day} > '2026-01-01'"))
    assert [(item.code, item.level) for item in found] == [("forms.expression.date-as-text", Level.WARNING)]


def test_a_choice_filter_may_speak_of_the_lists_own_columns():
    assert codes(question("select_one yn", choice_filter="province = ${age} and name != 'x'")) == []
    assert codes(question("select_one yn", choice_filter="province = (${age}")) == [("bad-expression", "survey!D4")]


def test_a_calculate_needs_a_calculation():
    assert codes(question("calculate", label="")) == [("no-calculation", "survey!4")]


def test_a_default_must_have_its_questions_type():
    assert codes(question(default="abc")) == [("bad-default", "survey!D4")]
    assert codes(question("date", default="2024-02-30")) == [("bad-default", "survey!D4")]
    assert codes(question("date", default="today()")) == []


# Choices.


def test_choices_have_a_list_a_name_and_no_double():
    assert codes("""
        | survey |
        |        | type              | name | label |
        |        | select_multiple x | a    | A     |
        | choices |
        |         | list_name | name | label |
        |         | x         | a    | A     |
        |         | x         | a    | B     |
        |         | x         |      | C     |
        |         |           | d    | D     |
        |         | x         | e f  | E     |
        |         | x         | g    |       |
        """) == [
        ("double-choice", "choices!B3"),
        ("choice-without-name", "choices!B4"),
        ("choice-name-with-space", "choices!B6"),
        ("choice-without-label", "choices!C7"),
        ("choice-without-list", "choices!A5"),
    ]


# Words and files.


def test_a_question_without_any_label_has_its_row():
    assert codes(question(label="")) == [("no-label", "survey!C4")]


def test_missing_translations_are_warnings_with_their_cell():
    found = linted("""
        | survey |
        |        | type          | name | label::vi | label::en | hint::vi |
        |        | text          | a    | A         | A         |          |
        |        | select_one yn | b    | B         |           | Gợi ý    |
        | choices |
        |         | list_name | name | label::vi |
        |         | yn        | yes  | Có        |
        | settings |
        |          | form_title | form_id | version | default_language |
        |          | T          | t       | 1       | vi               |
        """)
    assert [(item.code, item.cell.address, item.level) for item in found] == [
        ("forms.missing-language", "survey!E", Level.WARNING),
        ("forms.missing-translation", "survey!D3", Level.WARNING),
        ("forms.missing-language", "choices!C", Level.WARNING),
    ]


@pytest.mark.parametrize("name", ["../secret.png", "http://example.org/a.png", "a/b.png", "C:\\a.png", "noend"])
def test_a_media_file_is_a_name_alone(name):
    assert codes(question(image=name)) == [("bad-file-name", "survey!D4")]


def test_good_media_names_pass():
    assert codes(question(image="thẻ số 1.png")) == []


def test_a_list_file_is_a_name_alone():
    assert codes(question("select_one_from_file ../../etc/passwd.csv")) == [("bad-file-name", "survey!A4")]
    assert codes(question("select_one_from_file wards.csv")) == []


# The whole gate.


def test_every_finding_comes_at_once_and_none_twice():
    found = gate_workbook(
        book("""
            | survey |
            |        | type         | name | label | relevant   |
            |        | interger     | age  | Age   |            |
            |        | select_one x | b    | B     | ${agee} > 3 |
            """),
        java=NO_JAVA,
    )
    assert found.value is None
    assert [(item.code, item.cell.address, item.file) for item in found.findings] == [
        ("forms.unknown-type", "survey!A2", "trial.xlsx"),
        ("forms.missing-list", "survey!A3", "trial.xlsx"),
        ("forms.unknown-name", "survey!D3", "trial.xlsx"),
    ]


def test_what_pyxform_says_of_a_row_that_the_lint_has_mended_is_not_said_again():
    found = gate_workbook(book(question("select_one yn_")), java=NO_JAVA)
    assert [(item.code, item.cell.address) for item in found.findings] == [("forms.missing-list", "survey!A4")]


def test_what_only_pyxform_finds_is_said_beside_the_lint():
    found = gate_workbook(book(question("range", parameters="start=a", relevant="${agee} > 3")), java=NO_JAVA)
    assert {item.code for item in found.findings} == {"forms.unknown-name"}  # The same row: mend it first.
    found = gate_workbook(book(question("range", parameters="start=a")), java=NO_JAVA)
    assert [(item.code, item.cell.address) for item in found.findings] == [("forms.pyxform", "survey!D4")]


def test_without_java_there_is_a_warning_or_an_error_where_it_is_required():
    def verdict(*, required: bool) -> list[tuple[str, Level]]:
        found = gate(xlsx(book(GOOD)), "trial.xlsx", require_validate=required, java=NO_JAVA)
        assert (found.value is None) is required
        return [(item.code, item.level) for item in found.findings]

    assert verdict(required=False) == [("forms.validate-no-java", Level.WARNING)]
    assert verdict(required=True) == [("forms.validate-no-java", Level.ERROR)]


def test_no_workbook_is_one_finding():
    assert [item.code for item in gate(b"", "trial.xlsx").findings] == ["workbook.unreadable"]


def test_a_workbook_without_questions_suggests_the_sheet_that_was_meant():
    found = gate_workbook(from_markdown("| survay |\n| | type | name | label |\n| | text | a | A |", "x.xlsx"))
    assert [(item.code, item.cure.en) for item in found.findings] == [("forms.no-survey", "Did you mean 'survay'?")]


@pytest.mark.jdk
def test_odk_validate_passes_a_good_form():
    found = gate(xlsx(book(GOOD)), "trial.xlsx", require_validate=True)
    assert found.findings == ()
    assert found.require().form_id == "trial"


@pytest.mark.jdk
def test_a_circle_of_calculates_names_its_rows():
    found = gate_workbook(
        book("""
            | survey |
            |        | type        | name | label | calculation |
            |        | text        | t    | T     |             |
            |        | begin group | g    | G     |             |
            |        | calculate   | a    |       | ${b} + 1    |
            |        | calculate   | b    |       | ${a} + 1    |
            |        | end group   |      |       |             |
            """)
    )
    assert [item.code for item in found.findings] == ["forms.validate-cycle"]
    assert found.findings[0].cell.row in {4, 5}
    assert "4" in found.findings[0].problem.vi
    assert "5" in found.findings[0].problem.vi


@pytest.mark.jdk
def test_what_only_odk_validate_sees_has_its_row_and_column():
    found = gate_workbook(book(question("calculate", label="", calculation="date('2024-02-30')")))
    assert [(item.code, item.cell.address) for item in found.findings] == [("forms.validate", "survey!D4")]
    assert "date" in found.findings[0].problem.en
