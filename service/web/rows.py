"""Rows of the queue in words: what is due, how late, why, and who has it, without opening anything."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from rules import decision as decisions
from service.queries.queue import WAITING, Group, Item
from service.tables import FINAL_STATES, Flag, Provider, Referral
from service.web import due, words
from service.web.due import Ruler
from service.web.language import Reader
from service.web.reasons import Insight
from service.web.visitor import Visitor
from service.web.words import Mark


@dataclass(frozen=True, slots=True)
class Progress:
    """A state in a word, and how far it is: `step` of `of`. `ended` where it went no further."""

    word: str
    step: int
    of: int
    ended: bool


@dataclass(frozen=True, slots=True)
class QueueRow:
    """What one row prints. `why` is None where the reason is protected; `ruler` where nothing is due any more."""

    href: str
    code: str
    area: str
    urgency: Mark | None
    why: str | None
    service: str
    beside: str
    ruler: Ruler | None
    due: str
    progress: Progress | None
    worker: str


@dataclass(frozen=True, slots=True)
class Section:
    """A group with its rows; `total` counts those that are on no page yet too."""

    group: Group
    rows: tuple[QueueRow, ...]
    total: int


def sections(
    visitor: Visitor,
    session: Session,
    items: Sequence[Item],
    totals: Mapping[Group, int],
    areas: Mapping[str, Mapping[str, str]],
) -> tuple[Section, ...]:
    """The rows by group. Only the decisions of these rows are opened."""
    found = insights(visitor, session, items)
    made = [(item.group, _row(visitor, item, found, areas)) for item in items]
    return tuple(
        Section(group, rows, totals[group])
        for group in Group
        if (rows := tuple(row for its_group, row in made if its_group is group))
    )


def insights(visitor: Visitor, session: Session, items: Sequence[Item]) -> Mapping[uuid.UUID, Insight]:
    """What may be said of each item's decision, by the id of its row; one whose key was erased is left out."""
    if visitor.programme is None:
        return {}
    rows = {item.decision.id: item for item in items if item.decision is not None}
    sealed = [(item.decision.key_id, item.decision.sealed_decision) for item in rows.values() if item.decision]
    found = {}
    for (key, item), plain in zip(rows.items(), visitor.context.vault.open_many(sealed, "decision"), strict=True):
        if plain is not None:
            form = visitor.context.form(session, *item.form) if item.form else None
            decision = decisions.from_json(json.loads(plain))
            found[key] = Insight(decision, visitor.who, visitor.reader, visitor.programme, form=form)
    return found


def progress(reader: Reader, referral: Referral) -> Progress:
    steps = words.INTERNAL_STEPS if referral.internal else words.STEPS
    step = words.step_of(referral)
    ended = referral.state in FINAL_STATES and step < len(steps)
    return Progress(reader.gettext(words.STATE[referral.state]), step, len(steps), ended)


def ruler(reader: Reader, referral: Referral, now: datetime) -> Ruler | None:
    """None once the person has arrived, or the referral has ended: nothing is due any more."""
    if referral.state not in WAITING:
        return None
    return due.ruler(reader, start=referral.created_at, due=referral.due_at, now=now)


def referral_why(reader: Reader, insight: Insight | None, referral: Referral) -> str | None:
    """Why the referral is there, in a sentence; None where that is protected."""
    if referral.decision_id is None:
        return reader.label(referral.messages) or reader.gettext("Tạo bằng tay")
    if insight is None:
        return None
    return insight.sentence(insight.referral_reasons(referral.service), referral.level) or None


def provider_words(reader: Reader, referral: Referral, provider: Provider | None) -> str:
    if referral.internal:
        return reader.gettext("làm trong chương trình")
    return reader.label(provider.labels, provider.code) if provider else reader.gettext("chưa chọn cơ sở")


@dataclass(frozen=True, slots=True)
class _Whose:
    """What every row begins and ends with."""

    code: str
    area: str
    worker: str


def _row(
    visitor: Visitor, item: Item, found: Mapping[uuid.UUID, Insight], areas: Mapping[str, Mapping[str, str]]
) -> QueueRow:
    reader, area = visitor.reader, item.client.area_code or ""
    insight = found.get(item.decision.id) if item.decision else None
    whose = _Whose(
        item.client.code,
        reader.label(areas.get(area, {}), area),
        item.worker_code or reader.gettext("Chưa giao"),
    )
    if isinstance(item.subject, Referral):
        return _referral_row(visitor, item, item.subject, insight, whose)
    return _flag_row(visitor, item.subject, insight, whose)


def _referral_row(visitor: Visitor, item: Item, referral: Referral, insight: Insight | None, whose: _Whose) -> QueueRow:
    reader = visitor.reader
    return QueueRow(
        href=f"/referrals/{referral.number}",
        code=whose.code,
        area=whose.area,
        urgency=words.URGENCY.get(referral.urgency),
        why=referral_why(reader, insight, referral),
        service=reader.label(item.service.labels, referral.service) if item.service else referral.service,
        beside=provider_words(reader, referral, item.provider),
        ruler=ruler(reader, referral, visitor.now),
        due=reader.moment(referral.due_at),
        progress=progress(reader, referral),
        worker=whose.worker,
    )


def _flag_row(visitor: Visitor, flag: Flag, insight: Insight | None, whose: _Whose) -> QueueRow:
    reader = visitor.reader
    measure = due.ruler(reader, start=flag.raised_at, due=flag.due_at, now=visitor.now) if flag.due_at else None
    return QueueRow(
        href=f"/flags/{flag.id}",
        code=whose.code,
        area=whose.area,
        urgency=words.URGENCY.get(flag.urgency or ""),
        why=flag_why(insight, flag),
        service=reader.gettext("Cảnh báo"),
        beside=reader.gettext(words.LEVEL[flag.level]) if flag.level in words.LEVEL else "",
        ruler=measure,
        due=reader.moment(flag.due_at) if flag.due_at else "",
        progress=None,
        worker=whose.worker,
    )


def flag_why(insight: Insight | None, flag: Flag) -> str | None:
    """What was found, in a sentence; None where that is protected."""
    return (insight.sentence(insight.flag_reasons(flag.code), flag.level) or None) if insight else None
