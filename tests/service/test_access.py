import dataclasses
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select, true
from sqlalchemy.orm import Session

from rules.programme import Programme, ProgrammeSettings, RoleEntry
from service import access
from service.access import Action, Viewer, can, visible
from service.sealing import Vault
from service.tables import (
    AreaWithin,
    Attachment,
    Attempt,
    Base,
    Client,
    ClientIdentity,
    Consent,
    ConsentState,
    Decision,
    Flag,
    FollowUp,
    FollowUpCause,
    IdentityIndex,
    Notice,
    Observation,
    Quarantine,
    Referral,
    ReferralEvent,
    RejectedUpload,
    ReportableValue,
    Role,
    StoppedOutcome,
    Submission,
    SubmissionState,
    UserArea,
)
from tests.service import builders
from tests.service.builders import NOW, TODAY

DAY = timedelta(days=1)

#: Tables that hold nothing about a case: people who work here, what is published, queues, logs of deeds.
NO_CASE_CONTENT = {
    "users",
    "user_areas",
    "devices",
    "web_sessions",
    "sign_in_attempts",
    "form_versions",
    "form_media",
    "rulebook_versions",
    "programme_versions",
    "areas",
    "area_within",
    "services",
    "providers",
    "outbox",
    "audit",
    "client_numbers",
    "referral_numbers",
}


@dataclasses.dataclass
class World:
    """Two districts of two wards. Lan works in ward a1, Mai in b1; Sáu supervises district a. One client each."""

    session: Session
    vault: Vault
    lan: Viewer
    mai: Viewer
    sau: Viewer
    lans: Client
    mais: Client
    rows: dict[type[Base], list[Base]]

    def sees(self, table: type[Base], viewer: Viewer, today: date = TODAY) -> set[Base]:
        return set(self.session.scalars(select(table).where(visible(table, viewer, today))))

    def viewer(self, role: Role, *areas: str, **given) -> Viewer:
        return access.viewer_of(self.session, builders.user(self.session, role, *areas, **given), NOW)

    def one_of_each(self) -> SimpleNamespace:
        """A row of every table of case content, all about Lan's client."""
        return SimpleNamespace(**{table.__name__: rows[0] for table, rows in self.rows.items()})


@pytest.fixture
def world(session: Session, vault: Vault) -> World:
    for code, parent in (("city", None), ("a", "city"), ("b", "city"), ("a1", "a"), ("a2", "a"), ("b1", "b")):
        builders.area(session, code, parent)
    lan = builders.user(session, Role.ENUMERATOR, "a1")
    mai = builders.user(session, Role.ENUMERATOR, "b1")
    sau = builders.user(session, Role.SUPERVISOR, "a")
    lans, mais = builders.client(session, "a1", lan), builders.client(session, "b1", mai)
    rulebook = builders.rulebook(session)
    rows: dict[type[Base], list[Base]] = {table: [] for table in access.VISIBLE}
    for client, sender in ((lans, lan), (mais, mai)):
        for row in case(session, vault, client, sender, rulebook):
            rows[type(row)].append(row)
    view: Callable = lambda user: access.viewer_of(session, user, NOW)  # noqa: E731  # Three uses on the next line.
    return World(session, vault, view(lan), view(mai), view(sau), lans, mais, rows)


