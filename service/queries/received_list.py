"""Referrals that were sent to a provider, as that provider may see them: code, service, urgency, due time, state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from service.tables import FINAL_STATES, Attempt, Client, Referral, ReferralState, Service

#: States in which the provider is still waiting for the person.
WAITING = (ReferralState.SENT, ReferralState.ACCEPTED, ReferralState.ON_HOLD, ReferralState.NO_SHOW)


@dataclass(frozen=True, slots=True)
class Row:
    """Nothing but what the client agreed to share. `sent_at` is the latest sending to this provider."""

    number: str
    client_code: str
    labels: dict[str, str]
    service: str
    urgency: str
    state: ReferralState
    due_at: datetime
    sent_at: datetime


def rows(
    session: Session, visible: ColumnElement[bool], provider: str, *, limit: int, offset: int = 0
) -> Sequence[Row]:
    """What is sent to the provider: open ones by due time, then the closed ones, the latest first."""
    sent = (
        select(func.max(Attempt.sent_at))
        .where(Attempt.referral_id == Referral.id, Attempt.provider_code == provider)
        .correlate(Referral)
        .scalar_subquery()
    )
    closed = case((Referral.state.in_(FINAL_STATES), 1), else_=0)
    found = session.execute(
        select(
            Referral.number,
            Client.code,
            Service.labels,
            Referral.service,
            Referral.urgency,
            Referral.state,
            Referral.due_at,
            sent,
        )
        .join(Client, Client.id == Referral.client_id)
        .join(Service, Service.code == Referral.service)
        .where(visible)
        .order_by(closed, Referral.due_at, Referral.id)
        .limit(limit)
        .offset(offset)
    )
    return [Row(*row) for row in found]


def total(session: Session, visible: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(Referral).where(visible)) or 0
