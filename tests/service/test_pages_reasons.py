"""Conditions as supervisors read them, and what is withheld from those without the right."""

import dataclasses
import uuid
from datetime import date
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from forms.definition import FormDefinition
from forms.workbook import from_markdown
from rules.evaluate import compile_rules, evaluate
from rules.facts import Facts, Record, ReferralFact
from rules.programme import Programme, read_programme
from rules.workbook import read_rules
from service.access import Viewer
from service.tables import Role
from service.web.conditions import Line
from service.web.language import Reader
from service.web.reasons import Insight, Why
from tests.forms.markdown_forms import compiled

FORM = """
| survey |
|        | type                    | name   | label::Tiếng Việt (vi) | label::English (en) | calculation |
|        | select_one often        | q1     | Uống mấy ngày?         | Drinks how often?   |                      |
|        | select_one often        | q2     | Hút mấy ngày?          | Smokes how often?   |                      |
|        | calculate               | score  | Điểm chung             | Score               | ${q1} + ${q2}        |
|        | calculate | level | Mức nguy cơ | Risk level | if(${score} > 4, 'high', 'low')|
|        | select_one yes_no       | tested | Đã xét nghiệm?         | Tested?             |                      |
|        | select_multiple service | needs  | Cần gì?                | Needs what?         |                      |
|        | calculate | kind | Kiểu dùng | Kind of use | if(${q1} > 2, 'very_often', 'some_times') |
| choices |
|         | list_name | name    | label::Tiếng Việt (vi) | label::English (en) |
|         | often     | 0       | Không ngày nào         | Never               |
|         | often     | 3       | Hằng ngày              | Daily               |
|         | yes_no    | yes     | Có                     | Yes                 |
|         | yes_no    | no      | Không                  | No                  |
|         | service   | clinic  | Phòng khám             | Clinic              |
|         | service   | lab     | Xét nghiệm             | Laboratory          |
| settings |
|          | form_id | version | form_title |
|          | survey  | 1       | Khảo sát   |
"""

PROGRAMME = """
| settings |
|          | programme_id | title::English (en) |
|          | small        | Small               |
| areas    |
|          | code | label::English (en) |
|          | N    | North               |
| services |
|          | code   | label::Tiếng Việt (vi) | label::English (en) | compartment | urgency |
|          | clinic | Phòng khám             | Clinic              |             | soon    |
|          | lab    | Xét nghiệm             | Laboratory          | quiet       | soon    |
| providers |
|          | code | services |
| fields   |
|          | form   | field  | means | compartment |
|          | survey | tested |       | quiet       |
"""

RULES = """
| settings |
|          | rulebook_id | version | title::English (en) |
|          | small       | 1       | Small               |
| parameters |
|          | name   | value | type   | label::Tiếng Việt (vi) |
|          | cutoff | 4     | integer | Ngưỡng                 |
| rules    |
|          | rule_id | form | priority | when | flag | level | referral | urgency | message::Tiếng Việt (vi) |
|          | R1 | survey | 50 | ${score} >= ${cutoff} and ${q1} = 3 | f1 | high | clinic | soon | Điểm cao. |
|          | R2 | survey | 50 | ${tested} = 'no' | f2 | moderate | lab | soon | Nên xét nghiệm. |
|          | R3 | survey | 50 | ${level} = 'low' or ${level} = 'high' | f3 | moderate | | | Có nguy cơ. |
|          | R4 | survey | 50 | has-flag('f2') | f4 | info | | | Vì nên xét nghiệm. |
|          | R5 | survey | 50 | has-flag('f1') and not(${needs} = '') | f5 | info | | | Vì điểm cao. |
|          | R6 | survey | 50 | ${kind} = 'very_often' | f6 | high | | | Dùng rất thường xuyên. |
|          | R7 | survey | 50 | selected(${needs}, 'lab') | f7 | info | | | Muốn xét nghiệm. |
| stops    |
|          | stop_id | service | when | instead | message::Tiếng Việt (vi) |
|          | Z3 | * | count-open(service()) > 0 | attach_to_open | Đã có phiếu đang mở. |
"""


def programme() -> Programme:
    return read_programme(from_markdown(PROGRAMME)).require()


@cache
def form() -> FormDefinition:
    return compiled(FORM)


GIVEN = {
    "q1": "3",
    "q2": "3",
    "score": 6.0,
    "level": "high",
    "tested": "no",
    "needs": ("clinic", "lab"),
    "kind": "very_often",
}


def insight(*compartments: str, language: str = "vi", record: Record | None = None, **given: Any) -> Insight:
    answers = {**GIVEN, **given}
    today = date(2026, 11, 23)
    rules = compile_rules(read_rules(from_markdown(RULES)).require(), [form()])
    facts = Facts("survey", today, answers, record or Record())
    viewer = Viewer(uuid.uuid4(), "gs", "GS-1", Role.SUPERVISOR, None, frozenset(compartments), language)
    reader = Reader(language, ZoneInfo("Asia/Ho_Chi_Minh"))
    decision = evaluate(rules, facts, today=today)
    return Insight(decision, viewer, reader, programme(), form=form(), answers=answers)