def case(session: Session, vault: Vault, client: Client, sender, rulebook) -> list[Base]:
    """Everything that the tables can hold about one client, without any compartment."""
    submission = builders.submission(session, vault, sender, client)
    decision = builders.decision(session, vault, submission, rulebook)
    referral = builders.referral(session, client)
    provider_code = f"clinic_{client.area_code}"
    builders.provider(session, provider_code)
    follow_up = builders.follow_up(session, client)
    key = vault.key(submission.key_id)
    sealed = vault.seal(key, b"x", "note")
    rows: list[Base] = [
        ClientIdentity(client_id=client.id, sealed_identity=sealed, key_id=key.id, updated_at=NOW),
        IdentityIndex(client_id=client.id, kind="name", digest="0" * 64),
        Consent(
            id=uuid.uuid4(),
            client_id=client.id,
            service="take_part",
            state=ConsentState.GIVEN,
            given_on=TODAY,
            recorded_at=NOW,
            submission_id=submission.id,
        ),
        Attachment(
            id=uuid.uuid4(),
            submission_id=submission.id,
            name_digest="0" * 64,
            sealed_name=sealed,
            stored_as="0" * 32,
            size=1,
            key_id=key.id,
            received_at=NOW,
        ),
        Quarantine(submission_id=submission.id, error_class="X", sealed_detail=sealed, key_id=key.id, at=NOW),
        RejectedUpload(
            id=uuid.uuid4(),
            xml_digest=uuid.uuid4().hex,
            sealed_xml=sealed,
            key_id=key.id,
            size=1,
            user_id=sender.id,
            problem="conflict",
            received_at=NOW,
        ),
        ReportableValue(submission_id=submission.id, name="x", value="1"),
        ReferralEvent(referral_id=referral.id, at=NOW, actor_id=sender.id, event="made", to_state="proposed"),
        StoppedOutcome(
            id=uuid.uuid4(),
            decision_id=decision.id,
            client_id=client.id,
            service="a_service",
            stop_id="Z01",
            instead="drop",
            at=NOW,
        ),
        FollowUpCause(follow_up_id=follow_up.id, cause="R01", starts_on=TODAY),
        Notice(
            id=uuid.uuid4(), decision_id=decision.id, client_id=client.id, rule_id="R01", to_role="supervisor", at=NOW
        ),
    ]
    session.add_all(rows)
    session.flush()
    return [
        client,
        submission,
        builders.observation(session, vault, submission),
        decision,
        referral,
        builders.attempt(session, referral, provider_code),
        builders.flag(session, decision),
        follow_up,
        *rows,
    ]


# ---- every table, every role ----------------------------------------------------------------------


def test_every_table_of_case_content_says_who_may_see_it():
    tables = {mapper.local_table.name for mapper in Base.registry.mappers}
    governed = {table.__tablename__ for table in access.VISIBLE}
    assert governed | NO_CASE_CONTENT == tables
    assert governed & NO_CASE_CONTENT == set()


def test_a_supervisor_sees_the_cases_of_own_areas_and_no_other(world: World):
    for table, (own, other) in world.rows.items():
        assert (table, world.sees(table, world.sau)) == (table, {own}), other


def test_a_coordinator_sees_what_a_supervisor_of_the_same_area_sees(world: World):
    coordinator = world.viewer(Role.COORDINATOR, "a")
    for table in world.rows:
        assert world.sees(table, coordinator) == world.sees(table, world.sau)


def test_the_police_see_nothing_of_anything(world: World):
    police = world.viewer(Role.POLICE, "city", compartments=["hiv", "mental_health", "offending", "notes"])
    assert {table: seen for table in world.rows if (seen := world.sees(table, police))} == {}


def test_an_administrator_sees_no_case_content(world: World):
    admin = world.viewer(Role.ADMIN, "city", compartments=["hiv", "mental_health", "offending", "notes"])
    assert {table: seen for table in world.rows if (seen := world.sees(table, admin))} == {}


def test_staff_see_that_a_submission_failed_and_nothing_else(world: World):
    staff = world.viewer(Role.STAFF, "city", compartments=["hiv", "mental_health", "offending", "notes"])
    assert {table for table in world.rows if world.sees(table, staff)} == {Quarantine}
    assert not can(staff, Action.SEE_QUARANTINE_VALUES)


def test_an_enumerator_sees_own_clients_and_not_a_colleagues(world: World):
    hidden = {Quarantine, RejectedUpload, Notice}  # What failed, and what supervisors are told, is not hers.
    for table, (own, other) in world.rows.items():
        assert (table, world.sees(table, world.lan)) == (table, set() if table in hidden else {own}), other


