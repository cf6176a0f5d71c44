"""Publish a form, a rules workbook or a programme workbook: check, keep a version; and load what is in force.

A published version is immutable: phones and decisions refer to it by name for years. Publishing the same content again
changes nothing; publishing a former version again brings it back (a rollback).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from forms import definition as form_json
from forms import gate
from forms.definition import FormDefinition
from forms.sheets import Cell, Checked, Finding, Level, Text
from forms.workbook import read
from rules import model, programme
from rules.programme import Programme
from rules.workbook import read_rules
from service import audit, territory, trial
from service.tables import FormMedia, FormVersion, ProgrammeVersion, RulebookVersion, VersionState
from service.trial import Case

#: Versions whose submissions are still taken.
ACCEPTED = (VersionState.LIVE, VersionState.CLOSING)


@dataclass(frozen=True, slots=True)
class Published:
    """`id` of the version that is in force now; None where an error stood in the way, and then nothing was changed."""

    id: uuid.UUID | None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file that a form needs beside it."""

    filename: str
    content_type: str
    content: bytes

    @property
    def md5(self) -> str:
        # Collect compares files by MD5; it is no protection and is not meant as one.
        return hashlib.md5(self.content, usedforsecurity=False).hexdigest()


# ---- forms ----------------------------------------------------------------------------------------


def publish_form(
    session: Session,
    workbook: bytes,
    file: str,
    *,
    by: uuid.UUID | None,
    now: datetime,
    media: Sequence[MediaFile] = (),
    require_validate: bool = False,
    java: str | None = None,
) -> Published:
    """Check a form's workbook and make it the live version; the former one is closing: still taken, not listed.

    The checks take seconds (pyxform, ODK Validate) and come before the first question to the database, so that a
    session that has asked nothing yet keeps no upload waiting.
    """
    checked = gate.gate(workbook, file, require_validate=require_validate, java=java)
    return keep_form(session, checked, workbook, file, by=by, now=now, media=media)


def keep_form(
    session: Session,
    checked: Checked[FormDefinition],
    workbook: bytes,
    file: str,
    *,
    by: uuid.UUID | None,
    now: datetime,
    media: Sequence[MediaFile] = (),
) -> Published:
    """The second half of publish_form, for a workbook that has been through the gate."""
    if checked.value is None or checked.errors:
        return Published(None, checked.findings)
    form = checked.value
    same = session.scalars(
        select(FormVersion).where(FormVersion.form_id == form.form_id, FormVersion.version == form.version)
    ).one_or_none()
    findings = (*checked.findings, *_media_findings(form, media, file), *_broken_rules(session, form))
    if same is not None and not _same_form(session, same, form, media):
        findings = (*findings, _taken("settings", form.form_id, form.version, file))
    if _blocked(findings):
        return Published(None, findings)
    if same is not None and same.state is VersionState.LIVE:
        return Published(same.id, findings)
    _retire(session, FormVersion, VersionState.CLOSING, FormVersion.form_id == form.form_id)
    row = same or _form_row(form, workbook, file)
    _put_in_force(session, row, by, now)
    if same is None:
        _keep_media(session, row, media)
    audit.record(session, at=now, actor=by, action="form.published", kind="form", object_id=str(row.id))
    return Published(row.id, findings)


def _form_row(form: FormDefinition, workbook: bytes, file: str) -> FormVersion:
    return FormVersion(
        id=uuid.uuid4(),
        form_id=form.form_id,
        version=form.version,
        title=form.title,
        xform=form.xform,
        md5=form.md5,
        content_hash=form.content_hash,
        workbook=workbook,
        workbook_name=file,
        definition=form_json.to_json(form),
    )


def _keep_media(session: Session, row: FormVersion, media: Sequence[MediaFile]) -> None:
    session.flush()
    for item in media:
        session.add(
            FormMedia(
                id=uuid.uuid4(),
                form_version_id=row.id,
                filename=item.filename,
                content_type=item.content_type,
                md5=item.md5,
                content=item.content,
            )
        )


def _same_form(session: Session, row: FormVersion, form: FormDefinition, media: Sequence[MediaFile]) -> bool:
    """Whether this is what was published under that version; media count only where files were given."""
    kept = session.execute(select(FormMedia.filename, FormMedia.md5).where(FormMedia.form_version_id == row.id))
    given = {item.filename: item.md5 for item in media}
    return row.content_hash == form.content_hash and (not given or given == dict(kept.all()))