def why(seen: Insight, flag: str) -> Why:
    (found,) = seen.whys(seen.flag_reasons(flag))
    return found


def said(line: Line) -> list[str]:
    return [
        f"{line.words} → {line.saw}" if line.saw else line.words,
        *(text for one in line.lines for text in said(one)),
    ]


def sentence(seen: Insight, flag: str) -> str:
    (item,) = [item for item in seen.decision.flags if item.code == flag]
    return seen.sentence(item.reasons, item.level)


def test_a_condition_is_read_in_the_questions_own_words_with_what_it_saw():
    assert said(why(insight(), "f1").line) == [
        "Đủ cả 2 điều kiện",
        "Điểm chung từ Ngưỡng (4) trở lên → 6",
        "Uống mấy ngày?: Hằng ngày (3) → Hằng ngày (3)",
    ]


def test_the_reader_chooses_the_language():
    assert said(why(insight(language="en"), "f1").line)[1:] == [
        "Score is Ngưỡng (4) or more → 6",
        "Drinks how often?: Daily (3) → Daily (3)",
    ]


def test_each_reason_names_rule_sheet_row_and_the_authors_own_condition():
    found = why(insight(), "f1")
    assert (found.rule_id, found.sheet, found.row) == ("R1", "rules", 2)
    assert found.line.code == "${score} >= ${cutoff} and ${q1} = 3"
    assert found.line.lines[0].source.startswith("parameters!")


def test_a_calculated_value_is_followed_down_to_the_answers():
    level = why(insight(), "f3").answers["level"]
    assert [(item.label, item.value) for item in level] == [("Điểm chung", "6")]
    answers = level[0].made_of
    assert [(item.label, item.value) for item in answers] == [
        ("Uống mấy ngày?", "Hằng ngày (3)"),
        ("Hút mấy ngày?", "Hằng ngày (3)"),
    ]
    assert [item.row for item in answers] == [2, 3]


def test_only_the_branch_that_holds_is_a_finding():
    lines = why(insight(), "f3").line.lines
    assert [line.holds for line in lines] == [False, True]
    assert sentence(insight(), "f3") == "Mức nguy cơ: cao"


def test_the_sentence_of_a_row_says_finding_value_and_level():
    assert sentence(insight(), "f1") == "Điểm chung: 6; Uống mấy ngày: Hằng ngày (3), mức cao"


def test_a_value_that_only_the_author_understands_is_said_by_the_rules_message():
    assert sentence(insight(), "f6") == "Dùng rất thường xuyên."


def test_a_choice_among_many_is_said_by_its_label():
    assert said(why(insight("quiet"), "f7").line) == ["Cần gì?: có chọn Xét nghiệm → Phòng khám, Xét nghiệm"]


def test_a_chain_shows_the_reasons_that_it_follows_from():
    found = why(insight(), "f5")
    assert [item.rule_id for item in found.because] == ["R1"]
    assert "Có cảnh báo: Điểm cao." in said(found.line)[1]


def test_what_a_stop_held_back_is_told_with_its_row():
    open_one = ReferralFact("clinic", "sent", date(2026, 11, 1), date(2026, 11, 1))
    (held,) = insight(record=Record(referrals=(open_one,))).held_back()
    assert (held.service, held.stop_id, held.sheet, held.row) == ("Phòng khám", "Z3", "stops", 2)
    assert (held.message, held.rule_ids) == ("Đã có phiếu đang mở.", ("R1",))


# ---- what is withheld -----------------------------------------------------------------------------


def test_a_reason_that_touches_a_hidden_compartment_is_withheld_whole():
    seen = insight()
    reasons = seen.flag_reasons("f2")
    assert reasons
    assert (seen.whys(reasons), seen.message(reasons), sentence(seen, "f2")) == ((), "", "")
    allowed = insight("quiet")
    assert why(allowed, "f2").message == "Nên xét nghiệm."


def test_a_chain_over_a_hidden_reason_is_withheld_too():
    assert sentence(insight(), "f4") == ""
    assert why(insight("quiet"), "f4").because[0].rule_id == "R2"


def test_a_quoted_hidden_service_withholds_the_reason():
    assert sentence(insight(), "f7") == ""


def test_a_value_made_of_a_hidden_answer_is_hidden():
    quiet_item = dataclasses.replace(programme().fields[0], field="q2")
    seen = insight()
    seen = dataclasses.replace(seen, programme=dataclasses.replace(seen.programme, fields=(quiet_item,)))
    assert sentence(seen, "f1") == ""
    assert sentence(seen, "f3") == ""
    assert sentence(seen, "f6") == "Dùng rất thường xuyên."


def test_what_was_held_back_in_a_hidden_compartment_is_not_told():
    open_one = ReferralFact("lab", "sent", date(2026, 11, 1), date(2026, 11, 1))
    record = Record(referrals=(open_one,))
    assert list(insight(record=record).held_back()) == []
    assert len(list(insight("quiet", record=record).held_back())) == 1
