"""The worker: what is owed is decided once, whoever dies on the way."""

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from celery.contrib.testing.worker import start_worker
from pydantic import SecretStr
from sqlalchemy import func, select, update

from service import clock, outbox, worker
from service.processing import process
from service.settings import Settings
from service.tables import (
    Decision,
    Flag,
    FollowUp,
    FollowUpState,
    OutboxRow,
    Quarantine,
    Referral,
    ReferralState,
    Submission,
    SubmissionState,
)
from service.worker import Child, Worker
from tests.service import builders
from tests.service.builders import NOW
from tests.service.small_programme import Town, answers

PATIENCE = 90.0


@pytest.fixture
def town(sessions, vault) -> Town:
    return Town(sessions, vault)


@pytest.fixture
def here(settings, town) -> Iterator[Worker]:
    """A worker in this process."""
    opened = worker.open_worker(settings, "test")
    yield opened
    opened.close()


def counted(town, table, *conditions) -> int:
    """Without waiting for whoever writes."""
    with town.reading() as session:
        return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


def wait_until(reached: Callable[[], bool], patience: float = PATIENCE) -> None:
    end = clock.stopwatch() + patience
    while not reached():
        assert clock.stopwatch() < end, "waited in vain"
        time.sleep(0.02)


def died(town, keys, times: int) -> None:
    """As if workers had claimed these and died."""
    with town.sessions.begin() as session:
        session.execute(update(OutboxRow).where(OutboxRow.submission_id.in_(keys)).values(tries=times))


# ---- one batch after the other --------------------------------------------------------------------


def test_a_batch_is_claimed_decided_and_no_longer_owed(town, here):
    keys = [town.receives(answers(score=12, code=f"KH-{n}")) for n in range(3)]
    assert here.batch() == 3
    assert here.batch() == 0
    assert counted(town, Submission, Submission.state == SubmissionState.DECIDED) == len(keys)
    assert counted(town, OutboxRow) == 0


def test_a_new_day_opens_the_windows_of_follow_ups_without_any_upload(town, here):
    with town.sessions.begin() as session:
        row = builders.follow_up(session, builders.client(session))
        row.opens_on = NOW.date()
        key = row.id
    assert here.batch() == 0
    with town.reading() as session:
        assert session.get_one(FollowUp, key).state is not FollowUpState.SCHEDULED


def test_batches_are_no_larger_than_asked(town, here):
    for n in range(5):
        town.receives(answers(code=f"KH-{n}"))
    assert [here.batch(2), here.batch(2), here.batch(2), here.batch(2)] == [2, 2, 1, 0]


def test_the_task_of_a_broker_and_the_child_is_the_same(town, settings):
    town.receives(answers(score=12))
    worker.configure(settings, "test")
    assert worker.process_batch() == 1
    worker.here().close()
    assert counted(town, Decision) == 1


def test_what_a_worker_died_on_is_worked_on_alone(town, here):
    suspects = [town.receives(answers(code=f"KH-{n}")) for n in range(3)]
    town.receives(answers(code="KH-9"))
    died(town, suspects, 1)
    assert here.batch() == 2  # The new one, and one suspect.
    with town.sessions() as session:
        left = session.scalars(select(OutboxRow).order_by(OutboxRow.id)).all()
        assert [(row.submission_id, row.tries, row.claimed_until) for row in left] == [
            (key, 1, None) for key in suspects[1:]
        ]


def test_what_killed_two_workers_is_decided_by_the_reference_matcher_and_marked(town, here):
    key = town.receives(answers(score=12))
    died(town, [key], 2)
    here.batch()
    with town.sessions() as session:
        assert session.scalars(select(Decision)).one().alone


def test_what_killed_one_worker_is_still_decided_by_both(town, here):
    key = town.receives(answers(score=12))
    died(town, [key], 1)
    here.batch()
    with town.sessions() as session:
        assert not session.scalars(select(Decision)).one().alone


def test_what_kills_every_worker_is_set_aside(town, here):
    key = town.receives(answers(score=12))
    died(town, [key], 4)
    here.batch()
    with town.sessions() as session:
        assert session.get_one(Quarantine, key).error_class == "TooManyDeaths"
        assert session.get_one(Submission, key).state is SubmissionState.QUARANTINED
    assert counted(town, OutboxRow) == 0


def test_a_worker_that_starts_again_takes_back_what_it_had_claimed(town, here):
    key = town.receives(answers(score=12))
    with town.sessions.begin() as session:
        assert outbox.claim(session, limit=5, now=clock.now(), worker="test") == [key]
    assert here.batch() == 0
    here.take_back()
    assert here.batch() == 1


def test_another_workers_claim_is_left_to_it_until_its_lease_ends(town, here):
    town.receives(answers(score=12))
    with town.sessions.begin() as session:
        outbox.claim(session, limit=5, now=clock.now(), worker="another")
    here.take_back()
    assert here.batch() == 0
    with town.sessions.begin() as session:
        session.execute(update(OutboxRow).values(claimed_until=clock.now() - timedelta(seconds=1)))
    assert here.batch() == 1


