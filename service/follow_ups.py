"""Follow-ups: what is due when, why, and which visit did it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import date

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from rules.decision import FollowUpWanted
from service.tables import Client, FollowUp, FollowUpCause, FollowUpState

#: Not done, and not called off.
WAITING = (FollowUpState.SCHEDULED, FollowUpState.OPEN, FollowUpState.MISSED)
DONE = (FollowUpState.DONE, FollowUpState.LATE)


def schedule(
    session: Session,
    client: Client,
    wanted: Sequence[FollowUpWanted],
    *,
    starts_on: date,
    today: date,
    decision_id: uuid.UUID,
    compartments: Mapping[str, str],
) -> None:
    """Bring the follow-ups of one decision to what it wants. Doing it again changes nothing.

    `starts_on` is the event date from which they count; `compartments` says by rule which right is needed to see one.
    Identity is (client, schedule, step, cause, starts_on). A second cause never overwrites: it joins a follow-up whose
    window overlaps, if the same right is needed to see both. What the decision no longer wants loses this cause, and
    is called off when none is left and nobody has done it. A step whose window is over is not made.
    """
    release(session, decision_id, keep={(item.schedule, item.step, item.cause) for item in wanted})
    if not wanted:
        return
    known = _Known(session, client, decision_id)
    for item in wanted:
        compartment = compartments.get(item.cause, "")
        row = known.own(item, starts_on) or known.overlapping(item, compartment)
        if row is None and item.closes < today:
            continue
        if row is None:
            row = _new(
                client,
                item,
                starts_on=starts_on,
                today=today,
                decision_id=decision_id,
                compartment=compartment,
            )
            known.add(row)
        elif row.state is FollowUpState.CANCELLED:
            row.state = _state(row.opens_on, row.closes_on, today)
        known.join(row, item.cause, starts_on)
    known.write()


class _Known:
    """The client's follow-ups and their causes, asked for once in a decision."""

    def __init__(self, session: Session, client: Client, decision_id: uuid.UUID) -> None:
        self._session, self._decision_id = session, decision_id
        self._rows = list(
            session.scalars(select(FollowUp).where(FollowUp.client_id == client.id).order_by(FollowUp.due_on))
        )
        causes = session.scalars(
            select(FollowUpCause)
            .join(FollowUp, FollowUp.id == FollowUpCause.follow_up_id)
            .where(FollowUp.client_id == client.id)
        )
        self._causes = {(item.follow_up_id, item.cause, item.starts_on, item.decision_id) for item in causes}
        self._held = {key[:3] for key in self._causes}
        self._joined: list[FollowUpCause] = []

    def own(self, item: FollowUpWanted, starts_on: date) -> FollowUp | None:
        """The follow-up that this very cause has already made or joined."""
        for row in self._rows:
            if (row.schedule, row.step) == (item.schedule, item.step):
                made = (row.cause, row.starts_on) == (item.cause, starts_on)
                if made or (row.id, item.cause, starts_on) in self._held:
                    return row
        return None

    def overlapping(self, item: FollowUpWanted, compartment: str) -> FollowUp | None:
        for row in self._rows:
            alike = (row.schedule, row.step, row.compartment) == (item.schedule, item.step, compartment)
            if alike and row.state in WAITING and row.opens_on <= item.closes and row.closes_on >= item.opens:
                return row
        return None

    def add(self, row: FollowUp) -> None:
        self._session.add(row)
        self._rows.append(row)

    def join(self, row: FollowUp, cause: str, starts_on: date) -> None:
        key = (row.id, cause, starts_on, self._decision_id)
        if key not in self._causes:
            self._causes.add(key)
            self._held.add(key[:3])
            self._joined.append(
                FollowUpCause(follow_up_id=row.id, cause=cause, starts_on=starts_on, decision_id=self._decision_id)
            )

    def write(self) -> None:
        """Follow-ups first: their causes point to them."""
        self._session.flush()
        self._session.add_all(self._joined)
        self._session.flush()


