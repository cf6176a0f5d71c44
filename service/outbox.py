"""Work that is owed: claimed under a lease, done at least once, in order of receipt. The table is the queue.

A worker that dies keeps its rows only until the lease ends. A broker, where there is one, wakes workers sooner.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import CTE, ColumnElement, and_, case, delete, func, or_, select, update
from sqlalchemy.orm import Session

from service.tables import OutboxRow

#: How long a claim holds without news of the worker.
LEASE = timedelta(minutes=5)
_FIRST_WAIT = timedelta(seconds=15)
_LONGEST_WAIT = timedelta(hours=6)


def claim(
    session: Session, *, limit: int, now: datetime, lease: timedelta = LEASE, worker: str = ""
) -> list[uuid.UUID]:
    """Ids of submissions that are now this worker's until `now + lease`, the first received first.

    Commit before working on them: until then nobody else can claim, and with SQLite nobody else can write.
    """
    claimed = session.execute(
        update(OutboxRow)
        # PostgreSQL asks again once it holds the row's lock: what another worker has just claimed is due no more.
        .where(OutboxRow.id.in_(select(_first(session, limit, now).c.id)), _due(now))
        .values(claimed_until=now + lease, claimed_by=worker or None, tries=OutboxRow.tries + 1)
        .returning(OutboxRow.id, OutboxRow.submission_id)
        .execution_options(synchronize_session=False)
    ).all()
    return [row.submission_id for row in sorted(claimed, key=lambda row: row.id)]


def _first(session: Session, limit: int, now: datetime) -> CTE:
    """A common table, which is read once: PostgreSQL may run a plain subquery again and again, past its limit."""
    rows = select(OutboxRow.id).where(_due(now)).order_by(OutboxRow.id).limit(limit)
    if session.get_bind().dialect.name == "postgresql":
        # Two workers take different rows at once. SQLite has one writer at a time anyway.
        rows = rows.with_for_update(skip_locked=True)
    return rows.cte("first")


def _due(now: datetime) -> ColumnElement[bool]:
    free = or_(OutboxRow.claimed_until.is_(None), OutboxRow.claimed_until <= now)
    return and_(OutboxRow.available_at <= now, free)


def renew(session: Session, submission_ids: Iterable[uuid.UUID], *, worker: str, until: datetime) -> int:
    """A worker that is still busy keeps its rows; returns how many are still its own."""
    kept = session.scalars(
        update(OutboxRow)
        .where(OutboxRow.submission_id.in_(list(submission_ids)), OutboxRow.claimed_by == worker)
        .values(claimed_until=until)
        .returning(OutboxRow.id)
        .execution_options(synchronize_session=False)
    )
    return len(kept.all())


def finish(session: Session, submission_ids: Iterable[uuid.UUID]) -> None:
    """In the transaction that stores the results: the work is owed no more."""
    session.execute(delete(OutboxRow).where(OutboxRow.submission_id.in_(list(submission_ids))))


def postpone(session: Session, submission_id: uuid.UUID, until: datetime) -> None:
    """Owed again from `until` on, by whoever comes first."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.submission_id == submission_id)
        .values(available_at=until, claimed_until=None, claimed_by=None)
    )


def release(session: Session, submission_ids: Iterable[uuid.UUID]) -> None:
    """A worker that stops gives back what it has not begun; that was no try."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.submission_id.in_(list(submission_ids)))
        .values(claimed_until=None, claimed_by=None, tries=OutboxRow.tries - 1)
    )


def back_off(tries: int) -> timedelta:
    """How long to wait after the `tries`-th failure: 15 s, then twice as long each time, at most 6 hours."""
    doublings = min(max(tries - 1, 0), 20)
    return min(_FIRST_WAIT * (1 << doublings), _LONGEST_WAIT)


def tries(session: Session, submission_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, int]:
    """How often each has been claimed, this time included: one that keeps killing its worker is seen by it."""
    question = select(OutboxRow.submission_id, OutboxRow.tries)
    rows = session.execute(question.where(OutboxRow.submission_id.in_(list(submission_ids))))
    return {row.submission_id: row.tries for row in rows}


def waiting(session: Session, now: datetime) -> int:
    """How many are due and nobody's."""
    return session.scalar(select(func.count()).select_from(OutboxRow).where(_due(now))) or 0


def next_due(session: Session) -> datetime | None:
    """When the next row becomes due or its lease ends, so that a worker knows how long it may sleep."""
    at, held = OutboxRow.available_at, OutboxRow.claimed_until
    moment = case((and_(held.is_not(None), held > at), held), else_=at)
    soonest: datetime | None = session.scalar(select(func.min(moment)))
    return soonest
