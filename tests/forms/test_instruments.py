"""The shipped workbooks as programme staff open them: names, codes, words, and what privacy forbids."""

import functools
import json
import re
import unicodedata
from pathlib import Path

import openpyxl
import pytest

from forms.compile import compile_form
from forms.definition import FieldType, FormDefinition
from forms.gate import gate
from forms.workbook import Row, Workbook, read

ROOT = Path(__file__).parents[2]
VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())
VI, EN = "Tiếng Việt (vi)", "English (en)"
INSTRUMENTS = ("contact", "screening")
SUBSTANCES = re.findall(r"\w+", "tobacco alcohol cannabis cocaine ats inhalants sedatives hallucinogens opioids other")

#: What the programme's rules ask of a screening, modules of later versions among them.
NAMES_OF_RULES = re.findall(
    r"\w+",
    """
    asq_level asq_q5 assist_alcohol assist_ats assist_max_level assist_opioids assist_opioids_level audit_score
    audit_zone_for_action auditc_positive chest_pain_after_ats client_goal client_wants_rehab dast_level gad7_score
    hcv_tested_12m hiv_action hiv_exposure_72h hiv_risk hiv_status hiv_test_date housing injecting
    left_rehab_or_detention_30d needs opioid_history overdose_level phq9_q9 phq9_score pregnant psychosis_signs
    readiness_band violence_at_home w4ss_positive
    """,
)


def path(form_id: str) -> Path:
    return ROOT / "forms" / "xlsform" / f"{form_id}.xlsx"


@functools.cache
def workbook(form_id: str) -> Workbook:
    return read(path(form_id).read_bytes(), path(form_id).name).require()


@functools.cache
def definition(form_id: str) -> FormDefinition:
    return compile_form(path(form_id).read_bytes(), path(form_id).name).require()


def questions(form_id: str) -> list[Row]:
    silent = ("begin_group", "end_group", "calculate", "start", "end", "today")
    return [row for row in workbook(form_id).rows("survey") if row.get("type") not in silent]


def words(form_id: str) -> list[tuple[str, str]]:
    """Every text of the workbook with the address of its cell."""
    return [
        (row.cell(column).address, text)
        for sheet in ("survey", "choices")
        for row in workbook(form_id).rows(sheet)
        for column, text in row.values.items()
        if "::" in column
    ]


def choices(form_id: str, name: str) -> list[str]:
    return [row.get("name") for row in workbook(form_id).rows("choices") if row.get("list_name") == name]


@pytest.mark.parametrize("form_id", INSTRUMENTS)
def test_the_workbook_compiles_without_a_finding(form_id: str) -> None:
    checked = compile_form(path(form_id).read_bytes(), path(form_id).name)
    assert [finding.describe("en") for finding in checked.findings] == []
    assert definition(form_id).form_id == form_id


@pytest.mark.jdk
@pytest.mark.parametrize("form_id", INSTRUMENTS)
def test_the_gate_with_odk_validate_has_nothing_to_say(form_id: str) -> None:
    checked = gate(path(form_id).read_bytes(), path(form_id).name, require_validate=True)
    assert [finding.describe("en") for finding in checked.findings] == []
    assert checked.value == definition(form_id)


@pytest.mark.parametrize("form_id", INSTRUMENTS)
def test_vietnamese_comes_first_and_english_is_complete(form_id: str) -> None:
    assert definition(form_id).default_language == VI
    rows = [*workbook(form_id).rows("choices"), *workbook(form_id).rows("survey")]
    lopsided = [
        row.cell().address
        for row in rows
        for kind in ("label", "hint", "constraint_message", "required_message")
        if bool(row.get(f"{kind}::{VI}")) != bool(row.get(f"{kind}::{EN}"))
    ]
    assert lopsided == []
    assert [row.cell().address for row in questions(form_id) if not row.get(f"label::{VI}")] == []


@pytest.mark.parametrize("form_id", INSTRUMENTS)
def test_texts_are_composed_as_vietnamese_keyboards_write_them(form_id: str) -> None:
    book = openpyxl.load_workbook(path(form_id))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if isinstance(cell.value, str)]
    assert [cell.coordinate for cell in cells if cell.value != unicodedata.normalize("NFC", cell.value)] == []
    assert [cell.coordinate for cell in cells if cell.value != cell.value.strip() or "  " in cell.value] == []


@pytest.mark.parametrize("form_id", INSTRUMENTS)
def test_no_answer_is_ticked_beforehand(form_id: str) -> None:
    fields = definition(form_id).fields
    assert {field.name: field.default for field in fields if field.default} == {}
    assert {field.name: field.first_load for field in fields if field.first_load} == {"visit_date": "today()"}
    with_default = [row.get("name") for row in questions(form_id) if row.get("default")]
    assert with_default == ["visit_date"]


