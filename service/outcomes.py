"""What a decision leads to: flags, referrals, follow-ups, notices and what was stopped, brought to the tables.

Applying is bringing to a state, not adding: doing it again changes nothing, and deciding anew replaces what nobody has
acted on. What a person has touched, or what has left for a provider, stays as it is; a review item that shows the
difference to a supervisor comes with a later issue, until then the decision itself and the audit tell it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from rules import decision as said
from rules.decision import FlagLevel, ReferralWanted, Urgency
from rules.model import InsteadAction, Rulebook
from rules.programme import Programme, ProviderEntry
from service import follow_ups, referrals
from service.queries import consents, records
from service.referrals import Step, SystemReason
from service.tables import (
    FINAL_STATES,
    AreaWithin,
    Client,
    Decision,
    Flag,
    Notice,
    Provider,
    Referral,
    ReferralState,
    StoppedOutcome,
)

#: `held_by` where no stop held a same-day referral, but the consent gate would not open.
NO_CONSENT = "no_consent"

_IN_QUEUE = (FlagLevel.HIGH, FlagLevel.CRITICAL)


class Ended(StrEnum):
    """Why a flag stands no more. A person's reason is her own."""

    NOT_RAISED = "not_raised"
    RAISED_AGAIN = "raised_again"
    DECIDED_ANEW = "decided_anew"
    OBSERVATION_REPLACED = "observation_replaced"


@dataclass(frozen=True, slots=True)
class Ground:
    """On what an observation's outcomes stand.

    `decides` are the flags that a rule running on this form may raise; `before` the decisions on the client's earlier
    observations; until `moment` what people did counts as done before this one. `received_at` starts the clocks of
    alerts, `event_date` those of referrals and follow-ups.
    """

    row: Decision
    client: Client
    programme: Programme
    rulebook: Rulebook
    form: str
    decides: frozenset[str]
    event_date: date
    received_at: datetime
    before: frozenset[uuid.UUID]
    moment: datetime
    now: datetime
    zone: ZoneInfo

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    def end_of(self, day: date) -> datetime:
        """The last second of a day in the programme's zone."""
        return datetime.combine(day, time(23, 59, 59), self.zone)

    def alert_due(self, due: date) -> datetime:
        """As many days after the receipt as the rule wanted after the event: nobody can act on what has not come."""
        return self.end_of(self.received_at.astimezone(self.zone).date() + (due - self.event_date))


def apply(session: Session, ground: Ground, decision: said.Decision) -> None:
    """Bring all outcomes of one decision to the tables. Doing it again changes nothing."""
    _flags(session, ground, decision.flags)
    _referrals(session, ground, decision)
    stopped(session, ground.row, ground.client, decision, ground.now)
    follow_ups.schedule(
        session,
        ground.client,
        decision.follow_ups,
        starts_on=ground.event_date,
        today=ground.today,
        decision_id=ground.row.id,
        compartments=_compartments(ground.programme, decision),
    )
    _notices(session, ground, decision.notices)
    session.flush()


def _compartments(programme: Programme, decision: said.Decision) -> Mapping[str, str]:
    """By rule: the right needed to see what it led to, which is that of the service that it wants."""
    wanted = [*decision.referrals, *(item.wanted for item in decision.stopped)]
    services = {reason.rule_id: item.service for item in wanted for reason in item.reasons}
    services |= {reason.rule_id: item.referral for item in decision.flags if item.referral for reason in item.reasons}
    return {rule_id: programme.compartment(service) for rule_id, service in services.items()}


# ---- flags ----------------------------------------------------------------------------------------


def _flags(session: Session, ground: Ground, wanted: Sequence[said.Flag]) -> None:
    """Raise what is wanted, and end what this form had raised before and raises no more."""
    raised = {item.code: item for item in wanted}
    _stand_again(session, ground.row.id)
    for flag in records.standing_flags(session, ground.client.id, ground.before, ground.moment):
        # Ended later, by a person or by another observation: that stays as it is.
        if flag.ended_at is None and flag.code in raised:
            _end(flag, Ended.RAISED_AGAIN, ground.now, ground.row.id)
        elif flag.ended_at is None and _decided_anew(ground, flag):
            _end(flag, Ended.NOT_RAISED, ground.now, ground.row.id)
    own = {flag.code: flag for flag in session.scalars(select(Flag).where(Flag.decision_id == ground.row.id))}
    for code, flag in own.items():
        if code not in raised and flag.ended_at is None:
            _end(flag, Ended.DECIDED_ANEW, ground.now, None)
    for code, item in raised.items():
        _raise(session, ground, item, own.get(code))
    session.flush()


