import uuid

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from service import audit
from service.tables import AuditEntry, Role
from tests.service import builders
from tests.service.builders import NOW


@pytest.fixture
def entry(sessions: sessionmaker[Session]) -> AuditEntry:
    with sessions.begin() as session:
        who = builders.user(session, Role.SUPERVISOR)
        audit.record(
            session, at=NOW, actor=who.id, action="referral.approved", kind="referral", object_id="R-1", overdue=True
        )
        return session.scalars(select(AuditEntry)).one()


def test_an_entry_says_who_did_what_to_what(entry: AuditEntry):
    assert (entry.at, entry.action, entry.object_kind, entry.object_id, entry.detail) == (
        NOW,
        "referral.approved",
        "referral",
        "R-1",
        {"overdue": True},
    )


@pytest.mark.parametrize("deed", ["UPDATE audit SET action = 'nothing'", "DELETE FROM audit"])
def test_the_database_refuses_to_change_the_past(entry: AuditEntry, sessions: sessionmaker[Session], deed: str):
    with pytest.raises(DBAPIError, match="append-only"), sessions.begin() as session:
        session.execute(text(deed))


def test_an_entry_stands_and_falls_with_its_deed(sessions: sessionmaker[Session]):
    with sessions() as session:
        audit.record(session, at=NOW, actor=None, action="swept")
        session.rollback()
        assert session.scalars(select(AuditEntry)).all() == []


def test_an_entry_of_nobody_known_is_refused(sessions: sessionmaker[Session]):
    with pytest.raises(DBAPIError), sessions.begin() as session:
        audit.record(session, at=NOW, actor=uuid.uuid4(), action="x")
