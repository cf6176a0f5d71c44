"""The life of a referral: who may move it where, and what must stand before anything leaves."""

import json
import uuid
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from rules.facts import TAKE_PART
from service import access, referrals
from service.access import Viewer
from service.queries import consents
from service.referrals import (
    NEXT,
    ChangedMeanwhile,
    NoSuchReferral,
    NotAllowed,
    NotConsented,
    ProviderUnfit,
    Reason,
    Step,
    TransitionRefused,
)
from service.sealing import Vault
from service.tables import (
    FINAL_STATES,
    Attempt,
    AuditEntry,
    Client,
    Consent,
    ConsentState,
    Referral,
    ReferralEvent,
    ReferralState,
    Role,
    User,
)
from tests.service import builders
from tests.service.builders import NOW, TODAY
from tests.service.small_programme import consent

S = ReferralState


@dataclass
class Desk:
    """A supervisor of the North, a client of hers with consent for the clinic, and a referral that is proposed."""

    sessions: sessionmaker[Session]
    vault: Vault
    referral: uuid.UUID
    client: uuid.UUID
    supervisor: uuid.UUID

    def viewer(self, session: Session, user: uuid.UUID | None = None) -> Viewer:
        return access.viewer_of(session, session.get_one(User, user or self.supervisor), NOW)

    def approve(self, provider: str | None = None, at=NOW) -> Referral:
        with self.sessions.begin() as session:
            return referrals.approve(session, self.viewer(session), self.referral, at, provider)

    def decline(self, reason=Reason.NO_CAPACITY, note="", **given) -> Referral:
        with self.sessions.begin() as session:
            return referrals.decline(
                session, self.viewer(session), self.referral, reason, note=note, now=NOW, vault=self.vault, **given
            )

    def events(self) -> list[str]:
        with self.sessions() as session:
            return list(session.scalars(select(ReferralEvent.event).order_by(ReferralEvent.id)))

    def audited(self) -> list[str]:
        with self.sessions() as session:
            return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))

    def says(self, service: str, state: ConsentState, at=NOW) -> None:
        with self.sessions.begin() as session:
            consent(session, session.get_one(Client, self.client), service, state, at)


@pytest.fixture
def desk(sessions, vault) -> Desk:
    with sessions.begin() as session:
        builders.area(session, "N")
        builders.area(session, "S")
        supervisor = builders.user(session, Role.SUPERVISOR, "N")
        client = builders.client(session, "N", builders.user(session, Role.ENUMERATOR, "N"))
        builders.provider(session, "house", "clinic")
        consent(session, client, TAKE_PART)
        consent(session, client, "clinic")
        referral = builders.referral(session, client, "clinic")
        return Desk(sessions, vault, referral.id, client.id, supervisor.id)


# ---- the machine ----------------------------------------------------------------------------------


def test_every_state_leads_somewhere_or_is_final():
    assert {state for state, after in NEXT.items() if not after} == set(FINAL_STATES)
    assert set(NEXT) == set(ReferralState)


def test_a_cascade_can_be_walked_from_end_to_end():
    way = (S.PROPOSED, S.APPROVED, S.SENT, S.ACCEPTED, S.ATTENDED, S.STARTED, S.COMPLETED)
    assert all(after in NEXT[before] for before, after in pairwise(way))


def test_a_change_that_the_machine_does_not_know_is_refused(desk):
    with desk.sessions.begin() as session:
        row = session.get_one(Referral, desk.referral)
        with pytest.raises(TransitionRefused):
            referrals.advance(session, row, S.COMPLETED, Step("completed", NOW))
        assert row.state is S.PROPOSED


def test_each_no_show_is_counted(desk):
    desk.approve("house")
    with desk.sessions.begin() as session:
        row = session.get_one(Referral, desk.referral)
        referrals.advance(session, row, S.NO_SHOW, Step("no_show", NOW))
        referrals.advance(session, row, S.ACCEPTED, Step("rebooked", NOW))
        referrals.advance(session, row, S.NO_SHOW, Step("no_show", NOW))
        assert row.no_shows == 2


# ---- approving ------------------------------------------------------------------------------------


def test_approving_sends_at_once_where_a_provider_is_chosen_and_consent_stands(desk):
    assert desk.approve("house").state is S.SENT
    assert desk.events() == ["approved", "sent"]
    assert [name for name in desk.audited() if name.startswith("referral.")] == ["referral.approved", "referral.sent"]
    with desk.sessions() as session:
        attempt = session.scalars(select(Attempt)).one()
        assert (attempt.provider_code, attempt.sent_by) == ("house", desk.supervisor)
        assert session.get_one(Consent, attempt.consent_id).service == "clinic"


def test_approving_without_a_provider_waits_for_one(desk):
    assert desk.approve().state is S.APPROVED
    with desk.sessions.begin() as session:
        sent = referrals.send_to(session, desk.viewer(session), desk.referral, NOW, "house")
        assert sent.state is S.SENT


def test_a_provider_that_does_not_offer_the_service_is_refused(desk):
    with desk.sessions.begin() as session:
        builders.provider(session, "other", "something_else")
    with pytest.raises(ProviderUnfit):
        desk.approve("other")
    assert desk.events() == []


def test_a_closed_provider_is_refused(desk):
    with desk.sessions.begin() as session:
        builders.provider(session, "closed", "clinic").active = False
    with pytest.raises(ProviderUnfit):
        desk.approve("closed")


