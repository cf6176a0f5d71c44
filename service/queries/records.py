"""A client's record just before one of their observations, as the rules may see it.

"Before" is the order of what happened, not of what arrived: event date, then receipt. A late upload stands where it
belongs, so observations that came earlier and happened later are decided anew (processing.py). No outcome of this
observation or of a later one is in its record, or a rule would see its own effects.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from forms.definition import Answers
from rules import facts
from rules.facts import ConsentFact, FlagFact, FollowUpFact, Record, ReferralFact
from service.queries import consents
from service.tables import (
    Consent,
    Decision,
    Flag,
    FollowUp,
    FollowUpCause,
    FollowUpState,
    Observation,
    Referral,
    ReferralEvent,
    ReferralState,
)

#: Opens sealed answers, in order; an observation whose key was erased is None and left out.
Opener = Callable[[Sequence[Observation]], Sequence[Answers | None]]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an observation stands in its client's life."""

    event_date: date
    received_at: datetime
    submission: str

    @classmethod
    def of(cls, row: Observation) -> Place:
        return cls(row.event_date, row.received_at, row.submission_id.hex)

    def moment(self, zone: ZoneInfo) -> datetime:
        """Until when what people did counts as done before it: its receipt, or the end of its day if earlier."""
        end = datetime.combine(self.event_date + timedelta(days=1), time.min, zone)
        return min(self.received_at, end)


def observations(session: Session, client_id: uuid.UUID) -> list[Observation]:
    """All of the client's observations in their order, those that an edit replaced included."""
    rows = session.scalars(select(Observation).where(Observation.client_id == client_id)).all()
    return sorted(rows, key=Place.of)


def just_before(
    session: Session,
    client_id: uuid.UUID,
    here: Place,
    all_of_them: Sequence[Observation],
    *,
    open_: Opener,
    zone: ZoneInfo,
) -> Record:
    """The record before the observation that stands `here`. `all_of_them` as `observations` gives them."""
    earlier = [row for row in all_of_them if Place.of(row) < here]
    ids = {row.submission_id for row in earlier}
    causes = _causes(session, client_id, ids)
    moment = here.moment(zone)
    return Record(
        observations=_observed([row for row in earlier if not row.replaced], open_),
        referrals=tuple(_referrals(session, client_id, causes, moment, zone)),
        follow_ups=tuple(_follow_ups(session, client_id, causes, ids, here)),
        consents=_consents(session, client_id, here),
        flags=tuple(_flags(session, client_id, causes, moment)),
    )


def _causes(session: Session, client_id: uuid.UUID, submissions: set[uuid.UUID]) -> Mapping[uuid.UUID, date]:
    """The decisions on these submissions, each with its event date."""
    decided = session.execute(
        select(Decision.id, Decision.event_date, Decision.submission_id).where(Decision.client_id == client_id)
    )
    return {key: day for key, day, submission in decided if submission in submissions}


def _observed(rows: Sequence[Observation], open_: Opener) -> tuple[facts.Observation, ...]:
    return tuple(
        facts.Observation(row.form_id, row.event_date, answers)
        for row, answers in zip(rows, open_(rows), strict=True)
        if answers is not None
    )


def _consents(session: Session, client_id: uuid.UUID, here: Place) -> tuple[ConsentFact, ...]:
    """The last word on each service before this observation."""
    rows = session.scalars(
        select(Consent)
        .outerjoin(Observation, Observation.submission_id == Consent.submission_id)
        .where(Consent.client_id == client_id, consents.counts())
        .order_by(Consent.service, Consent.given_on, Consent.recorded_at, Consent.id)
    ).all()
    before = [row for row in rows if (row.given_on, row.recorded_at) < (here.event_date, here.received_at)]
    found = []
    for _, of_service in groupby(before, key=lambda row: row.service):
        last = list(of_service)[-1]
        found.append(ConsentFact(last.service, facts.ConsentState(last.state.value), last.given_on))
    return tuple(found)


# ---- referrals as they stood ----------------------------------------------------------------------


def _referrals(
    session: Session, client_id: uuid.UUID, causes: Mapping[uuid.UUID, date], moment: datetime, zone: ZoneInfo
) -> Iterator[ReferralFact]:
    # What was superseded is as if it had never been wanted.
    rows = session.scalars(
        select(Referral)
        .where(Referral.client_id == client_id, Referral.state != ReferralState.SUPERSEDED)
        .order_by(Referral.created_at, Referral.id)
    ).all()
    events = _events(session, [row.id for row in rows])
    for row in rows:
        by_hand = row.decision_id is None and row.created_at <= moment
        day = causes.get(row.decision_id) if row.decision_id else None
        if day is None and not by_hand:
            continue
        made_on = day or row.created_at.astimezone(zone).date()
        yield _as_it_stood(row, events.get(row.id, []), made_on, moment, zone)