def _stand_again(session: Session, decision_id: uuid.UUID) -> None:
    """Undo the ends that this decision had made, before it makes them anew."""
    for flag in session.scalars(select(Flag).where(Flag.ended_by_decision == decision_id)):
        flag.ended_at, flag.ended_because, flag.ended_by_decision = None, "", None
    session.flush()


def _decided_anew(ground: Ground, flag: Flag) -> bool:
    """Whether this observation has looked at the flag's question, as the rules see it (rules.sight.standing_flags)."""
    return flag.form_id == ground.form or flag.code in ground.decides


def _end(flag: Flag, because: Ended, now: datetime, decision_id: uuid.UUID | None) -> None:
    flag.ended_at, flag.ended_because, flag.ended_by_decision = now, because, decision_id


def _raise(session: Session, ground: Ground, item: said.Flag, flag: Flag | None) -> None:
    if flag is None:
        flag = Flag(
            id=uuid.uuid4(),
            client_id=ground.client.id,
            decision_id=ground.row.id,
            code=item.code,
            form_id=ground.form,
            raised_at=ground.now,
        )
        session.add(flag)
    elif flag.ended_because == Ended.DECIDED_ANEW:
        flag.ended_at, flag.ended_because = None, ""
    flag.rule_id = item.reasons[0].rule_id
    flag.level = item.level.value
    flag.urgency = item.urgency.value if item.urgency else None
    flag.compartment = ground.programme.compartment(item.referral)
    flag.in_queue = item.level in _IN_QUEUE or (item.urgency is not None and not item.referral)
    flag.messages = dict(item.message)
    flag.due_at = ground.alert_due(item.due) if item.due else None


# ---- referrals ------------------------------------------------------------------------------------


def _referrals(session: Session, ground: Ground, decision: said.Decision) -> None:
    own = {
        row.service: row
        for row in session.scalars(
            select(Referral).where(Referral.decision_id == ground.row.id).order_by(Referral.service)
        )
    }
    for item in decision.referrals:
        row = own.pop(item.service, None)
        if row is not None and row.state is ReferralState.SUPERSEDED:
            # Wanted again after all: the superseded one is final, so it makes room under (decision, service).
            row.decision_id, row = None, None
            session.flush()
        stops = [alert.stop_id for alert in decision.held if alert.service == item.service]
        if row is None:
            _new_or_raised(session, ground, item, stops)
        elif not referrals.acted_on(session, row):
            _revise(session, ground, row, item, stops)
    for row in own.values():
        supersede(session, row, SystemReason.DECIDED_ANEW, ground.now)


def _new_or_raised(session: Session, ground: Ground, item: ReferralWanted, stops: Sequence[str]) -> None:
    """Make the referral; or, where a same-day one meets an open duplicate, raise that one."""
    attaching = [stop_id for stop_id in stops if _instead(ground, stop_id) is InsteadAction.ATTACH_TO_OPEN]
    duplicate = open_referral(session, ground.client.id, item.service, but_of=ground.row.id) if attaching else None
    if duplicate is None:
        row = _make(session, ground, item)
    else:
        row = duplicate
        _raise_urgency(session, ground, row, item)
        held = _Stop(item.service, attaching[0], InsteadAction.ATTACH_TO_OPEN, row.id)
        _keep_stopped(session, ground.row, ground.client, held, ground.now)
    _settle(session, ground, row, [stop_id for stop_id in stops if stop_id not in attaching])


def _make(session: Session, ground: Ground, item: ReferralWanted) -> Referral:
    provider = _proposed_provider(session, ground, item.service)
    row = Referral(
        id=uuid.uuid4(),
        number=referrals.new_number(session, ground.programme.settings.referral_prefix, ground.today.year),
        client_id=ground.client.id,
        service=item.service,
        compartment=ground.programme.compartment(item.service),
        internal=item.internal,
        urgency=item.urgency.value,
        level=item.level.value,
        state=ReferralState.PROPOSED,
        state_since=ground.now,
        due_at=ground.end_of(item.due),
        created_at=ground.now,
        decision_id=ground.row.id,
        rule_ids=[reason.rule_id for reason in item.reasons],
        messages=dict(item.message),
        provider_code=None if item.internal or provider is None else provider.code,
        worker_id=ground.client.worker_id,
        no_shows=0,
    )
    session.add(row)
    session.flush()
    referrals.note_event(session, row, _step(ground, "proposed", item))
    return row


def _step(ground: Ground, event: str, item: ReferralWanted) -> Step:
    return Step(event, ground.now, rule_id=item.reasons[0].rule_id)


