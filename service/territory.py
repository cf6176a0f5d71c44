"""The programme's areas, services and providers as tables: rights and referrals ask for them in every query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from forms.sheets import Cell, Finding, Level, Text
from rules.programme import Programme
from service.tables import Area, AreaWithin, Provider, Service


@dataclass(frozen=True, slots=True)
class Within:
    """`area` lies within `ancestor` from `valid_from` to `valid_to`, both days included; None is open."""

    ancestor: str
    area: str
    valid_from: date | None
    valid_to: date | None


def spread(session: Session, programme: Programme) -> None:
    """Bring the tables to what the programme says. Rows that it no longer names stay, but closed."""
    for area in programme.areas:
        session.merge(
            Area(
                code=area.code,
                parent_code=area.parent or None,
                labels=dict(area.labels),
                project=area.project,
                valid_from=area.valid_from,
                valid_to=area.valid_to,
            )
        )
    for service in programme.services:
        session.merge(
            Service(
                code=service.code,
                labels=dict(service.labels),
                internal=service.internal,
                compartment=service.compartment,
                urgency=service.urgency.value,
                completed_by=service.completed_by,
                offered=True,
            )
        )
    _spread_providers(session, programme)
    session.flush()
    offered = [item.code for item in programme.services]
    session.execute(update(Service).where(Service.code.not_in(offered)).values(offered=False))
    named = [item.code for item in programme.providers]
    session.execute(update(Provider).where(Provider.code.not_in(named)).values(active=False))
    _unroll(session)


def _spread_providers(session: Session, programme: Programme) -> None:
    for provider in programme.providers:
        session.merge(
            Provider(
                code=provider.code,
                labels=dict(provider.labels),
                services=list(provider.services),
                areas=list(provider.areas),
                details={**provider.details, "capacity_per_week": provider.capacity_per_week},
                active=provider.active,
            )
        )


def dropped(session: Session, programme: Programme, file: str) -> tuple[Finding, ...]:
    """Areas that stand in the table and no longer in the sheet: they keep their place, and the author should know."""
    named = [item.code for item in programme.areas]
    gone = session.scalars(select(Area.code).where(Area.code.not_in(named)).order_by(Area.code))
    return tuple(
        Finding(
            "programme.area-dropped",
            Level.WARNING,
            Cell("areas"),
            Text(f"Địa bàn '{code}' không còn trong trang này.", f"Area '{code}' is no longer in this sheet."),
            Text(
                "Hồ sơ cũ vẫn giữ địa bàn này. Thêm lại dòng với valid_to nếu địa bàn đã hết hiệu lực.",
                "Its records keep it. Put the row back with a valid_to if the area has ended.",
            ),
            file,
        )
        for code in gone
    )


def _unroll(session: Session) -> None:
    """Over all areas of the table: records of an area that the sheet dropped must stay in somebody's sight."""
    areas = {item.code: item for item in session.scalars(select(Area))}
    rows = [
        {"ancestor": item.ancestor, "area_code": item.area, "valid_from": item.valid_from, "valid_to": item.valid_to}
        for item in closure(areas.values())
    ]
    session.execute(delete(AreaWithin))
    if rows:
        session.execute(insert(AreaWithin), rows)


def closure(areas: Iterable[Area]) -> Iterator[Within]:
    """Each area within itself and within each ancestor, for the days on which the whole chain between them holds."""
    by_code: Mapping[str, Area] = {item.code: item for item in areas}
    for item in by_code.values():
        at: Area | None = item
        start, end = item.valid_from, item.valid_to
        seen: set[str] = set()
        while at is not None and at.code not in seen:
            seen.add(at.code)
            start, end = _later(start, at.valid_from), _earlier(end, at.valid_to)
            if start is not None and end is not None and start > end:
                break
            yield Within(at.code, item.code, start, end)
            at = by_code.get(at.parent_code or "")


def _later(one: date | None, other: date | None) -> date | None:
    return max((day for day in (one, other) if day is not None), default=None)


def _earlier(one: date | None, other: date | None) -> date | None:
    return min((day for day in (one, other) if day is not None), default=None)
