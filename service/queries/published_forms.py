"""What phones are offered: forms, their XForms and media. Blobs are read only where they are served."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from service.tables import FormMedia, FormVersion, VersionState


class OfferedForm(NamedTuple):
    id: uuid.UUID
    form_id: str
    title: str
    version: str
    md5: str
    has_media: bool


class ServedXForm(NamedTuple):
    form_id: str
    md5: str
    xform: bytes


class OfferedMedia(NamedTuple):
    id: uuid.UUID
    filename: str
    md5: str


class ServedMedia(NamedTuple):
    form_id: str
    filename: str
    content_type: str
    md5: str
    content: bytes


def offered(session: Session) -> Sequence[OfferedForm]:
    """The live version of each form, by form id."""
    has_media = exists().where(FormMedia.form_version_id == FormVersion.id)
    rows = session.execute(
        select(FormVersion.id, FormVersion.form_id, FormVersion.title, FormVersion.version, FormVersion.md5, has_media)
        .where(FormVersion.state == VersionState.LIVE)
        .order_by(FormVersion.form_id)
    )
    return [OfferedForm(*row) for row in rows]


def is_known(session: Session, form_id: str) -> bool:
    """True where any version of it was ever published."""
    return session.scalar(select(exists().where(FormVersion.form_id == form_id))) is True


def xform(session: Session, version_id: uuid.UUID) -> ServedXForm | None:
    """The XForm of a version that is live or was so lately: a phone may hold a list of a minute ago."""
    row = session.execute(
        select(FormVersion.form_id, FormVersion.md5, FormVersion.xform).where(
            FormVersion.id == version_id, FormVersion.state != VersionState.CLOSED
        )
    ).one_or_none()
    return ServedXForm(*row) if row else None


def form_of(session: Session, version_id: uuid.UUID) -> str | None:
    """The form id of such a version."""
    return session.scalar(
        select(FormVersion.form_id).where(FormVersion.id == version_id, FormVersion.state != VersionState.CLOSED)
    )


def media(session: Session, version_id: uuid.UUID) -> Sequence[OfferedMedia]:
    """The files beside a form, by name."""
    rows = session.execute(
        select(FormMedia.id, FormMedia.filename, FormMedia.md5)
        .where(FormMedia.form_version_id == version_id)
        .order_by(FormMedia.filename)
    )
    return [OfferedMedia(*row) for row in rows]


def media_file(session: Session, version_id: uuid.UUID, media_id: uuid.UUID) -> ServedMedia | None:
    row = session.execute(
        select(FormVersion.form_id, FormMedia.filename, FormMedia.content_type, FormMedia.md5, FormMedia.content)
        .join(FormVersion, FormVersion.id == FormMedia.form_version_id)
        .where(FormVersion.id == version_id, FormMedia.id == media_id, FormVersion.state != VersionState.CLOSED)
    ).one_or_none()
    return ServedMedia(*row) if row else None
