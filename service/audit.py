"""Who did or read what, written in the transaction of the deed. The database refuses to change or delete a row."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.orm import Session

from service.tables import AuditEntry

#: What a detail may be: codes, counts and ids, never an answer or a name.
Detail = str | int | bool | None


def record(
    session: Session,
    *,
    at: datetime,
    actor: uuid.UUID | None,
    action: str,
    kind: str = "",
    object_id: str = "",
    client_id: uuid.UUID | None = None,
    **detail: Detail,
) -> None:
    """Add an entry. `actor` None is the system; `action` is a code such as `referral.approved`."""
    session.execute(
        insert(AuditEntry).values(
            at=at,
            actor_id=actor,
            action=action,
            object_kind=kind,
            object_id=object_id,
            client_id=client_id,
            detail=detail,
        )
    )
