"""What a submission leads to: conditions, competing outcomes, stops, follow-ups, chains, and why."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forms.compile import compile_workbook
from forms.definition import Answer, FormDefinition
from forms.sheets import SheetErrors
from forms.workbook import from_markdown
from rules import decision as said
from rules import durable
from rules.chain import Chain, Fact, Trace
from rules.decision import Decision, FlagLevel, Part, Urgency
from rules.evaluate import FormUnknown, Ruleset, compile_rules, evaluate
from rules.facts import (
    TAKE_PART,
    ConsentFact,
    ConsentState,
    Facts,
    FlagFact,
    Observation,
    Record,
    ReferralFact,
)
from rules.model import Rulebook, Trigger
from rules.workbook import read_rules

TODAY = dt.date(2026, 1, 20)
BEFORE = dt.date(2026, 1, 10)

VISIT = """
| survey |
|        | type                      | name    | label    | relevant      | calculation |
|        | integer                   | score   | Score    |               |             |
|        | integer                   | other   | Other    |               |             |
|        | select_one yes_no         | danger  | Danger   |               |             |
|        | select_multiple needs     | needs   | Needs    |               |             |
|        | date                      | seen_on | Seen on  |               |             |
|        | calculate                 | level   |          |               | if(${score} >= 10, 'high', 'low') |
| choices |
|         | list_name | name  | label |
|         | yes_no    | yes   | Yes   |
|         | yes_no    | no    | No    |
|         | needs     | job   | Job   |
|         | needs     | legal | Legal |
| settings |
|          | form_id | version | form_title |
|          | visit   | 1       | Visit      |
"""


@cache
def visit() -> FormDefinition:
    return compile_workbook(from_markdown(VISIT)).require()


SETTINGS = """
| settings |
|          | rulebook_id | version | title::English (en) | timezone         |
|          | trial       | 1       | Trial               | Asia/Ho_Chi_Minh |
"""


def rulebook(*sheets: str) -> Rulebook:
    return read_rules(from_markdown("\n".join([SETTINGS, *sheets]))).require()


def ruleset(*sheets: str) -> Ruleset:
    return compile_rules(rulebook(*sheets), [visit()])


def rules(
    *rows: str, columns: str = "rule_id | form | priority | when | flag | level | referral | urgency | due"
) -> str:
    return "\n".join(["| rules |", f"| | {columns} |", *(f"| | {row} |" for row in rows)])


CONSENTED = (
    ConsentFact(TAKE_PART, ConsentState.GIVEN, BEFORE),
    ConsentFact("clinic", ConsentState.GIVEN, BEFORE),
)


def facts(answers: Mapping[str, Answer] | None = None, record: Record | None = None) -> Facts:
    known = record or Record(consents=CONSENTED)
    return Facts("visit", TODAY, dict(answers or {}), known, internal_services=frozenset({"talk"}))


def decide(book: Ruleset, answers: Mapping[str, Answer] | None = None, record: Record | None = None) -> Decision:
    return evaluate(book, facts(answers, record), today=TODAY)


# ---- conditions ----


def test_a_rule_fires_when_its_condition_holds_and_says_why():
    book = ruleset(rules("A1 | visit | 50 | ${score} >= 10 | high_score | high | clinic | soon |"))
    decision = decide(book, {"score": 12})
    assert decision.fired == ("A1",)
    (flag,) = decision.flags
    assert (flag.code, flag.level) == ("high_score", FlagLevel.HIGH)
    (reason,) = flag.reasons
    assert (reason.sheet, reason.row, reason.condition.text) == ("rules", 2, "${score} >= 10")
    assert [(part.text, part.value) for part in reason.condition.parts] == [("${score}", "12")]
    assert reason.condition.parts[0].label == {"": "Score"}


def test_a_blank_answer_is_never_a_risk():
    book = ruleset(
        rules(
            "A1 | visit | 50 | ${score} >= 0 | a | high | | |",
            "A2 | visit | 50 | ${score} < 100 | b | high | | |",
            "A3 | visit | 50 | ${danger} = 'yes' | c | high | | |",
            "A4 | visit | 50 | selected(${needs}, 'job') | d | high | | |",
            "A5 | visit | 50 | change('score') >= 0 | e | high | | |",
        )
    )
    assert decide(book).fired == ()


def test_a_rule_that_is_off_or_a_draft_does_not_run():
    book = ruleset(
        rules(
            "A1 | visit | ${score} > 1 | a | high | off",
            "A2 | visit | ${score} > 1 | b | high | draft",
            "A3 | visit | ${score} > 1 | c | high | active",
            columns="rule_id | form | when | flag | level | status",
        )
    )
    assert decide(book, {"score": 5}).fired == ("A3",)


def test_event_and_clock_rules_do_not_run_with_a_submission():
    sheet = rules(
        "A1 | clock | client   | days-since('visit') > 3          | late    | warning",
        "A2 | event | referral | referral('state') = 'no_show'    | no_show | warning",
        "A3 | clock | referral | referral('days-overdue') > 0     | overdue | warning",
        columns="rule_id | trigger | subject | when | flag | level",
    )
    book = ruleset(sheet)
    record = Record(observations=(Observation("visit", BEFORE, {}),))
    assert decide(book, record=record).fired == ()
    swept = evaluate(book, Facts("", TODAY, {}, record), today=TODAY, trigger=Trigger.CLOCK)
    assert swept.fired == ("A1",)
    referral = ReferralFact("clinic", "no_show", BEFORE, TODAY, due=BEFORE)
    event = evaluate(book, Facts("", TODAY, {}, record), today=TODAY, trigger=Trigger.EVENT, referral=referral)
    assert event.fired == ("A2",)
    sweep = evaluate(book, Facts("", TODAY, {}, record), today=TODAY, trigger=Trigger.CLOCK, referral=referral)
    assert sweep.fired == ("A3",)


def test_a_form_that_the_ruleset_does_not_know_is_not_decided():
    with pytest.raises(FormUnknown):
        evaluate(ruleset(rules("A1 | visit | | ${score} > 1 | a | high | | |")), Facts("other", TODAY, {}), today=TODAY)


def test_parameters_calculations_and_bands_are_names_and_show_their_cells():
    book = ruleset(
        """
        | parameters |
        |            | name    | value | label::English (en) |
        |            | cut_off | 10    | Cut-off             |
        | calculations |
        |              | name  | calculation         |
        |              | total | ${score} + ${other} |
        | bands |
        |       | table | input | from | to | value | label::English (en) |
        |       | grade | total | 0    | 9  | low   | Low                 |
        |       | grade | total | 10   | 99 | high  | High                |
        """,
        rules("A1 | visit | 50 | ${total} >= ${cut_off} and ${grade} = 'high' | a | high | | |"),
    )
    decision = decide(book, {"score": 7, "other": 5})
    assert decision.fired == ("A1",)
    parts = {part.text: part for part in leaves_and_names(decision.flags[0].reasons[0].condition)}
    assert (parts["${cut_off}"].value, parts["${cut_off}"].source) == ("10", "parameters!B2")
    assert (parts["${total}"].value, parts["${total}"].source) == ("12", "calculations!B2")
    assert (parts["${grade}"].value, parts["${grade}"].source) == ("high", "bands!E3")
    assert parts["${grade}"].label == {"en": "High"}
    assert parts["${score}"].value == "7"


def leaves_and_names(part: Part) -> list[Part]:
    return [part, *(inner for child in part.parts for inner in leaves_and_names(child))]


@pytest.mark.parametrize(
    ("score", "grade"), [(3, "low"), (3.5, "low"), (4, "mid"), (26.9, "mid"), (27, "high"), (40, "")]
)
def test_every_number_lies_in_one_band(score: float, grade: str):
    book = ruleset(
        """
        | calculations |
        |              | name | calculation     |
        |              | half | ${score} div 10 |
        | bands |
        |       | table | input     | from | to | value |
        |       | grade | ${half}   | 0    | 3  | low   |
        |       | grade | ${half}   | 4    | 26 | mid   |
        |       | grade | ${half}   | 27   | 39 | high  |
        """,
        rules(f"A1 | visit | 50 | ${{grade}} = '{grade}' | a | high | | |"),
    )
    assert decide(book, {"score": int(score * 10)}).fired == ("A1",)


def test_an_older_version_of_a_form_keeps_its_answers_in_its_own_places():
    older = replace(
        visit(),
        version="0",
        fields=tuple(
            replace(item, path="first/score") if item.name == "score" else item
            for item in visit().fields
            if item.name != "danger"
        ),
    )
    sheet = rules(
        "A1 | visit | 50 | ${score} >= 10 | a | high | | |", "A2 | visit | 50 | ${danger} = 'yes' | b | high | | |"
    )
    book = compile_rules(rulebook(sheet), [visit(), older])
    assert decide(book, {"first/score": 12}).fired == ("A1",)
    assert decide(book, {"score": 12, "danger": "yes"}).fired == ("A1", "A2")


# ---- competing outcomes ----


def test_two_rules_that_want_one_service_make_one_referral_the_most_urgent_stands():
    book = ruleset(
        rules(
            "A1 | visit | 90 | ${score} > 1 | a | high | clinic | routine  |",
            "A2 | visit | 10 | ${score} > 2 | b | low  | clinic | priority | 1",
        )
    )
    (wanted,) = decide(book, {"score": 5}).referrals
    assert (wanted.urgency, wanted.due) == (Urgency.PRIORITY, TODAY + dt.timedelta(days=1))
    assert [reason.rule_id for reason in wanted.reasons] == ["A2", "A1"]


def test_a_higher_priority_breaks_a_tie_of_urgency():
    book = ruleset(
        rules(
            "A1 | visit | 10 | ${score} > 1 | a | high | clinic | soon | 2",
            "A2 | visit | 90 | ${score} > 2 | b | low  | clinic | soon | 5",
        )
    )
    (wanted,) = decide(book, {"score": 5}).referrals
    assert [reason.rule_id for reason in wanted.reasons] == ["A2", "A1"]
    assert wanted.due == TODAY + dt.timedelta(days=5)


def test_flags_of_one_code_are_one_flag_of_the_highest_level():
    book = ruleset(
        rules(
            "A1 | visit | 10 | ${score} > 1 | risk | moderate | clinic | same_day |",
            "A2 | visit | 90 | ${score} > 2 | risk | critical |        |          |",
        )
    )
    (flag,) = decide(book, {"score": 5}).flags
    assert (flag.level, flag.priority, flag.urgency, flag.due) == (FlagLevel.CRITICAL, 90, Urgency.SAME_DAY, TODAY)
    assert flag.referral == "clinic"
    assert [reason.rule_id for reason in flag.reasons] == ["A2", "A1"]


def test_urgency_says_when_a_referral_is_due_unless_the_cell_due_does():
    urgencies = {"same_day": 0, "same_visit": 0, "priority": 3, "soon": 7, "routine": 14}
    rows = [f"A{n} | visit | 1 | ${{score}} > 1 | | | s{n} | {name} |" for n, name in enumerate(urgencies)]
    wanted = {item.urgency: item.due for item in decide(ruleset(rules(*rows)), {"score": 5}).referrals}
    assert wanted == {Urgency(name): TODAY + dt.timedelta(days=days) for name, days in urgencies.items()}


# ---- stops ----

STOPS = """
| stops |
|       | stop_id | service | when                         | instead                   | message::English (en) |
|       | Z1      | *       | not(consents-to-take-part()) | information_only          | No consent            |
|       | Z2      | *       | not(consents-to(service()))  | self_referral_information | Not shared            |
|       | Z3      | clinic  | count-open(service()) > 0    | attach_to_open            | Open already          |
|       | Z4      | *       | in-treatment(service())      | drop                      | In treatment          |
|       | Z5      | *       | declined-within(service(), 30) | offer_again + 30        | Declined              |
"""

WANTS = rules(
    "A1 | visit | 10 | ${score} > 1  | a | high | clinic | soon     |",
    "A2 | visit | 10 | ${score} > 1  | b | low  | talk   | same_visit |",
    "A3 | visit | 10 | ${score} > 50 | c | high | clinic | same_day |",
)


def test_with_consent_nothing_is_stopped():
    decision = decide(ruleset(WANTS, STOPS), {"score": 5})
    assert [item.service for item in decision.referrals] == ["talk", "clinic"]
    assert decision.stopped == ()


def test_without_consent_a_referral_is_held_back_with_its_reason_and_internal_ones_go_on():
    record = Record(consents=(ConsentFact(TAKE_PART, ConsentState.GIVEN, BEFORE),))
    decision = decide(ruleset(WANTS, STOPS), {"score": 5}, record)
    (stopped,) = decision.stopped
    assert (stopped.wanted.service, stopped.stop_id) == ("clinic", "Z2")
    assert stopped.instead == "self_referral_information"
    assert (stopped.reason.sheet, stopped.reason.row) == ("stops", 3)
    assert [item.service for item in decision.referrals] == ["talk"]


def test_of_several_stops_the_strictest_decides_and_the_others_are_kept():
    record = Record(consents=CONSENTED, referrals=(ReferralFact("clinic", "started", BEFORE, BEFORE, started=BEFORE),))
    (stopped,) = decide(ruleset(WANTS, STOPS), {"score": 5}, record).stopped
    assert (stopped.stop_id, stopped.instead) == ("Z4", "drop")
    assert [reason.rule_id for reason in stopped.also] == ["Z3"]


def test_a_client_who_declined_is_offered_again_later():
    record = Record(consents=CONSENTED, referrals=(ReferralFact("clinic", "declined_by_client", BEFORE, BEFORE),))
    (stopped,) = decide(ruleset(WANTS, STOPS), {"score": 5}, record).stopped
    assert stopped.instead == "offer_again + 30"


def test_stops_never_hold_back_same_day():
    decision = decide(ruleset(WANTS, STOPS), {"score": 60}, Record())
    clinic = next(item for item in decision.referrals if item.service == "clinic")
    assert clinic.urgency is Urgency.SAME_DAY
    assert [(alert.service, alert.stop_id) for alert in decision.held] == [("clinic", "Z1"), ("clinic", "Z2")]
    assert {item.wanted.service for item in decision.stopped} == {"talk"}


def test_this_observations_own_consent_counts_as_recorded():
    book = ruleset(WANTS, STOPS)
    own = (ConsentFact("clinic", ConsentState.REFUSED, TODAY),)
    decision = evaluate(book, replace(facts({"score": 5}), own_consents=own), today=TODAY)
    assert [item.stop_id for item in decision.stopped] == ["Z2"]


# ---- follow-ups and notices ----

SCHEDULES = """
| schedules |
|           | schedule | step | form  | due | opens_before | closes_after | starts_from | label::English (en) |
|           | course   | m1   | visit | 30  | 7            | 14           | scheduled   | Month 1             |
|           | course   | m3   | visit | 90  | 14           | 21           | scheduled   | Month 3             |
|           | call     |      | visit |     | 0            | 1            | actual      | Call                |
"""
FOLLOWS = rules(
    "A1 | visit | ${score} > 1 | course   | worker",
    "A2 | visit | ${score} > 1 | call + 3 | supervisor worker",
    columns="rule_id | form | when | follow_up | notify",
)


def test_a_series_is_started_and_a_single_follow_up_is_set_with_its_window():
    decision = decide(ruleset(FOLLOWS, SCHEDULES), {"score": 5})
    assert [(item.schedule, item.step, item.cause) for item in decision.follow_ups] == [
        ("call", "+3", "A2"),
        ("course", "m1", "A1"),
        ("course", "m3", "A1"),
    ]
    first = decision.follow_ups[1]
    assert (first.due, first.opens, first.closes) == (dt.date(2026, 2, 19), dt.date(2026, 2, 12), dt.date(2026, 3, 5))
    assert (first.starts_from, first.label, first.form) == ("scheduled", {"en": "Month 1"}, "visit")


def test_steps_whose_window_had_closed_before_a_late_upload_are_not_created():
    late = dt.datetime(2026, 3, 10, 8, tzinfo=dt.UTC)
    decision = evaluate(ruleset(FOLLOWS, SCHEDULES), facts({"score": 5}), today=TODAY, now=late)
    assert [(item.schedule, item.step) for item in decision.follow_ups] == [("course", "m3")]


def test_everybody_named_is_told_once_for_each_rule():
    decision = decide(ruleset(FOLLOWS, SCHEDULES), {"score": 5})
    assert [(notice.to, notice.rule_id) for notice in decision.notices] == [
        ("worker", "A1"),
        ("supervisor", "A2"),
        ("worker", "A2"),
    ]


# ---- chains ----

CHAIN = rules(
    "A1 | visit | 10 | ${score} > 1                                    | one   | low  | clinic | routine  |",
    "A2 | visit | 10 | ${other} > 1                                    | two   | low  |        |          |",
    "C1 | visit | 20 | has-flag('one') and (has-flag('two') or ${danger} = 'yes') | both | high | clinic | priority |",
    "C2 | visit | 30 | has-flag('both') and refers-to('clinic')        | plan  | info |        |          |",
    "C3 | visit | 30 | not(has-flag('both')) and ${score} > 1          | alone | info |        |          |",
)


def test_rules_see_the_outcomes_of_rules_and_name_them():
    decision = decide(ruleset(CHAIN), {"score": 5, "other": 5})
    assert decision.fired == ("A1", "A2", "C1", "C2")
    plan = next(flag for flag in decision.flags if flag.code == "plan")
    assert plan.reasons[0].because == ("A1", "C1")
    (wanted,) = decision.referrals
    assert [reason.rule_id for reason in wanted.reasons] == ["C1", "A1"]


def test_a_chain_may_ask_for_answers_too():
    assert decide(ruleset(CHAIN), {"score": 5, "danger": "yes"}).fired == ("A1", "C1", "C2")


def test_a_denied_flag_is_decided_first():
    assert decide(ruleset(CHAIN), {"score": 5}).fired == ("A1", "C3")


def test_refers_to_means_wanted_before_any_stop():
    stopped = decide(ruleset(CHAIN, STOPS), {"score": 5, "other": 5}, Record())
    assert "C2" in stopped.fired
    assert stopped.referrals == ()


def test_a_flag_of_another_form_stands_and_is_seen():
    record = Record(flags=(FlagFact("elsewhere", "high", BEFORE, "contact"),))
    book = ruleset(
        rules(
            "A1 | contact | | ${danger} = 'yes' | elsewhere | high | | |",
            "C1 | visit   | | has-flag('elsewhere') | here | low | | |",
        )
    )
    assert decide(book, record=record).fired == ("C1",)


def test_a_flag_that_this_form_decides_anew_is_not_seen_unless_it_is_raised_again():
    record = Record(flags=(FlagFact("one", "low", BEFORE, "visit"), FlagFact("two", "low", BEFORE, "contact")))
    assert decide(ruleset(CHAIN), record=record).fired == ()


def test_rules_that_deny_each_other_in_a_circle_are_refused_with_their_cells():
    with pytest.raises(SheetErrors) as raised:
        ruleset(
            rules(
                "C1 | visit | | not(has-flag('b')) | a | low | | |",
                "C2 | visit | | not(has-flag('a')) | b | low | | |",
            )
        )
    (finding,) = raised.value.findings
    assert finding.code == "rules.circle"
    assert "rules!D2" in finding.problem.en
    assert "rules!D3" in finding.problem.en


# ---- the two matchers ----


def broken(chain: Chain, known: frozenset[Fact]) -> Trace:
    """A matcher that never sees anything follow."""
    return Trace((), tuple(sorted(fact for fact in known if fact.kind in ("flag", "refer"))))


URGENT = rules(
    "A1 | visit | 10 | ${score} > 1    | one    | low      | clinic | routine  |",
    "A2 | visit | 10 | ${score} > 1    | now    | critical | ward   | same_day |",
    "C1 | visit | 20 | has-flag('one') | two    | high     | clinic | priority |",
    "C2 | visit | 20 | has-flag('one') | urgent | high     | ward   | same_day |",
)


def test_where_the_matchers_differ_only_same_day_outcomes_of_either_stand():
    decision = evaluate(ruleset(URGENT), facts({"score": 5}), today=TODAY, matcher=broken)
    assert not decision.agreed
    assert decision.fired == ("A2", "C2")
    assert [item.service for item in decision.referrals] == ["ward"]
    assert "C1#1" in decision.disagreement
    assert "reference" in decision.disagreement


def test_where_nobody_checks_the_matcher_decides_alone():
    decision = evaluate(ruleset(URGENT), facts({"score": 5}), today=TODAY, matcher=broken, crosscheck=False)
    assert decision.agreed
    assert decision.fired == ("A1", "A2")


def test_a_matcher_that_breaks_down_is_a_disagreement():
    def breaks(chain: Chain, known: frozenset[Fact]) -> Trace:
        raise durable.DriverFailure("error 303")

    decision = evaluate(ruleset(URGENT), facts({"score": 5}), today=TODAY, matcher=breaks, crosscheck=False)
    assert not decision.agreed
    assert decision.fired == ("A2", "C2")
    assert "303" in decision.disagreement


def test_a_condition_that_cannot_be_computed_leaves_only_same_day_outcomes():
    book = ruleset(
        rules(
            "A1 | visit | | ${score} > 1                          | one | low      |      |          |",
            "A2 | visit | | ${score} > 1                          | now | critical | ward | same_day |",
            "A3 | visit | | date(concat('2026-02-', ${score})) > today() | bad | low | |            |",
        )
    )
    decision = decide(book, {"score": 31})
    assert not decision.agreed
    assert decision.fired == ("A2",)
    assert "rules!4" in decision.disagreement
    assert "31" not in decision.disagreement


@pytest.mark.durable
@pytest.mark.durable
def test_durable_rules_decides_and_says_so_and_the_reference_alone_decides_the_same():
    book = ruleset(CHAIN)
    both = evaluate(book, facts({"score": 5, "other": 5}), today=TODAY)
    alone = evaluate(book, facts({"score": 5, "other": 5}), today=TODAY, reference_only=True)
    assert "durable_rules 2.0.28" in both.engine
    assert "reference" in alone.engine
    assert replace(alone, engine=both.engine) == both
    book.close()


# ---- the same for every order ----

ROWS = [
    "A1 | visit | 10 | ${score} > 1                       | one   | low      | clinic | routine  |",
    "A2 | visit | 10 | ${other} > 1                       | two   | low      | talk   | same_visit |",
    "A3 | visit | 50 | ${score} > 3 or ${danger} = 'yes'  | one   | moderate | clinic | routine  |",
    "C1 | visit | 20 | has-flag('one') and has-flag('two') | both | high     | clinic | priority |",
    "C2 | visit | 20 | refers-to('clinic') and not(has-flag('both')) | lone | info | talk | same_visit |",
    "C3 | visit | 90 | has-flag('both') or ${score} > 9   | top   | critical | ward   | same_day |",
]


def without_rows(decision: Decision) -> dict[str, object]:
    """A decision without what says where rows stood: their numbers, the hash of the rulebook, the order of `fired`."""

    def bare(value: object) -> object:
        if isinstance(value, dict):
            return {name: bare(item) for name, item in value.items() if name not in ("row", "rulebook_hash")}
        return [bare(item) for item in value] if isinstance(value, list) else value

    document = said.to_json(decision)
    return {
        **{name: bare(item) for name, item in document.items()},
        "fired": sorted(document["fired"]),
        "rulebook_hash": "",
    }


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(ROWS),
    score=st.one_of(st.none(), st.integers(0, 12)),
    other=st.one_of(st.none(), st.integers(0, 3)),
    danger=st.sampled_from([None, "yes", "no"]),
    seed=st.integers(0, 99),
)
def test_a_decision_does_not_depend_on_the_order_of_rows_or_facts(
    order: list[str], score: int | None, other: int | None, danger: str | None, seed: int
):
    answers = {k: v for k, v in {"score": score, "other": other, "danger": danger}.items() if v is not None}
    record = Record(
        consents=CONSENTED,
        flags=(FlagFact("two", "low", BEFORE, "contact"), FlagFact("old", "low", BEFORE, "contact")),
        referrals=(ReferralFact("ward", "sent", BEFORE, BEFORE), ReferralFact("talk", "completed", BEFORE, BEFORE)),
    )
    chosen = random.Random(seed)
    shuffled = replace(
        record,
        flags=tuple(chosen.sample(record.flags, 2)),
        referrals=tuple(chosen.sample(record.referrals, 2)),
        consents=tuple(chosen.sample(record.consents, 2)),
    )
    mixed = dict(chosen.sample(sorted(answers.items()), len(answers)))
    straight = decide(ruleset(rules(*ROWS), STOPS), answers, record)
    assert straight.agreed
    other_way = decide(ruleset(rules(*order), STOPS), mixed, shuffled)
    left, right = without_rows(straight), without_rows(other_way)
    left.pop("facts_hash"), right.pop("facts_hash")
    assert left == right


def test_fired_rules_stand_in_the_order_of_the_sheet():
    assert decide(ruleset(rules(*reversed(ROWS))), {"score": 5, "other": 5}).fired == ("C3", "C1", "A3", "A2", "A1")


# ---- keeping ----


def test_a_moment_without_a_zone_is_refused():
    naive = dt.datetime(2026, 1, 20, 8)  # noqa: DTZ001  (what the test is about)
    with pytest.raises(ValueError, match="time zone"):
        evaluate(ruleset(CHAIN), facts(), today=TODAY, now=naive)


def test_equal_facts_give_equal_decisions_byte_for_byte():
    book = ruleset(CHAIN, STOPS)
    one, two = decide(book, {"score": 5, "other": 5}), decide(book, {"other": 5, "score": 5})
    assert one == two
    assert one.facts_hash == two.facts_hash
    assert decide(book, {"score": 6, "other": 5}).facts_hash != one.facts_hash


def test_a_decision_comes_back_from_json():
    book = ruleset(ROWS_WITH_EVERYTHING, STOPS, SCHEDULES)
    decision = decide(book, {"score": 60}, Record())
    assert decision.held
    assert decision.stopped
    assert decision.follow_ups
    assert said.from_json(said.to_json(decision)) == decision


ROWS_WITH_EVERYTHING = rules(
    "A1 | visit | ${score} > 1  | a | high | clinic | soon     | course   | worker",
    "A2 | visit | ${score} > 50 | b | low  | ward   | same_day | call + 1 | supervisor",
    columns="rule_id | form | when | flag | level | referral | urgency | follow_up | notify",
)
