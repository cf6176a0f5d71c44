"""Everything that the page of one referral or one flag needs, under the condition of what its reader may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from service.queries import consents
from service.tables import (
    Area,
    AreaWithin,
    Client,
    Consent,
    Decision,
    Flag,
    Observation,
    Provider,
    Referral,
    ReferralEvent,
    RulebookVersion,
    Service,
    StoppedOutcome,
    Submission,
    User,
)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a decision rests on: the decision, the rules' version, and the submission with its answers."""

    decision: Decision
    rulebook_title: str
    rulebook_version: str
    submission: Submission
    observation: Observation | None
    sender_code: str | None


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of a referral and the code of who did it; None is the system."""

    event: ReferralEvent
    actor_code: str | None


@dataclass(frozen=True, slots=True)
class ReferralView:
    """`events` newest first; `consent` is the client's last word on this service, None where nobody asked.

    `consented`: whether anything may leave for a provider now, which also hangs on taking part at all.
    """

    referral: Referral
    client: Client
    service: Service
    provider: Provider | None
    worker_code: str | None
    ground: Ground | None
    consent: Consent | None
    consented: bool
    events: tuple[Happening, ...]


@dataclass(frozen=True, slots=True)
class FlagView:
    flag: Flag
    client: Client
    ground: Ground | None
    worker_code: str | None
    closed_by: str | None


def referral(session: Session, number: str, visible: ColumnElement[bool]) -> ReferralView | None:
    """The referral with this number; None where there is none or the reader may not see it (the same to her)."""
    found = session.execute(
        select(Referral, Client, Service, Provider, User.code)
        .join(Client, Client.id == Referral.client_id)
        .join(Service, Service.code == Referral.service)
        .outerjoin(Provider, Provider.code == Referral.provider_code)
        .outerjoin(User, User.id == Referral.worker_id)
        .where(Referral.number == number, visible)
    ).first()
    if found is None:
        return None
    row, client, service, provider, worker = found
    return ReferralView(
        row,
        client,
        service,
        provider,
        worker,
        ground(session, row.decision_id),
        consents.latest(session, client.id, row.service),
        consents.standing(session, client.id, row.service) is not None,
        _events(session, row.id),
    )


def flag(session: Session, flag_id: UUID, visible: ColumnElement[bool]) -> FlagView | None:
    """The flag with this id; None where there is none or the reader may not see it."""
    found = session.execute(
        select(Flag, Client, User.code)
        .join(Client, Client.id == Flag.client_id)
        .outerjoin(User, User.id == Client.worker_id)
        .where(Flag.id == flag_id, visible)
    ).first()
    if found is None:
        return None
    row, client, worker = found
    closer = session.scalar(select(User.code).where(User.id == row.ended_by)) if row.ended_by else None
    return FlagView(row, client, ground(session, row.decision_id), worker, closer)


def ground(session: Session, decision_id: UUID | None) -> Ground | None:
    """What the decision rests on; None for a referral that a person made."""
    found = session.execute(
        select(Decision, RulebookVersion.title, RulebookVersion.version, Submission, Observation, User.code)
        .join(RulebookVersion, RulebookVersion.id == Decision.rulebook_version_id)
        .join(Submission, Submission.id == Decision.submission_id)
        .outerjoin(Observation, Observation.submission_id == Submission.id)
        .outerjoin(User, User.id == Submission.user_id)
        .where(Decision.id == decision_id)
    ).first()
    return Ground(*found) if found else None


def stopped(
    session: Session, decision_id: UUID, visible_referrals: ColumnElement[bool]
) -> Sequence[tuple[StoppedOutcome, str | None]]:
    """Referrals that this decision wanted and a stop held back, each with the number of the one it was added to."""
    rows = session.execute(
        select(StoppedOutcome, Referral.number)
        .outerjoin(Referral, (Referral.id == StoppedOutcome.referral_id) & visible_referrals)
        .where(StoppedOutcome.decision_id == decision_id)
        .order_by(StoppedOutcome.service)
    )
    return rows.all()


def providers_for(session: Session, service: str, area: str | None) -> Sequence[Provider]:
    """Active providers of this service, those that serve the client's area first, then by code."""
    offering = [
        provider
        for provider in session.scalars(select(Provider).where(Provider.active).order_by(Provider.code))
        if service in provider.services
    ]
    around = _areas_above(session, area)
    return sorted(offering, key=lambda provider: not around.intersection(provider.areas))


def labels_of_areas(session: Session) -> Mapping[str, Mapping[str, str]]:
    return dict(session.execute(select(Area.code, Area.labels)).all())


def _areas_above(session: Session, area: str | None) -> set[str]:
    above = select(AreaWithin.ancestor).where(AreaWithin.area_code == area)
    return {area or "", *session.scalars(above)}


def _events(session: Session, referral_id: UUID) -> tuple[Happening, ...]:
    rows = session.execute(
        select(ReferralEvent, User.code)
        .outerjoin(User, User.id == ReferralEvent.actor_id)
        .where(ReferralEvent.referral_id == referral_id)
        .order_by(ReferralEvent.at.desc(), ReferralEvent.id.desc())
    )
    return tuple(Happening(*row) for row in rows)
