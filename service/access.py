"""Who may see and do what. Every query over case content takes its condition from here; nothing goes round it.

Rights follow function and area: a supervisor sees the clients of own areas on the day that is asked about, an
enumerator own clients, a provider the referrals sent to it, the police nothing. Who has no area sees nothing.
Staff and administrators see no case content at all.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

from sqlalchemy import ColumnElement, Select, and_, exists, false, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from rules.programme import Programme
from service.tables import (
    AreaWithin,
    Attachment,
    Attempt,
    Base,
    Client,
    ClientIdentity,
    Consent,
    Decision,
    Flag,
    FollowUp,
    FollowUpCause,
    IdentityIndex,
    Notice,
    Observation,
    Quarantine,
    Referral,
    ReferralEvent,
    RejectedUpload,
    ReportableValue,
    Role,
    Service,
    StoppedOutcome,
    Submission,
    User,
    UserArea,
)

Condition = ColumnElement[bool]


class Action(enum.StrEnum):
    """What somebody may do. Which rows it may be done to is said by `visible`."""

    USE_WEB = "use_web"
    SEND_FORMS = "send_forms"
    SEE_QUEUE = "see_queue"
    SEE_FOLLOW_UPS = "see_follow_ups"
    SEE_IDENTITY = "see_identity"
    APPROVE = "approve"
    DECLINE = "decline"
    CREATE_REFERRAL = "create_referral"
    REASSIGN = "reassign"
    SEND_BACK = "send_back"
    CLOSE_FLAG = "close_flag"
    OVERRIDE_CONSENT = "override_consent"
    ANSWER_REFERRAL = "answer_referral"
    SEE_QUARANTINE = "see_quarantine"
    SEE_QUARANTINE_VALUES = "see_quarantine_values"
    RETRY_QUARANTINE = "retry_quarantine"
    PUBLISH = "publish"
    SEE_REPORTS = "see_reports"
    MANAGE_USERS = "manage_users"
    SEE_AUDIT = "see_audit"


_SUPERVISION = frozenset(
    {
        Action.USE_WEB,
        Action.SEND_FORMS,
        Action.SEE_QUEUE,
        Action.SEE_FOLLOW_UPS,
        Action.SEE_IDENTITY,
        Action.APPROVE,
        Action.DECLINE,
        Action.CREATE_REFERRAL,
        Action.REASSIGN,
        Action.SEND_BACK,
        Action.CLOSE_FLAG,
        Action.OVERRIDE_CONSENT,
        Action.SEE_QUARANTINE,
        Action.SEE_QUARANTINE_VALUES,
        Action.RETRY_QUARANTINE,
        Action.SEE_REPORTS,
    }
)

# The whole of who may do what; what is not here is not allowed.
_MAY: Mapping[Role, frozenset[Action]] = MappingProxyType(
    {
        Role.ENUMERATOR: frozenset({Action.USE_WEB, Action.SEND_FORMS, Action.SEE_FOLLOW_UPS, Action.SEE_IDENTITY}),
        Role.POLICE: frozenset({Action.SEND_FORMS}),
        Role.SUPERVISOR: _SUPERVISION,
        Role.COORDINATOR: _SUPERVISION,
        Role.PROVIDER: frozenset({Action.USE_WEB, Action.SEND_FORMS, Action.SEE_QUEUE, Action.ANSWER_REFERRAL}),
        Role.STAFF: frozenset(
            {Action.USE_WEB, Action.PUBLISH, Action.SEE_REPORTS, Action.SEE_QUARANTINE, Action.RETRY_QUARANTINE}
        ),
        Role.ADMIN: frozenset({Action.USE_WEB, Action.MANAGE_USERS, Action.SEE_AUDIT}),
    }
)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who asks. `compartments` are the rights given to this person (hiv, mental_health, ...)."""

    user_id: uuid.UUID
    username: str
    code: str
    role: Role
    provider_code: str | None
    compartments: frozenset[str]
    language: str


class Disabled(PermissionError):
    """The account has been disabled."""