@pytest.mark.parametrize("role", [Role.ENUMERATOR, Role.SUPERVISOR, Role.COORDINATOR])
def test_who_has_no_area_sees_nothing(world: World, role: Role):
    nobody = world.viewer(role)
    world.lans.worker_id = nobody.user_id
    world.session.flush()
    assert {table: seen for table in world.rows if (seen := world.sees(table, nobody))} == {}


def test_a_provider_sees_what_was_sent_to_it_and_never_flags(world: World):
    provider = world.viewer(Role.PROVIDER, provider_code="clinic_a1")
    seen = {table: rows for table in world.rows if (rows := world.sees(table, provider))}
    each = world.one_of_each()
    assert seen == {Referral: {each.Referral}, Attempt: {each.Attempt}}


# ---- areas and their dates ------------------------------------------------------------------------


def test_cover_for_an_absence_begins_and_ends_by_itself(world: World):
    stand_in = builders.user(world.session, Role.SUPERVISOR)
    builders.works_in(world.session, stand_in, "a", TODAY, TODAY + 7 * DAY)
    viewer = access.viewer_of(world.session, stand_in, NOW)
    days = (TODAY - DAY, TODAY, TODAY + 7 * DAY, TODAY + 8 * DAY)
    assert [bool(world.sees(Client, viewer, day)) for day in days] == [False, True, True, False]


def test_an_enumerators_clients_are_hidden_once_she_has_left(world: World):
    leaving = builders.user(world.session, Role.ENUMERATOR)
    builders.works_in(world.session, leaving, "a1", None, TODAY)
    world.lans.worker_id = leaving.id
    world.session.flush()
    viewer = access.viewer_of(world.session, leaving, NOW)
    assert [bool(world.sees(Client, viewer, day)) for day in (TODAY, TODAY + DAY)] == [True, False]


def test_a_ward_that_moves_to_another_district_is_seen_by_the_new_one_from_that_day(world: World):
    builders.area(world.session, "old", "a", valid_to=TODAY - DAY)
    builders.area(world.session, "new", "b", valid_from=TODAY)
    before, after = builders.client(world.session, "old"), builders.client(world.session, "new")
    other = world.viewer(Role.SUPERVISOR, "b")
    assert [before in world.sees(Client, world.sau, day) for day in (TODAY - DAY, TODAY)] == [True, False]
    assert [after in world.sees(Client, other, day) for day in (TODAY - DAY, TODAY)] == [False, True]


def test_areas_nest_to_any_depth(world: World):
    assert world.sees(Client, world.viewer(Role.COORDINATOR, "city")) == {world.lans, world.mais}


def test_two_areas_add_up_and_nothing_is_seen_twice(world: World):
    both = world.viewer(Role.SUPERVISOR, "a", "a1", "b")
    found = world.session.scalars(select(Client).where(visible(Client, both, TODAY))).all()
    assert sorted(row.code for row in found) == sorted([world.lans.code, world.mais.code])


def test_a_client_without_an_area_belongs_where_the_worker_belongs(world: World):
    world.lans.area_code = None
    world.session.flush()
    assert world.lans in world.sees(Client, world.sau)
    assert world.lans not in world.sees(Client, world.viewer(Role.SUPERVISOR, "b"))


# ---- compartments ---------------------------------------------------------------------------------