def _events(session: Session, referral_ids: Iterable[uuid.UUID]) -> Mapping[uuid.UUID, list[ReferralEvent]]:
    rows = session.scalars(
        select(ReferralEvent)
        .where(ReferralEvent.referral_id.in_(list(referral_ids)))
        .order_by(ReferralEvent.referral_id, ReferralEvent.id)
    ).all()
    return {key: list(group) for key, group in groupby(rows, key=lambda row: row.referral_id)}


def _as_it_stood(
    row: Referral, events: Sequence[ReferralEvent], day: date, moment: datetime, zone: ZoneInfo
) -> ReferralFact:
    """The referral at that moment. One that a late upload brought later stood as it was made."""
    seen = [item for item in events if item.at <= moment] or [item for item in events if item.at == events[0].at]
    state = seen[-1].to_state if seen else row.state.value
    changes = [item for item in seen if item.from_state != item.to_state]
    since = changes[-1].at if changes else row.created_at
    started = next((item.at for item in seen if item.to_state == ReferralState.STARTED), None)
    return ReferralFact(
        service=row.service,
        state=state,
        date=day,
        state_since=since.astimezone(zone).date(),
        urgency=row.urgency,
        due=row.due_at.astimezone(zone).date(),
        no_shows=sum(item.to_state == ReferralState.NO_SHOW != item.from_state for item in changes),
        started=started.astimezone(zone).date() if started else None,
    )


# ---- follow-ups as they stood ---------------------------------------------------------------------


def _follow_ups(
    session: Session,
    client_id: uuid.UUID,
    causes: Mapping[uuid.UUID, date],
    earlier: set[uuid.UUID],
    here: Place,
) -> Iterator[FollowUpFact]:
    rows = session.scalars(
        select(FollowUp)
        .where(FollowUp.client_id == client_id, FollowUp.state != FollowUpState.CANCELLED)
        .order_by(FollowUp.due_on, FollowUp.id)
    ).all()
    wanted = session.execute(
        select(FollowUpCause.follow_up_id, FollowUpCause.decision_id).where(
            FollowUpCause.follow_up_id.in_([row.id for row in rows])
        )
    )
    known = {key for key, decision_id in wanted if decision_id is None or decision_id in causes}
    for row in rows:
        if row.id in known:
            done = row.done_on if row.done_by_submission in earlier else None
            state = _state_on(row, done, here.event_date)
            yield FollowUpFact(row.schedule, row.step, row.form_id, row.due_on, state, done)


def _state_on(row: FollowUp, done: date | None, today: date) -> str:
    if done is not None:
        return FollowUpState.DONE if done <= row.closes_on else FollowUpState.LATE
    if today < row.opens_on:
        return FollowUpState.SCHEDULED
    return FollowUpState.OPEN if today <= row.closes_on else FollowUpState.MISSED


# ---- flags that stood -----------------------------------------------------------------------------


def standing_flags(
    session: Session, client_id: uuid.UUID, causes: Iterable[uuid.UUID], moment: datetime
) -> Sequence[Flag]:
    """Flags raised by those decisions and not ended by one of them, nor by a person until that moment."""
    decisions = set(causes)
    rows = session.scalars(select(Flag).where(Flag.client_id == client_id).order_by(Flag.raised_at, Flag.id)).all()
    return [row for row in rows if row.decision_id in decisions and not _ended(row, decisions, moment)]


def _ended(row: Flag, causes: set[uuid.UUID], moment: datetime) -> bool:
    if row.ended_at is None:
        return False
    if row.ended_by_decision is not None:
        # A later observation ended it, or this very one: before it, the flag still stood.
        return row.ended_by_decision in causes
    return row.ended_by is None or row.ended_at <= moment


def _flags(
    session: Session, client_id: uuid.UUID, causes: Mapping[uuid.UUID, date], moment: datetime
) -> Iterator[FlagFact]:
    for row in standing_flags(session, client_id, causes, moment):
        yield FlagFact(row.code, row.level, causes[row.decision_id], row.form_id)
