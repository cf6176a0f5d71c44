"""All tables and constraints. Columns only; behaviour stays in rules/ and in the service's verbs.

What is sealed (see sealing.py) is a LargeBinary named `sealed_…` beside the `key_id` of its data key. In clear stands
only what queries need: pseudonym, area, form and version, times, flags, referral service and states, follow-up dates
and the reportable values.
"""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, date, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

_Json = JSON().with_variant(JSONB(), "postgresql")
_Id = BigInteger().with_variant(Integer(), "sqlite")


class Instant(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no zone, so it is taken off on the way in and put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _by_value(kind: type[enum.StrEnum]) -> Enum:
    """Enums are stored by value: SQLAlchemy's default stores names, which no partial index would match."""
    return Enum(
        kind,
        native_enum=False,
        length=32,
        values_callable=lambda e: [m.value for m in e],
        validate_strings=True,
    )


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: Instant(),
        date: Date(),
        uuid.UUID: Uuid(),
        dict[str, Any]: _Json,
        list[str]: _Json,
    }


class Role(enum.StrEnum):
    ENUMERATOR = "enumerator"
    POLICE = "police"
    SUPERVISOR = "supervisor"
    COORDINATOR = "coordinator"
    PROVIDER = "provider"
    STAFF = "staff"
    ADMIN = "admin"


class VersionState(enum.StrEnum):
    """Of a published workbook. LIVE is listed and used; CLOSING is accepted, not listed; CLOSED is neither."""

    LIVE = "live"
    CLOSING = "closing"
    CLOSED = "closed"


class SubmissionState(enum.StrEnum):
    RECEIVED = "received"
    DECIDED = "decided"
    QUARANTINED = "quarantined"
    REPLACED = "replaced"


