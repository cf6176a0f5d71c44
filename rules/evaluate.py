"""evaluate(ruleset, facts, today) → Decision. Pure: equal inputs give equal decisions, byte for byte."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from forms.expressions.errors import EvaluationError
from forms.expressions.values import to_boolean
from forms.sheets import Cell
from rules import durable, outcomes, reference
from rules.chain import Branch, Chain, Fact, Kind, Matcher, Trace
from rules.compile import CompiledRule, FormUnknown, Program, Ruleset, compile_checked, compile_rules
from rules.decision import Decision, Reason, Urgency
from rules.facts import Facts, ReferralFact
from rules.model import Trigger
from rules.names import Values
from rules.outcomes import Ground
from rules.record import facts_hash
from rules.sight import Sight, standing_flags

__all__ = ["Case", "FormUnknown", "Ruleset", "compile_checked", "compile_rules", "evaluate", "explain", "view"]

#: Raised whenever equal inputs may come to another decision. Decisions keep it; replay needs the same.
ENGINE = "ketnoi 1"

#: Nobody's clock: the hour at which a day is looked at where no moment is given.
_NOON = dt.time(12)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Which rules fire and which outcomes are there; `complaint` where this is not to be trusted beyond same-day."""

    fired: frozenset[str]
    known: frozenset[Fact]
    complaint: str = ""


@dataclass(frozen=True, slots=True)
class _Matching:
    """How chains are matched: `first` decides, `second` checks it (None: nobody does); `name` is the decision's."""

    first: Matcher
    second: Matcher | None
    name: str


