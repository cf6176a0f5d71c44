"""Clients whom no supervisor sees: their areas ended, nobody supervises there, or neither area nor worker is known.

Rights follow areas with dates, so such a client would wait unseen. `ketnoi doctor` and the administrator are told how
many there are; who they are stays hidden until somebody is given the area.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from service.tables import AreaWithin, Client, Role, User, UserArea


def clients_out_of_sight(session: Session, today: date) -> dict[str, int]:
    """Number of clients by area code; "" stands for clients without an area whose worker has none either."""
    seen = _supervised(today)
    working = aliased(UserArea)
    placed = select(working.user_id).where(working.area_code.in_(seen), *_holding(working, today))
    lost = or_(
        and_(Client.area_code.is_not(None), Client.area_code.not_in(seen)),
        and_(Client.area_code.is_(None), or_(Client.worker_id.is_(None), Client.worker_id.not_in(placed))),
    )
    rows = session.execute(select(Client.area_code, func.count()).where(lost).group_by(Client.area_code))
    return {area or "": count for area, count in rows}


def _supervised(today: date) -> Select[str]:
    return (
        select(AreaWithin.area_code)
        .join(UserArea, UserArea.area_code == AreaWithin.ancestor)
        .join(User, User.id == UserArea.user_id)
        .where(
            User.role.in_((Role.SUPERVISOR, Role.COORDINATOR)),
            User.disabled_at.is_(None),
            *_holding(UserArea, today),
            *_holding(AreaWithin, today),
        )
    )


def _holding(table: type[UserArea] | type[AreaWithin], day: date) -> tuple[ColumnElement[bool], ...]:
    return (
        or_(table.valid_from.is_(None), table.valid_from <= day),
        or_(table.valid_to.is_(None), table.valid_to >= day),
    )
