"""What is published: forms, rules, programme; every version, and its workbook as it was uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from service.tables import FormVersion, ProgrammeVersion, RulebookVersion, User, VersionState


class Kind(StrEnum):
    FORMS = "forms"
    RULES = "rules"
    PROGRAMME = "programme"


@dataclass(frozen=True, slots=True)
class Version:
    """A published workbook, without its bytes. `by` None: published from the command line."""

    id: UUID
    kind: Kind
    name: str
    version: str
    title: str
    state: VersionState
    workbook_name: str
    at: datetime
    by: str | None


_Row = TypeVar("_Row", FormVersion, RulebookVersion, ProgrammeVersion)


def versions(session: Session, kind: Kind) -> Sequence[Version]:
    """All versions, the latest first. A programme has neither number nor title: file and hash stand for them."""
    if kind is Kind.FORMS:
        return _versions(session, kind, FormVersion)
    if kind is Kind.RULES:
        return _versions(session, kind, RulebookVersion)
    return _versions(session, kind, ProgrammeVersion)


def _versions(session: Session, kind: Kind, table: type[_Row]) -> Sequence[Version]:
    found = session.execute(
        select(table, User.code)
        .outerjoin(User, User.id == table.published_by)
        .options(defer(table.workbook, raiseload=True))
        .order_by(table.published_at.desc(), table.id)
    )
    return [
        Version(row.id, kind, *_named(row), row.state, row.workbook_name, row.published_at, code) for row, code in found
    ]


def _named(row: FormVersion | RulebookVersion | ProgrammeVersion) -> tuple[str, str, str]:
    if isinstance(row, FormVersion):
        return row.form_id, row.version, row.title
    if isinstance(row, RulebookVersion):
        return row.rulebook_id, row.version, row.title
    return row.workbook_name, row.content_hash[:8], row.workbook_name


def workbook(session: Session, kind: Kind, version_id: UUID) -> tuple[str, bytes] | None:
    """Name and bytes of a version's workbook, as it was uploaded."""
    if kind is Kind.FORMS:
        return _workbook(session, FormVersion, version_id)
    if kind is Kind.RULES:
        return _workbook(session, RulebookVersion, version_id)
    return _workbook(session, ProgrammeVersion, version_id)


def _workbook(session: Session, table: type[_Row], version_id: UUID) -> tuple[str, bytes] | None:
    row = session.get(table, version_id)
    return (row.workbook_name, row.workbook) if row else None
