"""From a submission to its outcomes, on both databases."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from service import access, follow_ups, quarantine, referrals
from service.observations import unpack
from service.tables import (
    Attempt,
    Client,
    ClientIdentity,
    Consent,
    ConsentState,
    Decision,
    Flag,
    FollowUpState,
    IdentityIndex,
    Notice,
    Observation,
    OutboxRow,
    Quarantine,
    Referral,
    ReferralEvent,
    ReferralState,
    ReportableValue,
    Role,
    StoppedOutcome,
    Submission,
    SubmissionState,
    User,
)
from tests.service import builders
from tests.service.builders import NOW
from tests.service.small_programme import CHECK, RULES, STOPS, Town, answers, compiled, days, publish_rules


@pytest.fixture
def town(sessions, vault) -> Town:
    return Town(sessions, vault)


def counted(session, table) -> int:
    return session.scalar(select(func.count()).select_from(table))


def events(session, referral) -> list[tuple[str, str]]:
    rows = session.scalars(
        select(ReferralEvent).where(ReferralEvent.referral_id == referral.id).order_by(ReferralEvent.id)
    )
    return [(row.event, row.to_state) for row in rows]


# ---- the plain way --------------------------------------------------------------------------------


def test_a_submission_becomes_a_referral_with_its_reasons(town):
    key = town.sends(answers(score=12))
    with town.sessions() as session:
        referral = town.referrals(session)["clinic"]
        assert (referral.state, referral.rule_ids) == (ReferralState.PROPOSED, ["R1"])
        row = session.get_one(Decision, referral.decision_id)
        assert row.submission_id == key
        decision = json.loads(town.vault.open(row.key_id, row.sealed_decision, "decision"))
        wanted = {item["service"]: item for item in decision["referrals"]}
        assert wanted["clinic"]["reasons"][0]["condition"]["text"] == "${score} >= 10"
        assert session.get_one(Submission, key).state is SubmissionState.DECIDED
        assert counted(session, OutboxRow) == 0


def test_typed_answers_are_kept_under_seal_and_typed_again(town):
    key = town.sends(answers(score=12))
    with town.sessions() as session:
        row = session.get_one(Observation, key)
        kept, findings = unpack(town.vault.open(row.key_id, row.sealed_answers, "answers"), compiled(CHECK))
        assert kept["share"] == ("clinic", "rescue", "advice")
        assert kept["score"] == 12
        assert findings == ()


def test_referral_numbers_run_on_and_are_read_out_easily(town):
    town.sends(answers(score=12))
    town.sends(answers(score=12, code="KH-2"))
    with town.sessions() as session:
        numbers = sorted(session.scalars(select(Referral.number).where(Referral.service == "clinic")))
        assert all(re.fullmatch(r"CG-2026-\d{4,}", number) for number in numbers)
        assert len(set(numbers)) == 2


def test_a_referral_is_due_counting_from_the_event_and_an_alert_from_the_receipt(town):
    town.sends(answers("2026-03-01", score=12, danger="yes"))
    with town.sessions() as session:
        rescue = town.referrals(session)["rescue"]
        assert rescue.due_at == datetime(2026, 3, 1, 16, 59, 59, tzinfo=UTC)  # The end of that day in Hanoi.
        alert = session.scalars(select(Flag).where(Flag.code == "danger")).one()
        assert alert.due_at == datetime(2026, 3, 10, 16, 59, 59, tzinfo=UTC)


def test_deciding_twice_changes_nothing(town):
    key = town.sends(answers(score=12, danger="yes"))
    with town.sessions.begin() as session:
        session.get_one(Submission, key).state = SubmissionState.RECEIVED
        before = [counted(session, table) for table in (Flag, Referral, ReferralEvent, Attempt, Notice, Consent)]
    assert town.decides(key) == [key]
    with town.sessions() as session:
        after = [counted(session, table) for table in (Flag, Referral, ReferralEvent, Attempt, Notice, Consent)]
        assert after == before
        assert counted(session, Decision) == 1


def test_a_submission_that_is_decided_is_left_alone(town):
    key = town.sends(answers(score=12))
    assert town.decides(key) == []


def test_without_rules_in_force_submissions_wait(sessions, vault, town):
    with sessions.begin() as session:
        for row in session.scalars(select(builders.RulebookVersion)):
            row.state = builders.VersionState.CLOSED
    key = town.receives(answers(score=12))
    assert town.decides(key) == []
    with sessions() as session:
        assert session.get_one(Submission, key).state is SubmissionState.RECEIVED
        assert counted(session, OutboxRow) == 1


def test_values_that_reports_may_count_stand_in_clear(town):
    key = town.sends(answers(score=12, needs=["advice", "clinic"]))
    with town.sessions() as session:
        rows = session.scalars(select(ReportableValue).where(ReportableValue.submission_id == key))
        values = {(row.name, row.value) for row in rows}
        assert values == {("score", "12"), ("agrees", "yes"), ("needs", "advice"), ("needs", "clinic")}


def test_the_reference_matcher_decides_alone_where_a_worker_has_died(town):
    key = town.receives(answers(score=12))
    town.decides(key, alone=[key])
    with town.sessions() as session:
        row = session.scalars(select(Decision)).one()
        assert row.alone
        assert "durable" not in row.engine


# ---- which services go on by themselves -----------------------------------------------------------


def test_a_same_day_referral_skips_approval_and_leaves_at_once(town):
    town.sends(answers(danger="yes", area="N1"))
    with town.sessions() as session:
        referral = town.referrals(session)["rescue"]
        assert referral.state is ReferralState.SENT
        assert events(session, referral) == [("proposed", "proposed"), ("approved", "approved"), ("sent", "sent")]
        attempt = session.scalars(select(Attempt)).one()
        assert attempt.provider_code == "north"  # Serves the area above the client's.
        assert session.get_one(Consent, attempt.consent_id).service == "rescue"


def test_a_same_day_referral_without_consent_alerts_inside_and_nothing_leaves(town):
    town.sends(answers(danger="yes", share=["clinic"]))
    with town.sessions() as session:
        referral = town.referrals(session)["rescue"]
        assert (referral.state, referral.held_by) == (ReferralState.PROPOSED, "Z2")
        assert counted(session, Attempt) == 0
        assert town.standing(session) == {"danger"}


def test_without_consent_a_referral_is_not_made_but_counted(town):
    town.sends(answers(score=12, share=["rescue"]))
    with town.sessions() as session:
        assert "clinic" not in town.referrals(session)
        stopped = session.scalars(select(StoppedOutcome)).one()
        assert (stopped.service, stopped.stop_id, stopped.instead) == ("clinic", "Z2", "self_referral_information")


def test_silence_about_taking_part_is_no(town):
    town.sends({"visit_date": "2026-03-10", "client_code": "KH-1", "score": 12, "full_name": "Mẫu An"})
    with town.sessions() as session:
        assert set(town.referrals(session)) == set()
        assert counted(session, ClientIdentity) == 0
        assert {row.stop_id for row in session.scalars(select(StoppedOutcome))} == {"Z1"}


def test_internal_work_is_approved_at_once_and_done_by_the_next_form_not_by_the_one_that_asked(town):
    town.sends(answers(score=6))
    with town.sessions() as session:
        first = town.referrals(session)["talk"]
        assert (first.state, first.internal) == (ReferralState.APPROVED, True)
    town.sends(answers("2026-03-20", score=6), at=NOW + days(10))
    with town.sessions() as session:
        rows = session.scalars(select(Referral).where(Referral.service == "talk").order_by(Referral.created_at)).all()
        assert [row.state for row in rows] == [ReferralState.COMPLETED, ReferralState.APPROVED]


def test_a_provider_is_proposed_where_the_client_lives(town):
    town.sends(answers(score=12, area="S"))
    with town.sessions() as session:
        assert town.referrals(session)["clinic"].provider_code == "south"


def test_where_nobody_offers_the_service_no_provider_is_proposed(town):
    town.sends(answers(needs=["advice"]))
    with town.sessions() as session:
        assert town.referrals(session)["advice"].provider_code is None


# ---- duplicates -----------------------------------------------------------------------------------


def test_a_need_that_is_already_open_is_attached_and_not_made_again(town):
    town.sends(answers(score=12))
    town.sends(answers("2026-03-12", score=12), at=NOW + days(2))
    with town.sessions() as session:
        referral = session.scalars(select(Referral).where(Referral.service == "clinic")).one()
        assert events(session, referral)[-1] == ("attached", "proposed")
        stopped = session.scalars(select(StoppedOutcome).where(StoppedOutcome.service == "clinic")).one()
        assert (stopped.stop_id, stopped.referral_id) == ("Z3", referral.id)


def test_a_same_day_need_raises_the_open_referral_and_sends_it(town):
    town.sends(answers(score=12))
    town.sends(answers("2026-03-12", score=22), at=NOW + days(2))
    with town.sessions() as session:
        referral = session.scalars(select(Referral).where(Referral.service == "clinic")).one()
        assert (referral.urgency, referral.state) == ("same_day", ReferralState.SENT)
        assert [name for name, _ in events(session, referral)] == ["proposed", "raised", "approved", "sent"]
        assert referral.rule_ids[0] == "R1"
        assert "R8" in referral.rule_ids


# ---- flags ----------------------------------------------------------------------------------------


def test_a_flag_stands_until_its_form_raises_it_no_more(town):
    town.sends(answers(score=12))
    town.sends({"visit_date": "2026-03-11", "client_code": "KH-1", "score": 2}, form="visit", at=NOW + days(1))
    with town.sessions() as session:
        assert {"high_score", "some_score"} <= town.standing(session)
    town.sends(answers("2026-03-12", score=6), at=NOW + days(2))
    with town.sessions() as session:
        ended = session.scalars(select(Flag).where(Flag.code == "high_score")).one()
        assert ended.ended_because == "not_raised"
        assert "some_score" in town.standing(session)


def test_a_flag_that_is_raised_again_stands_once(town):
    town.sends(answers(score=12))
    town.sends(answers("2026-03-12", score=12), at=NOW + days(2))
    with town.sessions() as session:
        rows = session.scalars(select(Flag).where(Flag.code == "high_score").order_by(Flag.raised_at)).all()
        assert [row.ended_because for row in rows] == ["raised_again", ""]


def test_a_flag_is_an_item_of_the_queue_when_it_is_grave_or_urgent_without_a_referral(town):
    town.sends(answers(score=12, danger="yes"))
    with town.sessions() as session:
        queued = {row.code: row.in_queue for row in session.scalars(select(Flag))}
        assert queued == {"high_score": True, "danger": True, "some_score": False, "both": True}


def test_a_flag_needs_the_right_of_the_service_that_its_rule_wants(town):
    town.sends(answers(score=12, danger="yes"))
    with town.sessions() as session:
        rights = {row.code: row.compartment for row in session.scalars(select(Flag))}
        assert (rights["danger"], rights["high_score"]) == ("quiet", "")
        assert town.referrals(session)["rescue"].compartment == "quiet"


def test_those_who_are_to_be_told_are_told_once(town):
    town.sends(answers(score=6, danger="yes"))
    with town.sessions() as session:
        told = {(row.rule_id, row.to_role) for row in session.scalars(select(Notice))}
        assert told == {("R2", "worker"), ("R3", "worker")}


# ---- clients --------------------------------------------------------------------------------------


def test_a_person_who_refuses_joins_no_client_and_only_counts(town):
    key = town.sends(
        {"visit_date": "2026-03-10", "client_code": "KH-9", "agrees": "no", "score": 12, "full_name": "Mẫu Văn An"}
    )
    with town.sessions() as session:
        assert [counted(session, table) for table in (Client, ClientIdentity, IdentityIndex, Consent, Flag)] == [0] * 5
        row = session.get_one(Observation, key)
        assert row.client_id is None
        assert session.get_one(Submission, key).state is SubmissionState.DECIDED
        assert {r.name for r in session.scalars(select(ReportableValue))} == {"score", "agrees"}
        assert {row.stop_id for row in session.scalars(select(StoppedOutcome))} == {"Z1"}


def test_a_known_client_who_refuses_takes_back_an_earlier_yes(town):
    town.sends(answers(score=2))
    town.sends({"visit_date": "2026-03-12", "client_code": "KH-1", "agrees": "no"}, at=NOW + days(2))
    town.sends({"visit_date": "2026-03-14", "client_code": "KH-1", "score": 12}, at=NOW + days(4))
    with town.sessions() as session:
        assert "clinic" not in town.referrals(session)
        assert counted(session, Client) == 1


def test_nothing_of_the_identity_stands_in_clear(town):
    town.sends(answers(full_name="Mẫu Văn Đức", phone="+84 912 345 678", birth_date="1990-05-01"))
    with town.sessions() as session:
        row = session.scalars(select(ClientIdentity)).one()
        opened = json.loads(town.vault.open(row.key_id, row.sealed_identity, "identity"))
        assert opened == {"name": "Mẫu Văn Đức", "phone": "+84 912 345 678", "birth_date": "1990-05-01"}
        found = {(item.kind, item.digest) for item in session.scalars(select(IdentityIndex))}
        for kind, text in (
            ("name", "mau van duc"),
            ("name_word", "duc"),
            ("phone", "912345678"),
            ("birth_date", "1990-05-01"),
        ):
            assert (kind, town.vault.blind(kind, text)) in found


@pytest.mark.parametrize("backend", ["sqlite"])
def test_who_steals_the_database_finds_no_name_and_no_number(town, settings):
    town.sends(answers(full_name="Mẫu Văn Đức", phone="0912345678", birth_date="1990-05-01", score=12, danger="yes"))
    town.sends({"visit_date": "2026-03-10", "agrees": "no", "full_name": "Mẫu Thị Hoa", "phone": "0987654321"})
    stolen = b"".join(path.read_bytes() for path in settings.data_dir.rglob("*") if path.is_file())
    assert b"high_score" in stolen  # It is the right file, and flags stand in clear.
    for text in ("Đức", "Duc", "duc", "0912345678", "912345678", "1990-05-01", "Hoa", "0987654321"):
        assert text.encode() not in stolen


# ---- what happened earlier and came later ---------------------------------------------------------


def test_a_late_upload_lets_later_observations_be_decided_anew(town):
    town.sends(answers("2026-03-10", score=8))
    with town.sessions() as session:
        assert "worse" not in town.standing(session)
    town.sends(answers("2026-03-05", score=3), at=NOW + days(1))
    with town.sessions() as session:
        assert "worse" in town.standing(session)
        assert counted(session, Decision) == 2


def test_a_late_upload_takes_over_the_referral_that_nobody_had_acted_on(town):
    town.sends(answers("2026-03-10", score=12))
    town.sends(answers("2026-03-05", score=12), at=NOW + days(1))
    with town.sessions() as session:
        rows = session.scalars(select(Referral).where(Referral.service == "clinic").order_by(Referral.created_at)).all()
        assert [row.state for row in rows] == [ReferralState.SUPERSEDED, ReferralState.PROPOSED]
        stopped = session.scalars(select(StoppedOutcome).where(StoppedOutcome.service == "clinic")).one()
        assert stopped.referral_id == rows[1].id


def test_a_late_upload_leaves_alone_what_somebody_has_acted_on(town):
    town.sends(answers("2026-03-10", score=12))
    with town.sessions.begin() as session:
        who = access.viewer_of(session, session.get_one(User, town.supervisor), NOW)
        referrals.approve(session, who, town.referrals(session)["clinic"].id, NOW + timedelta(hours=1))
    town.sends(answers("2026-03-05", score=12), at=NOW + days(1))
    with town.sessions() as session:
        rows = session.scalars(select(Referral).where(Referral.service == "clinic").order_by(Referral.created_at)).all()
        assert rows[0].state is ReferralState.SENT


def test_why_a_flag_ended_is_said_anew_too(town):
    town.sends(answers("2026-03-10", score=1))
    town.sends(answers("2026-03-12", score=2), at=NOW + days(2))
    last = town.sends(answers("2026-03-14", score=3), at=NOW + days(4))
    town.sends(answers("2026-03-13", score=4), at=NOW + days(5))
    with town.sessions() as session:
        decided = session.scalars(select(Decision.id).where(Decision.submission_id == last)).one()
        rows = session.scalars(select(Flag).where(Flag.code == "worse", Flag.decision_id != decided))
        assert {row.ended_because for row in rows} == {"not_raised"}
        assert "worse" not in town.standing(session)


def test_deciding_anew_forgets_no_visit_whose_window_has_closed_since(town):
    town.sends(answers("2026-03-10", score=12))
    town.sends(answers("2026-03-05", score=2), at=NOW + days(60))
    with town.sessions.begin() as session:
        follow_ups.advance(session, NOW.date() + days(60))
        session.expire_all()
        assert town.follow_ups(session)["course", "m1"].state is FollowUpState.MISSED


def test_sending_late_or_in_time_comes_to_the_same(town):
    """The order in which two phones find a signal decides nothing."""
    first, second = answers("2026-03-05", score=3), answers("2026-03-10", score=8)
    other_first, other_second = {**first, "client_code": "KH-2"}, {**second, "client_code": "KH-2"}
    town.sends(first)
    town.sends(second)
    town.sends(other_second)
    town.sends(other_first)
    with town.sessions() as session:
        seen = []
        for code in ("KH-1", "KH-2"):
            client = town.client(session, code)
            flags = session.scalars(select(Flag).where(Flag.client_id == client.id, Flag.ended_at.is_(None)))
            found = session.scalars(select(Referral).where(Referral.client_id == client.id))
            open_ = {(row.service, row.state.value) for row in found if row.state is not ReferralState.SUPERSEDED}
            seen.append(({row.code for row in flags}, open_))
        assert seen[0][0] == seen[1][0] == {"some_score", "worse"}


# ---- edits ----------------------------------------------------------------------------------------


def test_an_edit_takes_the_place_of_what_it_edits(town):
    key = town.sends(answers(score=12))
    edited = town.sends(answers(score=2), replaces=key, at=NOW + days(1))
    with town.sessions() as session:
        assert session.get_one(Submission, key).state is SubmissionState.REPLACED
        assert session.get_one(Observation, key).replaced
        assert town.standing(session) == set()
        assert town.referrals(session)["clinic"].state is ReferralState.SUPERSEDED
        values = session.scalars(select(ReportableValue).where(ReportableValue.name == "score"))
        assert [(row.submission_id, row.value) for row in values] == [(edited, "2")]


def test_what_an_edit_supersedes_names_its_successor(town):
    key = town.sends(answers(score=12))
    town.sends(answers(score=13), replaces=key, at=NOW + days(1))
    with town.sessions() as session:
        rows = session.scalars(select(Referral).where(Referral.service == "clinic").order_by(Referral.created_at)).all()
        assert [row.state for row in rows] == [ReferralState.SUPERSEDED, ReferralState.PROPOSED]
        assert rows[0].superseded_by == rows[1].id


def test_consent_that_an_edit_takes_away_stands_no_more(town):
    key = town.sends(answers(score=2))
    town.sends({"visit_date": "2026-03-10", "client_code": "KH-1", "score": 12}, replaces=key, at=NOW + days(1))
    with town.sessions() as session:
        assert "clinic" not in town.referrals(session)


def test_an_edit_that_overtakes_its_original_stands(town):
    original = town.receives(answers(score=12))
    edit = town.receives(answers(score=2), replaces=original)
    town.decides(edit)
    town.decides(original)
    with town.sessions() as session:
        assert session.get_one(Submission, original).state is SubmissionState.REPLACED
        assert session.get_one(Submission, edit).state is SubmissionState.DECIDED
        assert set(town.referrals(session)) == set()


def test_nobody_may_blot_out_what_another_has_sent(town):
    key = town.sends(answers(score=12))
    with town.sessions.begin() as session:
        other = builders.user(session, Role.ENUMERATOR, "N1").id
    edit = town.sends(answers(score=2), replaces=key, by=other)
    with town.sessions() as session:
        assert session.get_one(Submission, key).state is SubmissionState.DECIDED
        assert session.get_one(Quarantine, edit).error_class == "ForeignEdit"
        assert "high_score" in town.standing(session)


# ---- quarantine -----------------------------------------------------------------------------------


def test_one_that_cannot_be_decided_blocks_no_other(town):
    bad = town.receives(answers(score=12), version="never published")
    good = town.receives(answers(score=12))
    assert town.decides(bad, good) == [good]
    with town.sessions() as session:
        row = session.get_one(Quarantine, bad)
        assert row.error_class == "UnknownForm"
        assert b"never published" not in row.sealed_detail
        assert b"never published" in town.vault.open(row.key_id, row.sealed_detail, "quarantine")
        assert session.get_one(Submission, bad).state is SubmissionState.QUARANTINED
        assert counted(session, OutboxRow) == 0


def test_what_went_wrong_half_way_leaves_nothing(town):
    with town.sessions.begin() as session:
        session.execute(builders.delete(builders.Service).where(builders.Service.code == "clinic"))
    key = town.sends(answers(score=12, full_name="Mẫu An"))
    with town.sessions() as session:
        assert session.get_one(Quarantine, key).error_class == "IntegrityError"
        assert [counted(session, table) for table in (Client, Observation, Decision, Flag, Referral)] == [0] * 5


def test_a_quarantined_submission_can_be_tried_again(town):
    with town.sessions.begin() as session:
        session.execute(builders.delete(builders.Service).where(builders.Service.code == "clinic"))
    key = town.sends(answers(score=12))
    with town.sessions.begin() as session:
        builders.service(session, "clinic")
        assert quarantine.retry(session, [key], now=NOW, by=town.supervisor) == 1
        assert session.scalars(select(OutboxRow.submission_id)).all() == [key]
    assert town.decides(key) == [key]
    with town.sessions() as session:
        assert counted(session, Quarantine) == 0
        assert "clinic" in town.referrals(session)


def test_what_cannot_be_decided_for_certain_is_set_aside_but_same_day_help_goes_out(town):
    doubtful = "|          | R9 | check | 10 | date(${full_name}) > today() | odd | info | | | | | |\n"
    with town.sessions.begin() as session:
        publish_rules(
            session, RULES.replace("| small       | 1 ", "| small       | 2 ").replace(STOPS, doubtful + STOPS)
        )
    key = town.sends(answers(score=12, danger="yes", full_name="no date"))
    with town.sessions() as session:
        assert session.get_one(Quarantine, key).error_class == "EnginesDisagree"
        assert session.get_one(Submission, key).state is SubmissionState.QUARANTINED
        assert not session.scalars(select(Decision)).one().agreed
        assert {service: row.state for service, row in town.referrals(session).items()} == {
            "rescue": ReferralState.SENT
        }
        assert town.standing(session) == {"danger"}


# ---- when it happened -----------------------------------------------------------------------------


def test_a_phone_that_lives_in_the_future_is_set_right_with_a_finding(town):
    key = town.sends(answers("2026-03-25", score=12))
    with town.sessions() as session:
        row = session.get_one(Observation, key)
        assert (row.event_date.isoformat(), row.findings) == ("2026-03-10", 1)


def test_without_an_event_date_the_end_counts_in_the_programmes_zone(town):
    given = {**answers(score=12), "end": "2026-03-09T20:30:00.000Z"}
    del given["visit_date"]
    key = town.sends(given)
    with town.sessions() as session:
        assert session.get_one(Observation, key).event_date.isoformat() == "2026-03-10"


def test_consents_are_kept_with_form_and_day(town):
    town.sends(answers(share=["clinic"]))
    with town.sessions() as session:
        said = {row.service: row.state for row in session.scalars(select(Consent))}
        assert said == {
            "take_part": ConsentState.GIVEN,
            "clinic": ConsentState.GIVEN,
            "rescue": ConsentState.REFUSED,
            "advice": ConsentState.REFUSED,
        }
        assert {row.form_version for row in session.scalars(select(Consent))} == {"check 1"}