def test_the_second_of_two_supervisors_learns_who_was_faster(desk):
    desk.approve("house", at=NOW + timedelta(minutes=1))
    with pytest.raises(ChangedMeanwhile) as problem:
        desk.approve("house", at=NOW + timedelta(minutes=2))
    with desk.sessions() as session:
        assert problem.value.by == session.get_one(User, desk.supervisor).code
    assert (problem.value.state, problem.value.at) == (S.SENT, NOW + timedelta(minutes=1))


def test_who_may_not_see_a_referral_cannot_tell_it_from_one_that_is_not_there(desk):
    with desk.sessions.begin() as session:
        elsewhere = desk.viewer(session, builders.user(session, Role.SUPERVISOR, "S").id)
        with pytest.raises(NoSuchReferral):
            referrals.approve(session, elsewhere, desk.referral, NOW)
        with pytest.raises(NoSuchReferral):
            referrals.approve(session, elsewhere, uuid.uuid4(), NOW)


@pytest.mark.parametrize("role", [Role.ENUMERATOR, Role.POLICE, Role.PROVIDER, Role.STAFF, Role.ADMIN])
def test_only_supervision_approves_and_declines(desk, role):
    with desk.sessions.begin() as session:
        who = desk.viewer(session, builders.user(session, role, "N").id)
        with pytest.raises(NotAllowed):
            referrals.approve(session, who, desk.referral, NOW)
        with pytest.raises(NotAllowed):
            referrals.decline(session, who, desk.referral, Reason.OTHER, note="", now=NOW, vault=desk.vault)


# ---- the consent gate -----------------------------------------------------------------------------


def test_nothing_leaves_without_consent_and_the_refusal_outlives_the_request(desk):
    desk.says("clinic", ConsentState.REFUSED, NOW + timedelta(hours=1))
    with pytest.raises(NotConsented):
        desk.approve("house")
    assert desk.audited()[-1] == "referral.refused_without_consent"
    with desk.sessions() as session:
        assert session.get_one(Referral, desk.referral).state is S.PROPOSED
        assert session.scalar(select(func.count()).select_from(Attempt)) == 0


def test_who_has_taken_back_everything_has_taken_back_this(desk):
    desk.says(TAKE_PART, ConsentState.WITHDRAWN, NOW + timedelta(hours=1))
    with pytest.raises(NotConsented):
        desk.approve("house")


def test_the_gate_stands_in_the_model_not_in_a_page(desk):
    desk.says("clinic", ConsentState.WITHDRAWN, NOW + timedelta(hours=1))
    with desk.sessions() as session:
        row = session.get_one(Referral, desk.referral)
        row.state = S.APPROVED
        house = session.get_one(builders.Provider, "house")
        with pytest.raises(NotConsented):
            referrals.send(session, row, house, Step("sent", NOW))
    with desk.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Attempt)) == 0


def test_silence_is_no(desk):
    with desk.sessions.begin() as session:
        client = builders.client(session, "N")
        assert consents.standing(session, client.id, "clinic") is None


def test_internal_work_needs_no_consent(desk):
    with desk.sessions.begin() as session:
        client = builders.client(session, "N")
        row = builders.referral(session, client, "talk")
        row.internal = True
        approved = referrals.approve(session, desk.viewer(session), row.id, NOW)
        assert approved.state is S.APPROVED
        assert S.COMPLETED in referrals.allowed(approved)
        assert S.SENT not in referrals.allowed(approved)


# ---- declining ------------------------------------------------------------------------------------


def test_declining_needs_a_coded_reason_and_seals_the_note(desk):
    row = desk.decline(Reason.NEEDS_CLIENT_ACTION, "Mẫu Văn An chưa có căn cước")
    assert (row.state, row.closed_reason) == (S.WITHDRAWN, "needs_client_action")
    with desk.sessions() as session:
        event = session.scalars(select(ReferralEvent)).one()
        assert (event.event, event.reason, event.actor_id) == ("declined", "needs_client_action", desk.supervisor)
        assert desk.vault.open(event.key_id, event.sealed_note, "note").decode() == "Mẫu Văn An chưa có căn cước"
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "referral.declined")).one()
        assert "An" not in json.dumps(entry.detail)


def test_a_reason_that_is_not_in_the_list_is_refused(desk):
    with pytest.raises(ValueError):
        desk.decline("because")


def test_declining_what_has_moved_on_says_so(desk):
    desk.approve("house")
    with pytest.raises(ChangedMeanwhile):
        desk.decline(expected=S.PROPOSED)
    assert desk.decline(expected=S.SENT).state is S.WITHDRAWN


def test_declining_twice_says_who_did(desk):
    desk.decline()
    with pytest.raises(ChangedMeanwhile):
        desk.decline()


def test_a_final_referral_ends_its_sending(desk):
    desk.approve("house")
    desk.decline()
    with desk.sessions() as session:
        assert session.scalars(select(Attempt)).one().ended_at == NOW


def test_a_referral_that_is_visible_today_only_is_judged_by_the_programmes_day(desk):
    """Cover for an absence ends by itself."""
    with desk.sessions.begin() as session:
        cover = builders.user(session, Role.SUPERVISOR)
        builders.works_in(session, cover, "N", valid_to=TODAY - timedelta(days=1))
        with pytest.raises(NoSuchReferral):
            referrals.approve(session, desk.viewer(session, cover.id), desk.referral, NOW)
