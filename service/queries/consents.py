"""What a client has agreed to. The latest word stands; silence is no."""

from __future__ import annotations

import uuid

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from rules.facts import TAKE_PART
from service.tables import Consent, ConsentState, Observation


def standing(session: Session, client_id: uuid.UUID, service: str) -> Consent | None:
    """The consent under which this service may be told now; None where nothing may leave.

    Who has since said no to taking part, or withdrawn, has taken back every yes before it.
    """
    said = latest(session, client_id, service)
    takes_part = latest(session, client_id, TAKE_PART)
    if said is None or said.state is not ConsentState.GIVEN:
        return None
    return said if takes_part is None or takes_part.state is ConsentState.GIVEN else None


def latest(session: Session, client_id: uuid.UUID, service: str) -> Consent | None:
    """The client's last word on a service, or on taking part."""
    return session.scalars(
        select(Consent)
        .outerjoin(Observation, Observation.submission_id == Consent.submission_id)
        .where(Consent.client_id == client_id, Consent.service == service, counts())
        .order_by(Consent.given_on.desc(), Consent.recorded_at.desc(), Consent.id)
        .limit(1)
    ).one_or_none()


def counts() -> ColumnElement[bool]:
    """Of a Consent outer-joined to its Observation: what an edited form has replaced was not said."""
    return Observation.submission_id.is_(None) | Observation.replaced.is_(False)