def _revise(session: Session, ground: Ground, row: Referral, item: ReferralWanted, stops: Sequence[str]) -> None:
    """What nobody has acted on says what the decision now says."""
    new = {
        "urgency": item.urgency.value,
        "level": item.level.value,
        "due_at": ground.end_of(item.due),
        "rule_ids": [reason.rule_id for reason in item.reasons],
        "messages": dict(item.message),
    }
    if any(getattr(row, name) != value for name, value in new.items()):
        for name, value in new.items():
            setattr(row, name, value)
        referrals.note_event(session, row, _step(ground, "revised", item))
    _settle(session, ground, row, [s for s in stops if _instead(ground, s) is not InsteadAction.ATTACH_TO_OPEN])


def _raise_urgency(session: Session, ground: Ground, row: Referral, item: ReferralWanted) -> None:
    """A same-day need meets an open referral of the same service: that one becomes as urgent, and says why."""
    if Urgency(row.urgency).rank <= item.urgency.rank:
        return
    row.urgency = item.urgency.value
    row.level = max(FlagLevel(row.level), item.level, key=list(FlagLevel).index).value
    row.due_at = min(row.due_at, ground.end_of(item.due))
    row.messages = dict(item.message)
    added = [reason.rule_id for reason in item.reasons if reason.rule_id not in row.rule_ids]
    row.rule_ids = [*row.rule_ids, *added]
    referrals.note_event(session, row, _step(ground, "raised", item))


def _settle(session: Session, ground: Ground, row: Referral, stops: Sequence[str]) -> None:
    """Whether a proposed referral goes on by itself (product §6).

    Internal work is approved at once. So is a same-day referral, and it is sent where a provider is proposed and
    consent stands; without consent it is held: it alerts inside and nothing leaves. All others wait for a supervisor.
    """
    same_day = row.urgency == Urgency.SAME_DAY
    if row.state is not ReferralState.PROPOSED or not (row.internal or same_day):
        return
    if not row.internal:
        consented = consents.standing(session, row.client_id, row.service) is not None
        row.held_by = stops[0] if stops else "" if consented else NO_CONSENT
    if row.held_by:
        return
    referrals.advance(session, row, ReferralState.APPROVED, Step("approved", ground.now))
    provider = session.get(Provider, row.provider_code) if row.provider_code else None
    if provider is not None and not row.internal:
        referrals.send(session, row, provider, Step("sent", ground.now))


def _instead(ground: Ground, stop_id: str) -> InsteadAction | None:
    return next((stop.instead.action for stop in ground.rulebook.stops if stop.stop_id == stop_id), None)


def _proposed_provider(session: Session, ground: Ground, service: str) -> ProviderEntry | None:
    """The first provider, in the order of the sheet, that offers the service in the client's area or one above it.

    A provider without areas serves all. The supervisor may choose another.
    """
    day = ground.event_date
    around = set(
        session.scalars(
            select(AreaWithin.ancestor).where(
                AreaWithin.area_code == ground.client.area_code,
                or_(AreaWithin.valid_from.is_(None), AreaWithin.valid_from <= day),
                or_(AreaWithin.valid_to.is_(None), AreaWithin.valid_to >= day),
            )
        )
    )
    for provider in ground.programme.providers:
        serves = not provider.areas or around.intersection(provider.areas)
        if provider.active and service in provider.services and serves:
            return provider
    return None


def open_referral(
    session: Session, client_id: uuid.UUID, service: str, *, but_of: uuid.UUID | None = None
) -> Referral | None:
    """The client's oldest open referral for a service; none of the decision `but_of`."""
    other = Referral.decision_id.is_distinct_from(but_of)
    return session.scalars(
        select(Referral)
        .where(Referral.client_id == client_id, Referral.service == service, Referral.state.not_in(FINAL_STATES), other)
        .order_by(Referral.created_at, Referral.id)
        .limit(1)
    ).one_or_none()


def supersede(session: Session, row: Referral, reason: SystemReason, now: datetime) -> None:
    """End a referral that nobody has acted on; any other stays as it is."""
    if ReferralState.SUPERSEDED in referrals.allowed(row) and not referrals.acted_on(session, row):
        referrals.advance(session, row, ReferralState.SUPERSEDED, Step("superseded", now, reason=reason))


def complete_internal(
    session: Session,
    client: Client,
    programme: Programme,
    form: str,
    before: Collection[uuid.UUID],
    *,
    at: datetime,
    by: uuid.UUID,
) -> None:
    """Complete internal referrals of earlier observations whose service is `completed_by` this form.

    The observation that wanted the work is no proof that it was done, even where it is the same form: a screening that
    asks for a brief intervention does not show one. The next observation of that form does. `at` is that
    observation's moment, so that its own record already shows the work as done, and new need makes a new referral.
    """
    services = [item.code for item in programme.services if item.internal and item.completed_by == form]
    rows = session.scalars(
        select(Referral)
        .where(
            Referral.client_id == client.id,
            Referral.internal,
            Referral.service.in_(services),
            Referral.state.not_in(FINAL_STATES),
            or_(Referral.decision_id.in_(list(before)), Referral.decision_id.is_(None) & (Referral.created_at <= at)),
        )
        .order_by(Referral.created_at, Referral.id)
    ).all()
    for row in rows:
        if ReferralState.COMPLETED in referrals.allowed(row):
            referrals.advance(session, row, ReferralState.COMPLETED, Step("completed", at, by, reason=form))
    session.flush()