def _media_findings(form: FormDefinition, media: Sequence[MediaFile], file: str) -> tuple[Finding, ...]:
    given = {item.filename for item in media}
    return tuple(
        Finding(
            "form.media-missing",
            Level.WARNING,
            Cell("survey"),
            Text(f"Biểu mẫu cần tệp '{name}' nhưng chưa có.", f"The form needs the file '{name}', which is missing."),
            Text("Tải tệp lên cùng biểu mẫu.", "Upload the file together with the form."),
            file,
        )
        for name in form.media
        if given and name not in given
    )


def _broken_rules(session: Session, form: FormDefinition) -> tuple[Finding, ...]:
    """What the live rules would say of the new version and do not say today: phones must not outrun the rules."""
    row = _live(session, RulebookVersion)
    if row is None:
        return ()
    today, plan = accepted_forms(session), live_programme(session)
    before = Case(model.from_json(row.rulebook), today, plan, row.workbook_name)
    return _news(before, replace(before, forms=(form, *today)))


def _news(before: Case, after: Case) -> tuple[Finding, ...]:
    """What is found after a change and was not found before it."""
    old, new = trial.findings([before, after])
    return tuple(item for item in new if item not in old)


# ---- rules ----------------------------------------------------------------------------------------


def publish_rules(session: Session, workbook: bytes, file: str, *, by: uuid.UUID | None, now: datetime) -> Published:
    """Check a rules workbook against forms and programme, run its tests, and put it in force.

    One rulebook is in force at a time, whatever its id: two that both raised and ended flags would undo each other's.
    Outcomes of the former one stay as they are.
    """
    rulebook, findings = _read_rulebook(workbook, file)
    if rulebook is None:
        return Published(None, findings)
    findings = (*findings, *_rule_findings(session, rulebook, file))
    same = session.scalars(
        select(RulebookVersion).where(
            RulebookVersion.rulebook_id == rulebook.settings.rulebook_id,
            RulebookVersion.version == rulebook.settings.version,
        )
    ).one_or_none()
    if same is not None and same.content_hash != rulebook.content_hash:
        findings = (*findings, _taken("settings", rulebook.settings.rulebook_id, rulebook.settings.version, file))
    if _blocked(findings):
        return Published(None, findings)
    if same is not None and same.state is VersionState.LIVE:
        return Published(same.id, findings)
    _retire(session, RulebookVersion, VersionState.CLOSED)
    row = same or _rulebook_row(rulebook, workbook, file)
    _put_in_force(session, row, by, now)
    audit.record(session, at=now, actor=by, action="rules.published", kind="rulebook", object_id=str(row.id))
    return Published(row.id, findings)


def _read_rulebook(workbook: bytes, file: str) -> tuple[model.Rulebook | None, tuple[Finding, ...]]:
    book = read(workbook, file)
    if book.value is None or book.errors:
        return None, book.findings
    checked = read_rules(book.value)
    findings = (*book.findings, *checked.findings)
    return (None if checked.errors else checked.value), findings


def _rule_findings(session: Session, rulebook: model.Rulebook, file: str) -> tuple[Finding, ...]:
    (found,) = trial.findings([Case(rulebook, accepted_forms(session), live_programme(session), file, run=True)])
    return found


def _rulebook_row(rulebook: model.Rulebook, workbook: bytes, file: str) -> RulebookVersion:
    return RulebookVersion(
        id=uuid.uuid4(),
        rulebook_id=rulebook.settings.rulebook_id,
        version=rulebook.settings.version,
        title=_title(rulebook.settings.title),
        content_hash=rulebook.content_hash,
        workbook=workbook,
        workbook_name=file,
        rulebook=model.to_json(rulebook),
    )


def _title(titles: Mapping[str, str]) -> str:
    """The title in the first language that the author wrote."""
    return next(iter(titles.values()), "")


# ---- the programme --------------------------------------------------------------------------------


