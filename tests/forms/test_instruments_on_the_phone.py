"""The shipped instruments filled in by JavaRosa, as a phone does it: golden figures, safety, consent."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from forms.compile import compile_form
from forms.definition import FormDefinition
from tests.forms.javarosa.oracle import Filled, Given, shared_oracle

pytestmark = pytest.mark.jdk

WORKBOOKS = Path(__file__).parents[2] / "forms" / "xlsform"
VECTORS = {
    instrument: vectors
    for instrument, vectors in json.loads(Path(__file__).with_name("vectors.json").read_text()).items()
    if instrument != "about"
}

#: What stands in every screening that goes on: who asks may change any of it.
AGREED = {
    "area": "LB-BODE",
    "consent_language": "vi",
    "consent_take_part": "yes",
    "under_18": "no",
    "consent_way": "spoken",
    "client_code": "KH-LB-0042",
}
EVERY_SUBSTANCE_NO = {name: "no" for vector in VECTORS["assist"] for name in vector["answers"] if name.endswith("_q1")}


@functools.cache
def definition(form_id: str) -> FormDefinition:
    return compile_form((WORKBOOKS / f"{form_id}.xlsx").read_bytes(), f"{form_id}.xlsx").require()


def fill(form_id: str, answers: Mapping[str, Given], language: str | None = None) -> Filled:
    """Fill a form by field names. A name that the form does not have is refused as `no such question`."""
    form = definition(form_id)
    known = {name: f"/{form.root}/{form.by_name[name][0].path}" for name in answers if name in form.by_name}
    filled = shared_oracle().fill(form.xform, {known[name]: answers[name] for name in known}, language=language)
    refused = {path.rsplit("/", 1)[-1]: why for path, why in filled.refused.items()}
    unknown = {name: "no such question" for name in answers if name not in form.by_name}
    return Filled(filled.values, {**refused, **unknown}, filled.messages, filled.missing, filled.submission)


def screening(**answers: Given) -> Filled:
    return fill("screening", {**AGREED, **answers})


def differences(vector: Mapping[str, Mapping[str, object]], filled: Filled) -> list[str]:
    found = [
        f"{vector['id']}: {name} is {filled.value(name)!r}, not {str(wanted)!r}"
        for name, wanted in vector["expected"].items()
        if filled.value(name) != str(wanted)
    ]
    if set(filled.refused) != set(vector.get("refused", ())):
        found.append(f"{vector['id']}: refused {dict(filled.refused)}")
    for name, wanted in vector.get("asked", {}).items():
        if filled.asked(name) is not wanted:
            found.append(f"{vector['id']}: {name} asked: {not wanted}")
    return found


def answers_of(instrument: str, vector: Mapping[str, Mapping[str, Given]]) -> dict[str, Given]:
    if instrument == "contact":
        return {"area": "LB-BODE", **vector["answers"]}
    answers = {**AGREED, **vector["answers"]}
    refused = answers["consent_take_part"] == "no" or answers.get("guardian_consent") == "no"
    if refused:
        del answers["client_code"]
    if answers["consent_take_part"] == "no":
        del answers["under_18"], answers["consent_way"]
    return answers


@pytest.mark.parametrize("instrument", VECTORS)
def test_the_phone_reaches_every_golden_figure(instrument: str) -> None:
    vectors = VECTORS[instrument]
    form_id = "contact" if instrument == "contact" else "screening"
    wrong = [differences(vector, fill(form_id, answers_of(instrument, vector))) for vector in vectors]
    print(f"{instrument}: {sum(not items for items in wrong)}/{len(vectors)}")
    assert [line for items in wrong for line in items] == []


def test_who_refuses_leaves_nothing_but_place_day_and_the_refusal() -> None:
    filled = fill("screening", {**AGREED, "consent_take_part": "no", "full_name": "Nguyễn Văn A", "phq9_q9": 3})
    kept = {path.rsplit("/", 1)[-1] for path, value in filled.values.items() if value}
    assert kept == {
        *("start", "end", "today", "visit_date", "area", "instanceID", "instanceName"),
        *("consent_language", "consent_take_part", "consent_time", "consent_version", "consent_given"),
        *("consent_in_force", "consent_action"),
    }
    assert filled.missing == ()
    assert "KH-LB" not in filled.submission
    assert "Nguyễn" not in filled.submission


def test_silence_about_taking_part_is_no() -> None:
    filled = fill("screening", {"area": "LB-BODE", "phq9_q9": 3})
    assert filled.value("consent_in_force") == "no"
    assert filled.refused == {"phq9_q9": "not asked"}


def test_a_minor_is_screened_only_with_the_guardians_agreement() -> None:
    assert screening(under_18="yes", client_code=None).value("consent_in_force") == "no"
    assert screening(under_18="yes", guardian_consent="yes").value("consent_in_force") == "yes"


def test_taking_consent_back_keeps_the_code_and_drops_every_other_answer() -> None:
    filled = screening(full_name="Nguyễn Văn A", phq9_q9=3, consent_share=["mmt"], consent_withdrawn="yes")
    assert filled.value("client_code") == "KH-LB-0042"
    assert filled.value("consent_action") == "stop_processing"
    assert [filled.value(name) for name in ("full_name", "phq9_q9", "consent_share")] == ["", "", ""]
    assert "Nguyễn" not in filled.submission


def test_a_client_may_skip_every_question_and_the_form_can_still_be_sent() -> None:
    filled = screening()
    assert filled.missing == ()
    assert [filled.value(n) for n in ("assist_status", "phq9_status", "assist_max_level", "phq9_level")] == [
        *("incomplete", "incomplete", "", ""),
    ]


def shown(filled: Filled) -> set[str]:
    """The same-day notes that the worker sees."""
    notes = {path.rsplit("/", 1)[-1]: value for path, value in filled.values.items() if "/alert_" in path}
    assert len(notes) >= 7
    return {name for name, value in notes.items() if value is not None}


def test_same_day_notes_are_silent_while_there_is_nothing_to_do_today() -> None:
    assert shown(screening()) == set()
    assert shown(screening(phq9_q9=0)) == set()


def test_thoughts_of_death_call_for_the_suicide_questions_until_they_are_answered() -> None:
    assert shown(screening(phq9_q9=1)) == {"alert_s03"}
    calm = screening(phq9_q9=1, asq_q1="no", asq_q2="no", asq_q3="no", asq_q4="no")
    assert shown(calm) == set()


def test_a_refused_or_affirmed_last_question_is_an_emergency() -> None:
    assert shown(screening(suicide_concern="yes", asq_q4="yes", asq_q5="yes")) == {"alert_s01"}
    assert shown(screening(suicide_concern="yes", asq_q4="yes", asq_q5="refused")) == {"alert_s01"}


def test_an_unanswered_last_question_still_counts_as_possible_risk() -> None:
    assert shown(screening(phq9_q9=1, asq_q1="yes")) == {"alert_s02"}


def test_risk_with_a_high_depression_score_is_seen_as_such() -> None:
    mood = {f"phq9_q{n}": 2 for n in range(1, 9)}
    assert shown(screening(**mood, phq9_q9=1, asq_q1="yes", asq_q5="no")) == {"alert_s02", "alert_c02"}


def test_the_client_reads_levels_in_words_of_the_own_language() -> None:
    meth = {f"assist_ats_q{n}": code for n, code in zip(range(1, 8), ("yes", 6, 6, 7, 8, 0, 0), strict=True)}
    answers = {**AGREED, **EVERY_SUBSTANCE_NO, **meth}
    assert fill("screening", answers).value("assist_ats_words") == "nguy cơ cao"
    assert fill("screening", answers, "English (en)").value("assist_ats_words") == "high risk"


@pytest.mark.parametrize("number", ["0912345678", "+84912345678"])
def test_phone_numbers_are_taken_as_people_write_them(number: str) -> None:
    assert screening(phone=number).refused == {}


@pytest.mark.parametrize("number", ["912345678", "09123456789", "84912345678", "09 12345678"])
def test_other_phone_numbers_are_refused(number: str) -> None:
    assert screening(phone=number).refused == {"phone": "constraint"}


@pytest.mark.parametrize("code", ["KH-LB-42", "kh-lb-0042", "KH LB 0042", "xKH-LB-0042"])
def test_a_mistyped_client_code_is_refused_with_an_example(code: str) -> None:
    filled = screening(client_code=code)
    assert filled.refused == {"client_code": "constraint"}
    assert any("KH-LB-0042" in message for message in filled.messages.values())


def test_a_birth_date_that_contradicts_the_age_question_is_refused() -> None:
    assert screening(visit_date="2026-01-05", birth_date="2008-01-07").refused == {"birth_date": "constraint"}
    assert screening(visit_date="2026-01-05", birth_date="2008-01-05").refused == {}
    assert screening(visit_date="2026-01-05", birth_year=2009).refused == {"birth_year": "constraint"}
    assert screening(visit_date="2026-01-05", birth_year=2008).refused == {}


def test_a_visit_cannot_lie_in_the_future() -> None:
    assert screening(visit_date="2999-01-01").refused == {"visit_date": "constraint"}


@pytest.mark.parametrize(
    ("days", "injecting"), [(1, "current_infrequent"), (4, "current_infrequent"), (31, "current_frequent")]
)
def test_days_of_injecting_tell_occasional_from_frequent(days: int, injecting: str) -> None:
    answers = {**EVERY_SUBSTANCE_NO, "assist_opioids_q1": "yes", "assist_q8": "past3m", "inject_days_per_month": days}
    assert screening(**answers).value("injecting") == injecting


def test_a_group_leaves_no_name_and_no_code() -> None:
    filled = fill(
        "contact",
        {
            "area": "LB-BODE",
            "contact_type": "group",
            "contact_result": "reached",
            "participants": 6,
            "client_code": "KH-LB-0042",
            "nickname": "Hoa",
        },
    )
    assert filled.refused == {"client_code": "not asked", "nickname": "not asked"}
    assert filled.missing == ()
