"""What the page of one referral or flag tells: why it is there, how far it is, what happened, what was agreed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from rules import decision as decisions
from service import observations
from service.queries.referral_view import Ground, Happening, ReferralView
from service.sealing import Erased
from service.tables import FINAL_STATES, Referral
from service.web import words
from service.web.reasons import Insight
from service.web.visitor import Visitor


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a referral: `style` is done, now or blank; `beside` a day or who is waited for."""

    word: str
    style: str
    beside: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of the timeline. `by` None is the system."""

    word: str
    at: str
    by: str | None
    reason: str
    note: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where the answers came from: form, version, day, sender; and which rules looked at them, when."""

    form: str
    version: str
    day: str
    received: str
    sender: str
    rulebook: str
    decided: str


def insight(visitor: Visitor, session: Session, ground: Ground | None) -> Insight | None:
    """The decision opened, with the answers that it rests on; None where there is none, or its key was erased."""
    if ground is None or visitor.programme is None:
        return None
    vault, submission = visitor.context.vault, ground.submission
    form = visitor.context.form(session, submission.form_id, submission.form_version)
    try:
        sealed = vault.open(ground.decision.key_id, ground.decision.sealed_decision, "decision")
        kept = ground.observation
        plain = vault.open(kept.key_id, kept.sealed_answers, "answers") if kept and form else None
    except Erased:
        return None
    answers = observations.unpack(plain, form)[0] if plain and form else {}
    return Insight(
        decision=decisions.from_json(json.loads(sealed)),
        viewer=visitor.who,
        reader=visitor.reader,
        programme=visitor.programme,
        form=form,
        answers=answers,
    )


def source(visitor: Visitor, session: Session, ground: Ground) -> Source:
    reader, submission = visitor.reader, ground.submission
    form = visitor.context.form(session, submission.form_id, submission.form_version)
    return Source(
        form=form.title if form else submission.form_id,
        version=submission.form_version,
        day=reader.day(ground.decision.event_date),
        received=reader.moment(submission.received_at),
        sender=ground.sender_code or "",
        rulebook=f"{ground.rulebook_title} {ground.rulebook_version}",
        decided=reader.moment(ground.decision.decided_at),
    )


def steps(visitor: Visitor, referral: Referral, *, waits_for_viewer: bool) -> Sequence[Step]:
    reader = visitor.reader
    names = words.INTERNAL_STEPS if referral.internal else words.STEPS
    made, ended = words.step_of(referral), referral.state in FINAL_STATES
    found = []
    for number, name in enumerate(names, 1):
        beside = reader.short_day(referral.created_at) if number == 1 else ""
        if number == made > 1:
            beside = reader.short_day(referral.state_since)
        style = "done" if number <= made else "now" if number == made + 1 and not ended else ""
        if style == "now" and waits_for_viewer:
            beside = reader.gettext("chờ bạn")
        found.append(Step(reader.gettext(name), style, beside))
    return found


def timeline(visitor: Visitor, view: ReferralView) -> Sequence[Moment]:
    """What happened, newest first, down to the form that began it."""
    reader = visitor.reader
    found = [_moment(visitor, item) for item in view.events]
    if view.ground is not None:
        submission = view.ground.submission
        word = reader.gettext("Biểu mẫu gửi đến từ điện thoại")
        found.append(Moment(word, reader.moment(submission.received_at), view.ground.sender_code, "", ""))
    return found


def _moment(visitor: Visitor, item: Happening) -> Moment:
    reader, event = visitor.reader, item.event
    word = words.EVENT.get(event.event) or words.STATE.get(event.to_state, event.event)
    reason = words.REASON.get(event.reason)
    return Moment(
        reader.gettext(word),
        reader.moment(event.at),
        item.actor_code,
        reader.gettext(reason) if reason else "",
        _note(visitor, item),
    )


def _note(visitor: Visitor, item: Happening) -> str:
    event = item.event
    if event.sealed_note is None or event.key_id is None:
        return ""
    try:
        return visitor.context.vault.open(event.key_id, event.sealed_note, "note").decode()
    except Erased:
        return ""
