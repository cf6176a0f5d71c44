"""One client by code: open referrals, standing warnings, what is due. No name, no telephone."""

from __future__ import annotations

from fastapi import Response

from service import access
from service.access import Action
from service.queries import client_view, referral_view
from service.queries.client_view import Sight
from service.web import rows, words
from service.web.due import day_words
from service.web.rendering import render
from service.web.routes import pages
from service.web.visitor import Reading, SignedIn, not_found

router = pages()


@router.get("/clients/{code}")
def show(visitor: SignedIn, session: Reading, code: str) -> Response:
    viewer, today, reader = visitor.require(Action.SEE_FOLLOW_UPS), visitor.today, visitor.reader
    sight = Sight(
        access.visible_clients(viewer, today),
        access.visible_referrals(viewer, today),
        access.visible_flags(viewer, today),
        access.visible_follow_ups(viewer, today),
    )
    view = client_view.client(session, code, sight)
    if view is None:
        raise not_found()
    visitor.witness("client.read", kind="client", object_id=str(view.client.id), client_id=view.client.id)
    areas = referral_view.labels_of_areas(session)
    return render(
        visitor,
        "client.html",
        page="referrals",
        client=view.client,
        area=reader.label(areas.get(view.client.area_code or "", {}), view.client.area_code or ""),
        worker=view.worker_code,
        referrals=[
            (referral, reader.label(service.labels, service.code), rows.progress(reader, referral))
            for referral, service in view.referrals
        ],
        flags=[(flag, words.URGENCY.get(flag.urgency or ""), words.LEVEL.get(flag.level, "")) for flag in view.flags],
        follow_ups=[
            (item, reader.label(item.labels, item.schedule), day_words(reader, item.due_on, today))
            for item in view.follow_ups
        ],
    )
