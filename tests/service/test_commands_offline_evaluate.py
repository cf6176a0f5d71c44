"""`ketnoi evaluate`: what the rules want after one set of answers, without a database."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import forms
import rules
from forms.answers import write
from forms.compile import compile_form
from forms.definition import FormDefinition
from forms.fill import fill
from forms.workbook import from_markdown
from rules.decision import from_json
from service.cli import main
from tests.forms.markdown_forms import xlsx

SCREENING = Path(forms.__file__).parent / "xlsform" / "screening.xlsx"
CONTACT = SCREENING.with_name("contact.xlsx")
REFERRAL = Path(rules.__file__).parent / "sheets" / "referral.xlsx"

OPIOIDS = {"consent_take_part": "yes", "consent_share": ["mmt"], "assist_opioids": 31}

FORM = """
| survey |
| | type | name | label | calculation |
| | date | day | Day | |
| | calculate | overdue | | today() > ${day} + 3 |
| | select_one yn | agrees | Agrees |
| | select_multiple where | share | Share |
| | integer | score | Score |
| | end | end | |
| choices |
| | list_name | name | label |
| | yn | yes | Yes |
| | yn | no | No |
| | where | clinic | Clinic |
| | where | ward | Ward |
| settings |
| | form_title | form_id | version |
| | Visit | visit | 1 |
"""

RULES = """
| settings |
| | rulebook_id | version | title |
| | t | 1 | T |
| rules |
| | rule_id | form | when | flag | level | referral | urgency | follow_up | notify | message::V (vi) | message::E (en) |
| | A1 | visit | ${score} > 3 | high | high | clinic | soon | check + 10 | supervisor | Điểm cao | High score |
| | A2 | visit | ${score} > 3 | | | ward | priority | | | Nằm viện | Ward |
| | A4 | visit | ${overdue} | overdue | low | | | | | Trễ | Overdue |
| | A3 | visit | change('score') > 2 | worse | low | | | | | Xấu đi | Worse |
| stops |
| | stop_id | service | when | instead | message |
| | Z1 | * | not(consents-to(service())) | self_referral_information | No |
| | Z2 | * | count-open(service()) > 0 | attach_to_open | Open |
| schedules |
| | schedule | form | opens_before | closes_after | label |
| | check | visit | 2 | 5 | Check |
"""

PROGRAMME = """
| settings |
| | programme_id | title |
| | p | P |
| areas |
| | code | label |
| | a | A |
| services |
| | code | label::Tiếng Việt (vi) | label::English (en) |
| | clinic | Phòng khám | Clinic |
| | ward | Khoa | Ward |
| providers |
| | code | label | services | areas |
| | c | C | clinic ward | a |
| fields |
| | form | field | means |
| | visit | day | event_date |
| | visit | agrees | consent_take_part |
| | visit | share | consent_share |
"""

SLIP_BEFORE = '{"observations": [{"form": "visit", "date": "2026-01-01", "answers": {"scoer": 1}}]}'
HIGH = {"day": "2026-02-01", "agrees": "yes", "share": ["clinic"], "score": 5}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules, form and programme in one folder."""
    folder = tmp_path_factory.mktemp("here") / "house"
    folder.mkdir()
    for name, sheets in (("rules.xlsx", RULES), ("visit.xlsx", FORM), ("programme.xlsx", PROGRAMME)):
        (folder / name).write_bytes(xlsx(from_markdown(sheets)))
    return folder


@pytest.fixture(scope="module")
def form(house: Path) -> FormDefinition:
    return compile_form((house / "visit.xlsx").read_bytes(), "visit.xlsx").require()


def arguments(house, *more):
    return ["evaluate", "--rules", str(house / "rules.xlsx"), "--form", str(house / "visit.xlsx"), *more]


