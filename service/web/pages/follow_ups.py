"""Follow-ups by due date: an enumerator's own, a supervisor's areas; the overdue first, each with its window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Annotated

from fastapi import Query, Response

from service import access
from service.access import Action
from service.queries import follow_up_list, referral_view
from service.queries.follow_up_list import Row
from service.tables import FollowUpState
from service.web.due import day_words
from service.web.rendering import render
from service.web.routes import pages
from service.web.visitor import Reading, SignedIn, Visitor
from service.web.words import N_

router = pages()

_SIZE = 100


class Group(StrEnum):
    """When it is due, said as somebody plans a week."""

    OVERDUE = N_("Quá hạn")
    TODAY = N_("Hôm nay")
    NEXT = N_("Sắp tới")
    MISSED = N_("Đã qua khung ngày")


@dataclass(frozen=True, slots=True)
class Line:
    """A follow-up in words; `window` is the days in which it counts as on time."""

    code: str
    area: str
    label: str
    form: str
    due: str
    words: str
    late: bool
    window: str
    worker: str
    client_open: bool


@router.get("/follow-ups")
def show(visitor: SignedIn, session: Reading, page: Annotated[int, Query(ge=1, le=10_000)] = 1) -> Response:
    viewer = visitor.require(Action.SEE_FOLLOW_UPS)
    visible = access.visible_follow_ups(viewer, visitor.today)
    found = follow_up_list.rows(session, visible, limit=_SIZE, offset=(page - 1) * _SIZE)
    summary = follow_up_list.summary(session, visible, today=visitor.today)
    areas = referral_view.labels_of_areas(session)
    mine = access.visible_clients(viewer, visitor.today)
    open_ = follow_up_list.clients_in_sight(session, mine, [row.client.id for row in found])
    visitor.witness("follow_ups.read", kind="follow_up", rows=len(found))
    groups = [
        (group, [_line(visitor, row, areas, row.client.id in open_) for row in rows])
        for group, rows in _grouped(visitor, found)
    ]
    last = (summary.total + _SIZE - 1) // _SIZE
    beside = [number for number in (page - 1, page + 1) if 1 <= number <= last]
    return render(visitor, "follow_ups.html", page="follow-ups", groups=groups, summary=summary, beside=beside)


def _grouped(visitor: Visitor, found: Sequence[Row]) -> Iterator[tuple[Group, list[Row]]]:
    for group, rows in groupby(found, key=lambda row: _group(visitor, row)):
        yield group, list(rows)


def _group(visitor: Visitor, row: Row) -> Group:
    if row.follow_up.state is FollowUpState.MISSED:
        return Group.MISSED
    if row.follow_up.due_on < visitor.today:
        return Group.OVERDUE
    return Group.TODAY if row.follow_up.due_on == visitor.today else Group.NEXT


def _line(visitor: Visitor, row: Row, areas: Mapping[str, Mapping[str, str]], client_open: bool) -> Line:
    item, reader = row.follow_up, visitor.reader
    area = row.client.area_code or ""
    return Line(
        code=row.client.code,
        area=reader.label(areas.get(area, {}), area),
        label=reader.label(item.labels, item.schedule),
        form=item.form_id,
        due=reader.day(item.due_on),
        words=day_words(reader, item.due_on, visitor.today),
        late=item.due_on < visitor.today,
        window=f"{reader.short_day(item.opens_on)}–{reader.day(item.closes_on)}",
        worker=row.worker_code or reader.gettext("Chưa giao"),
        client_open=client_open,
    )
