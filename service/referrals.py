"""The life of a referral: which state may follow which, who may move it, and the gate that nothing passes unconsented.

Every change goes through `advance`, which writes what happened beside it, in the same transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NoReturn

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from forms.sheets import Text
from service import access, audit, publishing
from service.access import Action, Viewer
from service.queries import consents
from service.sealing import Vault
from service.tables import (
    FINAL_STATES,
    Attempt,
    Client,
    Provider,
    Referral,
    ReferralEvent,
    ReferralNumber,
    ReferralState,
    User,
)

S = ReferralState

#: The whole machine, to be read aloud (product §6). What does not stand here is not allowed.
NEXT: Mapping[ReferralState, tuple[ReferralState, ...]] = {
    S.PROPOSED: (S.APPROVED, S.NOT_CONSENTED, S.DECLINED_BY_CLIENT, S.WITHDRAWN, S.SUPERSEDED),
    # Superseded only where the system itself had approved it and nobody has acted on it since (product §5).
    S.APPROVED: (S.SENT, S.WITHDRAWN, S.DECLINED_BY_CLIENT, S.EXPIRED, S.SUPERSEDED),
    # People often arrive before anybody clicks "accept".
    S.SENT: (S.ACCEPTED, S.ATTENDED, S.REJECTED_BY_PROVIDER, S.NO_SHOW, S.WITHDRAWN, S.EXPIRED),
    S.ACCEPTED: (S.ATTENDED, S.NO_SHOW, S.ON_HOLD, S.WITHDRAWN, S.FAILED),
    S.ON_HOLD: (S.ACCEPTED, S.ATTENDED, S.WITHDRAWN, S.EXPIRED),
    S.NO_SHOW: (S.SENT, S.ACCEPTED, S.WITHDRAWN, S.EXPIRED),
    S.REJECTED_BY_PROVIDER: (S.SENT, S.WITHDRAWN),
    S.ATTENDED: (S.STARTED, S.COMPLETED, S.FAILED, S.WITHDRAWN),
    S.STARTED: (S.COMPLETED, S.ON_HOLD, S.FAILED, S.WITHDRAWN),
    **dict.fromkeys(FINAL_STATES, ()),
}

#: Internal work has no provider: it is approved at once, and the form that shows it was done completes it.
NEXT_INTERNAL: Mapping[ReferralState, tuple[ReferralState, ...]] = {
    **NEXT,
    S.APPROVED: (S.COMPLETED, S.WITHDRAWN, S.DECLINED_BY_CLIENT, S.EXPIRED, S.FAILED, S.SUPERSEDED),
}


class Reason(StrEnum):
    """Why a referral ends before it is completed (product §6)."""

    NO_CAPACITY = "no_capacity"
    NOT_ELIGIBLE = "not_eligible"
    COULD_NOT_CONTACT = "could_not_contact"
    NEEDS_CLIENT_ACTION = "needs_client_action"
    REFERRED_ELSEWHERE = "referred_elsewhere"
    NO_LONGER_INTERESTED = "no_longer_interested"
    OTHER = "other"


class SystemReason(StrEnum):
    """Why the system itself ended a referral: nobody had acted on it yet."""

    OBSERVATION_REPLACED = "observation_replaced"
    DECIDED_ANEW = "decided_anew"


class ReferralProblem(Exception):
    """Tree: TransitionRefused, ChangedMeanwhile, NotConsented, ProviderUnfit, NotAllowed, NoSuchReferral."""


class TransitionRefused(ReferralProblem):
    """A change that the machine does not know."""

    def __init__(self, state: ReferralState, to: ReferralState) -> None:
        super().__init__(f"{state} → {to}")
        self.state, self.to = state, to


class ChangedMeanwhile(ReferralProblem):
    """Somebody else was faster. `by` is the code of who it was, None for the system; `at` is when."""

    def __init__(self, state: ReferralState, by: str | None, at: datetime | None) -> None:
        super().__init__(f"now {state}")
        self.state, self.by, self.at = state, by, at


class NotConsented(ReferralProblem):
    """The client has not agreed, or no longer agrees, that this service be told. Nothing was sent."""

    def __init__(self, service: str) -> None:
        super().__init__(f"no standing consent for {service}")
        self.service = service


class ProviderUnfit(ReferralProblem):
    """The chosen provider cannot take this referral; `problem` says why."""

    def __init__(self, problem: Text) -> None:
        super().__init__(problem.en)
        self.problem = problem


class NotAllowed(ReferralProblem):
    """The viewer's function does not include this."""


