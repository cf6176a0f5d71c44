"""Workbook → FormDefinition, through pyxform in its child process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest

from forms.compile import compile_form, compile_workbook, definition_from_xform
from forms.definition import Choice, FieldType, from_json, to_json
from forms.sheets import SheetErrors
from forms.xform import UnreadableXForm
from tests.forms.markdown_forms import book, compiled, saved, xlsx

VISIT = """
| survey |
|        | type                           | name     | label::Tiếng Việt (vi) | label::English (en) | relevant    | calculation   | constraint           | constraint_message::Tiếng Việt (vi) | constraint_message::English (en) | required | default | image::Tiếng Việt (vi) | image::English (en) |
|        | start                          | start    |                        |                     |             |               |                      |                                     |                                  |          |         |                        |                     |
|        | username                       | username |                        |                     |             |               |                      |                                     |                                  |          |         |                        |                     |
|        | begin group                    | person   | Người                  | Person              |             |               |                      |                                     |                                  |          |         |                        |                     |
|        | integer                        | age      | Tuổi                   | Age                 |             |               | . >= 0 and . <= 120  | Tuổi từ 0 đến 120.                  | Age is 0 to 120.                 | yes      |         |                        |                     |
|        |                                |          |                        |                     |             |               |                      |                                     |                                  |          |         |                        |                     |
|        | select_one yn                  | smokes   | Hút thuốc?             | Smokes?             | ${age} > 10 |               |                      |                                     |                                  |          |         | thuoc.png              | smoke.png           |
|        | select_multiple drink or_other | drinks   | Uống gì?               | Drinks what?        |             |               |                      |                                     |                                  |          |         |                        |                     |
|        | end group                      |          |                        |                     |             |               |                      |                                     |                                  |          |         |                        |                     |
|        | select_one_from_file wards.csv | ward     | Phường                 | Ward                |             |               |                      |                                     |                                  |          |         |                        |                     |
|        | note                           | advice   | Chào ${age} tuổi       | Hello               |             |               |                      |                                     |                                  |          |         |                        |                     |
|        | date                           | day      | Ngày                   | Day                 |             |               |                      |                                     |                                  |          | today() |                        |                     |
|        | begin repeat                   | child    | Con                    | Child               |             |               |                      |                                     |                                  |          |         |                        |                     |
|        | decimal                        | weight   | Cân nặng               | Weight              |             |               |                      |                                     |                                  |          |         |                        |                     |
|        | calculate                      | twice    |                        |                     |             | ${weight} * 2 |                      |                                     |                                  |          |         |                        |                     |
|        | end repeat                     |          |                        |                     |             |               |                      |                                     |                                  |          |         |                        |                     |
| choices |
|         | list_name | name | label::Tiếng Việt (vi) | label::English (en) |
|         | yn        | yes  | Có                     | Yes                 |
|         | yn        | no   | Không                  | No                  |
|         | drink     | tea  | Trà                    | Tea                 |
| settings |
|          | form_title | form_id | version    | default_language |
|          | Thăm       | visit   | 2026-11-20 | Tiếng Việt (vi)  |
"""  # noqa: E501  A sheet is as wide as it is.

NO_LANGUAGE = """
| survey |
|        | type      | name | label | calculation          | trigger |
|        | integer   | a    | A     |                      |         |
|        | calculate | sum  |       | ${a} + 1             |         |
|        | calculate | over |       | ${sum} > 10          |         |
|        | calculate | word |       | if(${over},'y','n')  |         |
|        | calculate | soon |       | date(today() + 30)   |         |
|        | calculate | part |       | if(${a} > 1, 1, '')  |         |
|        | calculate | odd  |       | pulldata('f', 'x', 'y', ${a}) |  |
|        | calculate | when |       | now()                | ${a}    |
"""


def test_a_form_has_its_identity_languages_files_and_hashes():
    form = compiled(VISIT)
    assert (form.form_id, form.version, form.title, form.root) == ("visit", "2026-11-20", "Thăm", "data")
    assert (form.languages, form.default_language) == (("Tiếng Việt (vi)", "English (en)"), "Tiếng Việt (vi)")
    assert set(form.media) == {"wards.csv", "thuoc.png", "smoke.png"}
    assert (len(form.md5), len(form.content_hash)) == (32, 64)


def test_each_field_has_its_type_and_the_row_that_excel_shows():
    form = compiled(VISIT)
    assert {field.path: (field.type.value, field.row) for field in form.fields} == {
        "start": ("datetime", 2),
        "username": ("text", 3),
        "person/age": ("integer", 5),
        "person/smokes": ("select_one", 7),
        "person/drinks": ("select_multiple", 8),
        "person/drinks_other": ("text", 8),
        "ward": ("select_one", 10),
        "advice": ("note", 11),
        "day": ("date", 12),
        "child/weight": ("decimal", 14),
        "child/twice": ("decimal", 15),
        "meta/instanceID": ("text", None),
    }


def test_labels_choices_and_messages_are_in_each_language():
    form = compiled(VISIT)
    age, smokes = form.by_path["person/age"], form.by_path["person/smokes"]
    assert age.labels == {"Tiếng Việt (vi)": "Tuổi", "English (en)": "Age"}
    assert age.constraint_messages["English (en)"] == "Age is 0 to 120."
    assert smokes.choices == (
        Choice("yes", {"Tiếng Việt (vi)": "Có", "English (en)": "Yes"}),
        Choice("no", {"Tiếng Việt (vi)": "Không", "English (en)": "No"}),
    )
    assert form.by_path["advice"].labels["Tiếng Việt (vi)"] == "Chào ${age} tuổi"


def test_or_other_adds_a_choice_and_lists_from_files_are_open():
    form = compiled(VISIT)
    assert [choice.name for choice in form.by_path["person/drinks"].choices or ()] == ["tea", "other"]
    assert form.by_path["ward"].choices is None


def test_rules_of_a_field_stand_as_in_the_xform():
    form = compiled(VISIT)
    age, smokes = form.by_path["person/age"], form.by_path["person/smokes"]
    assert (age.required, age.constraint) == ("true()", ". >= 0 and . <= 120")
    assert smokes.relevant == "/data/person/age  > 10"
    assert form.by_path["start"].preload == "timestamp/start"
    assert form.by_path["day"].first_load == "today()"


def test_a_repeat_appears_once_and_its_fields_know_it():
    form = compiled(VISIT)
    assert form.by_path["child/twice"].repeats == ("child",)
    assert [(group.path, group.repeats, group.row) for group in form.groups] == [
        ("person", False, 4),
        ("child", True, 13),
    ]


def test_a_form_without_languages_has_one_that_has_no_name():
    form = compiled(NO_LANGUAGE)
    assert (form.languages, form.default_language) == (("",), "")
    assert form.by_path["a"].labels == {"": "A"}


def test_the_type_of_a_calculate_is_the_type_of_its_expression():
    form = compiled(NO_LANGUAGE)
    assert {field.name: field.type for field in form.fields if not field.asked and field.name != "instanceID"} == {
        "sum": FieldType.DECIMAL,
        "over": FieldType.BOOLEAN,
        "word": FieldType.TEXT,
        "soon": FieldType.DATE,
        "part": FieldType.DECIMAL,
        "odd": FieldType.TEXT,
        "when": FieldType.DATETIME,
    }


def test_what_a_trigger_stores_names_its_trigger():
    field = compiled(NO_LANGUAGE).by_path["when"]
    assert (field.triggered, field.triggers) == ("now()", ("a",))


def test_compiling_again_gives_the_same_bytes():
    assert compile_workbook(book(VISIT)).require().xform == compiled(VISIT).xform


def test_an_excel_file_gives_the_same_form_as_its_sheets():
    assert compile_form(xlsx(book(VISIT)), "visit.xlsx").require() == compiled(VISIT)


def test_a_definition_survives_json():
    form = compiled(VISIT)
    assert from_json(json.loads(json.dumps(to_json(form))), form.xform) == form


def test_json_with_the_xform_of_another_revision_is_refused():
    with pytest.raises(ValueError, match="another revision"):
        from_json(to_json(compiled(VISIT)), compiled(NO_LANGUAGE).xform)


def test_entity_lists_are_those_that_a_submission_writes_to():
    form = compiled("""
        | survey |
        |        | type | name | label | save_to |
        |        | text | code | Code  | code    |
        | entities |
        |          | list_name | label   |
        |          | clients   | ${code} |
        """)
    assert form.entity_lists == ("clients",)
    assert form.by_path["code"].save_to == "code"
    assert "meta/entity" not in form.by_path


@pytest.mark.parametrize("name", ["../../etc/passwd.csv", "http://example.org/x.csv", "a/b.csv"])
def test_a_file_name_with_a_folder_or_address_is_no_media(name):
    xform = compiled(VISIT).xform.replace(b"wards.csv", name.encode())
    assert set(definition_from_xform(xform).media) == {"thuoc.png", "smoke.png"}


def found_in(sheets: str) -> list[tuple[str, str]]:
    return [(item.code, item.cell.address) for item in compile_workbook(book(sheets)).findings]


def test_an_unknown_type_is_found_although_pyxform_names_no_row():
    assert found_in("""
        | survey |
        |        | type    | name | label |
        |        | text    | a    | A     |
        |        | telepat | b    | B     |
        """) == [("forms.unknown-type", "survey!A3")]


def test_a_row_that_pyxform_names_is_the_row_that_excel_shows():
    assert found_in("""
        | survey |
        |        | type         | name | label |
        |        | text         | a    | A     |
        |        |              |      |       |
        |        | select_one x | b    | B     |
        | choices |
        |         | list_name | name | label |
        |         | y         | 1    | One   |
        """) == [("forms.missing-list", "survey!4")]


def test_a_message_without_a_row_is_placed_by_the_name_that_it_quotes():
    assert found_in("""
        | survey |
        |        | type         | name | label | appearance  |
        |        | select_one x | a    | A     |             |
        |        | select_one x | b    | B     | search('w') |
        | choices |
        |         | list_name | name | label |
        |         | x         | 1    | One   |
        """) == [("forms.pyxform", "survey!B3")]


def test_two_double_choices_are_two_findings():
    assert found_in("""
        | survey |
        |        | type         | name | label |
        |        | select_one x | b    | B     |
        | choices |
        |         | list_name | name | label |
        |         | x         | 1    | One   |
        |         | x         | 1    | Two   |
        |         | x         | 1    | Three |
        """) == [("forms.pyxform", "choices!B3"), ("forms.pyxform", "choices!B4")]


def test_a_workbook_whose_heading_is_not_in_row_one_has_true_row_numbers():
    made = openpyxl.Workbook()
    survey, settings = made.worksheets[0], made.create_sheet("settings")
    survey.title = "survey"
    for row in ((), ("type", "name", "label"), ("text", "a", "A"), ("telepat", "b", "B")):
        survey.append(row)
    for row in ((), ("form_id", "version"), (), ("trial", "1")):
        settings.append(row)
    found = compile_form(saved(made), "trial.xlsx").findings
    assert [(item.code, item.cell.row, item.file) for item in found] == [("forms.unknown-type", 4, "trial.xlsx")]


def test_decomposed_letters_in_names_still_meet():
    form = compiled("""
        | survey |
        |        | type    | name  | label | relevant   |
        |        | integer | tu\u1ed5i  | Tuổi  |            |
        |        | text    | why   | Why   | ${tuo\u0302\u0309i} > 3 |
        """)
    assert form.by_path["why"].relevant == "/data/tuổi  > 3"


def test_a_form_that_takes_too_long_is_stopped_and_said():
    found = compile_workbook(book(VISIT), timeout=0.01)
    assert [item.code for item in found.findings] == ["forms.compile-timeout"]


def test_a_form_that_needs_too_much_memory_is_stopped_and_said():
    found = compile_workbook(book(long_list(20_000)), memory=80 * 1024 * 1024)
    assert [item.code for item in found.findings] == ["forms.compile-memory"]


def test_twenty_thousand_choices_fit():
    form = compile_workbook(book(long_list(20_000))).require()
    assert len(form.by_path["pick"].choices or ()) == 20_000


def long_list(count: int) -> str:
    rows = "".join(f"|  | many | c{number} | Choice {number} |\n" for number in range(count))
    return f"""