def viewer_of(session: Session, user: User, now: datetime) -> Viewer:
    """Raises Disabled for an account that is disabled at `now`, whatever session or device it still holds."""
    disabled_at = session.scalar(select(User.disabled_at).where(User.id == user.id))
    if disabled_at is not None and disabled_at <= now:
        raise Disabled(f"user {user.id}")
    return Viewer(
        user.id, user.username, user.code, user.role, user.provider_code, frozenset(user.compartments), user.language
    )


def can(viewer: Viewer, action: Action) -> bool:
    return action in _MAY[viewer.role]


def sees_compartment(viewer: Viewer, compartment: str) -> bool:
    """Whether an answer, flag or referral of this compartment may be shown; the empty one is for everybody."""
    return not compartment or compartment in viewer.compartments


def forms_for(viewer: Viewer, programme: Programme | None) -> frozenset[str] | None:
    """Ids of the forms that this person's phone is offered and may send: None is all, an empty set none.

    Without a programme the police are offered nothing: which form is theirs is said there.
    """
    if not can(viewer, Action.SEND_FORMS):
        return frozenset()
    if programme is None:
        return frozenset() if viewer.role is Role.POLICE else None
    return programme.forms_for(viewer.role.value)


# ---- what may be seen: conditions over the table that each is named for ---------------------------
#
# Every subquery says `correlate(None)`: SQLAlchemy would otherwise tie it to a table of the query around it.


def visible_clients(viewer: Viewer, today: date) -> Condition:
    """Clients whose record may be read. A client without an area belongs where the worker belongs.

    A provider reads referrals, not clients: what it may know of the person is what the person agreed to share.
    """
    if viewer.role is Role.ENUMERATOR:
        return and_(Client.worker_id == viewer.user_id, _has_area(viewer, today))
    if _supervises(viewer):
        workers = select(UserArea.user_id).where(UserArea.area_code.in_(_areas(viewer, today)), _holds(UserArea, today))
        return or_(
            Client.area_code.in_(_areas(viewer, today)),
            and_(Client.area_code.is_(None), Client.worker_id.in_(workers.correlate(None))),
        )
    return false()


def visible_identities(viewer: Viewer, today: date) -> Condition:
    return _of_visible_client(ClientIdentity.client_id, viewer, today)


def visible_identity_indexes(viewer: Viewer, today: date) -> Condition:
    """A search by name or phone finds only whom the viewer may read anyway."""
    return _of_visible_client(IdentityIndex.client_id, viewer, today)


def visible_consents(viewer: Viewer, today: date) -> Condition:
    """Having been asked about a service already tells something: its compartment hides the consent too."""
    return and_(_of_visible_client(Consent.client_id, viewer, today), _service_open(Consent.service, viewer))


def visible_submissions(viewer: Viewer, today: date) -> Condition:
    """Those of visible clients; one that has no client (yet) is seen by its sender and by the sender's supervisors.

    The row may be seen, not yet each answer in it: which compartment an answer is in is said by the programme's
    `fields`, and asked with `sees_compartment` by whoever opens the seal.
    """
    linked = _of_visible_client(Submission.client_id, viewer, today)
    if viewer.role is Role.ENUMERATOR:
        own = and_(Submission.user_id == viewer.user_id, _has_area(viewer, today))
        return or_(linked, and_(Submission.client_id.is_(None), own))
    if _supervises(viewer):
        ours = _sent_from_my_areas(Submission, viewer, today)
        return or_(linked, and_(Submission.client_id.is_(None), ours))
    return false()


def visible_attachments(viewer: Viewer, today: date) -> Condition:
    return _of_visible_submission(Attachment.submission_id, viewer, today)


def visible_quarantine(viewer: Viewer, today: date) -> Condition:
    """Staff see that something failed, and where; what it said is opened only with SEE_QUARANTINE_VALUES."""
    if viewer.role is Role.STAFF:
        return true()
    if _supervises(viewer):
        return _of_visible_submission(Quarantine.submission_id, viewer, today)
    return false()


