"""What a condition may look at: the facts, today, and the outcomes known so far. Environment.record is a Sight."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from forms.expressions.values import Value
from rules.chain import Fact, Kind
from rules.facts import Facts, FollowUpFact, Observation, ReferralFact
from rules.fields import Fields
from rules.record import OPEN_STATES

STARTED = "started"
DECLINED = "declined_by_client"

#: Follow-ups that were kept end a row of missed ones; those that are still to come or were cancelled do not count.
_KEPT = frozenset({"done", "late"})
_MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Sight:
    """One evaluation's view. `outcomes` are flags and referrals of this decision with the flags that stand besides;
    `service` is set while a stop is looked at, `referral` in event and clock rules about a referral."""

    facts: Facts
    today: dt.date
    fields: Fields
    outcomes: frozenset[Fact] = frozenset()
    service: str = ""
    referral: ReferralFact | None = None

    def earlier(self, field: str) -> Iterator[tuple[Observation, Value]]:
        """Earlier observations that answered a field, the latest first."""
        for observation in reversed(self.facts.record.observations):
            value = self._value(observation.form, observation, field)
            if value != "":
                yield observation, value

    def now_answered(self, field: str) -> Value:
        """This observation's own answer; "" where it has none."""
        own = Observation(self.facts.form, self.facts.date, self.facts.answers)
        return self._value(self.facts.form, own, field)

    def _value(self, form: str, observation: Observation, field: str) -> Value:
        value = self.fields.value(form, observation.answers, field)
        # A question in a repeat has no one answer; the publish check refuses to ask for it.
        return "" if isinstance(value, tuple) else value

    def previous(self, field: str) -> Value:
        return next((value for _, value in self.earlier(field)), "")

    def latest(self, field: str) -> Value:
        own = self.now_answered(field)
        return own if own != "" else self.previous(field)

    def days_since(self, date: dt.date) -> int:
        return (self.today - date).days

    def referrals(self, service: str) -> tuple[ReferralFact, ...]:
        return tuple(item for item in self.facts.record.referrals if item.service == service)

    def open_referrals(self, service: str) -> int:
        return sum(item.state in OPEN_STATES for item in self.referrals(service))

    def treatment(self, service: str) -> ReferralFact | None:
        """The referral by which the client is in treatment; the one that began first."""
        started = [item for item in self.referrals(service) if item.state == STARTED]
        return min(started, key=treatment_began, default=None)

    def declined_within(self, service: str, days: float) -> bool:
        declined = (item for item in self.referrals(service) if item.state == DECLINED)
        return any(0 <= self.days_since(item.state_since) < days for item in declined)

    def missed_in_a_row(self) -> int:
        """Follow-ups missed since the last that was kept, by due date."""
        count = 0
        for item in sorted(self.facts.record.follow_ups, key=_due, reverse=True):
            if item.state in _KEPT:
                break
            count += item.state == _MISSED
        return count

    def has_flag(self, code: str) -> bool:
        return Fact(Kind.FLAG, code) in self.outcomes

    def refers_to(self, service: str) -> bool:
        return Fact(Kind.REFER, service) in self.outcomes


def standing_flags(facts: Facts, decided_here: frozenset[str]) -> frozenset[Fact]:
    """Flags of the record that this observation does not decide anew.

    A form decides the flags that it raised before, and those that a rule which runs on it may raise (`decided_here`).
    """
    return frozenset(
        Fact(Kind.FLAG, item.code)
        for item in facts.record.flags
        if item.code not in decided_here and not (item.form and item.form == facts.form)
    )


def months_between(start: dt.date, end: dt.date) -> int:
    """Whole months; from the 31st, a month ends on the last day of a shorter one."""
    months = (end.year - start.year) * 12 + end.month - start.month
    month_ends_early = (end + dt.timedelta(days=1)).month != end.month and end.day < start.day
    return months if end.day >= start.day or month_ends_early else months - 1


def treatment_began(referral: ReferralFact) -> dt.date:
    return referral.started or referral.state_since


def _due(item: FollowUpFact) -> tuple[dt.date, bool]:
    # Of two that were due on one day the one that was kept counts as the later.
    return (item.due, item.state in _KEPT)