def decided(capsys, house, *more):
    assert main([*arguments(house, *more), "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def answered(capsys, house, answers, *more):
    return decided(capsys, house, "--answers", json.dumps(answers), *more)


def refused(capsys, *given):
    """What stderr says; nothing may stand on stdout."""
    assert main([str(item) for item in given]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def services(found):
    return {item["service"]: item["urgency"] for item in found["referrals"]}


def test_31_opioids_refer_to_methadone_within_a_week(capsys):
    code = main(
        [
            *("evaluate", "--rules", str(REFERRAL), "--form", str(SCREENING), "--answers", json.dumps(OPIOIDS)),
            *("--today", "2026-02-01", "--format", "json"),
        ]
    )
    found = json.loads(capsys.readouterr().out)

    assert code == 0
    assert "A03" in found["fired"]
    (mmt,) = [item for item in found["referrals"] if item["service"] == "mmt"]
    assert (mmt["urgency"], mmt["due"]) == ("soon", "2026-02-08")
    assert from_json({name: value for name, value in found.items() if name != "findings"}).agreed


def test_26_opioids_do_not(capsys):
    answers = json.dumps({**OPIOIDS, "assist_opioids": 26})
    main(["evaluate", "--rules", str(REFERRAL), "--form", str(SCREENING), "--answers", answers, "--format", "json"])
    assert "mmt" not in services(json.loads(capsys.readouterr().out))


def test_the_shipped_rules_decide_with_their_programme_wherever_they_lie(capsys, tmp_path):
    copy = tmp_path / "house" / "rules.xlsx"
    copy.parent.mkdir()
    shutil.copy(REFERRAL, copy)
    main(["evaluate", "--rules", str(copy), "--form", str(SCREENING), "--answers", json.dumps(OPIOIDS)])
    said = capsys.readouterr()

    assert "mmt (Điều trị Methadone) · sớm" in said.out
    assert "programme.xlsx" in said.err


def test_several_forms_let_rules_of_each_run(capsys):
    answers = json.dumps({"contact_result": "not_reached"})
    record = {
        "observations": [
            {"form": "contact", "date": f"2026-01-0{day}", "answers": json.loads(answers)} for day in (1, 2)
        ]
    }
    main(
        [
            *(
                "evaluate",
                "--rules",
                str(REFERRAL),
                "--form",
                str(CONTACT),
                "--form",
                str(SCREENING),
                "--format",
                "json",
            ),
            *("--answers", answers, "--record", json.dumps(record), "--today", "2026-01-08"),
        ]
    )
    assert json.loads(capsys.readouterr().out)["fired"] == ["X07"]


def test_consent_in_the_answers_sends_or_holds_back(capsys, house):
    found = answered(capsys, house, HIGH)

    assert services(found) == {"clinic": "soon"}
    (stopped,) = found["stopped"]
    assert (stopped["wanted"]["service"], stopped["stop_id"]) == ("ward", "Z1")
    assert stopped["instead"] == "self_referral_information"


def test_due_dates_and_windows_count_from_the_event_date_of_the_answers(capsys, house):
    found = answered(capsys, house, HIGH)

    assert found["today"] == "2026-02-01"
    assert found["referrals"][0]["due"] == "2026-02-08"
    (follow_up,) = found["follow_ups"]
    assert (follow_up["due"], follow_up["opens"], follow_up["closes"]) == ("2026-02-11", "2026-02-09", "2026-02-16")


def test_today_outweighs_the_event_date_and_the_clock_comes_last(capsys, house):
    assert answered(capsys, house, HIGH, "--today", "2026-03-05")["today"] == "2026-03-05"
    without = {name: value for name, value in HIGH.items() if name != "day"}
    day = dt.date.fromisoformat(answered(capsys, house, without)["today"])
    assert day > dt.date(2026, 3, 5)


def test_the_form_is_filled_in_on_the_day_of_the_observation(capsys, house):
    assert "A4" not in answered(capsys, house, HIGH)["fired"]
    assert "A4" in answered(capsys, house, HIGH, "--today", "2026-02-05")["fired"]


def test_every_reason_names_its_row_and_what_it_saw(capsys, house):
    found = answered(capsys, house, HIGH)
    (reason,) = found["referrals"][0]["reasons"]

    assert (reason["rule_id"], reason["sheet"], reason["row"]) == ("A1", "rules", 2)
    assert [(part["text"], part["value"]) for part in reason["condition"]["parts"]] == [("${score}", "5")]


def test_the_record_holds_back_what_is_open_and_shows_what_changed(capsys, house):
    record = {
        "observations": [{"form": "visit", "date": "2026-01-01", "answers": {"score": 1}}],
        "referrals": [{"service": "clinic", "state": "sent", "date": "2026-01-01"}],
    }
    found = answered(capsys, house, HIGH, "--record", json.dumps(record))

    assert found["fired"] == ["A1", "A2", "A3"]
    assert services(found) == {}
    assert {item["wanted"]["service"]: item["stop_id"] for item in found["stopped"]} == {"clinic": "Z2", "ward": "Z1"}


def test_a_submission_decides_as_its_answers_do(capsys, house, form, tmp_path):
    filled = fill(form, {"day": "2026-02-01", "agrees": "yes", "share": ("clinic",), "score": 5}, _moment())
    file = tmp_path / "s.xml"
    file.write_bytes(write(form, filled, instance_id="uuid:1"))
    found = decided(capsys, house, "--submission", str(file))

    assert (found["today"], services(found), found["findings"]) == ("2026-02-01", {"clinic": "soon"}, [])


def test_a_submission_without_an_event_date_happened_when_it_ended(capsys, house, form, tmp_path):
    file = tmp_path / "s.xml"
    file.write_bytes(write(form, fill(form, {"score": 5}, _moment()), instance_id="uuid:1"))
    assert decided(capsys, house, "--submission", str(file))["today"] == "2026-04-11"


def _moment() -> dt.datetime:
    """Late on the tenth in UTC is the eleventh in Vietnam."""
    return dt.datetime(2026, 4, 10, 20, 0, tzinfo=dt.UTC)


def test_what_does_not_fit_in_a_submission_is_told(capsys, house, tmp_path):
    file = tmp_path / "s.xml"
    file.write_text('<data id="visit" version="1"><day>2026-02-01</day><score>many</score></data>', "utf-8")
    found = decided(capsys, house, "--submission", str(file))

    assert {item["path"] for item in found["findings"]} >= {"score"}
    assert found["fired"] == []
    assert main(arguments(house, "--submission", str(file))) == 0
    assert "! score: " in capsys.readouterr().out


def test_a_submission_is_read_with_the_form_that_it_names(capsys, house, tmp_path):
    file = tmp_path / "s.xml"
    file.write_text('<data id="visit" version="1"><score>5</score></data>', "utf-8")
    given = ["evaluate", "--rules", str(house / "rules.xlsx"), "--submission", str(file), "--form", str(CONTACT)]
    assert "'visit'" in refused(capsys, *given)
    assert main([*given, "--form", str(house / "visit.xlsx"), "--format", "json"]) == 0
    assert "A1" in json.loads(capsys.readouterr().out)["fired"]


def test_text_tells_outcomes_urgency_dates_and_reasons(capsys, house):
    assert main([*arguments(house, "--answers", json.dumps(HIGH)), "--language", "en"]) == 0
    said = capsys.readouterr()

    assert said.out.splitlines() == [
        "visit 1 · 2026-02-01 · t 1",
        "Rules that fired: A1 (rules!2), A2 (rules!3)",
        "",
        "Flags",
        "  high · high · soon · due 2026-02-08",
        "    High score",
        "    A1 (rules!2)",
        "      ${score} > 3 → true",
        "        ${score} [Score] → 5",
        "",
        "Referrals",
        "  clinic (Clinic) · soon · due 2026-02-08",
        "    High score",
        "    A1 (rules!2)",
        "      ${score} > 3 → true",
        "        ${score} [Score] → 5",
        "",
        "Held back",
        "  ward (Ward) · Z1 → information for going there oneself",
        "    No",
        "    Z1 (stops!2)",
        "      not(consents-to(service())) → true",
        "        consents-to(service()) → false",
        "          service() → ward",
        "    It was wanted because of:",
        "      A2 (rules!3)",
        "        ${score} > 3 → true",
        "          ${score} [Score] → 5",
        "",
        "Follow-ups",
        "  check +10 · Check · due 2026-02-11 · open from 2026-02-09 to 2026-02-16 · visit · A1",
        "",
        "Notices",
        "  supervisor · A1 · soon · High score",
    ]
    assert "programme.xlsx" in said.err


def test_text_speaks_vietnamese_unless_told_otherwise(capsys, house):
    assert main(arguments(house, "--answers", json.dumps(HIGH))) == 0
    said = capsys.readouterr().out
    assert "clinic (Phòng khám) · sớm · hạn 2026-02-08" in said
    assert "${score} > 3 → đúng" in said


def test_without_a_programme_that_is_said_and_consent_is_silent(capsys, house, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(house / "rules.xlsx", alone)
    given = ["evaluate", "--rules", str(alone / "rules.xlsx"), "--form", str(house / "visit.xlsx")]
    assert main([*given, "--answers", json.dumps(HIGH), "--language", "en"]) == 0
    said = capsys.readouterr()
    assert "No programme workbook" in said.err
    assert "Referrals" not in said.out

    programme = str(house / "programme.xlsx")
    assert main([*given, "--answers", json.dumps(HIGH), "--programme", programme, "--format", "json"]) == 0
    assert services(json.loads(capsys.readouterr().out)) == {"clinic": "soon"}


def test_files_may_hold_answers_and_record(capsys, house, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(HIGH), "utf-8")
    (tmp_path / "h.json").write_text('{"consents": ["ward", "take_part"]}', "utf-8")
    found = decided(capsys, house, "--answers", str(tmp_path / "a.json"), "--record", str(tmp_path / "h.json"))
    assert services(found) == {"clinic": "soon"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--answers", '{"scoer": 5}'], ["scoer", "'score'"]),
        (["--answers", '{"score": "many", "agrees": "perhaps"}'], ["score", "yes, no"]),
        (["--answers", "{}", "--record", '{"referrals": [{"service": "x", "state": "gone"}]}'], ["state", "date"]),
        (["--answers", "{}", "--record", SLIP_BEFORE], ["'score'"]),
        (["--answers", "{}", "--today", "yesterday"], ["yesterday"]),
        (["--answers", "[1]"], ["[1]"]),
        (["--submission", "nowhere.xml"], ["nowhere.xml"]),
        (["--answers", "{}", "--programme", "nowhere.xlsx"], ["nowhere.xlsx"]),
    ],
)
def test_what_cannot_be_used_is_said_with_a_cure_and_exits_1(capsys, house, more, words):
    said = refused(capsys, *arguments(house, *more))
    for word in words:
        assert word in said


def test_a_rule_that_does_not_fit_the_form_names_its_cell(capsys, house, tmp_path):
    wrong = tmp_path / "wrong.xlsx"
    wrong.write_bytes(xlsx(from_markdown(RULES.replace("${score} > 3 | high", "${scoer} > 3 | high"))))
    given = ["evaluate", "--rules", wrong, "--form", house / "visit.xlsx", "--answers", "{}", "--language", "en"]
    said = refused(capsys, *given)
    assert "row 2, column 'when'" in said
    assert "score" in said.replace("scoer", "")


def test_none_of_the_offline_commands_loads_database_web_or_queue():
    names = ("check", "evaluate", "expression")
    code = (
        "import sys, service.cli, importlib\n"
        f"for name in {names}: importlib.import_module('service.commands.' + name)\n"
        "print(sorted({'sqlalchemy', 'fastapi', 'celery', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