| survey |
|        | type            | name | label |
|        | select_one many | pick | Pick  |
| choices |
|  | list_name | name | label |
{rows}"""


def test_the_child_runs_from_any_folder_even_beside_another_package_of_our_name(tmp_path):
    program = (
        "from tests.forms.markdown_forms import compiled\n"
        "from tests.forms.test_compile import NO_LANGUAGE\n"
        "print(compiled(NO_LANGUAGE).form_id)\n"
    )
    (tmp_path / "forms").mkdir()
    (tmp_path / "forms" / "__init__.py").write_text("raise RuntimeError('the wrong forms')")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("trial", 0), done.stderr


def test_what_is_no_xform_is_refused_in_words():
    with pytest.raises(UnreadableXForm):
        definition_from_xform(b"<data><unclosed></data>")
    with pytest.raises(UnreadableXForm, match="no model"):
        definition_from_xform(b"<data/>")


def test_requiring_a_form_with_errors_raises_them_all():
    with pytest.raises(SheetErrors):
        compile_form(b"no workbook", "x.xlsx").require()


def test_a_calculate_keeps_its_label_although_no_phone_shows_it():
    form = compiled("""
        | survey |
        |        | type      | name   | label::Tiếng Việt (vi) | label::English (en) | calculation   |
        |        | begin group | person | Người                | Person              |               |
        |        | integer   | weight | Cân nặng               | Weight              |               |
        |        | calculate | twice  | Gấp đôi cân nặng       | Twice the weight    | ${weight} * 2 |
        |        | calculate | thrice |                        |                     | ${weight} * 3 |
        |        | end group |        |                        |                     |               |
        """)
    assert form.by_path["person/twice"].labels == {
        "Tiếng Việt (vi)": "Gấp đôi cân nặng",
        "English (en)": "Twice the weight",
    }
    assert form.by_path["person/thrice"].labels == {}
