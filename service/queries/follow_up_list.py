"""Follow-ups by due date, the overdue first, under the condition of what their reader may see."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from service.tables import Client, FollowUp, FollowUpState, User

#: A visit that was missed stays on the list: late work is always let in.
TO_DO = (FollowUpState.SCHEDULED, FollowUpState.OPEN, FollowUpState.MISSED)


@dataclass(frozen=True, slots=True)
class Row:
    follow_up: FollowUp
    client: Client
    worker_code: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """How many there are to do, how many of them past their due day, and how many due today."""

    total: int
    overdue: int
    today: int


def rows(
    session: Session, visible: ColumnElement[bool], *, limit: int, offset: int = 0, due_before: date | None = None
) -> Sequence[Row]:
    """What is to be done, the longest overdue first; those whose window has closed stand at the end.

    With `due_before`, only what is due before that day.
    """
    chosen = (
        select(FollowUp, Client, User.code)
        .join(Client, Client.id == FollowUp.client_id)
        .outerjoin(User, User.id == FollowUp.worker_id)
        .where(visible, FollowUp.state.in_(TO_DO))
    )
    if due_before:
        chosen = chosen.where(FollowUp.due_on < due_before)
    missed_last = case((FollowUp.state == FollowUpState.MISSED, 1), else_=0)
    ordered = chosen.order_by(missed_last, FollowUp.due_on, Client.code, FollowUp.id).limit(limit).offset(offset)
    return [Row(*row) for row in session.execute(ordered)]


def summary(session: Session, visible: ColumnElement[bool], *, today: date) -> Summary:
    found = session.execute(
        select(
            func.count(),
            func.count().filter(FollowUp.due_on < today),
            func.count().filter(FollowUp.due_on == today),
        )
        .select_from(FollowUp)
        .join(Client, Client.id == FollowUp.client_id)
        .where(visible, FollowUp.state.in_(TO_DO))
    ).one()
    return Summary(*found)


def clients_in_sight(session: Session, visible_clients: ColumnElement[bool], ids: Collection[UUID]) -> set[UUID]:
    """Which of these clients have a page that the reader may open: a visit may be hers where the client is not."""
    return set(session.scalars(select(Client.id).where(Client.id.in_(ids), visible_clients)))
