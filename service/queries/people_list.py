"""Users, where they work, and their phones: for administrators. No case content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from service.tables import Device, User, UserArea


@dataclass(frozen=True, slots=True)
class Person:
    """A user with the areas that hold today, and her phones that were not revoked."""

    user: User
    areas: tuple[str, ...]
    devices: tuple[Device, ...]


def people(session: Session, today: date) -> Sequence[Person]:
    """All users by name, the disabled ones last."""
    users = session.scalars(
        select(User).options(selectinload(User.areas)).order_by(User.disabled_at.is_not(None), User.username)
    ).all()
    devices: dict[object, list[Device]] = {}
    for device in session.scalars(select(Device).where(Device.revoked_at.is_(None)).order_by(Device.created_at)):
        devices.setdefault(device.user_id, []).append(device)
    return [
        Person(
            user,
            tuple(area.area_code for area in user.areas if _holds(area, today)),
            tuple(devices.get(user.id, ())),
        )
        for user in users
    ]


def _holds(area: UserArea, today: date) -> bool:
    return (area.valid_from is None or area.valid_from <= today) and (area.valid_to is None or area.valid_to >= today)
