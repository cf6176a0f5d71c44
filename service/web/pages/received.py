"""A provider's page: what was sent to it, with what the client agreed to share and nothing else."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from service import access
from service.access import Action
from service.queries import received_list
from service.web import due, words
from service.web.rendering import render
from service.web.routes import pages
from service.web.visitor import Reading, SignedIn

router = pages()

_SIZE = 100


@router.get("/received")
def show(visitor: SignedIn, session: Reading, page: Annotated[int, Query(ge=1, le=10_000)] = 1) -> Response:
    viewer, reader = visitor.require(Action.ANSWER_REFERRAL), visitor.reader
    visible = access.visible_referrals(viewer, visitor.today)
    found = received_list.rows(session, visible, viewer.provider_code or "", limit=_SIZE, offset=(page - 1) * _SIZE)
    total = received_list.total(session, visible)
    visitor.witness("referrals.received", kind="referral", rows=len(found))
    last = (total + _SIZE - 1) // _SIZE
    return render(
        visitor,
        "received.html",
        page="received",
        total=total,
        beside=[number for number in (page - 1, page + 1) if 1 <= number <= last],
        rows=[
            (
                row,
                reader.label(row.labels, row.service),
                words.URGENCY.get(row.urgency),
                words.PROVIDER_STATE.get(row.state) or words.STATE[row.state],
                due.ruler(reader, start=row.sent_at, due=row.due_at, now=visitor.now)
                if row.state in received_list.WAITING
                else None,
            )
            for row in found
        ],
    )
