"""What needs somebody: referrals and flags in one list, the urgent and the overdue first.

What the reader may see comes in as a condition (`Sight`, from access.py): nothing here widens it, and counts, filters
and pages ask under the same condition as the rows.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    String,
    and_,
    case,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.selectable import Select, Subquery

from rules.decision import FlagLevel, Urgency
from rules.facts import TAKE_PART
from service.queries import consents
from service.tables import (
    FINAL_STATES,
    AreaWithin,
    Client,
    Consent,
    ConsentState,
    Decision,
    Flag,
    Observation,
    Provider,
    Referral,
    ReferralState,
    Service,
    Submission,
    User,
)

#: In place of a referral's state, for a flag that is an item of its own.
FLAG = "flag"

#: States in which the person has not arrived yet: until then the due time runs.
WAITING = (
    ReferralState.PROPOSED,
    ReferralState.APPROVED,
    ReferralState.SENT,
    ReferralState.ACCEPTED,
    ReferralState.ON_HOLD,
    ReferralState.NO_SHOW,
    ReferralState.REJECTED_BY_PROVIDER,
)


class Group(StrEnum):
    """What has to happen next. The groups are the queue; they stand in this order."""

    NOW = "now"
    APPROVE = "approve"
    ARRANGE = "arrange"
    UNANSWERED = "unanswered"
    FLAGS = "flags"
    INTERNAL = "internal"
    UNDERWAY = "underway"
    CLOSED = "closed"


#: The groups that wait for a person of the programme today.
TODAY = (Group.NOW, Group.APPROVE, Group.ARRANGE, Group.UNANSWERED, Group.FLAGS)


class View(StrEnum):
    """A list that the rail offers."""

    TODAY = "today"
    OVERDUE = "overdue"
    APPROVE = "approve"
    UNANSWERED = "unanswered"
    NO_SHOW = "no_show"
    CONSENT = "consent"
    OPEN = "open"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Sight:
    """What the reader may see: conditions over Referral and over Flag."""

    referrals: ColumnElement[bool]
    flags: ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the reader asked for. Blank means all; `area` includes the areas below it."""

    view: View = View.TODAY
    group: Group | None = None
    state: str = ""
    urgency: str = ""
    service: str = ""
    area: str = ""

    @property
    def filters(self) -> Mapping[str, str]:
        named = {"state": self.state, "urgency": self.urgency, "service": self.service, "area": self.area}
        return {name: value for name, value in named.items() if value}

    def without(self, name: str) -> Wanted:
        """The same list without one of its filters."""
        left = {key: value for key, value in self.filters.items() if key != name}
        return Wanted(self.view, self.group, **left)


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the queue: a referral or a flag, with what its row needs.

    `form` is id and version of the form whose answers were decided on.
    """

    group: Group
    subject: Referral | Flag
    client: Client
    decision: Decision | None
    service: Service | None
    provider: Provider | None
    worker_code: str | None
    form: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page, how many there are in each group and in all, and how many of all are overdue."""

    items: tuple[Item, ...]
    groups: Mapping[Group, int]
    total: int
    overdue: int


def page(session: Session, sight: Sight, wanted: Wanted, *, now: datetime, per_group: int, offset: int = 0) -> Page:
    """The wanted rows, at most `per_group` of each group, the first `offset` of each left out."""
    found = _wanted(_items(sight, now, wanted.view), wanted)
    placed = select(
        found.c.kind,
        found.c.id,
        found.c.grp,
        found.c.group_rank,
        func.row_number().over(partition_by=found.c.grp, order_by=_order(found)).label("place"),
        func.count().over(partition_by=found.c.grp).label("number"),
        func.sum(found.c.late).over(partition_by=found.c.grp).label("late"),
    ).subquery()
    rows = session.execute(
        select(placed)
        .where(placed.c.place > offset, placed.c.place <= offset + per_group)
        .order_by(placed.c.group_rank, placed.c.place)
    ).all()
    groups = {Group(row.grp): row.number for row in rows}
    late = sum({row.grp: int(row.late) for row in rows}.values())
    return Page(_loaded(session, [(row.kind, row.id, row.grp) for row in rows]), groups, sum(groups.values()), late)


def counts(session: Session, sight: Sight, *, now: datetime) -> Mapping[View, int]:
    """How many rows each view holds."""
    items = _items(sight, now, View.ALL, View.CONSENT)
    columns = [func.count().filter(_in_view(items, view)).label(view.value) for view in View]
    row = session.execute(select(*columns).select_from(items)).one()
    return {view: getattr(row, view.value) for view in View}


