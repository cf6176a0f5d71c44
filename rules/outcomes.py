"""Rules that fired → outcomes: merged, dated, held back where a stop holds, each with its reasons.

Nothing here depends on the order of rows: where two rules compete, urgency, priority and id decide.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from forms.expressions.compile import Expression
from forms.expressions.errors import EvaluationError
from forms.expressions.explain import Explained
from forms.expressions.signatures import Environment
from rules.chain import OUTCOME_FUNCTIONS, Fact
from rules.compile import CompiledRule, CompiledStop, Program
from rules.decision import (
    Alert,
    Flag,
    FlagLevel,
    FollowUpWanted,
    Notice,
    Part,
    Reason,
    ReferralWanted,
    Stopped,
    Urgency,
)
from rules.model import FollowUp, Rule, Rulebook, ScheduleStep, Stop
from rules.names import BANDS, CALCULATION, PARAMETER, Values
from rules.sight import Sight

#: In place of a row's `service`: the stop looks at every service.
EVERY_SERVICE = "*"


@dataclass(frozen=True)
class Ground:
    """What outcomes are made from: the rules that fired, in the order of the sheet, and what they saw.

    `sight` holds the final outcomes of the decision; `created` is the day on which the decision is made, which for a
    late upload is after `sight.today`.
    """

    program: Program
    rulebook: Rulebook
    fired: tuple[CompiledRule, ...]
    values: Values
    sight: Sight
    created: dt.date

    @property
    def env(self) -> Environment:
        return self.values.seen_with(self.sight)


# ---- reasons --------------------------------------------------------------------------------------


def reason_of(ground: Ground, item: CompiledRule) -> Reason:
    rule = item.rule
    return Reason(
        rule_id=rule.rule_id,
        sheet="rules",
        row=rule.row,
        condition=_seen(ground, item.expression, ground.env),
        message=rule.message,
        basis=rule.basis,
        because=_because(ground, item),
    )


def _because(ground: Ground, item: CompiledRule) -> tuple[str, ...]:
    """The rules whose outcomes this one saw."""
    if not item.chains:
        return ()
    asked = {
        Fact(OUTCOME_FUNCTIONS[call.name], call.literals[0])
        for call in item.expression.calls
        if call.name in OUTCOME_FUNCTIONS and call.literals[0] is not None
    }
    makers = (other for other in ground.fired if other is not item and other.makes & asked & ground.sight.outcomes)
    return tuple(sorted(other.rule.rule_id for other in makers))


def _seen(ground: Ground, expression: Expression, env: Environment) -> Part:
    return _part(ground, expression.explain(env))


def _part(ground: Ground, seen: Explained) -> Part:
    part = Part(seen.text, seen.value, seen.type, seen.labels, tuple(_part(ground, inner) for inner in seen.parts))
    if seen.key.startswith(PARAMETER):
        row = ground.program.names.parameters[seen.key.removeprefix(PARAMETER)].row
        return replace(part, source=ground.rulebook.cell("parameters", row, "value").address)
    if seen.key.startswith(CALCULATION):
        return _of_calculation(ground, part, seen.key.removeprefix(CALCULATION))
    return _of_table(ground, part, seen.key.removeprefix(BANDS)) if seen.key.startswith(BANDS) else part


def _of_calculation(ground: Ground, part: Part, name: str) -> Part:
    names = ground.program.names
    compiled = names.calculations.get(name)
    made_of = (_seen(ground, compiled, ground.env),) if compiled else ()
    cell = ground.rulebook.cell("calculations", names.sheet_calculations[name].row, "calculation")
    return replace(part, parts=made_of, source=cell.address)


def _of_table(ground: Ground, part: Part, name: str) -> Part:
    compiled, band = ground.program.names.inputs.get(name), ground.values.band(name)
    made_of = (_seen(ground, compiled, ground.env),) if compiled else ()
    source = ground.rulebook.cell("bands", band.row, "value").address if band else ""
    return replace(part, parts=made_of, source=source, label=band.label if band else part.label)


# ---- competing outcomes ---------------------------------------------------------------------------

_Ranked = tuple[CompiledRule, Reason]


def _by_urgency(item: _Ranked) -> tuple[int, int, str]:
    """The most urgent first; a higher priority breaks a tie, then the id."""
    rule = item[0].rule
    rank = rule.urgency.rank if rule.urgency else len(Urgency)
    return (rank, -rule.priority, rule.rule_id)


def _by_level(item: _Ranked) -> tuple[int, int, str]:
    """The highest level first; a higher priority breaks a tie, then the id."""
    rule = item[0].rule
    return (-_height(rule), -rule.priority, rule.rule_id)


def _level(rule: Rule) -> FlagLevel:
    return rule.level or FlagLevel.INFO


def _height(rule: Rule) -> int:
    return list(FlagLevel).index(_level(rule))


def _due(rule: Rule, today: dt.date) -> dt.date | None:
    if rule.urgency is None:
        return None
    return today + dt.timedelta(days=rule.urgency.days if rule.due is None else rule.due)


def flags(reasoned: Sequence[_Ranked], today: dt.date) -> tuple[Flag, ...]:
    """One flag a code: the highest level and its message, the most urgent time, all reasons."""
    found = []
    for code, items in _grouped((item[0].rule.flag, item) for item in reasoned):
        ranked = sorted(items, key=_by_level)
        urgent = min(items, key=_by_urgency)[0].rule
        found.append(
            Flag(
                code=code,
                level=_level(ranked[0][0].rule),
                priority=max(item.rule.priority for item, _ in items),
                urgency=urgent.urgency,
                due=_due(urgent, today),
                referral=urgent.referral or next((item.rule.referral for item, _ in ranked if item.rule.referral), ""),
                message=ranked[0][0].rule.message,
                reasons=tuple(reason for _, reason in ranked),
            )
        )
    return tuple(sorted(found, key=lambda flag: (-list(FlagLevel).index(flag.level), -flag.priority, flag.code)))


def referrals(reasoned: Sequence[_Ranked], sight: Sight) -> tuple[ReferralWanted, ...]:
    """One referral a service: the most urgent rule stands, with its due day and message; all reasons."""
    found = []
    for service, items in _grouped((item[0].rule.referral, item) for item in reasoned):
        ranked = sorted(items, key=_by_urgency)
        rule = ranked[0][0].rule
        found.append(
            ReferralWanted(
                service=service,
                urgency=rule.urgency or Urgency.ROUTINE,
                due=_due(rule, sight.today) or sight.today,
                priority=rule.priority,
                level=_level(rule),
                internal=service in sight.facts.internal_services,
                message=rule.message,
                reasons=tuple(reason for _, reason in ranked),
            )
        )
    return tuple(sorted(found, key=lambda wanted: (wanted.urgency.rank, -wanted.priority, wanted.service)))


def _grouped(items: Iterable[tuple[str, _Ranked]]) -> Iterable[tuple[str, list[_Ranked]]]:
    groups: dict[str, list[_Ranked]] = {}
    for name, item in items:
        if name:
            groups.setdefault(name, []).append(item)
    return groups.items()


def notices(reasoned: Sequence[_Ranked]) -> tuple[Notice, ...]:
    found = (
        Notice(recipient.value, item.rule.rule_id, item.rule.urgency, item.rule.message)
        for item, _ in reasoned
        for recipient in item.rule.notify
    )
    return tuple(sorted(found, key=lambda notice: (notice.rule_id, notice.to)))


# ---- follow-ups -----------------------------------------------------------------------------------


def follow_ups(reasoned: Sequence[_Ranked], ground: Ground) -> tuple[FollowUpWanted, ...]:
    """Every step that is still possible: a window that closed before the decision was made is not opened."""
    found = [
        wanted
        for item, reason in reasoned
        if item.rule.follow_up is not None
        for wanted in _wanted(ground, item.rule, item.rule.follow_up, reason)
    ]
    return tuple(sorted(found, key=lambda wanted: (wanted.due, wanted.schedule, wanted.step, wanted.cause)))


def _wanted(ground: Ground, rule: Rule, asked: FollowUp, reason: Reason) -> Iterable[FollowUpWanted]:
    for step in ground.rulebook.steps(asked.schedule):
        days = step.due if asked.days is None else asked.days
        wanted = _dated(step, days or 0, ground.sight.today, rule, reason)
        if wanted.closes >= ground.created:
            yield wanted


def _dated(step: ScheduleStep, days: int, today: dt.date, rule: Rule, reason: Reason) -> FollowUpWanted:
    due = today + dt.timedelta(days=days)
    return FollowUpWanted(
        schedule=step.schedule,
        step=step.step or f"+{days}",
        form=step.form,
        due=due,
        opens=due - dt.timedelta(days=step.opens_before),
        closes=due + dt.timedelta(days=step.closes_after),
        starts_from=step.starts_from.value,
        cause=rule.rule_id,
        label=step.label,
        reasons=(reason,),
    )


# ---- stops ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AfterStops:
    """Referrals that go on, those held back, and same-day ones that a stop would have held.

    `failed` are the stops that could not be computed, each with the error; they hold, because nobody can say otherwise.
    """

    going: tuple[ReferralWanted, ...]
    stopped: tuple[Stopped, ...]
    held: tuple[Alert, ...]
    failed: tuple[tuple[Stop, EvaluationError], ...]


def after_stops(ground: Ground, wanted: Sequence[ReferralWanted]) -> AfterStops:
    """Stops never hold back same_day: such a referral goes on, and an Alert says what nothing may leave for."""
    going: list[ReferralWanted] = []
    stopped: list[Stopped] = []
    held: list[Alert] = []
    failed: list[tuple[Stop, EvaluationError]] = []
    for item in wanted:
        holding = _holding(ground, item.service, failed)
        same_day = item.urgency is Urgency.SAME_DAY
        if not holding or same_day:
            going.append(item)
        if same_day:
            held += [Alert(item.service, stop.stop_id, reason) for stop, reason in holding]
        elif holding:
            stopped.append(_stopped(item, holding))
    return AfterStops(tuple(going), tuple(stopped), tuple(held), tuple(failed))


def _stopped(wanted: ReferralWanted, holding: Sequence[tuple[Stop, Reason]]) -> Stopped:
    (stop, reason), *others = holding
    also = tuple(other for _, other in others)
    return Stopped(wanted, stop.stop_id, str(stop.instead), stop.message, reason, also)


def _holding(ground: Ground, service: str, failed: list[tuple[Stop, EvaluationError]]) -> list[tuple[Stop, Reason]]:
    """The stops that hold a service, the strictest first."""
    env = ground.values.seen_with(replace(ground.sight, service=service))
    asked = [item for item in ground.program.stops if item.stop.service in (EVERY_SERVICE, service)]
    holding = [item for item in asked if _holds(item, env, failed)]
    ranked = sorted(holding, key=lambda item: (item.stop.instead.action.rank, item.stop.stop_id))
    return [(item.stop, _stop_reason(ground, item, env)) for item in ranked]


def _holds(item: CompiledStop, env: Environment, failed: list[tuple[Stop, EvaluationError]]) -> bool:
    try:
        return item.expression.truth(env)
    except EvaluationError as error:
        failed.append((item.stop, error))
        return True


def _stop_reason(ground: Ground, item: CompiledStop, env: Environment) -> Reason:
    stop = item.stop
    return Reason(stop.stop_id, "stops", stop.row, _seen(ground, item.expression, env), stop.message, stop.basis)