class ConsentState(enum.StrEnum):
    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class ReferralState(enum.StrEnum):
    """Product §6. Which state may follow which is the table in referrals.py."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    SENT = "sent"
    ACCEPTED = "accepted"
    ON_HOLD = "on_hold"
    NO_SHOW = "no_show"
    REJECTED_BY_PROVIDER = "rejected_by_provider"
    ATTENDED = "attended"
    STARTED = "started"
    COMPLETED = "completed"
    NOT_CONSENTED = "not_consented"
    DECLINED_BY_CLIENT = "declined_by_client"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    FAILED = "failed"
    SUPERSEDED = "superseded"


FINAL_STATES = (
    ReferralState.COMPLETED,
    ReferralState.NOT_CONSENTED,
    ReferralState.DECLINED_BY_CLIENT,
    ReferralState.WITHDRAWN,
    ReferralState.EXPIRED,
    ReferralState.FAILED,
    ReferralState.SUPERSEDED,
)
_OPEN = "state NOT IN ('completed','not_consented','declined_by_client','withdrawn','expired','failed','superseded')"


class FollowUpState(enum.StrEnum):
    SCHEDULED = "scheduled"
    OPEN = "open"
    DONE = "done"
    LATE = "late"
    MISSED = "missed"
    CANCELLED = "cancelled"


# ---- people and devices ---------------------------------------------------------------------------


class User(Base):
    """Somebody who signs in or whose device sends. `code` is what screens show in place of a name."""

    __tablename__ = "users"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    code: Mapped[str] = mapped_column(String(32), unique=True)
    role: Mapped[Role] = mapped_column(_by_value(Role))
    password_hash: Mapped[str] = mapped_column(String(200))
    #: MD5(username:realm:password) sealed: RFC 2617 lets a server keep no less, and it is as good as the password.
    sealed_digest: Mapped[bytes] = mapped_column(LargeBinary)
    provider_code: Mapped[str | None] = mapped_column(String(64))
    #: Compartments this user may see: hiv, mental_health, offending, notes. None is given by default.
    compartments: Mapped[list[str]] = mapped_column(default=list)
    language: Mapped[str] = mapped_column(String(8), default="vi")
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    areas: Mapped[list[UserArea]] = relationship(lazy="raise", back_populates="user")


class UserArea(Base):
    """An area in which the user works, with dates: cover for an absence ends by itself. No row means nothing."""

    __tablename__ = "user_areas"

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), index=True)
    area_code: Mapped[str] = mapped_column(String(64))
    valid_from: Mapped[date | None]
    valid_to: Mapped[date | None]
    user: Mapped[User] = relationship(lazy="raise", back_populates="areas")


class Device(Base):
    """A phone with its own server URL. Only a hash of the token is kept."""

    __tablename__ = "devices"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    label: Mapped[str] = mapped_column(String(120), default="")
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class WebSession(Base):
    """A signed-in browser. Only a hash of the cookie is kept."""

    __tablename__ = "web_sessions"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), index=True)
    csrf_token: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class SignInAttempt(Base):
    """A failed sign-in, to slow down guessing. `who` is a keyed hash of user name or address."""

    __tablename__ = "sign_in_attempts"

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    who: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[datetime]


# ---- what is published ----------------------------------------------------------------------------


class FormVersion(Base):
    """A published form: the workbook as it was uploaded and the XForm as it is served, byte for byte."""

    __tablename__ = "form_versions"
    __table_args__ = (
        UniqueConstraint("form_id", "version"),
        # Collect knows a form by its id: two live versions of one form would replace each other at each update.
        Index(
            "uq_form_versions_live",
            "form_id",
            unique=True,
            sqlite_where=text("state = 'live'"),
            postgresql_where=text("state = 'live'"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    form_id: Mapped[str] = mapped_column(String(255))
    version: Mapped[str] = mapped_column(String(255))
    title: Mapped[str] = mapped_column(String(500))
    state: Mapped[VersionState] = mapped_column(_by_value(VersionState))
    xform: Mapped[bytes] = mapped_column(LargeBinary)
    md5: Mapped[str] = mapped_column(String(32))
    content_hash: Mapped[str] = mapped_column(String(64))
    workbook: Mapped[bytes] = mapped_column(LargeBinary)
    workbook_name: Mapped[str] = mapped_column(String(255))
    #: FormDefinition without `xform`, as JSON.
    definition: Mapped[dict[str, Any]]
    published_at: Mapped[datetime]
    published_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))


class FormMedia(Base):
    """A file that the form needs beside it: an image, a CSV of choices."""

    __tablename__ = "form_media"
    __table_args__ = (UniqueConstraint("form_version_id", "filename"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    form_version_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("form_versions.id"), index=True)
    filename: Mapped[str] = mapped_column(String(255))
    content_type: Mapped[str] = mapped_column(String(120))
    md5: Mapped[str] = mapped_column(String(32))
    content: Mapped[bytes] = mapped_column(LargeBinary)


class RulebookVersion(Base):
    """A published rules workbook and the canonical rulebook it compiled to."""

    __tablename__ = "rulebook_versions"
    __table_args__ = (
        UniqueConstraint("rulebook_id", "version"),
        Index(
            "uq_rulebook_versions_live",
            "rulebook_id",
            unique=True,
            sqlite_where=text("state = 'live'"),
            postgresql_where=text("state = 'live'"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    rulebook_id: Mapped[str] = mapped_column(String(255))
    version: Mapped[str] = mapped_column(String(255))
    title: Mapped[str] = mapped_column(String(500))
    state: Mapped[VersionState] = mapped_column(_by_value(VersionState))
    content_hash: Mapped[str] = mapped_column(String(64))
    workbook: Mapped[bytes] = mapped_column(LargeBinary)
    workbook_name: Mapped[str] = mapped_column(String(255))
    rulebook: Mapped[dict[str, Any]]
    published_at: Mapped[datetime]
    published_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))


class ProgrammeVersion(Base):
    """A published programme workbook. Exactly one is live: one installation serves one programme."""

    __tablename__ = "programme_versions"
    __table_args__ = (
        UniqueConstraint("content_hash"),
        Index(
            "uq_programme_versions_live",
            "state",
            unique=True,
            sqlite_where=text("state = 'live'"),
            postgresql_where=text("state = 'live'"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    state: Mapped[VersionState] = mapped_column(_by_value(VersionState))
    content_hash: Mapped[str] = mapped_column(String(64))
    workbook: Mapped[bytes] = mapped_column(LargeBinary)
    workbook_name: Mapped[str] = mapped_column(String(255))
    programme: Mapped[dict[str, Any]]
    published_at: Mapped[datetime]
    published_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))


class Area(Base):
    """An area of the live programme. Areas are dated: Hanoi was redrawn in 2025."""

    __tablename__ = "areas"

    code: Mapped[str] = mapped_column(String(64), primary_key=True)
    parent_code: Mapped[str | None] = mapped_column(String(64))
    labels: Mapped[dict[str, Any]]
    project: Mapped[str] = mapped_column(String(64), default="")
    valid_from: Mapped[date | None]
    valid_to: Mapped[date | None]


class AreaWithin(Base):
    """Each area below (or equal to) each of its ancestors, with the dates on which that holds.

    Rights ask for it in every query, so the tree is unrolled once, when the programme is published.
    """

    __tablename__ = "area_within"
    __table_args__ = (Index("ix_area_within_ancestor", "ancestor", "area_code"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    ancestor: Mapped[str] = mapped_column(String(64))
    area_code: Mapped[str] = mapped_column(String(64))
    valid_from: Mapped[date | None]
    valid_to: Mapped[date | None]


class Service(Base):
    """A service of the live programme. `compartment` is empty, or the right that is needed to see it."""

    __tablename__ = "services"

    code: Mapped[str] = mapped_column(String(64), primary_key=True)
    labels: Mapped[dict[str, Any]]
    internal: Mapped[bool] = mapped_column(Boolean)
    compartment: Mapped[str] = mapped_column(String(64), default="")
    urgency: Mapped[str] = mapped_column(String(32), default="routine")
    completed_by: Mapped[str] = mapped_column(String(255), default="")
    #: False once the programme no longer offers it; referrals of old still point here.
    offered: Mapped[bool] = mapped_column(Boolean, default=True)


class Provider(Base):
    """A provider of the live programme, with the services that it offers and the areas that it serves."""

    __tablename__ = "providers"

    code: Mapped[str] = mapped_column(String(64), primary_key=True)
    labels: Mapped[dict[str, Any]]
    services: Mapped[list[str]]
    areas: Mapped[list[str]]
    details: Mapped[dict[str, Any]]
    active: Mapped[bool] = mapped_column(Boolean, default=True)


# ---- what arrives ---------------------------------------------------------------------------------


class Submission(Base):
    """A filled-in form as it came. The sealed XML is the truth and is never changed."""

    __tablename__ = "submissions"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    instance_id: Mapped[str] = mapped_column(String(255), unique=True)
    form_id: Mapped[str] = mapped_column(String(255))
    form_version: Mapped[str] = mapped_column(String(255))
    #: Keyed hash of the XML: tells a repeated upload from a conflicting one, and nothing to a thief.
    xml_digest: Mapped[str] = mapped_column(String(64))
    sealed_xml: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[uuid.UUID]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), index=True)
    device_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("devices.id"))
    received_at: Mapped[datetime] = mapped_column(index=True)
    #: instanceID that this one replaces (an edit on the phone). Unique: two edits of one version are a conflict.
    deprecated_instance_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    state: Mapped[SubmissionState] = mapped_column(_by_value(SubmissionState), index=True)
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id"), index=True)
    #: False while parts of a split upload are still expected.
    complete: Mapped[bool] = mapped_column(Boolean, default=True)


class Attachment(Base):
    """A file sent with a submission. The name is sealed too: people put names of people into it."""

    __tablename__ = "attachments"
    __table_args__ = (UniqueConstraint("submission_id", "name_digest"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    submission_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("submissions.id"), index=True)
    name_digest: Mapped[str] = mapped_column(String(64))
    sealed_name: Mapped[bytes] = mapped_column(LargeBinary)
    #: Name of the sealed file under the media folder; says nothing.
    stored_as: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    key_id: Mapped[uuid.UUID]
    received_at: Mapped[datetime]


class RejectedUpload(Base):
    """An upload that was refused, kept sealed so that nothing is lost. Bounded per sender and day."""

    __tablename__ = "rejected_uploads"
    __table_args__ = (
        UniqueConstraint("xml_digest", "problem"),
        Index("ix_rejected_uploads_sender", "user_id", "received_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    xml_digest: Mapped[str] = mapped_column(String(64))
    sealed_xml: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[uuid.UUID]
    #: Bytes of XML.
    size: Mapped[int] = mapped_column(Integer)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    #: Why, as a stable code: unknown-form, conflict, malformed, ...
    problem: Mapped[str] = mapped_column(String(64))
    received_at: Mapped[datetime]


class OutboxRow(Base):
    """Work that is owed, written in the transaction of its cause. This table is the queue.

    A claim is a lease: a worker that dies delays the work until `claimed_until`, and loses none.
    """

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_due", "available_at", "id"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    submission_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("submissions.id"), unique=True)
    available_at: Mapped[datetime]
    claimed_until: Mapped[datetime | None]
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    tries: Mapped[int] = mapped_column(Integer, default=0)


class Quarantine(Base):
    """A submission that could not be processed. Class and path in clear; what it said is sealed."""

    __tablename__ = "quarantine"

    submission_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    error_class: Mapped[str] = mapped_column(String(120))
    path: Mapped[str] = mapped_column(String(500), default="")
    sealed_detail: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[uuid.UUID]
    at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(Integer, default=1)


# ---- clients --------------------------------------------------------------------------------------


class Client(Base):
    """A person under a pseudonym. Who it is stands in client_identities alone."""

    __tablename__ = "clients"
    __table_args__ = (Index("ix_clients_area", "area_code"), Index("ix_clients_worker", "worker_id"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(64), unique=True)
    area_code: Mapped[str | None] = mapped_column(String(64))
    worker_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime]


class ClientNumber(Base):
    """A number given out to a client whose form brought no code, as ReferralNumber."""

    __tablename__ = "client_numbers"

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)


class ClientIdentity(Base):
    """Names, phone, address, birth date: sealed, in this table alone."""

    __tablename__ = "client_identities"

    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id"), primary_key=True)
    sealed_identity: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[uuid.UUID]
    updated_at: Mapped[datetime]


class IdentityIndex(Base):
    """Blind indexes: keyed hashes by which an identity is found (name, name_word, phone, birth_date)."""

    __tablename__ = "identity_indexes"
    __table_args__ = (Index("ix_identity_indexes_lookup", "kind", "digest"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    digest: Mapped[str] = mapped_column(String(64))


class Observation(Base):
    """A submission once parsed and linked. `replaced` where a later edit took its place."""

    __tablename__ = "observations"
    __table_args__ = (Index("ix_observations_client", "client_id", "event_date"),)

    submission_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id"))
    form_id: Mapped[str] = mapped_column(String(255))
    form_version: Mapped[str] = mapped_column(String(255))
    #: In the programme's zone.
    event_date: Mapped[date]
    received_at: Mapped[datetime]
    area_code: Mapped[str | None] = mapped_column(String(64))
    #: Typed answers and findings as JSON.
    sealed_answers: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[uuid.UUID]
    findings: Mapped[int] = mapped_column(Integer, default=0)
    replaced: Mapped[bool] = mapped_column(Boolean, default=False)


class ReportableValue(Base):
    """A value that the programme marked as reportable in sheet `fields`: reports count these without opening seals."""

    __tablename__ = "reportable_values"
    __table_args__ = (Index("ix_reportable_values_name", "name", "value"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    submission_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("submissions.id"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    value: Mapped[str] = mapped_column(String(255))


class Consent(Base):
    """What the client said about one service, or about taking part (`take_part`). The latest row stands."""

    __tablename__ = "consents"
    __table_args__ = (
        UniqueConstraint("client_id", "service", "submission_id"),
        Index("ix_consents_client", "client_id", "service", "given_on"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id"))
    service: Mapped[str] = mapped_column(String(64))
    state: Mapped[ConsentState] = mapped_column(_by_value(ConsentState))
    given_on: Mapped[date]
    recorded_at: Mapped[datetime]
    form_version: Mapped[str] = mapped_column(String(255), default="")
    language: Mapped[str] = mapped_column(String(64), default="")
    submission_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("submissions.id"), index=True)


# ---- what the rules said --------------------------------------------------------------------------


class Decision(Base):
    """What one rulebook made of one submission. Stored once under (submission, rulebook, engine)."""

    __tablename__ = "decisions"
    __table_args__ = (UniqueConstraint("submission_id", "rulebook_hash", "engine"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    submission_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("submissions.id"), index=True)
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id"), index=True)
    rulebook_version_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("rulebook_versions.id"))
    rulebook_hash: Mapped[str] = mapped_column(String(64))
    facts_hash: Mapped[str] = mapped_column(String(64))
    engine: Mapped[str] = mapped_column(String(120))
    event_date: Mapped[date]
    decided_at: Mapped[datetime]
    agreed: Mapped[bool] = mapped_column(Boolean, default=True)
    #: True where the reference matcher decided alone, because a worker had died on this submission.
    alone: Mapped[bool] = mapped_column(Boolean, default=False)
    #: The whole decision as canonical JSON, reasons and what they saw included.
    sealed_decision: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[uuid.UUID]


class Flag(Base):
    """A flag raised by a rule. It stands while `ended_at` is blank."""

    __tablename__ = "flags"
    __table_args__ = (
        UniqueConstraint("decision_id", "code"),
        Index(
            "ix_flags_standing",
            "client_id",
            "code",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id"))
    decision_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("decisions.id"), index=True)
    code: Mapped[str] = mapped_column(String(120))
    rule_id: Mapped[str] = mapped_column(String(64))
    form_id: Mapped[str] = mapped_column(String(255))
    level: Mapped[str] = mapped_column(String(32))
    urgency: Mapped[str | None] = mapped_column(String(32))
    #: Empty, or the right that is needed to see it: that of the service which the flag's rule wants.
    compartment: Mapped[str] = mapped_column(String(64), default="")
    #: True where the flag is an item of the queue by itself: high or critical, or urgent without a referral.
    in_queue: Mapped[bool] = mapped_column(Boolean, default=False)
    messages: Mapped[dict[str, Any]]
    due_at: Mapped[datetime | None]
    raised_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_because: Mapped[str] = mapped_column(String(64), default="")
    ended_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    #: The decision that no longer raised it, or raised it again: before that observation the flag still stood.
    ended_by_decision: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("decisions.id"), index=True)


class Referral(Base):
    """A need (FHIR ServiceRequest). `number` is what people read to each other on the telephone."""

    __tablename__ = "referrals"
    __table_args__ = (
        UniqueConstraint("decision_id", "service"),
        # Supervisors ask one question all day: which referrals are still open?
        Index("ix_referrals_open", "due_at", sqlite_where=text(_OPEN), postgresql_where=text(_OPEN)),
        Index("ix_referrals_client", "client_id", "service"),
        CheckConstraint("no_shows >= 0", name="no_shows"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(String(32), unique=True)
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id"))
    service: Mapped[str] = mapped_column(ForeignKey("services.code"))
    #: Copied from the service when the referral is made, so that a change of the sheet never opens old ones.
    compartment: Mapped[str] = mapped_column(String(64), default="")
    internal: Mapped[bool] = mapped_column(Boolean, default=False)
    urgency: Mapped[str] = mapped_column(String(32))
    level: Mapped[str] = mapped_column(String(32))
    state: Mapped[ReferralState] = mapped_column(_by_value(ReferralState))
    state_since: Mapped[datetime]
    due_at: Mapped[datetime]
    created_at: Mapped[datetime]
    #: None where a person made it by hand.
    decision_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("decisions.id"), index=True)
    rule_ids: Mapped[list[str]] = mapped_column(default=list)
    messages: Mapped[dict[str, Any]]
    provider_code: Mapped[str | None] = mapped_column(ForeignKey("providers.code"), index=True)
    worker_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    #: Set where a stop held a same-day referral back: it alerts inside, nothing leaves (`Z02`).
    held_by: Mapped[str] = mapped_column(String(64), default="")
    no_shows: Mapped[int] = mapped_column(Integer, default=0)
    closed_reason: Mapped[str] = mapped_column(String(64), default="")
    #: The referral that took its place, where it was superseded by another one.
    superseded_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("referrals.id"))
    client: Mapped[Client] = relationship(lazy="raise")


class ReferralNumber(Base):
    """A number given out to a referral. Inserting a row is the way of counting that waits for no other transaction
    on either database; a number whose transaction failed is a gap."""

    __tablename__ = "referral_numbers"

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)


class ReferralEvent(Base):
    """What happened to a referral, in order. Never changed."""

    __tablename__ = "referral_events"

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    referral_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("referrals.id"), index=True)
    at: Mapped[datetime]
    #: None: the system.
    actor_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    event: Mapped[str] = mapped_column(String(64))
    from_state: Mapped[str] = mapped_column(String(32), default="")
    to_state: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(String(64), default="")
    rule_id: Mapped[str] = mapped_column(String(64), default="")
    sealed_note: Mapped[bytes | None] = mapped_column(LargeBinary)
    key_id: Mapped[uuid.UUID | None]


class Attempt(Base):
    """One sending of a referral to one provider (FHIR Task)."""

    __tablename__ = "attempts"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    referral_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("referrals.id"), index=True)
    provider_code: Mapped[str] = mapped_column(ForeignKey("providers.code"), index=True)
    sent_at: Mapped[datetime]
    sent_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    consent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("consents.id"))
    ended_at: Mapped[datetime | None]


class StoppedOutcome(Base):
    """A referral that was wanted and held back: by which stop, and what happens instead."""

    __tablename__ = "stopped_outcomes"
    __table_args__ = (UniqueConstraint("decision_id", "service"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    decision_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("decisions.id"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id"), index=True)
    service: Mapped[str] = mapped_column(String(64))
    stop_id: Mapped[str] = mapped_column(String(64))
    instead: Mapped[str] = mapped_column(String(64))
    #: The open referral that it was attached to, where `instead` is attach_to_open.
    referral_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("referrals.id"), index=True)
    at: Mapped[datetime]


class FollowUp(Base):
    """A visit, call or check that is due. Identity: (client, schedule, step, cause)."""

    __tablename__ = "follow_ups"
    __table_args__ = (
        UniqueConstraint("client_id", "schedule", "step", "cause", "starts_on"),
        Index(
            "ix_follow_ups_due",
            "due_on",
            sqlite_where=text("state IN ('scheduled','open')"),
            postgresql_where=text("state IN ('scheduled','open')"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id"), index=True)
    schedule: Mapped[str] = mapped_column(String(64))
    step: Mapped[str] = mapped_column(String(32))
    cause: Mapped[str] = mapped_column(String(64))
    #: The day from which it was counted: a later observation with the same cause starts another.
    starts_on: Mapped[date]
    form_id: Mapped[str] = mapped_column(String(255))
    labels: Mapped[dict[str, Any]]
    compartment: Mapped[str] = mapped_column(String(64), default="")
    due_on: Mapped[date]
    opens_on: Mapped[date]
    closes_on: Mapped[date]
    state: Mapped[FollowUpState] = mapped_column(_by_value(FollowUpState))
    worker_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"), index=True)
    decision_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("decisions.id"), index=True)
    done_on: Mapped[date | None]
    done_by_submission: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("submissions.id"))
    client: Mapped[Client] = relationship(lazy="raise")


class FollowUpCause(Base):
    """Why a follow-up is due: the rule that first wanted it, and those that joined it because windows overlapped."""

    __tablename__ = "follow_up_causes"
    __table_args__ = (UniqueConstraint("follow_up_id", "cause", "decision_id"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    follow_up_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("follow_ups.id"), index=True)
    cause: Mapped[str] = mapped_column(String(64))
    starts_on: Mapped[date]
    decision_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("decisions.id"), index=True)


class Notice(Base):
    """Somebody to tell. The text names no person; the page that it leads to checks rights again."""

    __tablename__ = "notices"
    __table_args__ = (UniqueConstraint("decision_id", "rule_id", "to_role"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    decision_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("decisions.id"))
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id"), index=True)
    rule_id: Mapped[str] = mapped_column(String(64))
    to_role: Mapped[str] = mapped_column(String(32))
    urgency: Mapped[str | None] = mapped_column(String(32))
    at: Mapped[datetime]
    seen_at: Mapped[datetime | None]


class AuditEntry(Base):
    """Who did or read what. Append-only: the database refuses to change or delete a row."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_object", "object_kind", "object_id"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str] = mapped_column(String(64))
    object_kind: Mapped[str] = mapped_column(String(64), default="")
    object_id: Mapped[str] = mapped_column(String(64), default="")
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id"), index=True)
    #: Codes and counts only, never an answer or a name.
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