def publish_programme(
    session: Session, workbook: bytes, file: str, *, by: uuid.UUID | None, now: datetime
) -> Published:
    """Check a programme workbook, put it in force, and spread its areas, services and providers into their tables.

    Nothing is deleted there: what the sheet no longer names is closed, because old referrals still point to it.
    """
    book = read(workbook, file)
    if book.value is None or book.errors:
        return Published(None, book.findings)
    checked = programme.read_programme(book.value)
    findings = (*book.findings, *checked.findings)
    if checked.value is None or checked.errors:
        return Published(None, findings)
    plan = checked.value
    findings = (
        *findings,
        *programme.check_fields(plan, accepted_forms(session), file),
        *_rules_without(session, plan),
        *territory.dropped(session, plan, file),
    )
    if _blocked(findings):
        return Published(None, findings)
    digest = _digest(programme.to_json(plan))
    same = session.scalars(select(ProgrammeVersion).where(ProgrammeVersion.content_hash == digest)).one_or_none()
    if same is not None and same.state is VersionState.LIVE:
        return Published(same.id, findings)
    _retire(session, ProgrammeVersion, VersionState.CLOSED)
    row = same or _programme_row(plan, digest, workbook, file)
    _put_in_force(session, row, by, now)
    territory.spread(session, plan)
    audit.record(session, at=now, actor=by, action="programme.published", kind="programme", object_id=str(row.id))
    return Published(row.id, findings)


def _programme_row(plan: Programme, digest: str, workbook: bytes, file: str) -> ProgrammeVersion:
    return ProgrammeVersion(
        id=uuid.uuid4(),
        content_hash=digest,
        workbook=workbook,
        workbook_name=file,
        programme=programme.to_json(plan),
    )


def _rules_without(session: Session, plan: Programme) -> tuple[Finding, ...]:
    """What the live rules would say under the new programme and do not say under the live one."""
    row = _live(session, RulebookVersion)
    if row is None:
        return ()
    before = Case(model.from_json(row.rulebook), accepted_forms(session), live_programme(session), row.workbook_name)
    return _news(before, replace(before, programme=plan))


def _digest(data: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of the canonical JSON."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# ---- what all three share -------------------------------------------------------------------------

_Version = FormVersion | RulebookVersion | ProgrammeVersion


def _blocked(findings: Iterable[Finding]) -> bool:
    return any(item.level is Level.ERROR for item in findings)


def _retire(session: Session, table: type[_Version], state: VersionState, *which: Any) -> None:
    """Take the live version out of force. In the database first: at no moment may two be live."""
    session.execute(update(table).where(table.state == VersionState.LIVE, *which).values(state=state))


def _put_in_force(session: Session, row: _Version, by: uuid.UUID | None, now: datetime) -> None:
    row.state, row.published_at, row.published_by = VersionState.LIVE, now, by
    session.add(row)
    session.flush()


def _taken(sheet: str, name: str, version: str, file: str) -> Finding:
    return Finding(
        "publish.version-taken",
        Level.ERROR,
        Cell(sheet, None, "version"),
        Text(
            f"'{name}' phiên bản '{version}' đã được công bố với nội dung khác.",
            f"'{name}' version '{version}' is already published with other content.",
        ),
        Text("Đặt số phiên bản mới rồi công bố lại.", "Write a new version, then publish again."),
        file,
    )


# ---- loading --------------------------------------------------------------------------------------


def live_forms(session: Session) -> Sequence[FormVersion]:
    """The versions that phones are offered, by form id."""
    return session.scalars(
        select(FormVersion).where(FormVersion.state == VersionState.LIVE).order_by(FormVersion.form_id)
    ).all()


def accepted_forms(session: Session) -> tuple[FormDefinition, ...]:
    """Definitions of all versions whose submissions are taken, the live one of each form first."""
    rows = session.execute(
        select(FormVersion.definition, FormVersion.xform)
        .where(FormVersion.state.in_(ACCEPTED))
        .order_by(FormVersion.form_id, FormVersion.state.desc(), FormVersion.published_at.desc())
    )
    return tuple(form_json.from_json(data, xform) for data, xform in rows)


def live_programme(session: Session) -> Programme | None:
    data = session.scalar(select(ProgrammeVersion.programme).where(ProgrammeVersion.state == VersionState.LIVE))
    return None if data is None else programme.from_json(data)


def today(session: Session, now: datetime) -> date:
    """The day in the programme's zone; in UTC until a programme is published."""
    plan = live_programme(session)
    return now.astimezone(ZoneInfo(plan.settings.timezone) if plan else UTC).date()


def live_rulebook(session: Session) -> model.Rulebook | None:
    row = _live(session, RulebookVersion)
    return None if row is None else model.from_json(row.rulebook)


def _live(session: Session, table: type[RulebookVersion]) -> RulebookVersion | None:
    state: InstrumentedAttribute[VersionState] = table.state
    return session.scalars(select(table).where(state == VersionState.LIVE)).one_or_none()
