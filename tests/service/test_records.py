"""The record just before an observation: what happened before it, as it stood then, and nothing of its own making."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from rules.facts import Record
from service import access, processing, referrals
from service.desk import Work
from service.queries import records
from service.queries.records import Place
from service.referrals import Reason
from service.tables import Observation, User
from tests.service.builders import NOW
from tests.service.small_programme import Town, answers, days

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])


@pytest.fixture
def town(sessions, vault) -> Town:
    return Town(sessions, vault)


def before(town, key) -> Record:
    """The record just before this submission."""
    with town.sessions() as session:
        row = session.get_one(Observation, key)
        work = Work(session, town.desk, town.desk.shelf.in_force(session), NOW, frozenset())
        everything = records.observations(session, row.client_id)
        return records.just_before(
            session, row.client_id, Place.of(row), everything, open_=processing.opener(work), zone=ZONE
        )


def supervisor(town, session):
    return access.viewer_of(session, session.get_one(User, town.supervisor), NOW)


def states(record) -> dict[str, str]:
    return {item.service: item.state for item in record.referrals}


def test_the_first_observation_has_nothing_before_it(town):
    assert before(town, town.sends(answers(score=12, danger="yes"))) == Record()


def test_earlier_observations_stand_oldest_first_however_they_came(town):
    town.sends(answers("2026-03-08", score=3))
    town.sends(answers("2026-03-02", score=7))
    last = town.sends(answers("2026-03-09", score=5))
    seen = before(town, last).observations
    assert [(item.date.isoformat(), item.answers["score"]) for item in seen] == [("2026-03-02", 7), ("2026-03-08", 3)]


def test_of_one_day_the_one_received_first_comes_first(town):
    first = town.sends(answers(score=3))
    second = town.sends(answers(score=5), at=NOW + timedelta(minutes=1))
    assert len(before(town, second).observations) == 1
    assert before(town, first).observations == ()


def test_what_an_edit_replaced_is_not_there(town):
    old = town.sends(answers("2026-03-08", score=12))
    town.sends(answers("2026-03-08", score=2), replaces=old, at=NOW + timedelta(hours=1))
    record = before(town, town.sends(answers("2026-03-10", score=2), at=NOW + timedelta(hours=2)))
    assert [item.answers["score"] for item in record.observations] == [2]
    assert states(record) == {}
    assert record.flags == ()
    assert record.follow_ups == ()


def test_a_referral_is_seen_as_it_stood_then(town):
    town.sends(answers("2026-03-10", score=12))
    second = town.sends(answers("2026-03-12", score=2), at=NOW + days(2))
    with town.sessions.begin() as session:
        key = town.referrals(session)["clinic"].id
        referrals.approve(session, supervisor(town, session), key, NOW + days(3))
    third = town.sends(answers("2026-03-14", score=2), at=NOW + days(4))
    assert states(before(town, second))["clinic"] == "proposed"
    assert states(before(town, third))["clinic"] == "sent"


def test_a_referral_that_came_late_is_seen_where_it_belongs(town):
    """Its cause happened before; that the server learned of it later changes nothing."""
    later = town.sends(answers("2026-03-10", score=2))
    town.sends(answers("2026-03-05", score=12), at=NOW + days(1))
    assert states(before(town, later))["clinic"] == "proposed"


def test_a_flag_stands_before_the_observation_that_ended_it(town):
    town.sends(answers("2026-03-10", score=12))
    ends = town.sends(answers("2026-03-12", score=2), at=NOW + days(2))
    after = town.sends(answers("2026-03-14", score=2), at=NOW + days(4))
    assert {item.code for item in before(town, ends).flags} == {"high_score", "some_score"}
    assert before(town, after).flags == ()


def test_a_follow_up_is_missed_when_its_window_has_passed_and_nobody_came(town):
    town.sends(answers("2026-03-10", score=12))
    last = town.sends(answers("2026-05-10", score=2), at=NOW + days(61))
    seen = {(item.schedule, item.step): item.state for item in before(town, last).follow_ups}
    assert seen["course", "m1"] == "missed"
    assert seen["course", "m3"] == "scheduled"


def test_a_follow_up_that_this_visit_does_is_still_open_before_it(town):
    town.sends(answers("2026-03-10", score=12))
    visit = {"visit_date": "2026-04-09", "client_code": "KH-1", "score": 3}
    first = town.sends(visit, form="visit", at=NOW + days(30))
    second = town.sends({**visit, "visit_date": "2026-04-20"}, form="visit", at=NOW + days(41))
    assert {item.step: item.state for item in before(town, first).follow_ups}["m1"] == "open"
    assert {item.step: item.state for item in before(town, second).follow_ups}["m1"] == "done"


def test_the_last_word_on_each_service_counts(town):
    town.sends(answers("2026-03-10"))
    town.sends(answers("2026-03-12", share=["rescue"]), at=NOW + days(2))
    last = town.sends(answers("2026-03-14"), at=NOW + days(4))
    said = {item.service: item.state.value for item in before(town, last).consents}
    assert said == {"take_part": "given", "clinic": "refused", "rescue": "given", "advice": "refused"}


def test_a_declined_referral_is_seen_as_withdrawn(town):
    town.sends(answers("2026-03-10", score=12))
    with town.sessions.begin() as session:
        key = town.referrals(session)["clinic"].id
        referrals.decline(
            session,
            supervisor(town, session),
            key,
            Reason.NOT_ELIGIBLE,
            note="",
            now=NOW + timedelta(hours=1),
            vault=town.vault,
        )
    last = town.sends(answers("2026-03-12", score=2), at=NOW + days(2))
    assert states(before(town, last))["clinic"] == "withdrawn"


def test_an_observation_whose_key_was_erased_is_left_out(town):
    first = town.sends(answers("2026-03-08", score=3))
    last = town.sends(answers("2026-03-10", score=5), at=NOW + timedelta(minutes=5))
    with town.sessions() as session:
        town.vault.forget(session.scalars(select(Observation.key_id).where(Observation.submission_id == first)))
    assert before(town, last).observations == ()
