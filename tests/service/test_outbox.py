import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from service import outbox
from service.sealing import Vault
from service.tables import OutboxRow, Role
from tests.service import builders
from tests.service.builders import NOW

LEASE = timedelta(minutes=5)


@pytest.fixture
def owed(sessions: sessionmaker[Session], vault: Vault) -> list[uuid.UUID]:
    """Ten submissions, each owed since NOW, in order of receipt."""
    with sessions.begin() as session:
        sender = builders.user(session, Role.ENUMERATOR)
        rows = [builders.submission(session, vault, sender) for _ in range(10)]
        for row in rows:
            session.add(OutboxRow(submission_id=row.id, available_at=NOW, claimed_until=None, claimed_by=None, tries=0))
            session.flush()
        return [row.id for row in rows]


def claim(sessions: sessionmaker[Session], limit: int = 100, now=NOW, worker: str = "w") -> list[uuid.UUID]:
    with sessions.begin() as session:
        return outbox.claim(session, limit=limit, now=now, lease=LEASE, worker=worker)


def test_the_first_received_is_claimed_first(sessions, owed):
    assert claim(sessions, 3) == owed[:3]
    assert claim(sessions, 3) == owed[3:6]


def test_what_is_claimed_is_nobody_elses_until_the_lease_ends(sessions, owed):
    claim(sessions)
    assert claim(sessions, now=NOW + LEASE - timedelta(seconds=1)) == []
    assert claim(sessions, now=NOW + LEASE) == owed


def test_a_worker_that_is_still_busy_keeps_its_rows(sessions, owed):
    claim(sessions, worker="busy")
    with sessions.begin() as session:
        assert outbox.renew(session, owed, worker="busy", until=NOW + 3 * LEASE) == 10
        assert outbox.renew(session, owed, worker="other", until=NOW + 9 * LEASE) == 0
    assert claim(sessions, now=NOW + 2 * LEASE) == []


def test_what_is_finished_is_owed_no_more(sessions, owed):
    claim(sessions)
    with sessions.begin() as session:
        outbox.finish(session, owed[:4])
    assert claim(sessions, now=NOW + LEASE) == owed[4:]


def test_what_is_postponed_waits_for_its_time_and_no_lease(sessions, owed):
    claim(sessions)
    with sessions.begin() as session:
        outbox.postpone(session, owed[0], NOW + timedelta(seconds=30))
    assert claim(sessions, now=NOW + timedelta(seconds=29)) == []
    assert claim(sessions, now=NOW + timedelta(seconds=30)) == [owed[0]]


def test_what_is_given_back_is_free_at_once_and_was_no_try(sessions, owed):
    claim(sessions)
    with sessions.begin() as session:
        outbox.release(session, owed)
        assert set(outbox.tries(session, owed).values()) == {0}
    assert claim(sessions) == owed


def test_a_claim_whose_transaction_fails_never_was(sessions, owed):
    with sessions() as session:
        outbox.claim(session, limit=5, now=NOW, worker="dies")
        session.rollback()
    assert claim(sessions) == owed


def test_tries_are_counted_so_that_a_deadly_submission_is_known(sessions, owed):
    for round_ in range(3):
        claim(sessions, now=NOW + round_ * LEASE)
    with sessions() as session:
        assert set(outbox.tries(session, owed).values()) == {3}


def test_many_workers_never_share_a_row(sessions, owed):
    with ThreadPoolExecutor(8) as pool:
        claimed = [id_ for ids in pool.map(lambda n: claim(sessions, 1, worker=f"w{n}"), range(20)) for id_ in ids]
    assert sorted(claimed) == sorted(owed)


def test_a_worker_knows_what_waits_and_how_long_it_may_sleep(sessions, owed):
    with sessions() as session:
        assert (outbox.waiting(session, NOW), outbox.next_due(session)) == (10, NOW)
    claim(sessions)
    with sessions() as session:
        assert (outbox.waiting(session, NOW), outbox.next_due(session)) == (0, NOW + LEASE)
        outbox.postpone(session, owed[0], NOW + timedelta(seconds=30))
        assert outbox.next_due(session) == NOW + timedelta(seconds=30)


def test_nothing_owed_means_nothing_due(sessions):
    with sessions() as session:
        assert (outbox.waiting(session, NOW), outbox.next_due(session)) == (0, None)


def test_the_wait_doubles_and_has_an_end():
    waits = [outbox.back_off(tries).total_seconds() for tries in (1, 2, 3, 50)]
    assert waits == [15, 30, 60, 6 * 3600]