class NoSuchReferral(ReferralProblem, LookupError):
    """There is none with this id, or the viewer may not see it; the two must look alike."""


@dataclass(frozen=True, slots=True)
class Step:
    """What happened, by whom (None: the system) and why. A note comes sealed, with the id of its key."""

    event: str
    at: datetime
    actor: uuid.UUID | None = None
    reason: str = ""
    rule_id: str = ""
    note: tuple[uuid.UUID, bytes] | None = None


# ---- the machine ----------------------------------------------------------------------------------


def allowed(referral: Referral) -> tuple[ReferralState, ...]:
    """The states that may follow now."""
    return (NEXT_INTERNAL if referral.internal else NEXT)[referral.state]


def advance(session: Session, referral: Referral, to: ReferralState, step: Step) -> None:
    """Move a referral, and write event and audit beside it. Raises TransitionRefused.

    The caller holds the client's lock, so the state that was read is the state that stands.
    """
    if to not in allowed(referral):
        raise TransitionRefused(referral.state, to)
    was = referral.state
    referral.state, referral.state_since = to, step.at
    if to is S.NO_SHOW:
        referral.no_shows += 1
    if to in FINAL_STATES:
        referral.closed_reason = step.reason
    if to in (*FINAL_STATES, S.REJECTED_BY_PROVIDER):
        _end_attempts(session, referral, step.at)
    note_event(session, referral, step, was)


def note_event(session: Session, referral: Referral, step: Step, was: ReferralState | None = None) -> None:
    """Write down what happened to a referral; without a change of state where `was` is left out."""
    key_id, sealed = step.note or (None, None)
    session.add(
        ReferralEvent(
            referral_id=referral.id,
            at=step.at,
            actor_id=step.actor,
            event=step.event,
            from_state=was or referral.state,
            to_state=referral.state,
            reason=step.reason,
            rule_id=step.rule_id,
            sealed_note=sealed,
            key_id=key_id,
        )
    )
    audit.record(
        session,
        at=step.at,
        actor=step.actor,
        action=f"referral.{step.event}",
        kind="referral",
        object_id=str(referral.id),
        client_id=referral.client_id,
        to_state=referral.state.value,
        reason=step.reason,
    )


def acted_on(session: Session, referral: Referral) -> bool:
    """Whether a person has done anything with it, or it has left for a provider: then it is never undone silently."""
    by_person = select(ReferralEvent.id).where(
        ReferralEvent.referral_id == referral.id, ReferralEvent.actor_id.is_not(None)
    )
    sent = select(Attempt.id).where(Attempt.referral_id == referral.id)
    return any(session.scalar(question.limit(1)) is not None for question in (by_person, sent))


def _end_attempts(session: Session, referral: Referral, at: datetime) -> None:
    session.execute(
        update(Attempt).where(Attempt.referral_id == referral.id, Attempt.ended_at.is_(None)).values(ended_at=at)
    )


def new_number(session: Session, prefix: str, year: int) -> str:
    """`CG-2026-0318`: it runs on over the years, tells nothing about the person, and no two workers wait for it."""
    row = ReferralNumber()
    session.add(row)
    session.flush()
    return f"{prefix}-{year}-{row.id:04}"


# ---- the consent gate -----------------------------------------------------------------------------


def send(session: Session, referral: Referral, provider: Provider, step: Step) -> Attempt:
    """Let the referral leave for a provider: the only door. Raises NotConsented, which is audited and stays so.

    Internal services never leave, so they need no consent and have no door.
    """
    consent = consents.standing(session, referral.client_id, referral.service)
    if consent is None:
        _refuse(session, referral, step)
    attempt = Attempt(
        id=uuid.uuid4(),
        referral_id=referral.id,
        provider_code=provider.code,
        sent_at=step.at,
        sent_by=step.actor,
        consent_id=consent.id,
    )
    _end_attempts(session, referral, step.at)
    referral.provider_code, referral.held_by = provider.code, ""
    advance(session, referral, S.SENT, step)
    session.add(attempt)
    return attempt


def _refuse(session: Session, referral: Referral, step: Step) -> NoReturn:
    """Raises NotConsented. Committed first: the refusal must outlive the request that it ends."""
    audit.record(
        session,
        at=step.at,
        actor=step.actor,
        action="referral.refused_without_consent",
        kind="referral",
        object_id=str(referral.id),
        client_id=referral.client_id,
        service=referral.service,
    )
    session.commit()
    raise NotConsented(referral.service)


# ---- what people do -------------------------------------------------------------------------------