def test_what_is_in_a_compartment_needs_its_right(world: World):
    decision = world.one_of_each().Decision
    hidden = [
        builders.flag(world.session, decision, "hiv_flag", "hiv"),
        builders.referral(world.session, world.lans, "hiv_test", "hiv"),
        builders.follow_up(world.session, world.lans, compartment="hiv"),
        Consent(
            id=uuid.uuid4(),
            client_id=world.lans.id,
            service="hiv_test",
            state=ConsentState.GIVEN,
            given_on=TODAY,
            recorded_at=NOW,
        ),
        StoppedOutcome(
            id=uuid.uuid4(),
            decision_id=decision.id,
            client_id=world.lans.id,
            service="hiv_test",
            stop_id="Z01",
            instead="drop",
            at=NOW,
        ),
    ]
    world.session.add_all(hidden)
    world.session.flush()
    for right, expected in (("hiv", True), ("mental_health", False), (None, False)):
        viewer = world.viewer(Role.SUPERVISOR, "a", compartments=[right] if right else [])
        assert [row in world.sees(type(row), viewer) for row in hidden] == [expected] * len(hidden), right


def test_why_a_referral_was_made_is_hidden_with_it(world: World):
    hidden = builders.referral(world.session, world.lans, "hiv_test", "hiv")
    event = ReferralEvent(referral_id=hidden.id, at=NOW, event="made", to_state="proposed")
    world.session.add(event)
    world.session.flush()
    assert event not in world.sees(ReferralEvent, world.sau)


def test_a_visit_that_is_hers_is_shown_to_her_whatever_it_is_for_but_not_why(world: World):
    visit = builders.follow_up(world.session, world.lans, compartment="hiv")
    why = FollowUpCause(follow_up_id=visit.id, cause="R01", starts_on=TODAY)
    world.session.add(why)
    world.session.flush()
    assert visit in world.sees(FollowUp, world.lan)
    assert why not in world.sees(FollowUpCause, world.lan)
    assert visit not in world.sees(FollowUp, world.mai)


def test_who_stands_in_for_a_visit_sees_the_visit_and_not_the_client(world: World):
    visit = world.one_of_each().FollowUp
    visit.worker_id = world.mai.user_id
    world.session.flush()
    assert visit in world.sees(FollowUp, world.mai)
    assert world.lans not in world.sees(Client, world.mai)


def test_compartments_of_single_answers(world: World):
    viewer = world.viewer(Role.SUPERVISOR, "a", compartments=["hiv"])
    assert [access.sees_compartment(viewer, name) for name in ("", "hiv", "notes")] == [True, True, False]


# ---- providers ------------------------------------------------------------------------------------


def test_a_provider_sees_a_referral_of_a_compartment_that_was_sent_to_it(world: World):
    referral = builders.referral(world.session, world.lans, "hiv_test", "hiv")
    builders.attempt(world.session, referral, "clinic_b1")
    assert referral in world.sees(Referral, world.viewer(Role.PROVIDER, provider_code="clinic_b1"))


def test_once_sent_elsewhere_a_referral_is_no_longer_the_first_providers_business(world: World):
    referral = world.one_of_each().Referral
    first = world.viewer(Role.PROVIDER, provider_code="clinic_a1")
    second = world.viewer(Role.PROVIDER, provider_code="clinic_b1")
    builders.attempt(world.session, referral, "clinic_b1", NOW + DAY)
    assert referral not in world.sees(Referral, first)
    assert referral in world.sees(Referral, second)
    assert {row.provider_code for row in world.sees(Attempt, second) if row.referral_id == referral.id} == {"clinic_b1"}


def test_a_provider_sees_its_own_deeds_and_not_who_referred(world: World):
    provider = world.viewer(Role.PROVIDER, provider_code="clinic_a1")
    referral = world.one_of_each().Referral
    own = ReferralEvent(referral_id=referral.id, at=NOW, actor_id=provider.user_id, event="accept", to_state="accepted")
    world.session.add(own)
    world.session.flush()
    assert world.sees(ReferralEvent, provider) == {own}


def test_a_provider_account_without_a_provider_sees_nothing(world: World):
    assert world.sees(Referral, world.viewer(Role.PROVIDER)) == set()


# ---- what has no client ---------------------------------------------------------------------------