# ---- what was stopped, and whom to tell -----------------------------------------------------------


def stopped(session: Session, row: Decision, client: Client | None, decision: said.Decision, now: datetime) -> None:
    """Write down what was held back and why; without a client too, because it counts."""
    keep = {item.wanted.service for item in decision.stopped} | {alert.service for alert in decision.held}
    session.execute(
        delete(StoppedOutcome).where(StoppedOutcome.decision_id == row.id, StoppedOutcome.service.not_in(keep))
    )
    for item in decision.stopped:
        service, target = item.wanted.service, None
        if client is not None and item.instead == InsteadAction.ATTACH_TO_OPEN:
            target = open_referral(session, client.id, service, but_of=row.id)
        stop = _Stop(service, item.stop_id, item.instead, target.id if target else None)
        if _keep_stopped(session, row, client, stop, now) and target is not None:
            step = Step("attached", now, reason=item.stop_id, rule_id=item.wanted.reasons[0].rule_id)
            referrals.note_event(session, target, step)


@dataclass(frozen=True, slots=True)
class _Stop:
    """What held a service back, and the open referral that it was attached to."""

    service: str
    stop_id: str
    instead: str
    referral_id: uuid.UUID | None


def _keep_stopped(session: Session, row: Decision, client: Client | None, stop: _Stop, now: datetime) -> bool:
    """Returns whether anything is new about it."""
    known = session.scalars(
        select(StoppedOutcome).where(StoppedOutcome.decision_id == row.id, StoppedOutcome.service == stop.service)
    ).one_or_none()
    outcome = known or StoppedOutcome(id=uuid.uuid4(), decision_id=row.id, service=stop.service, at=now)
    changed = known is None or _Stop(known.service, known.stop_id, known.instead, known.referral_id) != stop
    outcome.stop_id, outcome.instead, outcome.referral_id = stop.stop_id, str(stop.instead), stop.referral_id
    outcome.client_id = client.id if client else None
    session.add(outcome)
    session.flush()
    return changed


def _notices(session: Session, ground: Ground, wanted: Sequence[said.Notice]) -> None:
    known = {
        (row.rule_id, row.to_role): row
        for row in session.scalars(select(Notice).where(Notice.decision_id == ground.row.id))
    }
    for item in wanted:
        if known.pop((item.rule_id, item.to), None) is None:
            session.add(
                Notice(
                    id=uuid.uuid4(),
                    decision_id=ground.row.id,
                    client_id=ground.client.id,
                    rule_id=item.rule_id,
                    to_role=item.to,
                    urgency=item.urgency.value if item.urgency else None,
                    at=ground.now,
                )
            )
    for row in known.values():
        if row.seen_at is None:
            session.delete(row)


# ---- an observation that an edit replaced ---------------------------------------------------------


def withdraw(session: Session, row: Decision, now: datetime) -> None:
    """Take back a replaced observation's outcomes, where nobody has acted on them, and what it had ended."""
    _stand_again(session, row.id)
    for flag in session.scalars(select(Flag).where(Flag.decision_id == row.id, Flag.ended_at.is_(None))):
        _end(flag, Ended.OBSERVATION_REPLACED, now, None)
    for referral in session.scalars(select(Referral).where(Referral.decision_id == row.id)):
        supersede(session, referral, SystemReason.OBSERVATION_REPLACED, now)
    follow_ups.release(session, row.id)
    session.execute(delete(Notice).where(Notice.decision_id == row.id, Notice.seen_at.is_(None)))
    session.execute(delete(StoppedOutcome).where(StoppedOutcome.decision_id == row.id))
    session.flush()


def name_successors(session: Session, former: Collection[uuid.UUID], row: Decision) -> None:
    """Superseded referrals of those decisions name the one that this decision made, or attached to, in their place."""
    made = {item.service: item.id for item in session.scalars(select(Referral).where(Referral.decision_id == row.id))}
    attached = select(StoppedOutcome.service, StoppedOutcome.referral_id).where(StoppedOutcome.decision_id == row.id)
    made = {service: key for service, key in session.execute(attached) if key} | made
    superseded = select(Referral).where(
        Referral.decision_id.in_(list(former)), Referral.state == ReferralState.SUPERSEDED
    )
    for referral in session.scalars(superseded):
        referral.superseded_by = made.get(referral.service)
    session.flush()
