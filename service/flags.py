"""Flags, as far as people end them: a supervisor closes one with a reason. Decisions raise and end the others."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from service import access, audit, publishing
from service.access import Action, Viewer
from service.tables import Client, Flag, User


class Reason(StrEnum):
    """Why a supervisor closes a flag."""

    DEALT_WITH = "dealt_with"
    NO_LONGER_TRUE = "no_longer_true"
    MISTAKE = "mistake"
    OTHER = "other"


class FlagProblem(Exception):
    """Tree: NotAllowed, NoSuchFlag, EndedAlready."""


class NotAllowed(FlagProblem):
    """The viewer's function does not include closing flags."""


class NoSuchFlag(FlagProblem, LookupError):
    """There is none with this id, or the viewer may not see it; the two must look alike."""


class EndedAlready(FlagProblem):
    """It stands no more. `by` is the code of who closed it, None for the system; `at` is when."""

    def __init__(self, by: str | None, at: datetime) -> None:
        super().__init__("ended already")
        self.by, self.at = by, at


def close(session: Session, viewer: Viewer, flag_id: uuid.UUID, reason: Reason, *, now: datetime) -> Flag:
    """Close a standing flag; it is raised again if a later observation finds the same.

    Raises NotAllowed, NoSuchFlag, EndedAlready.
    """
    if not access.can(viewer, Action.CLOSE_FLAG):
        raise NotAllowed(Action.CLOSE_FLAG.value)
    seen = (Flag.id == flag_id) & access.visible_flags(viewer, publishing.today(session, now))
    client_id = session.scalar(select(Flag.client_id).where(seen))
    if client_id is None:
        raise NoSuchFlag(str(flag_id))
    # Processing takes the client's lock before it touches a flag.
    session.execute(select(Client.id).where(Client.id == client_id).with_for_update())
    flag = session.scalars(select(Flag).where(Flag.id == flag_id).execution_options(populate_existing=True)).one()
    if flag.ended_at is not None:
        by = session.scalar(select(User.code).where(User.id == flag.ended_by)) if flag.ended_by else None
        raise EndedAlready(by, flag.ended_at)
    flag.ended_at, flag.ended_because, flag.ended_by = now, Reason(reason).value, viewer.user_id
    audit.record(
        session,
        at=now,
        actor=viewer.user_id,
        action="flag.closed",
        kind="flag",
        object_id=str(flag.id),
        client_id=client_id,
        reason=flag.ended_because,
    )
    session.flush()
    return flag