@pytest.mark.parametrize("form_id", INSTRUMENTS)
def test_no_place_picture_or_recording_is_asked_for(form_id: str) -> None:
    harmless = {
        *("start", "end", "today", "date", "text", "integer", "note", "calculate", "begin_group", "end_group"),
        *("select_one", "select_multiple"),
    }
    kinds = {row.get("type").split()[0] for row in workbook(form_id).rows("survey")}
    assert kinds <= harmless


@pytest.mark.parametrize("form_id", INSTRUMENTS)
def test_nobody_is_called_an_addict(form_id: str) -> None:
    """Voluntary rehabilitation is the name of a service; the word alone would be a verdict from a score."""
    named = [
        (address, text)
        for address, text in words(form_id)
        if "nghiện" in re.sub(r"cai nghiện", "", text, flags=re.IGNORECASE).lower()
        or re.search(r"\baddict(s|ed)?\b", text.lower())
    ]
    assert named == []


@pytest.mark.parametrize("form_id", INSTRUMENTS)
def test_excel_keeps_the_version_as_text_and_the_headings_in_sight(form_id: str) -> None:
    book = openpyxl.load_workbook(path(form_id))
    heading = {cell.value: cell.column for cell in book["settings"][1]}
    version = book["settings"].cell(2, heading["version"])
    assert isinstance(version.value, str)
    assert version.number_format == "@"
    for sheet in book:
        assert sheet.freeze_panes is not None
        assert all(cell.font.bold for cell in sheet[1])


def test_every_name_that_a_rule_speaks_of_is_a_field_of_the_screening() -> None:
    form = definition("screening")
    assert [name for name in NAMES_OF_RULES if len(form.by_name.get(name, ())) != 1] == []


def test_answers_carry_the_codes_that_the_instruments_score() -> None:
    codes = {
        "assist_q2": "0 2 3 4 6",
        "assist_q3": "0 3 4 5 6",
        "assist_q4": "0 4 5 6 7",
        "assist_q5": "0 5 6 7 8",
        "assist_q6": "0 6 3",
        "assist_q8": "never past3m before",
        "phq": "0 1 2 3",
        "yes_no": "yes no",
        "yes_no_refused": "yes no refused",
    }
    assert {name: " ".join(choices("screening", name)) for name in codes} == codes


def test_every_substance_is_asked_in_full_and_tobacco_without_its_fifth_item() -> None:
    form = definition("screening")
    wanted = {f"assist_{s}_q{n}" for s in SUBSTANCES for n in range(1, 8)} - {"assist_tobacco_q5"}
    asked = {name for name in form.by_name if re.fullmatch(r"assist_[a-z]+_q\d", name)}
    assert asked == wanted
    assert {form.by_name[name][0].type for name in asked} == {FieldType.SELECT_ONE}


def test_only_what_a_phone_must_know_is_required_so_that_a_client_may_skip_a_question() -> None:
    required = [row.get("name") for row in questions("screening") if row.get("required")]
    assert required == [
        *("visit_date", "area", "consent_language", "consent_take_part", "under_18", "guardian_consent"),
        *("consent_way", "client_code"),
    ]


def test_levels_come_with_the_answer_names_that_golden_figures_use() -> None:
    """A vector about a field that the form has not would be a check that cannot fail."""
    for instrument, vectors in VECTORS.items():
        if instrument == "about":
            continue
        form = definition("contact" if instrument == "contact" else "screening")
        for vector in vectors:
            unknown = {*vector["answers"], *vector["expected"]} - set(form.by_name) - set(vector.get("refused", ()))
            assert unknown == set(), vector["id"]


def test_every_same_day_rule_stands_in_the_form_as_a_note() -> None:
    """Collect has no push: what must be done today is seen on the phone itself, without a signal."""
    rules = read((ROOT / "rules" / "sheets" / "referral.xlsx").read_bytes()).require().rows("rules")
    notes = {row.get("name"): row for row in workbook("screening").rows("survey") if row.get("type") == "note"}
    urgent = [
        row
        for row in rules
        if row.get("urgency") == "same_day"
        and "screening" in row.get("form").split()
        and row.get("trigger", "submission") == "submission"
    ]
    assert len(urgent) >= 4
    for rule in urgent:
        note = notes[f"alert_{rule.get('rule_id').lower()}"]
        # A chained rule speaks of other rules' flags; the note spells out what those flags are about.
        if "has-flag" not in rule.get("when"):
            assert note.get("relevant") == rule.get("when")