def release(session: Session, decision_id: uuid.UUID, keep: Collection[tuple[str, str, str]] = frozenset()) -> None:
    """Take a decision's causes back, all but those to `keep` as (schedule, step, cause)."""
    rows = session.execute(
        select(FollowUpCause, FollowUp)
        .join(FollowUp, FollowUp.id == FollowUpCause.follow_up_id)
        .where(FollowUpCause.decision_id == decision_id)
    )
    for cause, row in rows.all():
        if (row.schedule, row.step, cause.cause) in keep:
            continue
        session.delete(cause)
        session.flush()
        left = session.scalar(select(FollowUpCause.id).where(FollowUpCause.follow_up_id == row.id).limit(1))
        if left is None and row.state in WAITING:
            row.state = FollowUpState.CANCELLED


def fulfil(
    session: Session, client: Client, form: str, submission_id: uuid.UUID, on: date, *, today: date
) -> Sequence[FollowUp]:
    """Mark done what a visit on this day does: every waiting step of its form whose window it falls in.

    One meeting serves all of them; nobody is asked to come twice. Where it falls in no window, it is late work, and
    does the step that closed last before it. A step that began the same day is not done by the visit that began it,
    unless it was due at once.
    """
    undo(session, submission_id, today)
    waiting = session.scalars(
        select(FollowUp)
        .where(
            FollowUp.client_id == client.id,
            FollowUp.form_id == form,
            FollowUp.state.in_(WAITING),
            FollowUp.opens_on <= on,
        )
        .order_by(FollowUp.closes_on, FollowUp.due_on, FollowUp.id)
    ).all()
    ready = [row for row in waiting if row.starts_on < on or row.due_on == row.starts_on == on]
    done = [row for row in ready if row.closes_on >= on] or ready[-1:]
    for row in done:
        row.state = FollowUpState.DONE if row.closes_on >= on else FollowUpState.LATE
        row.done_on, row.done_by_submission = on, submission_id
    session.flush()
    return done


def undo(session: Session, submission_id: uuid.UUID, today: date) -> None:
    """Open again what this submission had done: it was replaced, or is looked at anew."""
    for row in session.scalars(select(FollowUp).where(FollowUp.done_by_submission == submission_id)).all():
        row.state = _state(row.opens_on, row.closes_on, today)
        row.done_on = row.done_by_submission = None
    session.flush()


def advance(session: Session, today: date) -> int:
    """Open the windows that have come and close those that are over; returns how many changed."""
    moves = (
        (FollowUpState.SCHEDULED, FollowUpState.OPEN, FollowUp.opens_on <= today),
        (FollowUpState.OPEN, FollowUpState.MISSED, FollowUp.closes_on < today),
    )
    changed = 0
    for was, becomes, due in moves:
        step = update(FollowUp).where(FollowUp.state == was, due).values(state=becomes).returning(FollowUp.id)
        changed += len(session.scalars(step).all())
    return changed


def _state(opens_on: date, closes_on: date, today: date) -> FollowUpState:
    if today < opens_on:
        return FollowUpState.SCHEDULED
    return FollowUpState.OPEN if today <= closes_on else FollowUpState.MISSED


def _new(
    client: Client,
    item: FollowUpWanted,
    *,
    starts_on: date,
    today: date,
    decision_id: uuid.UUID,
    compartment: str,
) -> FollowUp:
    return FollowUp(
        id=uuid.uuid4(),
        client_id=client.id,
        schedule=item.schedule,
        step=item.step,
        cause=item.cause,
        starts_on=starts_on,
        form_id=item.form,
        labels=dict(item.label),
        compartment=compartment,
        due_on=item.due,
        opens_on=item.opens,
        closes_on=item.closes,
        state=_state(item.opens, item.closes, today),
        worker_id=client.worker_id,
        decision_id=decision_id,
    )
