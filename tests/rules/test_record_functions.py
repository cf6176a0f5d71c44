"""What rules may ask of the client's record, and what silence means."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache

import pytest

from forms.compile import compile_workbook
from forms.definition import Answer, FormDefinition
from forms.expressions import Environment, EvaluationError, Function, compile_expression, stored
from forms.workbook import from_markdown
from rules.compile import compile_rules
from rules.evaluate import Case, view
from rules.facts import (
    TAKE_PART,
    ConsentFact,
    ConsentState,
    Facts,
    FlagFact,
    FollowUpFact,
    Observation,
    Record,
    ReferralFact,
)
from rules.fields import Fields
from rules.functions import RECORD_FUNCTIONS, Context
from rules.model import Trigger
from rules.names import Names
from rules.record import RecordInvalid, facts_from_json, facts_hash, facts_to_json, record_from_json
from rules.sight import months_between
from rules.workbook import read_rules

TODAY = dt.date(2026, 3, 31)


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


FORM = """
| survey |
|        | type                  | name   | label  |
|        | integer               | score  | Score  |
|        | select_one levels     | level  | Level  |
|        | select_multiple needs | needs  | Needs  |
|        | date                  | tested | Tested |
|        | select_one yes_no     | used   | Used   |
| choices |
|         | list_name | name    | label   |
|         | levels    | low     | Low     |
|         | levels    | high    | High    |
|         | needs     | job     | Job     |
|         | needs     | legal   | Legal   |
|         | yes_no    | yes     | Yes     |
|         | yes_no    | no      | No      |
| settings |
|          | form_id | version | form_title |
|          | visit   | 1       | Visit      |
"""

RULES = """
| settings |
|          | rulebook_id | version | title |
|          | t           | 1       | T     |
| rules |
|       | rule_id | form  | when         | flag | level | referral | urgency |
|       | A1      | visit | ${score} > 1 | risk | high  | clinic   | soon    |
"""


@cache
def visit() -> FormDefinition:
    return compile_workbook(from_markdown(FORM)).require()


def ask(
    expression: str,
    *,
    answers: Mapping[str, Answer] | None = None,
    record: Record | None = None,
    own: Sequence[ConsentFact] = (),
    context: Context = Context.SUBMISSION,
    referral: ReferralFact | None = None,
) -> str:
    """The value as the phone would store it."""
    ruleset = compile_rules(read_rules(from_markdown(RULES)).require(), [visit()])
    trigger = Trigger.SUBMISSION if referral is None else Trigger.EVENT
    facts = Facts(
        "visit" if referral is None else "",
        TODAY,
        dict(answers or {}),
        record or Record(),
        tuple(own),
        frozenset({"talk"}),
    )
    program, values = view(ruleset, Case(facts, TODAY, trigger=trigger, referral=referral))
    compiled = compile_expression(expression, program.names.scope(context))
    return stored(compiled.evaluate(values.env), dt.UTC)


def seen(date: str, form: str = "visit", **answers: Answer) -> Observation:
    return Observation(form, day(date), answers)


HISTORY = Record(
    observations=(
        seen("2026-01-10", score=4, level="low"),
        seen("2026-02-10", level="high"),
        seen("2026-03-01", form="call", reached="no"),
        seen("2026-03-20", form="call", reached="no"),
    )
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("previous('score')", "4"),
        ("previous('level')", "high"),
        ("previous('tested')", ""),
        ("latest('score')", "9"),
        ("latest('level')", "high"),
        ("change('score')", "5"),
        ("change('score') >= 5", "1"),
        ("change('tested')", ""),
        ("days-since('visit')", "49"),
        ("days-since('call')", "11"),
        ("days-since('plan')", ""),
        ("days-since('plan') > 3", "0"),
        ("days-since('plan') = ''", "1"),
        ("days-since-answered('score')", "80"),
        ("days-since-answered('tested')", ""),
        ("previous('reached') = 'no'", "1"),
    ],
)
def test_what_was_answered_before(expression: str, value: str):
    assert ask(expression, answers={"score": 9}, record=HISTORY) == value


def test_a_change_from_nothing_is_no_change():
    assert ask("change('score') >= 0", answers={"score": 9}) == "0"
    assert ask("change('score') < 0", answers={"score": 9}) == "0"


def test_dates_can_be_counted_from():
    record = Record(observations=(seen("2026-01-10", tested="2026-01-01"),))
    assert ask("today() - latest('tested')", record=record) == "89"


@pytest.mark.parametrize(
    ("days", "count"),
    [(1, "1"), (12, "2"), (11, "1"), (30, "2"), (31, "3")],
)
def test_distinct_days_are_counted_this_observation_and_today_included(days: int, count: str):
    record = Record(
        observations=(
            seen("2026-03-01", used="yes"),
            seen("2026-03-20", used="yes"),
            seen("2026-03-20", used="yes"),
            seen("2026-03-25", used="no"),
        )
    )
    assert ask(f"count-within('used', 'yes', {days})", answers={"used": "yes"}, record=record) == count


def test_a_choice_among_several_counts():
    record = Record(observations=(seen("2026-03-20", needs=("job", "legal")),))
    assert ask("count-within('needs', 'legal', 30)", record=record) == "1"
    assert ask("count-within('needs', 'leg', 30)", record=record) == "0"


def referral(state: str, since: str = "2026-03-01", **more: object) -> ReferralFact:
    return ReferralFact("clinic", state, day(since), day(since), **more)


@pytest.mark.parametrize(
    ("state", "is_open"),
    [("proposed", "1"), ("sent", "1"), ("no_show", "1"), ("started", "1"), ("completed", "0"), ("withdrawn", "0")],
)
def test_open_referrals_are_those_that_have_not_come_to_their_end(state: str, is_open: str):
    assert ask("count-open('clinic')", record=Record(referrals=(referral(state),))) == is_open


def test_treatment_counts_in_whole_months():
    record = Record(referrals=(referral("started", "2026-01-01", started=day("2026-01-31")),))
    assert ask("in-treatment('clinic')", record=record) == "1"
    assert ask("months-in-treatment('clinic')", record=record) == "2"
    assert ask("in-treatment('clinic')") == "0"
    assert ask("months-in-treatment('clinic') < 1") == "0"


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2026-01-31", "2026-02-27", 0),
        ("2026-01-31", "2026-02-28", 1),
        ("2026-01-15", "2026-02-14", 0),
        ("2026-01-15", "2027-01-15", 12),
    ],
)
def test_a_month_that_began_on_the_31st_ends_with_the_month(start: str, end: str, months: int):
    assert months_between(day(start), day(end)) == months


def test_a_client_who_declined_on_this_day_30_days_ago_may_be_asked_again():
    declined = Record(referrals=(referral("declined_by_client", "2026-03-01"),))
    assert ask("declined-within('clinic', 30)", record=declined) == "0"
    assert ask("declined-within('clinic', 31)", record=declined) == "1"


def consent(service: str, state: ConsentState, date: str = "2026-01-01") -> ConsentFact:
    return ConsentFact(service, state, day(date))


def test_silence_about_sharing_is_no_and_internal_services_need_no_yes():
    assert ask("consents-to('clinic')") == "0"
    assert ask("consents-to-take-part()") == "0"
    assert ask("consents-to('talk')") == "1"


def test_what_was_said_last_stands_whatever_the_order():
    said = (consent("clinic", ConsentState.GIVEN, "2026-02-01"), consent("clinic", ConsentState.REFUSED, "2026-01-01"))
    assert ask("consents-to('clinic')", record=Record(consents=said)) == "1"
    assert ask("consents-to('clinic')", record=Record(consents=said[::-1])) == "1"
    own = (consent("clinic", ConsentState.REFUSED, "2026-03-31"),)
    assert ask("consents-to('clinic')", record=Record(consents=said), own=own) == "0"


def test_who_has_withdrawn_shares_with_nobody():
    said = (consent("clinic", ConsentState.GIVEN), consent(TAKE_PART, ConsentState.WITHDRAWN, "2026-02-01"))
    assert ask("consent-withdrawn()", record=Record(consents=said)) == "1"
    assert ask("consents-to('clinic')", record=Record(consents=said)) == "0"
    assert ask("consents-to('talk')", record=Record(consents=said)) == "1"


def follow_up(due: str, state: str) -> FollowUpFact:
    return FollowUpFact("course", "m1", "visit", day(due), state)


@pytest.mark.parametrize(
    ("states", "missed"),
    [
        ((), "0"),
        (("missed",), "1"),
        (("missed", "missed"), "2"),
        (("missed", "done"), "0"),
        (("done", "missed"), "1"),
        (("missed", "cancelled", "missed", "scheduled"), "2"),
        (("missed", "late", "missed"), "1"),
    ],
)
def test_missed_in_a_row_counts_back_to_the_last_that_was_kept(states: tuple[str, ...], missed: str):
    record = Record(follow_ups=tuple(follow_up(f"2026-01-{n + 1:02}", state) for n, state in enumerate(states)))
    assert ask("missed-in-a-row()", record=record) == missed
    reversed_record = Record(follow_ups=record.follow_ups[::-1])
    assert ask("missed-in-a-row()", record=reversed_record) == missed


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("referral('service')", "clinic"),
        ("referral('state') = 'no_show'", "1"),
        ("referral('urgency')", "soon"),
        ("referral('no-shows') >= 2", "1"),
        ("referral('days-overdue')", "10"),
        ("referral('days-in-state')", "30"),
    ],
)
def test_a_rule_about_a_referral_sees_it(expression: str, value: str):
    about = referral("no_show", urgency="soon", due=day("2026-03-21"), no_shows=2)
    assert ask(expression, referral=about, context=Context.REFERRAL) == value


def test_a_referral_that_is_not_due_yet_is_not_overdue():
    about = referral("sent", due=day("2026-04-21"))
    assert ask("referral('days-overdue')", referral=about, context=Context.REFERRAL) == "0"


def test_every_function_is_described_in_both_languages():
    for function in RECORD_FUNCTIONS.values():
        assert function.summary.vi
        assert function.summary.en
        assert function.blank.vi
        assert function.name in function.example


@pytest.mark.parametrize("function", RECORD_FUNCTIONS.values(), ids=lambda function: function.name)
def test_every_example_of_the_reference_compiles(function: Function):
    context = {"referral": Context.REFERRAL, "service": Context.STOP}.get(function.name, Context.SUBMISSION)
    names = Names(read_rules(from_markdown(RULES)).require(), Fields((visit(),)), "visit", lambda *told: None)
    compile_expression(function.example, names.scope(context))


# ---- the record as JSON ----


def test_a_record_is_read_from_json():
    record = record_from_json(
        {
            "observations": [
                {"form": "visit", "date": "2026-02-01", "answers": {"score": 3, "needs": ["job"], "note": None}},
                {"form": "visit", "date": "2026-01-01", "answers": {}},
            ],
            "referrals": [{"service": "clinic", "state": "sent", "date": "2026-02-02", "due": "2026-02-09"}],
            "follow_ups": [{"schedule": "course", "step": "m1", "state": "missed", "due": "2026-03-01"}],
            "consents": ["take_part", {"service": "clinic", "state": "refused", "date": "2026-02-01"}],
            "flags": [{"code": "risk", "level": "high", "date": "2026-02-01", "form": "visit"}],
        },
        today=TODAY,
    )
    assert [item.date for item in record.observations] == [day("2026-01-01"), day("2026-02-01")]
    assert record.observations[1].answers == {"score": 3, "needs": ("job",)}
    assert record.referrals[0].due == day("2026-02-09")
    assert record.consents[0] == ConsentFact(TAKE_PART, ConsentState.GIVEN, TODAY)
    assert record.flags == (FlagFact("risk", "high", day("2026-02-01"), "visit"),)


def test_a_bad_record_is_refused_with_every_place():
    with pytest.raises(RecordInvalid) as raised:
        record_from_json(
            {
                "observations": [{"form": "visit", "date": "yesterday"}, 3],
                "referrals": [{"service": "clinic", "state": "lost", "date": "2026-01-01"}],
                "consents": {"clinic": True},
                "visits": [],
            },
            today=TODAY,
        )
    assert [problem.en.partition(" ")[0] for problem in raised.value.problems] == [
        "visits",
        "observations[0].date",
        "observations[1]",
        "referrals[0].state",
        "consents",
    ]


def test_facts_come_back_from_json_with_the_same_hash():
    facts = Facts(
        "visit",
        TODAY,
        {"score": 3, "needs": ("job", "legal"), "rows": [1, None, 3]},
        HISTORY,
        (consent("clinic", ConsentState.GIVEN),),
        frozenset({"talk"}),
    )
    back = facts_from_json(facts_to_json(facts))
    assert back == facts
    assert facts_hash(back) == facts_hash(facts)


def test_a_record_function_outside_of_rules_says_that_there_is_no_record():
    names = Names(read_rules(from_markdown(RULES)).require(), Fields((visit(),)), "visit", lambda *told: None)
    compiled = compile_expression("latest('score')", names.scope(Context.SUBMISSION))
    nobody = Environment(values=lambda key: "", now=dt.datetime(2026, 3, 31, tzinfo=dt.UTC))
    with pytest.raises(EvaluationError, match="record"):
        compiled.evaluate(nobody)
