"""Rows for tests. Each builder adds one thing to the session, flushes, and returns it; the test says what matters."""

import itertools
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service import accounts, territory
from service.sealing import Vault
from service.tables import (
    Area,
    AreaWithin,
    Attempt,
    Client,
    Decision,
    Flag,
    FollowUp,
    FollowUpState,
    FormVersion,
    Observation,
    Provider,
    Referral,
    ReferralState,
    Role,
    RulebookVersion,
    Service,
    Submission,
    SubmissionState,
    User,
    UserArea,
    VersionState,
)

NOW = datetime(2026, 3, 10, 2, 30, tzinfo=UTC)
TODAY = date(2026, 3, 10)
PASSWORD = "mot-mat-khau-dai"  # One for all: argon2 is slow on purpose.

_numbers = itertools.count(1)


def area(session: Session, code: str, parent: str | None = None, **given: Any) -> Area:
    """An area; the unrolled tree (`area_within`) is brought up to date."""
    row = Area(
        code=code,
        parent_code=parent,
        labels={"vi": code},
        project="",
        valid_from=given.get("valid_from"),
        valid_to=given.get("valid_to"),
    )
    session.add(row)
    session.flush()
    session.execute(delete(AreaWithin))
    session.add_all(
        AreaWithin(ancestor=w.ancestor, area_code=w.area, valid_from=w.valid_from, valid_to=w.valid_to)
        for w in territory.closure(session.scalars(select(Area)))
    )
    session.flush()
    return row


def user(session: Session, role: Role, *areas: str, username: str = "", **given: Any) -> User:
    """A user without a usable password: quick. `signing_user` makes one who can sign in."""
    number = next(_numbers)
    name = username or f"{role.value}{number}"
    row = User(
        id=uuid.uuid4(),
        username=name,
        code=f"{role.value[:2].upper()}-{number}",
        role=role,
        password_hash="",
        sealed_digest=b"",
        provider_code=given.get("provider_code"),
        compartments=list(given.get("compartments", ())),
        language="vi",
        created_at=NOW,
        disabled_at=None,
    )
    session.add(row)
    session.flush()
    for code in areas:
        works_in(session, row, code)
    return row


def works_in(
    session: Session, who: User, code: str, valid_from: date | None = None, valid_to: date | None = None
) -> None:
    session.add(UserArea(user_id=who.id, area_code=code, valid_from=valid_from, valid_to=valid_to))
    session.flush()


def signing_user(session: Session, vault: Vault, role: Role, *areas: str, username: str = "", **given: Any) -> User:
    """A user who can sign in with PASSWORD, by page and by Digest."""
    return accounts.create_user(
        session,
        vault,
        username=username or f"{role.value}{next(_numbers)}",
        password=PASSWORD,
        role=role,
        areas=areas,
        now=NOW,
        **given,
    )


def client(session: Session, area_code: str | None = None, worker: User | None = None, code: str = "") -> Client:
    row = Client(
        id=uuid.uuid4(),
        code=code or f"KH-T-{next(_numbers):04}",
        area_code=area_code,
        worker_id=worker.id if worker else None,
        created_at=NOW,
    )
    session.add(row)
    session.flush()
    return row


def service(session: Session, code: str, compartment: str = "", *, internal: bool = False) -> Service:
    row = session.get(Service, code)
    if row is None:
        row = Service(
            code=code,
            labels={"vi": code, "en": code},
            internal=internal,
            compartment=compartment,
            urgency="routine",
            completed_by="",
            offered=True,
        )
        session.add(row)
        session.flush()
    return row


def provider(session: Session, code: str, *services: str, areas: tuple[str, ...] = ()) -> Provider:
    row = Provider(
        code=code, labels={"vi": code, "en": code}, services=list(services), areas=list(areas), details={}, active=True
    )
    session.add(row)
    session.flush()
    return row


def form(session: Session, form_id: str, version: str = "1", state: VersionState = VersionState.LIVE) -> FormVersion:
    """A published form by name only; tests of what is inside publish a real workbook."""
    row = FormVersion(
        id=uuid.uuid4(),
        form_id=form_id,
        version=version,
        title=form_id,
        state=state,
        xform=b"<h:html/>",
        md5="0" * 32,
        content_hash="0" * 64,
        workbook=b"",
        workbook_name=f"{form_id}.xlsx",
        definition={},
        published_at=NOW,
        published_by=None,
    )
    session.add(row)
    session.flush()
    return row


