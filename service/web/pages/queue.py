"""The queue: what needs somebody, grouped by what has to happen next. A view is an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Response
from sqlalchemy.orm import Session

from service import access
from service.access import Action
from service.queries import queue, referral_view
from service.queries.queue import FLAG, Group, Sight, View, Wanted
from service.tables import Role
from service.web import words
from service.web.language import Reader
from service.web.rendering import render, wants_part
from service.web.routes import pages
from service.web.rows import Section, sections
from service.web.visitor import Reading, SignedIn, Visitor, not_found
from service.web.words import N_

router = pages()

#: Rows of each group while several groups stand on one page, and of a group that is alone.
_SOME, _MANY = 12, 50

VIEWS: Mapping[View, str] = {
    View.TODAY: N_("Hôm nay"),
    View.OVERDUE: N_("Quá hạn"),
    View.APPROVE: N_("Chờ duyệt"),
    View.UNANSWERED: N_("Cơ sở chưa phản hồi"),
    View.NO_SHOW: N_("Không đến"),
    View.CONSENT: N_("Thiếu đồng ý"),
    View.OPEN: N_("Tất cả chưa đóng"),
    View.ALL: N_("Kể cả đã đóng"),
}
GROUPS: Mapping[Group, str] = {
    Group.NOW: N_("Cần làm ngay"),
    Group.APPROVE: N_("Chờ bạn duyệt"),
    Group.ARRANGE: N_("Cần sắp xếp lại"),
    Group.UNANSWERED: N_("Cơ sở chưa phản hồi"),
    Group.FLAGS: N_("Cảnh báo cần xem"),
    Group.INTERNAL: N_("Việc trong chương trình"),
    Group.UNDERWAY: N_("Đang thực hiện"),
    Group.CLOSED: N_("Đã đóng"),
}
_FILTERS = ("state", "urgency", "service", "area")

_Kind = TypeVar("_Kind", bound=StrEnum)
_Text = Annotated[str, Query(max_length=64)]


@dataclass(frozen=True, slots=True)
class Way:
    """A link with a word; `count` None where none is shown."""

    href: str
    word: str
    here: bool = False
    count: int | None = None
    hot: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of the form: its options as (value, word), what is chosen, and the address without it."""

    name: str
    word: str
    options: Sequence[tuple[str, str]]
    chosen: str
    without: str

    @property
    def chosen_word(self) -> str:
        return next((word for value, word in self.options if value == self.chosen), self.chosen)


@router.get("/queue")
def show(
    visitor: SignedIn,
    session: Reading,
    *,
    view: _Text = "",
    group: _Text = "",
    state: _Text = "",
    urgency: _Text = "",
    service: _Text = "",
    area: _Text = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    sight = sight_of(visitor)
    wanted = Wanted(_known(View, view) or View.TODAY, _known(Group, group), state, urgency, service, area)
    size = _MANY if wanted.group else _SOME
    found = queue.page(session, sight, wanted, now=visitor.now, per_group=size, offset=(page - 1) * size)
    shown = sections(visitor, session, found.items, found.groups, referral_view.labels_of_areas(session))
    visitor.witness("queue.read", kind="queue", view=wanted.view.value, rows=len(found.items))
    values: dict[str, Any] = {
        "title": visitor.reader.gettext(VIEWS[wanted.view]),
        "today": visitor.reader.weekday(visitor.today),
        "wanted": wanted,
        "filters": _filters(visitor.reader, session, sight, wanted),
        "everything": _address(Wanted(wanted.view)),
        "sections": shown,
        "headings": GROUPS,
        "more": {item.group: _address(replace(wanted, group=item.group)) for item in shown},
        "pages": _pages(wanted, shown, page, size),
        "total": found.total,
        "overdue": found.overdue,
    }
    if wants_part(visitor):
        return render(visitor, "queue/_list.html", **values)
    counts = queue.counts(session, sight, now=visitor.now)
    views = [_way(visitor.reader, item, wanted, counts[item]) for item in VIEWS]
    name = "queue" if wanted.view is View.TODAY else "referrals"
    return render(visitor, "queue/list.html", page=name, views=views, **values)


def sight_of(visitor: Visitor) -> Sight:
    """What this visitor may see of the queue; providers have a list of their own. Raises 404."""
    viewer = visitor.require(Action.SEE_QUEUE)
    if viewer.role is Role.PROVIDER:
        raise not_found()
    return Sight(access.visible_referrals(viewer, visitor.today), access.visible_flags(viewer, visitor.today))


def _known(kind: type[_Kind], given: str) -> _Kind | None:
    return kind(given) if given in list(kind) else None


def _way(reader: Reader, view: View, wanted: Wanted, count: int) -> Way:
    hot = view is View.OVERDUE and count > 0
    return Way(_address(Wanted(view)), reader.gettext(VIEWS[view]), view is wanted.view, count, hot)


def _address(wanted: Wanted, **more: object) -> str:
    given: dict[str, object] = {} if wanted.view is View.TODAY else {"view": wanted.view.value}
    given |= {"group": wanted.group.value} if wanted.group else {}
    given |= {**wanted.filters, **more}
    return f"/queue?{urlencode(given)}" if given else "/queue"


def _pages(wanted: Wanted, shown: Sequence[Section], page: int, size: int) -> Sequence[tuple[str, int]]:
    """(address, number) of the page before and the page after, of a group that stands alone."""
    if wanted.group is None:
        return ()
    total = shown[0].total if shown else 0
    beside = [number for number in (page - 1, page + 1) if 1 <= number <= (total + size - 1) // size]
    return [(_address(wanted, page=number), number) for number in beside]


def _filters(reader: Reader, session: Session, sight: Sight, wanted: Wanted) -> Sequence[Filter]:
    """Only what the reader has rows of is offered: a list of names must not tell of what she may not see."""
    places = referral_view.labels_of_areas(session)
    options = {
        "state": [(FLAG, reader.gettext("Cảnh báo")), *((k, reader.gettext(v)) for k, v in words.STATE.items())],
        "urgency": [(key, reader.gettext(mark.word)) for key, mark in words.URGENCY.items()],
        "service": [(row.code, reader.label(row.labels, row.code)) for row in queue.services_in_sight(session, sight)],
        "area": [(code, reader.label(places.get(code, {}), code)) for code in queue.areas_in_sight(session, sight)],
    }
    headings = {
        "state": reader.gettext("Trạng thái"),
        "urgency": reader.gettext("Mức độ khẩn cấp"),
        "service": reader.gettext("Dịch vụ"),
        "area": reader.gettext("Địa bàn"),
    }
    return [
        Filter(name, headings[name], options[name], getattr(wanted, name), _address(wanted.without(name)))
        for name in _FILTERS
    ]