def approve(
    session: Session, viewer: Viewer, referral_id: uuid.UUID, now: datetime, provider_code: str | None = None
) -> Referral:
    """Approve a proposed referral; it is sent at once where a provider is chosen, here or by proposal.

    Raises NoSuchReferral, NotAllowed, ChangedMeanwhile, ProviderUnfit, NotConsented.
    """
    referral = _locked(session, viewer, referral_id, now, Action.APPROVE)
    if referral.state is not S.PROPOSED:
        raise _changed(session, referral)
    provider = _provider(session, referral, provider_code or referral.provider_code)
    # Asked before anything is changed: what a refusal commits must hold the refusal alone.
    if not referral.internal and consents.standing(session, referral.client_id, referral.service) is None:
        _refuse(session, referral, Step("approved", now, viewer.user_id))
    advance(session, referral, S.APPROVED, Step("approved", now, viewer.user_id))
    if provider is not None:
        send(session, referral, provider, Step("sent", now, viewer.user_id))
    return referral


def send_to(session: Session, viewer: Viewer, referral_id: uuid.UUID, now: datetime, provider_code: str) -> Referral:
    """Send an approved, rejected or missed referral to a provider. Raises as `approve`, and TransitionRefused."""
    referral = _locked(session, viewer, referral_id, now, Action.APPROVE)
    if S.SENT not in allowed(referral):
        raise TransitionRefused(referral.state, S.SENT)
    provider = _provider(session, referral, provider_code)
    if provider is not None:
        send(session, referral, provider, Step("sent", now, viewer.user_id))
    return referral


def decline(
    session: Session,
    viewer: Viewer,
    referral_id: uuid.UUID,
    reason: Reason,
    *,
    note: str,
    now: datetime,
    vault: Vault,
    expected: ReferralState | None = None,
) -> Referral:
    """Withdraw a referral with a coded reason. `expected` is the state that the person saw when she decided.

    Raises NoSuchReferral, NotAllowed, ChangedMeanwhile.
    """
    referral = _locked(session, viewer, referral_id, now, Action.DECLINE)
    if S.WITHDRAWN not in allowed(referral) or referral.state is not (expected or referral.state):
        raise _changed(session, referral)
    sealed = seal_note(vault, note) if note.strip() else None
    advance(session, referral, S.WITHDRAWN, Step("declined", now, viewer.user_id, Reason(reason), note=sealed))
    return referral


def seal_note(vault: Vault, note: str) -> tuple[uuid.UUID, bytes]:
    """A person's note under a data key of its own: key id and sealed text."""
    key = vault.new_key()
    return key.id, vault.seal(key, note.strip().encode(), "note")


def _locked(session: Session, viewer: Viewer, referral_id: uuid.UUID, now: datetime, action: Action) -> Referral:
    """The referral, under the lock of its client: processing takes the same one before it touches anything."""
    if not access.can(viewer, action):
        raise NotAllowed(action.value)
    visible = access.visible_referrals(viewer, publishing.today(session, now))
    client_id = session.scalar(select(Referral.client_id).where(Referral.id == referral_id, visible))
    if client_id is None:
        raise NoSuchReferral(str(referral_id))
    session.execute(select(Client.id).where(Client.id == client_id).with_for_update())
    question = select(Referral).where(Referral.id == referral_id).with_for_update()
    return session.scalars(question.execution_options(populate_existing=True)).one()


def _changed(session: Session, referral: Referral) -> ChangedMeanwhile:
    last = session.execute(
        select(User.code, ReferralEvent.at)
        .outerjoin(User, User.id == ReferralEvent.actor_id)
        .where(ReferralEvent.referral_id == referral.id)
        .order_by(ReferralEvent.id.desc())
        .limit(1)
    ).one_or_none()
    return ChangedMeanwhile(referral.state, last.code if last else None, last.at if last else None)


def _provider(session: Session, referral: Referral, code: str | None) -> Provider | None:
    """The chosen provider, if it can take this referral. None where none is chosen, or the work is internal."""
    if referral.internal or not code:
        return None
    provider = session.get(Provider, code)
    if provider is None or not provider.active:
        raise ProviderUnfit(
            Text(f"Cơ sở '{code}' hiện không tiếp nhận.", f"Provider '{code}' does not take referrals now.")
        )
    if referral.service not in provider.services:
        raise ProviderUnfit(
            Text(
                f"Cơ sở '{code}' không có dịch vụ '{referral.service}'.",
                f"Provider '{code}' does not offer '{referral.service}'.",
            )
        )
    return provider
