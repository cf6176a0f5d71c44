"""For administrators: who may sign in, where they work, and whose phones send."""

from __future__ import annotations

from fastapi import Response

from service.access import Action
from service.queries import people_list, referral_view
from service.queries.out_of_sight import clients_out_of_sight
from service.web.rendering import render
from service.web.routes import pages
from service.web.visitor import Reading, SignedIn

router = pages()


@router.get("/people")
def show(visitor: SignedIn, session: Reading) -> Response:
    visitor.require(Action.MANAGE_USERS)
    reader, areas = visitor.reader, referral_view.labels_of_areas(session)
    people = people_list.people(session, visitor.today)
    visitor.witness("users.read", kind="user", rows=len(people))
    return render(
        visitor,
        "people.html",
        page="people",
        unseen=sum(clients_out_of_sight(session, visitor.today).values()),
        people=[(person, [reader.label(areas.get(code, {}), code) for code in person.areas]) for person in people],
    )