def evaluate(
    ruleset: Ruleset,
    facts: Facts,
    *,
    today: dt.date,
    now: dt.datetime | None = None,
    crosscheck: bool = True,
    matcher: Matcher | None = None,
    reference_only: bool = False,
    trigger: Trigger = Trigger.SUBMISSION,
    referral: ReferralFact | None = None,
) -> Decision:
    """What these facts lead to under this ruleset.

    `today` is the day from which due dates count: of a submission, its event date. `now` (with a zone) is the moment
    of deciding, which tells what is already too late; without it the decision is made on `today`. Event and clock
    rules are asked for by `trigger`; `referral` is the one they are about, None for those about the client.

    Chains are matched by durable-rules where it is installed and by the reference matcher beside it (`crosscheck`);
    by the reference alone with `reference_only`, and by `matcher` in durable-rules' place where one is given. Where
    the two differ, or a condition cannot be computed, the decision is not `agreed`: it holds the same-day outcomes of
    either and nothing else, and `disagreement` says why without quoting an answer.

    Raises FormUnknown, and ValueError for a moment without a zone.
    """
    if now is not None and now.tzinfo is None:
        raise ValueError("now must carry a time zone")
    case = Case(facts, today, now, trigger, referral)
    program, values = view(ruleset, case)
    matching = _matching(ruleset, program, matcher, crosscheck=crosscheck, reference_only=reference_only)
    verdict = _decide(program, case, values, matching)
    return _decision(_ground(ruleset, case, program, values, verdict), verdict, matching.name)


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be decided: the arguments of evaluate that say so."""

    facts: Facts
    today: dt.date
    now: dt.datetime | None = None
    trigger: Trigger = Trigger.SUBMISSION
    referral: ReferralFact | None = None


def view(ruleset: Ruleset, case: Case) -> tuple[Program, Values]:
    """The program for a case, and what its names come to. Raises FormUnknown."""
    program = ruleset.program(case.trigger, case.facts.form, case.referral)
    zone = ZoneInfo(ruleset.rulebook.settings.timezone)
    hour = case.now.astimezone(zone).timetz() if case.now else _NOON.replace(tzinfo=zone)
    sight = Sight(case.facts, case.today, ruleset.fields, referral=case.referral)
    return program, Values(program.names, sight, dt.datetime.combine(case.today, hour))


def explain(ruleset: Ruleset, case: Case, rule_ids: Collection[str]) -> tuple[Reason, ...]:
    """What the conditions of these rules saw, whether they fired or not, in the order of the sheet.

    Rules that do not run in this case are left out. The reference matcher decides alone. Raises FormUnknown.
    """
    program, values = view(ruleset, case)
    verdict = _decide(program, case, values, _Matching(reference.match, None, ENGINE))
    ground = _ground(ruleset, case, program, values, verdict)
    return tuple(outcomes.reason_of(ground, item) for item in program.rules if item.rule.rule_id in rule_ids)


def _ground(ruleset: Ruleset, case: Case, program: Program, values: Values, verdict: _Verdict) -> Ground:
    zone = ZoneInfo(ruleset.rulebook.settings.timezone)
    made_on = case.now.astimezone(zone).date() if case.now else case.today
    return Ground(
        program=program,
        rulebook=ruleset.rulebook,
        fired=_fired(program, verdict),
        values=values,
        sight=replace(values.sight, outcomes=verdict.known),
        created=max(case.today, made_on),
    )


# ---- which rules fire -----------------------------------------------------------------------------


def _matching(
    ruleset: Ruleset, program: Program, matcher: Matcher | None, *, crosscheck: bool, reference_only: bool
) -> _Matching:
    name = f"{ENGINE} + reference {reference.VERSION}"
    if matcher is not None:
        return _Matching(matcher, reference.match if crosscheck else None, f"{ENGINE} + given matcher")
    if reference_only or not durable.available:
        return _Matching(reference.match, None, name)

    def driven(chain: Chain, facts: frozenset[Fact]) -> Trace:
        return ruleset.driver(program).match(chain, facts)

    name = f"{ENGINE} + durable_rules {durable.version()}"
    return _Matching(driven, reference.match if crosscheck else None, name)


def _decide(program: Program, case: Case, values: Values, matching: _Matching) -> _Verdict:
    failures: list[str] = []
    plain = [item for item in program.rules if not item.chains and _fires(item, values, failures)]
    known = standing_flags(case.facts, program.raises).union(*(item.makes for item in plain))
    fired = frozenset(item.rule.rule_id for item in plain)
    if program.chain.strata:
        hits = _hits(program, values, failures)
        verdict = _matched(program.chain, known | hits, matching)
        fired, known, complaint = fired | verdict.fired, verdict.known, verdict.complaint
        failures += [complaint] if complaint else []
    return _Verdict(fired, known, "; ".join(failures))


def _fires(item: CompiledRule, values: Values, failures: list[str]) -> bool:
    try:
        return item.expression.truth(values.env)
    except EvaluationError as error:
        failures.append(_failed(_cell(item), error))
        return False


def _cell(item: CompiledRule) -> Cell:
    return Cell("rules", item.rule.row)


def _failed(cell: Cell, error: EvaluationError) -> str:
    return f"{cell.address}: {error.problem.en}"


def _hits(program: Program, values: Values, failures: list[str]) -> frozenset[Fact]:
    """The branches of which all tests hold."""
    by_id = {item.rule.rule_id: item for item in program.rules}
    return frozenset(
        Fact(Kind.HIT, branch.name)
        for branch in program.chain.branches
        if branch.tests and _holds(by_id[branch.rule_id], branch, values, failures)
    )


def _holds(item: CompiledRule, branch: Branch, values: Values, failures: list[str]) -> bool:
    """A test that fails hides nothing where another test already says no, as `and` would have it."""
    errors = []
    for text, affirmed in branch.tests:
        try:
            if to_boolean(item.tests[text].run(values.env)) is not affirmed:
                return False
        except EvaluationError as error:
            errors.append(_failed(_cell(item), error))
    failures.extend(errors)
    return not errors


def _matched(chain: Chain, facts: frozenset[Fact], matching: _Matching) -> _Verdict:
    """The matcher's verdict; both matchers' together, with a complaint, where they differ or one breaks down."""
    checking = matching.second
    try:
        first: Trace | str = matching.first(chain, facts)
    except durable.DriverFailure as failure:
        first, checking = str(failure), reference.match
    if checking is None and isinstance(first, Trace):
        return _verdict(first)
    second = (checking or reference.match)(chain, facts)
    if first == second:
        return _verdict(second)
    said = first if isinstance(first, str) else _trace_text(first)
    traces = [second] if isinstance(first, str) else [first, second]
    complaint = f"matchers differ: {said} | reference: {_trace_text(second)}"
    return _Verdict(
        frozenset().union(*(_verdict(item).fired for item in traces)),
        frozenset().union(*(item.outcomes for item in traces)),
        complaint,
    )


def _verdict(trace: Trace) -> _Verdict:
    return _Verdict(frozenset(name.rpartition("#")[0] for name in trace.fired), frozenset(trace.outcomes))


def _trace_text(trace: Trace) -> str:
    """Branches and outcomes are names of rows and codes; no answer is in a trace."""
    outcomes_text = " ".join(f"{fact.kind}:{fact.id}" for fact in trace.outcomes)
    return f"fired {' '.join(trace.fired) or '-'}; outcomes {outcomes_text or '-'}"


def _fired(program: Program, verdict: _Verdict) -> tuple[CompiledRule, ...]:
    """In the order of the sheet; only same-day rules where the verdict is not to be trusted."""
    fired = (item for item in program.rules if item.rule.rule_id in verdict.fired)
    if not verdict.complaint:
        return tuple(fired)
    return tuple(item for item in fired if item.rule.urgency is Urgency.SAME_DAY)


# ---- what follows ---------------------------------------------------------------------------------


def _decision(ground: Ground, verdict: _Verdict, engine: str) -> Decision:
    reasoned = [(item, outcomes.reason_of(ground, item)) for item in ground.fired]
    after = outcomes.after_stops(ground, outcomes.referrals(reasoned, ground.sight))
    if after.failed and not verdict.complaint:
        complaint = "; ".join(_failed(Cell("stops", stop.row), error) for stop, error in after.failed)
        doubtful = replace(verdict, complaint=complaint)
        return _decision(replace(ground, fired=_fired(ground.program, doubtful)), doubtful, engine)
    settings = ground.rulebook.settings
    follow_ups = outcomes.follow_ups(reasoned, ground)
    return Decision(
        rulebook_id=settings.rulebook_id,
        version=settings.version,
        rulebook_hash=ground.rulebook.content_hash,
        facts_hash=facts_hash(ground.sight.facts),
        engine=engine,
        today=ground.sight.today,
        fired=tuple(item.rule.rule_id for item in ground.fired),
        flags=outcomes.flags(reasoned, ground.sight.today),
        referrals=after.going,
        follow_ups=tuple(f for f in follow_ups if not verdict.complaint or f.due == ground.sight.today),
        notices=outcomes.notices(reasoned),
        stopped=after.stopped,
        held=after.held,
        agreed=not verdict.complaint,
        disagreement=verdict.complaint,
    )
