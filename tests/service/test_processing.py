"""From a submission to its outcomes, on both databases."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from service.tables import (
    Client,
    ClientIdentity,
    Consent,
    ConsentState,
    Decision,
    Flag,
    FollowUp,
    IdentityIndex,
    Notice,
    Observation,
    OutboxRow,
    Quarantine,
    Referral,
    ReferralState,
    ReportableValue,
    StoppedOutcome,
    Submission,
    SubmissionState,
)
from tests.service.builders import NOW
from tests.service.small_programme import Town, answers, day, days


@pytest.fixture
def town(sessions, vault) -> Town:
    return Town(sessions, vault)


def test_a_submission_becomes_a_referral_with_its_reasons(town):
    key = town.sends(answers(score=12))
    with town.sessions() as session:
        referral = town.referrals(session)["clinic"]
        assert (referral.state, referral.rule_ids) == (ReferralState.PROPOSED, ["R1"])
        row = session.get_one(Decision, referral.decision_id)
        decision = json.loads(town.vault.open(row.key_id, row.sealed_decision, "decision"))
        assert decision["referrals"][0]["reasons"][0]["condition"]["text"] == "${score} >= 10"
        assert row.submission_id == key
