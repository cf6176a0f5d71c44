"""What deciding needs besides the database, and what one batch has in hand."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from rules.programme import Programme
from service.in_force import InForce, Shelf
from service.sealing import Vault


@dataclass(frozen=True)
class Desk:
    """What deciding needs besides the database. `crosscheck`: always, sample or off."""

    vault: Vault
    shelf: Shelf = field(default_factory=Shelf)
    crosscheck: str = "always"


@dataclass(frozen=True)
class Work:
    """One batch: session, time, and what is in force."""

    session: Session
    desk: Desk
    force: InForce
    now: datetime
    alone: frozenset[uuid.UUID]

    @property
    def programme(self) -> Programme:
        return self.force.programme

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.programme.settings.timezone)

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()
