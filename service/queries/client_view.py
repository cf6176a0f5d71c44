"""One client under a pseudonym: what is open, what warns, what is due. Who it is stands elsewhere, under seal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from service.queries.follow_up_list import TO_DO
from service.tables import Client, Flag, FollowUp, Referral, Service, User

Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Sight:
    """What the reader may see: conditions over Client, Referral, Flag and FollowUp."""

    clients: Condition
    referrals: Condition
    flags: Condition
    follow_ups: Condition


@dataclass(frozen=True, slots=True)
class ClientView:
    """Referrals newest first, with their service; standing flags; follow-ups that are to be done, by due date."""

    client: Client
    worker_code: str | None
    referrals: Sequence[tuple[Referral, Service]]
    flags: Sequence[Flag]
    follow_ups: Sequence[FollowUp]


def client(session: Session, code: str, sight: Sight) -> ClientView | None:
    """The client with this code; None where there is none or the reader may not see it."""
    found = session.execute(
        select(Client, User.code).outerjoin(User, User.id == Client.worker_id).where(Client.code == code, sight.clients)
    ).first()
    if found is None:
        return None
    row, worker = found
    referrals = session.execute(
        select(Referral, Service)
        .join(Service, Service.code == Referral.service)
        .where(Referral.client_id == row.id, sight.referrals)
        .order_by(Referral.created_at.desc(), Referral.number.desc())
    )
    flags = session.scalars(
        select(Flag)
        .where(Flag.client_id == row.id, sight.flags, Flag.ended_at.is_(None), Flag.in_queue)
        .order_by(Flag.raised_at.desc(), Flag.id)
    )
    follow_ups = session.scalars(
        select(FollowUp)
        .where(FollowUp.client_id == row.id, sight.follow_ups, FollowUp.state.in_(TO_DO))
        .order_by(FollowUp.due_on, FollowUp.id)
    )
    return ClientView(row, worker, referrals.all(), flags.all(), follow_ups.all())