def services_in_sight(session: Session, sight: Sight) -> Sequence[Service]:
    """Services of referrals that the reader may see: a filter must not name what she may not know of."""
    seen = select(Referral.service).join(Client, Client.id == Referral.client_id).where(sight.referrals).distinct()
    return session.scalars(select(Service).where(Service.code.in_(seen)).order_by(Service.code)).all()


def areas_in_sight(session: Session, sight: Sight) -> Sequence[str]:
    """Codes of the areas in which the reader has rows, with the areas above them."""
    direct = (
        select(Client.area_code)
        .join(Referral, Referral.client_id == Client.id)
        .where(sight.referrals)
        .union(select(Client.area_code).join(Flag, Flag.client_id == Client.id).where(sight.flags))
    )
    above = select(AreaWithin.ancestor).where(AreaWithin.area_code.in_(direct)).distinct()
    return session.scalars(above.order_by(AreaWithin.ancestor)).all()


def _items(sight: Sight, now: datetime, *views: View) -> Subquery:
    """The rows of these views. What only another view needs is not looked up: consents are the dearest question."""
    referrals = _referrals(sight, now, consents_too=View.CONSENT in views)
    if View.ALL not in views:
        referrals = referrals.where(Referral.state.not_in(FINAL_STATES))
    return referrals.union_all(_flags(sight, now)).subquery("items")


def _referrals(sight: Sight, now: datetime, *, consents_too: bool) -> Select[tuple[object, ...]]:
    waiting = Referral.state.in_(WAITING)
    late = and_(waiting, Referral.due_at < now)
    group = case(
        (Referral.state.in_(FINAL_STATES), Group.CLOSED),
        # The worker's own work waits for her next visit; a supervisor finds it under what is overdue.
        (Referral.internal, Group.INTERNAL),
        (late, Group.NOW),
        (and_(waiting, Referral.urgency == Urgency.SAME_DAY), Group.NOW),
        (Referral.state == ReferralState.PROPOSED, Group.APPROVE),
        (Referral.state == ReferralState.SENT, Group.UNANSWERED),
        (waiting & Referral.state.not_in((ReferralState.ACCEPTED, ReferralState.ON_HOLD)), Group.ARRANGE),
        else_=Group.UNDERWAY,
    )
    unconsented = case((and_(Referral.state.not_in(FINAL_STATES), _unconsented()), 1), else_=0)
    return (
        select(
            literal("referral").label("kind"),
            Referral.id,
            group.label("grp"),
            _rank(group).label("group_rank"),
            type_coerce(Referral.state, String).label("state"),
            Referral.urgency.label("urgency"),
            Referral.service.label("service"),
            Client.area_code.label("area"),
            Referral.due_at.label("due_at"),
            Referral.created_at.label("since"),
            case((late, 1), else_=0).label("late"),
            (unconsented if consents_too else literal(0)).label("unconsented"),
        )
        .join(Client, Client.id == Referral.client_id)
        .where(sight.referrals)
    )


def _flags(sight: Sight, now: datetime) -> Select[tuple[object, ...]]:
    late = Flag.due_at < now
    # A late flag is not urgent by itself: the referral that its rule wanted beside it is, and stands above.
    pressing = or_(Flag.urgency == Urgency.SAME_DAY, Flag.level == FlagLevel.CRITICAL)
    group = case((pressing, Group.NOW), else_=Group.FLAGS)
    return (
        select(
            literal("flag").label("kind"),
            Flag.id,
            group.label("grp"),
            _rank(group).label("group_rank"),
            literal(FLAG).label("state"),
            func.coalesce(Flag.urgency, "").label("urgency"),
            null().label("service"),
            Client.area_code.label("area"),
            Flag.due_at.label("due_at"),
            Flag.raised_at.label("since"),
            case((late, 1), else_=0).label("late"),
            literal(0).label("unconsented"),
        )
        .join(Client, Client.id == Flag.client_id)
        .where(sight.flags, Flag.in_queue, Flag.ended_at.is_(None))
    )


def _rank(group: ColumnElement[str]) -> ColumnElement[int]:
    return case({item.value: number for number, item in enumerate(Group)}, value=group)


def _unconsented() -> ColumnElement[bool]:
    """True where nothing may leave: as consents.standing says, in one question. Internal services need no consent."""
    said = func.coalesce(_last_word(Referral.service), "") == ConsentState.GIVEN.value
    takes_part = func.coalesce(_last_word(literal(TAKE_PART)), ConsentState.GIVEN.value) == ConsentState.GIVEN.value
    return and_(Referral.internal.is_(False), ~and_(said, takes_part))


