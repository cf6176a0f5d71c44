"""Facts: an observation's answers and the client's record just before it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum

from forms.definition import Answers

TAKE_PART = "take_part"
"""In place of a service code: consent to take part at all."""


class ConsentState(StrEnum):
    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Observation:
    """One submission about the client. `date` is the event date in the programme's zone."""

    form: str
    date: dt.date
    answers: Answers


@dataclass(frozen=True, slots=True)
class ReferralFact:
    """A referral as it stands. `state_since` is the day on which it entered its state."""

    service: str
    state: str
    date: dt.date
    state_since: dt.date
    urgency: str = ""
    due: dt.date | None = None
    no_shows: int = 0
    started: dt.date | None = None


@dataclass(frozen=True, slots=True)
class FollowUpFact:
    """A follow-up as it stands: scheduled, open, done, late, missed, cancelled."""

    schedule: str
    step: str
    form: str
    due: dt.date
    state: str
    done: dt.date | None = None


@dataclass(frozen=True, slots=True)
class ConsentFact:
    """What the client said last about one service, or about taking part (TAKE_PART)."""

    service: str
    state: ConsentState
    date: dt.date


@dataclass(frozen=True, slots=True)
class FlagFact:
    """A flag that stands. `form` is the form whose observation raised it, empty for clock and event rules."""

    code: str
    level: str
    date: dt.date
    form: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """The client's record just before an observation. Observations stand oldest first."""

    observations: tuple[Observation, ...] = ()
    referrals: tuple[ReferralFact, ...] = ()
    follow_ups: tuple[FollowUpFact, ...] = ()
    consents: tuple[ConsentFact, ...] = ()
    flags: tuple[FlagFact, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a decision may look at. Nothing else is looked at: same facts, same decision.

    `answers` as in Observation. `own_consents` are the consents that this very observation gives or refuses; they
    count as recorded. `internal_services` need no consent.
    """

    form: str
    date: dt.date
    answers: Answers
    record: Record = field(default_factory=Record)
    own_consents: tuple[ConsentFact, ...] = ()
    internal_services: frozenset[str] = frozenset()