def submission(
    session: Session, vault: Vault, sender: User, of: Client | None = None, *, form_id: str = "contact", **given: Any
) -> Submission:
    """A stored submission of `<data/>`, linked to a client where one is given."""
    key = vault.new_key()
    row = Submission(
        id=uuid.uuid4(),
        instance_id=f"uuid:{uuid.uuid4()}",
        form_id=form_id,
        form_version="1",
        xml_digest=vault.blind("xml", b"<data/>"),
        sealed_xml=vault.seal(key, b"<data/>", "xml"),
        key_id=key.id,
        user_id=sender.id,
        device_id=None,
        received_at=given.get("received_at", NOW),
        deprecated_instance_id=None,
        state=given.get("state", SubmissionState.DECIDED),
        client_id=of.id if of else None,
        complete=True,
    )
    session.add(row)
    session.flush()
    return row


def observation(session: Session, vault: Vault, of: Submission) -> Observation:
    key = vault.key(of.key_id)
    row = Observation(
        submission_id=of.id,
        client_id=of.client_id,
        form_id=of.form_id,
        form_version=of.form_version,
        event_date=TODAY,
        received_at=of.received_at,
        area_code=None,
        sealed_answers=vault.seal(key, b"{}", "answers"),
        key_id=key.id,
        findings=0,
        replaced=False,
    )
    session.add(row)
    session.flush()
    return row


def rulebook(session: Session, rulebook_id: str = "referral", version: str = "1") -> RulebookVersion:
    row = RulebookVersion(
        id=uuid.uuid4(),
        rulebook_id=rulebook_id,
        version=version,
        title=rulebook_id,
        state=VersionState.LIVE,
        content_hash="0" * 64,
        workbook=b"",
        workbook_name=f"{rulebook_id}.xlsx",
        rulebook={},
        published_at=NOW,
        published_by=None,
    )
    session.add(row)
    session.flush()
    return row


def decision(session: Session, vault: Vault, of: Submission, by: RulebookVersion) -> Decision:
    key = vault.key(of.key_id)
    row = Decision(
        id=uuid.uuid4(),
        submission_id=of.id,
        client_id=of.client_id,
        rulebook_version_id=by.id,
        rulebook_hash=by.content_hash,
        facts_hash="0" * 64,
        engine="reference 1",
        event_date=TODAY,
        decided_at=NOW,
        agreed=True,
        sealed_decision=vault.seal(key, b"{}", "decision"),
        key_id=key.id,
    )
    session.add(row)
    session.flush()
    return row


def flag(session: Session, of: Decision, code: str = "a_flag", compartment: str = "", **given: Any) -> Flag:
    row = Flag(
        id=uuid.uuid4(),
        client_id=of.client_id,
        decision_id=of.id,
        code=code,
        rule_id="R01",
        form_id="screening",
        level=given.get("level", "high"),
        urgency=given.get("urgency"),
        compartment=compartment,
        in_queue=True,
        messages={"vi": code, "en": code},
        due_at=None,
        raised_at=NOW,
        ended_at=None,
        ended_because="",
        ended_by=None,
    )
    session.add(row)
    session.flush()
    return row


def referral(
    session: Session, of: Client, service_code: str = "a_service", compartment: str = "", **given: Any
) -> Referral:
    """A referral made by hand; the service is added where it is missing."""
    service(session, service_code, compartment)
    row = Referral(
        id=uuid.uuid4(),
        number=f"R-{next(_numbers)}",
        client_id=of.id,
        service=service_code,
        compartment=compartment,
        internal=False,
        urgency=given.get("urgency", "routine"),
        level="moderate",
        state=given.get("state", ReferralState.PROPOSED),
        state_since=NOW,
        due_at=given.get("due_at", NOW + timedelta(days=14)),
        created_at=NOW,
        decision_id=given.get("decision_id"),
        rule_ids=[],
        messages={},
        provider_code=given.get("provider_code"),
        worker_id=of.worker_id,
        held_by="",
        no_shows=0,
        closed_reason="",
    )
    session.add(row)
    session.flush()
    return row


def attempt(session: Session, of: Referral, provider_code: str, sent_at: datetime = NOW) -> Attempt:
    row = Attempt(
        id=uuid.uuid4(),
        referral_id=of.id,
        provider_code=provider_code,
        sent_at=sent_at,
        sent_by=None,
        consent_id=None,
        ended_at=None,
    )
    session.add(row)
    session.flush()
    return row


def follow_up(session: Session, of: Client, worker: User | None = None, compartment: str = "") -> FollowUp:
    row = FollowUp(
        id=uuid.uuid4(),
        client_id=of.id,
        schedule="after_referral",
        step="1",
        cause=f"R{next(_numbers)}",
        starts_on=TODAY,
        form_id="follow_up",
        labels={"vi": "Tái khám", "en": "Visit"},
        compartment=compartment,
        due_on=TODAY + timedelta(days=7),
        opens_on=TODAY + timedelta(days=5),
        closes_on=TODAY + timedelta(days=12),
        state=FollowUpState.SCHEDULED,
        worker_id=worker.id if worker else of.worker_id,
        decision_id=None,
        done_on=None,
        done_by_submission=None,
    )
    session.add(row)
    session.flush()
    return row