def _last_word(service: ColumnElement[str] | InstrumentedAttribute[str]) -> ScalarSelect[str]:
    """The client's last word on a service, as consents.latest finds it."""
    return (
        select(type_coerce(Consent.state, String))
        .outerjoin(Observation, Observation.submission_id == Consent.submission_id)
        .where(Consent.client_id == Referral.client_id, Consent.service == service, consents.counts())
        .order_by(Consent.given_on.desc(), Consent.recorded_at.desc(), Consent.id)
        .limit(1)
        .correlate(Referral)
        .scalar_subquery()
    )


def _wanted(items: Subquery, wanted: Wanted) -> Subquery:
    chosen = select(items).where(_in_view(items, wanted.view))
    if wanted.group:
        chosen = chosen.where(items.c.grp == wanted.group)
    for name in ("state", "urgency", "service"):
        if value := wanted.filters.get(name):
            chosen = chosen.where(items.c[name] == value)
    if wanted.area:
        below = exists().where(AreaWithin.ancestor == wanted.area, AreaWithin.area_code == items.c.area)
        chosen = chosen.where(below)
    return chosen.subquery("wanted")


def _in_view(items: Subquery, view: View) -> ColumnElement[bool]:
    open_ = items.c.grp != Group.CLOSED
    conditions: Mapping[View, ColumnElement[bool]] = {
        View.TODAY: items.c.grp.in_(TODAY),
        View.OVERDUE: items.c.late == 1,
        View.APPROVE: items.c.state == ReferralState.PROPOSED.value,
        View.UNANSWERED: items.c.state == ReferralState.SENT.value,
        View.NO_SHOW: items.c.state == ReferralState.NO_SHOW.value,
        View.CONSENT: items.c.unconsented == 1,
        View.OPEN: open_,
        View.ALL: literal(True),
    }
    return conditions[view]


def _order(items: Subquery) -> tuple[ColumnElement[object], ...]:
    """Same-day work first, then what is due soonest; a flag without a due time counts from the day it was raised."""
    same_day = case((items.c.urgency == Urgency.SAME_DAY, 0), else_=1)
    closed_last = case((items.c.grp == Group.CLOSED, items.c.since), else_=null()).desc()
    return (same_day, closed_last, func.coalesce(items.c.due_at, items.c.since), items.c.since, items.c.id)


def _loaded(session: Session, places: list[tuple[str, uuid.UUID, str]]) -> tuple[Item, ...]:
    referrals = _load_referrals(session, [key for kind, key, _ in places if kind == "referral"])
    flags = _load_flags(session, [key for kind, key, _ in places if kind == "flag"])
    items = []
    for kind, key, group in places:
        loaded = (referrals if kind == "referral" else flags)[key]
        items.append(Item(Group(group), *loaded))
    return tuple(items)


_Loaded = tuple[
    Referral | Flag,
    Client,
    Decision | None,
    Service | None,
    Provider | None,
    str | None,
    tuple[str, str] | None,
]


def _load_referrals(session: Session, keys: Iterable[uuid.UUID]) -> dict[uuid.UUID, _Loaded]:
    rows = session.execute(
        select(Referral, Client, Decision, Service, Provider, User.code, Submission.form_id, Submission.form_version)
        .join(Client, Client.id == Referral.client_id)
        .join(Service, Service.code == Referral.service)
        .outerjoin(Decision, Decision.id == Referral.decision_id)
        .outerjoin(Submission, Submission.id == Decision.submission_id)
        .outerjoin(Provider, Provider.code == Referral.provider_code)
        .outerjoin(User, User.id == Referral.worker_id)
        .where(Referral.id.in_(list(keys)))
    )
    return {
        referral.id: (referral, client, decision, service, provider, code, (form, version) if decision else None)
        for referral, client, decision, service, provider, code, form, version in rows
    }


def _load_flags(session: Session, keys: Iterable[uuid.UUID]) -> dict[uuid.UUID, _Loaded]:
    rows = session.execute(
        select(Flag, Client, Decision, User.code, Submission.form_id, Submission.form_version)
        .join(Client, Client.id == Flag.client_id)
        .join(Decision, Decision.id == Flag.decision_id)
        .join(Submission, Submission.id == Decision.submission_id)
        .outerjoin(User, User.id == Client.worker_id)
        .where(Flag.id.in_(list(keys)))
    )
    return {
        flag.id: (flag, client, decision, None, None, code, (form, version))
        for flag, client, decision, code, form, version in rows
    }