def visible_rejected_uploads(viewer: Viewer, today: date) -> Condition:
    return _sent_from_my_areas(RejectedUpload, viewer, today) if _supervises(viewer) else false()


def visible_observations(viewer: Viewer, today: date) -> Condition:
    return _of_visible_submission(Observation.submission_id, viewer, today)


def visible_reportable_values(viewer: Viewer, today: date) -> Condition:
    """Single values. A report counts them without this, and rounds."""
    return _of_visible_submission(ReportableValue.submission_id, viewer, today)


def visible_decisions(viewer: Viewer, today: date) -> Condition:
    """The row. What is sealed in it is shown only as the reasons of a referral or flag that may be seen."""
    return _of_visible_submission(Decision.submission_id, viewer, today)


def visible_flags(viewer: Viewer, today: date) -> Condition:
    """Never a provider's."""
    return and_(_of_visible_client(Flag.client_id, viewer, today), _open(Flag.compartment, viewer))


def visible_referrals(viewer: Viewer, today: date) -> Condition:
    """A provider's are those whose latest sending went to it: once sent elsewhere, it is no longer its business."""
    if viewer.role is Role.PROVIDER:
        return Referral.id.in_(_sent_to(viewer))
    return and_(_of_visible_client(Referral.client_id, viewer, today), _open(Referral.compartment, viewer))


def visible_referral_events(viewer: Viewer, today: date) -> Condition:
    """A provider sees what itself did: who referred, and what went before, is not for it."""
    visible = _of_visible(ReferralEvent.referral_id, Referral.id, visible_referrals(viewer, today))
    if viewer.role is Role.PROVIDER:
        return and_(visible, ReferralEvent.actor_id == viewer.user_id)
    return visible


def visible_attempts(viewer: Viewer, today: date) -> Condition:
    visible = _of_visible(Attempt.referral_id, Referral.id, visible_referrals(viewer, today))
    if viewer.role is Role.PROVIDER:
        return and_(visible, Attempt.provider_code == viewer.provider_code)
    return visible


def visible_stopped_outcomes(viewer: Viewer, today: date) -> Condition:
    return and_(
        _of_visible_client(StoppedOutcome.client_id, viewer, today), _service_open(StoppedOutcome.service, viewer)
    )


def visible_follow_ups(viewer: Viewer, today: date) -> Condition:
    """An enumerator sees each that is hers to do, whatever its compartment: a visit that is hidden is not made."""
    visible = and_(_of_visible_client(FollowUp.client_id, viewer, today), _open(FollowUp.compartment, viewer))
    if viewer.role is Role.ENUMERATOR:
        return or_(visible, and_(FollowUp.worker_id == viewer.user_id, _has_area(viewer, today)))
    return visible


def visible_follow_up_causes(viewer: Viewer, today: date) -> Condition:
    """Why a visit is due is for those who see its client and its compartment, not for all who make the visit."""
    visible = and_(_of_visible_client(FollowUp.client_id, viewer, today), _open(FollowUp.compartment, viewer))
    return _of_visible(FollowUpCause.follow_up_id, FollowUp.id, visible)


_NOTICES: Mapping[Role, tuple[str, ...]] = MappingProxyType(
    {
        Role.ENUMERATOR: ("worker",),
        Role.SUPERVISOR: ("supervisor",),
        # Escalation ends here: the coordinator also sees what supervisors were told.
        Role.COORDINATOR: ("supervisor", "coordinator"),
    }
)


def visible_notices(viewer: Viewer, today: date) -> Condition:
    told = _NOTICES.get(viewer.role, ())
    return and_(_of_visible_client(Notice.client_id, viewer, today), Notice.to_role.in_(told)) if told else false()


