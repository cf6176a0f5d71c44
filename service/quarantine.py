"""Quarantine: what cannot be decided waits here until a person has looked at it, and blocks nothing else."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service import audit, outbox
from service.observations import canonical
from service.sealing import DataKey, Erased, Vault
from service.tables import OutboxRow, Quarantine, Submission, SubmissionState

log = logging.getLogger(__name__)

#: What was looked at once and needs no second look.
SETTLED = (SubmissionState.DECIDED, SubmissionState.REPLACED)


class CannotProcess(Exception):
    """A submission that waits in quarantine until a person has looked at it. Tree: Encrypted, ForeignEdit, …"""

    path = ""


class Encrypted(CannotProcess):
    """An encrypted submission: its answers cannot be read here."""


class ForeignEdit(CannotProcess):
    """An edit of a submission that another person had sent, or of another form."""


class EnginesDisagree(CannotProcess):
    """The chaining engine and the reference matcher differ: only what either wants the same day was applied."""


class TooManyDeaths(CannotProcess):
    """Workers died on it again and again."""


def set_aside(session: Session, vault: Vault, row: Submission, problem: Exception, now: datetime) -> None:
    """Set a submission aside: what kind of error and where in clear, what it said under seal. It blocks nothing."""
    key = _key_of(vault, row)
    detail = canonical({"error": type(problem).__name__, "message": str(problem)[:20_000]})
    known = session.get(Quarantine, row.id)
    tries = known.tries + 1 if known else 1
    session.merge(
        Quarantine(
            submission_id=row.id,
            error_class=type(problem).__name__[:120],
            path=str(getattr(problem, "path", "") or "")[:500],
            sealed_detail=vault.seal(key, detail, "quarantine"),
            key_id=key.id,
            at=now,
            tries=tries,
        )
    )
    row.state = SubmissionState.QUARANTINED
    session.flush()
    # The class alone: the message may quote an answer.
    log.warning("submission set aside", extra={"submission": str(row.id), "error": type(problem).__name__})


def _key_of(vault: Vault, row: Submission) -> DataKey:
    """The submission's own key; where it was erased, a fresh one."""
    try:
        return vault.key(row.key_id)
    except Erased:
        return vault.new_key()


def give_up(session: Session, submission_ids: Iterable[uuid.UUID], *, now: datetime, vault: Vault) -> None:
    """Set aside submissions on which workers died too often, without touching them again."""
    wanted = list(submission_ids)
    for row in session.scalars(select(Submission).where(Submission.id.in_(wanted))):
        if row.state not in SETTLED:
            set_aside(session, vault, row, TooManyDeaths("workers died on it"), now)
    outbox.finish(session, wanted)


def retry(session: Session, submission_ids: Iterable[uuid.UUID], *, now: datetime, by: uuid.UUID | None) -> int:
    """Put quarantined submissions back into the outbox, in order of receipt; returns how many."""
    rows = session.scalars(
        select(Submission)
        .where(Submission.id.in_(list(submission_ids)), Submission.state == SubmissionState.QUARANTINED)
        .order_by(Submission.received_at, Submission.id)
    ).all()
    for row in rows:
        row.state = SubmissionState.RECEIVED
        session.execute(delete(OutboxRow).where(OutboxRow.submission_id == row.id))
        session.add(OutboxRow(submission_id=row.id, available_at=now))
        session.flush()
        audit.record(session, at=now, actor=by, action="quarantine.retried", kind="submission", object_id=str(row.id))
    return len(rows)