def test_a_submission_without_a_client_is_seen_by_its_sender_and_the_senders_supervisor(world: World):
    sender = builders.user(world.session, Role.ENUMERATOR, "a1")
    row = builders.submission(world.session, world.vault, sender, state=SubmissionState.QUARANTINED)
    viewer = access.viewer_of(world.session, sender, NOW)
    other = world.viewer(Role.SUPERVISOR, "b")
    assert [row in world.sees(Submission, who) for who in (viewer, world.sau, other, world.lan)] == [
        True,
        True,
        False,
        False,
    ]


def test_what_somebody_sent_while_working_here_stays_with_this_areas_supervisor(world: World):
    mover = builders.user(world.session, Role.ENUMERATOR)
    builders.works_in(world.session, mover, "a1", None, TODAY - 10 * DAY)
    builders.works_in(world.session, mover, "b1", TODAY - 9 * DAY)
    before = builders.submission(world.session, world.vault, mover, received_at=NOW - 20 * DAY)
    after = builders.submission(world.session, world.vault, mover, received_at=NOW)
    other = world.viewer(Role.SUPERVISOR, "b")
    seen = [{row for row in (before, after) if row in world.sees(Submission, who)} for who in (world.sau, other)]
    assert seen == [{before}, {after}]


def test_a_condition_does_not_change_its_meaning_inside_a_larger_query(world: World):
    """SQLAlchemy ties a subquery to a table of the query around it where it may: here it may not."""
    question = (
        select(Referral.id, Observation.submission_id, Flag.id, Decision.id)
        .join(Client, Client.id == Referral.client_id)
        .join(Submission, Submission.client_id == Client.id)
        .join(Observation, Observation.submission_id == Submission.id)
        .join(Decision, Decision.submission_id == Submission.id)
        .join(Flag, Flag.client_id == Client.id)
        .where(*(visible(table, world.sau, TODAY) for table in (Referral, Observation, Flag, Decision, Submission)))
    )
    assert [row[0] for row in world.session.execute(question)] == [world.one_of_each().Referral.id]


def test_nor_inside_a_query_that_asks_for_areas_itself(world: World):
    """A list filtered by an area that the viewer does not have stays empty."""

    def clients_within(area: str) -> list[Client]:
        question = select(Client).join(AreaWithin, AreaWithin.area_code == Client.area_code).join(UserArea, true())
        return list(
            world.session.scalars(
                question.where(AreaWithin.ancestor == area, visible(Client, world.sau, TODAY)).distinct()
            )
        )

    assert (clients_within("a1"), clients_within("b1")) == ([world.lans], [])


# ---- deeds and forms ------------------------------------------------------------------------------


def test_who_may_do_what(world: World):
    deeds = {role: {a for a in Action if can(world.viewer(role, provider_code=None), a)} for role in Role}
    assert deeds[Role.POLICE] == {Action.SEND_FORMS}
    assert {role for role in Role if Action.APPROVE in deeds[role]} == {Role.SUPERVISOR, Role.COORDINATOR}
    assert {role for role in Role if Action.PUBLISH in deeds[role]} == {Role.STAFF}
    assert {role for role in Role if Action.MANAGE_USERS in deeds[role]} == {Role.ADMIN}
    assert {role for role in Role if Action.USE_WEB not in deeds[role]} == {Role.POLICE}


def test_the_forms_of_a_role_are_said_by_the_programme(world: World):
    programme = Programme(
        ProgrammeSettings("p", {}),
        (),
        (),
        (),
        (),
        (RoleEntry("police", ("contact_short",), 2), RoleEntry("enumerator", ("*",), 3)),
    )
    police, admin = world.viewer(Role.POLICE), world.viewer(Role.ADMIN)
    assert access.forms_for(police, programme) == {"contact_short"}
    assert access.forms_for(world.lan, programme) is None
    assert access.forms_for(admin, programme) == frozenset()
    assert (access.forms_for(police, None), access.forms_for(world.lan, None)) == (frozenset(), None)
