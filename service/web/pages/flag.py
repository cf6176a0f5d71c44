"""A flag that is an item of its own: why it was raised, and a supervisor's closing it with a reason."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import Form, Response
from sqlalchemy.orm import Session

from service import access, flags
from service.access import Action
from service.flags import EndedAlready, NoSuchFlag, Reason
from service.queries import referral_view
from service.queries.referral_view import FlagView
from service.web import dossier, due, rows, words
from service.web.rendering import go_to, render
from service.web.routes import pages
from service.web.visitor import Reading, Sender, SignedIn, Transaction, Visitor, not_found
from service.web.words import N_

router = pages()

_ENDED = N_("%(who)s đã đóng cảnh báo này lúc %(time)s. Việc bạn vừa chọn chưa được làm.")


@router.get("/flags/{flag_id}")
def show(visitor: SignedIn, session: Reading, flag_id: uuid.UUID) -> Response:
    return _page(visitor, session, flag_id)


@router.post("/flags/{flag_id}/close")
def close(
    visitor: Sender, session: Transaction, flag_id: uuid.UUID, reason: Annotated[str, Form(max_length=64)] = ""
) -> Response:
    viewer = visitor.require(Action.CLOSE_FLAG)
    if reason not in list(Reason):
        return _again(visitor, session, flag_id, visitor.reader.gettext("Chọn một lý do."), 422)
    try:
        flags.close(session, viewer, flag_id, Reason(reason), now=visitor.now)
    except NoSuchFlag:
        raise not_found() from None
    except EndedAlready as problem:
        who = problem.by or visitor.reader.gettext("Hệ thống")
        text = visitor.reader.gettext(_ENDED, who=who, time=visitor.reader.moment(problem.at))
        return _again(visitor, session, flag_id, text, 409)
    return go_to(visitor, f"/flags/{flag_id}", "closed")


def _page(visitor: Visitor, session: Session, flag_id: uuid.UUID, *, problem: str = "", status: int = 200) -> Response:
    view = _find(visitor, session, flag_id)
    flag, reader = view.flag, visitor.reader
    visitor.witness("flag.read", kind="flag", object_id=str(flag.id), client_id=view.client.id)
    insight = dossier.insight(visitor, session, view.ground)
    reasons = insight.flag_reasons(flag.code) if insight else ()
    areas = referral_view.labels_of_areas(session)
    standing = flag.ended_at is None
    return render(
        visitor,
        "flag.html",
        status=status,
        page="queue",
        problem=problem,
        flag=flag,
        client=view.client,
        area=reader.label(areas.get(view.client.area_code or "", {}), view.client.area_code or ""),
        mark=words.URGENCY.get(flag.urgency or ""),
        level=words.LEVEL.get(flag.level, ""),
        message=insight.message(reasons) if insight else "",
        sentence=rows.flag_why(insight, flag),
        whys=insight.whys(reasons) if insight else (),
        source=dossier.source(visitor, session, view.ground) if view.ground else None,
        ruler=due.ruler(reader, start=flag.raised_at, due=flag.due_at, now=visitor.now)
        if flag.due_at and standing
        else None,
        ended=words.FLAG_REASON.get(flag.ended_because, ""),
        closed_by=view.closed_by,
        worker=view.worker_code,
        reasons=[(reason.value, words.FLAG_REASON[reason]) for reason in Reason],
        may_close=standing and access.can(visitor.who, Action.CLOSE_FLAG),
    )


def _find(visitor: Visitor, session: Session, flag_id: uuid.UUID) -> FlagView:
    viewer = visitor.require(Action.SEE_FOLLOW_UPS)
    view = referral_view.flag(session, flag_id, access.visible_flags(viewer, visitor.today))
    if view is None:
        raise not_found()
    return view


def _again(visitor: Visitor, session: Session, flag_id: uuid.UUID, problem: str, status: int) -> Response:
    """The flag as it is now, with what stood in the way on top."""
    session.rollback()
    with visitor.context.reading() as fresh:
        return _page(visitor, fresh, flag_id, problem=problem, status=status)
