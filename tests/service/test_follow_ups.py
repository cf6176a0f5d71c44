"""What is due when, why, and which visit did it."""

import uuid
from datetime import date, timedelta

import pytest
from sqlalchemy import select

from rules.decision import FollowUpWanted
from service import follow_ups
from service.tables import Decision, FollowUp, FollowUpCause, FollowUpState, Role
from tests.service import builders

DAY = date(2026, 3, 10)


class Case:
    """A client, and decisions that want follow-ups."""

    def __init__(self, session, vault) -> None:
        self.session, self.vault = session, vault
        self.worker = builders.user(session, Role.ENUMERATOR)
        self.client = builders.client(session, worker=self.worker)
        self.rulebook = builders.rulebook(session)

    def decision(self) -> Decision:
        submission = builders.submission(self.session, self.vault, self.worker, self.client)
        return builders.decision(self.session, self.vault, submission, self.rulebook)

    def wants(self, *wanted, decision=None, starts_on=DAY, today=None, compartments=None) -> Decision:
        decision = decision or self.decision()
        follow_ups.schedule(
            self.session,
            self.client,
            wanted,
            starts_on=starts_on,
            today=today or starts_on,
            decision_id=decision.id,
            compartments=compartments or {},
        )
        self.session.flush()
        return decision

    def visits(self, on, form="visit") -> uuid.UUID:
        key = builders.submission(self.session, self.vault, self.worker, self.client).id
        follow_ups.fulfil(self.session, self.client, form, key, on, today=on)
        return key

    @property
    def rows(self) -> list[FollowUp]:
        return list(self.session.scalars(select(FollowUp).order_by(FollowUp.due_on, FollowUp.cause)))

    def causes(self, row) -> set[str]:
        return set(self.session.scalars(select(FollowUpCause.cause).where(FollowUpCause.follow_up_id == row.id)))


@pytest.fixture
def case(session, vault) -> Case:
    return Case(session, vault)


def wanted(cause="R1", due=30, *, step="m1", before=7, after=14, schedule="course", form="visit", day=DAY):
    due_on = day + timedelta(days=due)
    return FollowUpWanted(
        schedule=schedule,
        step=step,
        form=form,
        due=due_on,
        opens=due_on - timedelta(days=before),
        closes=due_on + timedelta(days=after),
        starts_from="scheduled",
        cause=cause,
        label={"en": step},
        reasons=(),
    )


def test_a_follow_up_belongs_to_the_clients_worker(case):
    case.wants(wanted())
    (row,) = case.rows
    assert (row.worker_id, row.due_on, row.state) == (case.worker.id, date(2026, 4, 9), FollowUpState.SCHEDULED)


def test_asking_twice_makes_it_once(case):
    decision = case.wants(wanted())
    case.wants(wanted(), decision=decision)
    assert len(case.rows) == 1


def test_a_second_cause_joins_where_windows_overlap_and_overwrites_nothing(case):
    case.wants(wanted("R1"))
    case.wants(wanted("R2", day=DAY + timedelta(days=3)), starts_on=DAY + timedelta(days=3))
    (row,) = case.rows
    assert (row.cause, row.due_on, case.causes(row)) == ("R1", date(2026, 4, 9), {"R1", "R2"})


def test_where_windows_do_not_overlap_both_stand(case):
    case.wants(wanted("R1"))
    case.wants(wanted("R1", day=DAY + timedelta(days=60)), starts_on=DAY + timedelta(days=60))
    assert len(case.rows) == 2


def test_what_needs_another_right_is_not_joined(case):
    """Or one who may not know of the second cause would learn of it."""
    case.wants(wanted("R1"))
    case.wants(wanted("R2"), compartments={"R2": "quiet"})
    assert {row.compartment for row in case.rows} == {"", "quiet"}


def test_a_cause_that_goes_leaves_the_visit_to_the_others(case):
    first = case.wants(wanted("R1"))
    second = case.wants(wanted("R2"))
    follow_ups.release(case.session, first.id)
    assert case.rows[0].state is FollowUpState.SCHEDULED
    follow_ups.release(case.session, second.id)
    assert case.rows[0].state is FollowUpState.CANCELLED


def test_two_decisions_of_one_day_and_rule_hold_it_together(case):
    first = case.wants(wanted("R1"))
    case.wants(wanted("R1"))
    follow_ups.release(case.session, first.id)
    assert [row.state for row in case.rows] == [FollowUpState.SCHEDULED]


def test_what_is_wanted_again_stands_again(case):
    decision = case.wants(wanted("R1"))
    case.wants(decision=decision)
    assert case.rows[0].state is FollowUpState.CANCELLED
    case.wants(wanted("R1"), decision=decision)
    assert case.rows[0].state is FollowUpState.SCHEDULED


def test_a_step_whose_window_is_over_is_not_made(case):
    case.wants(wanted(), today=DAY + timedelta(days=60))
    assert case.rows == []


def test_a_visit_without_appointment_does_the_step_whose_window_it_falls_in(case):
    case.wants(wanted(due=30), wanted(due=90, step="m3"))
    key = case.visits(DAY + timedelta(days=25))
    first, second = case.rows
    assert (first.state, first.done_by_submission) == (FollowUpState.DONE, key)
    assert second.state is FollowUpState.SCHEDULED


def test_one_meeting_serves_all_steps_that_are_open(case):
    case.wants(wanted(due=7, step="+7", before=3, after=7), wanted(due=14, step="+14", before=3, after=7))
    case.visits(DAY + timedelta(days=12))
    assert {row.state for row in case.rows} == {FollowUpState.DONE}


def test_another_form_does_nothing(case):
    case.wants(wanted())
    case.visits(DAY + timedelta(days=30), form="check")
    assert case.rows[0].state is FollowUpState.SCHEDULED


def test_late_work_is_always_let_in(case):
    case.wants(wanted(due=30))
    follow_ups.advance(case.session, DAY + timedelta(days=50))
    assert case.rows[0].state is FollowUpState.MISSED
    case.visits(DAY + timedelta(days=50))
    assert case.rows[0].state is FollowUpState.LATE


def test_the_visit_that_began_a_step_does_not_do_it(case):
    case.wants(wanted(due=14, step="+14", before=14, after=30))
    case.visits(DAY)
    assert case.rows[0].state is FollowUpState.OPEN


def test_a_call_that_is_due_at_once_is_done_the_same_day(case):
    case.wants(wanted(due=0, step="+0", before=0, after=1))
    case.visits(DAY)
    assert case.rows[0].state is FollowUpState.DONE


def test_a_visit_that_was_replaced_was_not_made(case):
    case.wants(wanted())
    key = case.visits(DAY + timedelta(days=30))
    follow_ups.undo(case.session, key, DAY + timedelta(days=31))
    assert (case.rows[0].state, case.rows[0].done_on) == (FollowUpState.OPEN, None)


def test_windows_open_and_close_with_the_days(case):
    case.wants(wanted())
    assert follow_ups.advance(case.session, DAY) == 0
    assert follow_ups.advance(case.session, DAY + timedelta(days=23)) == 1
    case.session.expire_all()
    assert case.rows[0].state is FollowUpState.OPEN
    assert follow_ups.advance(case.session, DAY + timedelta(days=44)) == 0
    assert follow_ups.advance(case.session, DAY + timedelta(days=45)) == 1
    case.session.expire_all()
    assert case.rows[0].state is FollowUpState.MISSED