def test_two_workers_at_once_decide_each_submission_once(town, settings):
    for n in range(40):
        town.receives(answers(score=12, code=f"KH-{n % 8}"))
    workers = [worker.open_worker(settings, f"test-{n}") for n in range(2)]

    def work(one: Worker) -> None:
        while counted(town, OutboxRow):
            one.batch(5)

    threads = [threading.Thread(target=work, args=(one,)) for one in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for one in workers:
        one.close()
    assert counted(town, Decision) == 40
    assert counted(town, Submission, Submission.state == SubmissionState.DECIDED) == 40
    # Eight people, each with one clinic referral; later visits were attached to it, in whatever order they came.
    stands = Referral.state != ReferralState.SUPERSEDED
    assert counted(town, Referral, Referral.service == "clinic", stands) == 8


def test_two_processes_on_one_submission_decide_it_once(town):
    """A lease that ends too early makes double work, never a double decision."""
    key = town.receives(answers(score=12, danger="yes"))
    done: list[list[uuid.UUID]] = []

    def work() -> None:
        with town.sessions.begin() as session:
            done.append(process(session, [key], now=clock.now(), desk=worker.Desk(town.vault)))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(len(keys) for keys in done) == [0, 1]
    assert counted(town, Decision) == 1


# ---- the child of a server ------------------------------------------------------------------------


@dataclass
class Server:
    settings: Settings
    child: Child


@pytest.fixture
def server(settings, town) -> Iterator[Server]:
    child = Child(settings)
    yield Server(settings, child)
    child.close()


def all_is_well(town, number: int) -> None:
    """All decided, nothing twice, nothing missing."""
    assert counted(town, Submission, Submission.state == SubmissionState.DECIDED) == number
    assert counted(town, Decision) == number
    assert counted(town, OutboxRow) == 0
    assert counted(town, Quarantine) == 0
    with town.sessions() as session:
        for table, key in ((Flag, Flag.code), (Referral, Referral.service), (FollowUp, FollowUp.step)):
            twice = select(table.client_id, key).group_by(table.client_id, key).having(func.count() > 1)
            assert session.execute(twice).all() == []
        numbers = session.scalars(select(Referral.number)).all()
        assert len(numbers) == len(set(numbers)) == 2 * number  # One for the clinic, one internal, each.


def kill_in_the_middle(town, child: Child) -> None:
    """SIGKILL while a batch is claimed and being worked on; then wait for the next child."""
    wait_until(lambda: counted(town, OutboxRow, OutboxRow.claimed_until.is_not(None)) > 0)
    pid = child.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: child.pid != pid)


def test_a_killed_child_loses_nothing_and_does_nothing_twice(town, settings):
    keys = [town.receives(answers(score=12, code=f"KH-{n}")) for n in range(200)]
    child = Child(settings)
    try:
        kill_in_the_middle(town, child)
        assert counted(town, Decision) < len(keys)
        wait_until(lambda: counted(town, Decision) >= 20)
        kill_in_the_middle(town, child)
        assert counted(town, Decision) < len(keys)
        wait_until(lambda: counted(town, OutboxRow) == 0)
    finally:
        child.close()
    all_is_well(town, len(keys))


def test_a_server_that_was_killed_goes_on_where_it_stopped(town, settings):
    """As when the machine loses power: nobody has given anything back."""
    keys = [town.receives(answers(score=12, code=f"KH-{n}")) for n in range(60)]
    with town.sessions.begin() as session:
        outbox.claim(session, limit=50, now=clock.now(), worker=f"serve@{worker.socket.gethostname()}:{settings.port}")
    child = Child(settings)
    wait_until(lambda: counted(town, OutboxRow) == 0)
    child.close()
    all_is_well(town, len(keys))


def test_a_ring_is_heard_at_once(town, server):
    wait_until(lambda: server.child.pid is not None)
    town.receives(answers(score=12))
    server.child.ring()
    wait_until(lambda: counted(town, Decision) == 1)


def test_the_child_finishes_its_batch_when_it_is_asked_to_stop(town, settings):
    for n in range(30):
        town.receives(answers(score=12, code=f"KH-{n}"))
    child = Child(settings)
    wait_until(lambda: counted(town, Decision) > 0)
    child.close()
    claimed = counted(town, OutboxRow, OutboxRow.claimed_until.is_not(None))
    assert claimed == 0


# ---- under Celery ---------------------------------------------------------------------------------


@pytest.fixture
def brokered(settings, town) -> Iterator[Settings]:
    """Settings with a broker that lives in this process, and one of Celery's own workers at it."""
    brokered = settings.model_copy(update={"broker_url": SecretStr("memory://")})
    worker.configure(brokered, "test")
    with start_worker(worker.app, pool="solo", perform_ping_check=False, shutdown_timeout=PATIENCE):
        yield brokered
    worker.here().close()


def test_with_a_broker_a_ring_wakes_celerys_workers_until_nothing_is_due(town, brokered):
    for n in range(60):
        town.receives(answers(score=12, code=f"KH-{n}"))
    bell = worker.beside(brokered)
    bell.ring()
    wait_until(lambda: counted(town, OutboxRow) == 0)
    bell.close()
    all_is_well(town, 60)


def test_a_broker_that_is_down_delays_and_disturbs_nobody(town, settings):
    down = settings.model_copy(update={"broker_url": SecretStr("amqp://nobody@127.0.0.1:1//")})
    bell = worker.beside(down)
    key = town.receives(answers(score=12))
    bell.ring()
    bell.close()
    with town.reading() as session:
        assert session.scalars(select(OutboxRow.submission_id)).all() == [key]