#: Every table that holds something about a case, and who may see its rows. Other tables hold none.
VISIBLE: Mapping[type[Base], Callable[[Viewer, date], Condition]] = MappingProxyType(
    {
        Attachment: visible_attachments,
        Attempt: visible_attempts,
        Client: visible_clients,
        ClientIdentity: visible_identities,
        Consent: visible_consents,
        Decision: visible_decisions,
        Flag: visible_flags,
        FollowUp: visible_follow_ups,
        FollowUpCause: visible_follow_up_causes,
        IdentityIndex: visible_identity_indexes,
        Notice: visible_notices,
        Observation: visible_observations,
        Quarantine: visible_quarantine,
        Referral: visible_referrals,
        ReferralEvent: visible_referral_events,
        RejectedUpload: visible_rejected_uploads,
        ReportableValue: visible_reportable_values,
        StoppedOutcome: visible_stopped_outcomes,
        Submission: visible_submissions,
    }
)


def visible(table: type[Base], viewer: Viewer, today: date) -> Condition:
    """The condition for any table of case content. `today` is the day in the programme's zone. Raises KeyError."""
    return VISIBLE[table](viewer, today)


def _supervises(viewer: Viewer) -> bool:
    return viewer.role in (Role.SUPERVISOR, Role.COORDINATOR)


def _holds(table: type[UserArea] | type[AreaWithin], day: date) -> Condition:
    return and_(
        or_(table.valid_from.is_(None), table.valid_from <= day), or_(table.valid_to.is_(None), table.valid_to >= day)
    )


def _areas(viewer: Viewer, today: date) -> Select[str]:
    """Codes of the areas in which the viewer works today, with all below them."""
    return (
        select(AreaWithin.area_code)
        .join(UserArea, UserArea.area_code == AreaWithin.ancestor)
        .where(UserArea.user_id == viewer.user_id, _holds(UserArea, today), _holds(AreaWithin, today))
        .correlate(None)
    )


def _has_area(viewer: Viewer, today: date) -> Condition:
    mine = select(UserArea.id).where(UserArea.user_id == viewer.user_id, _holds(UserArea, today))
    return exists(mine.correlate(None))


def _of_visible(
    column: InstrumentedAttribute[uuid.UUID], key: InstrumentedAttribute[uuid.UUID], condition: Condition
) -> Condition:
    return column.in_(select(key).where(condition).correlate(None))


def _of_visible_client(
    column: InstrumentedAttribute[uuid.UUID] | InstrumentedAttribute[uuid.UUID | None], viewer: Viewer, today: date
) -> Condition:
    return column.in_(select(Client.id).where(visible_clients(viewer, today)).correlate(None))


def _of_visible_submission(column: InstrumentedAttribute[uuid.UUID], viewer: Viewer, today: date) -> Condition:
    return _of_visible(column, Submission.id, visible_submissions(viewer, today))


def _sent_from_my_areas(table: type[Submission] | type[RejectedUpload], viewer: Viewer, today: date) -> Condition:
    """Where the sender worked in an area of the viewer on the day of receipt (in UTC)."""
    day = func.date(table.received_at)
    sender = aliased(UserArea)
    return exists(
        select(sender.id)
        .where(
            sender.user_id == table.user_id,
            sender.area_code.in_(_areas(viewer, today)),
            or_(sender.valid_from.is_(None), sender.valid_from <= day),
            or_(sender.valid_to.is_(None), sender.valid_to >= day),
        )
        .correlate(table)
    )


def _sent_to(viewer: Viewer) -> Select[uuid.UUID]:
    """Ids of the referrals whose latest attempt is with the viewer's provider."""
    mine, later = aliased(Attempt), aliased(Attempt)
    elsewhere = (
        select(later.id)
        .where(
            later.referral_id == mine.referral_id,
            later.sent_at > mine.sent_at,
            later.provider_code != viewer.provider_code,
        )
        .correlate(mine)
    )
    return (
        select(mine.referral_id).where(mine.provider_code == viewer.provider_code, ~exists(elsewhere)).correlate(None)
    )


def _open(column: InstrumentedAttribute[str], viewer: Viewer) -> Condition:
    return column.in_(("", *sorted(viewer.compartments)))


def _service_open(column: InstrumentedAttribute[str], viewer: Viewer) -> Condition:
    """Services stay in their table when the programme drops them; what is no service (`take_part`) is open."""
    return column.not_in(select(Service.code).where(~_open(Service.compartment, viewer)).correlate(None))
