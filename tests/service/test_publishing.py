"""What is published: checked first, immutable afterwards, and brought back as it was."""

from datetime import date, timedelta
from functools import cache

import pytest
from sqlalchemy import select

from forms import gate
from service import publishing, territory
from service.in_force import Shelf, UnknownForm
from service.publishing import MediaFile
from service.tables import (
    Area,
    AuditEntry,
    FormMedia,
    FormVersion,
    ProgrammeVersion,
    Provider,
    RulebookVersion,
    Service,
    VersionState,
)
from tests.service import builders
from tests.service.builders import NOW
from tests.service.small_programme import CHECK, PROGRAMME, RULES, VISIT, publish, publish_form, workbook_bytes

LATER = NOW + timedelta(days=1)

#: Checks take seconds and ask the database little: most of these run on one of the two.
on_one = pytest.mark.parametrize("backend", ["sqlite"])

ADVICE = "|          | advice | Advice              |          |             | routine  |              |\n"

TESTS = """
| tests |
|       | test_id | form  | given                                                        | expect | expect_not |
|       | t1      | check | agrees = yes; share = clinic; score = 12                     | R1     | R2         |
|       | t2      | check | agrees = yes; score = 3                                      |        | R1 R3      |
"""


@cache
def through_the_gate(markdown):
    return gate.gate(workbook_bytes(markdown), "check.xlsx")


def form(session, markdown=CHECK, at=NOW, **given):
    checked = through_the_gate(markdown)
    return publishing.keep_form(session, checked, workbook_bytes(markdown), "check.xlsx", by=None, now=at, **given)


def rules(session, markdown=RULES + TESTS, at=NOW):
    return publishing.publish_rules(session, workbook_bytes(markdown), "rules.xlsx", by=None, now=at)


def programme(session, markdown=PROGRAMME, at=NOW):
    return publishing.publish_programme(session, workbook_bytes(markdown), "programme.xlsx", by=None, now=at)


def states(session, table):
    return {
        (row.form_id if table is FormVersion else row.rulebook_id, row.version): row.state
        for row in session.scalars(select(table))
    }


def codes(published):
    return {item.code for item in published.findings}


# ---- forms ----------------------------------------------------------------------------------------


@on_one
def test_a_form_is_published_with_the_bytes_that_phones_will_get(session):
    found = publishing.publish_form(session, workbook_bytes(CHECK), "check.xlsx", by=None, now=NOW)
    row = session.get_one(FormVersion, found.id)
    assert (row.form_id, row.version, row.state) == ("check", "1", VersionState.LIVE)
    assert row.xform.startswith(b"<?xml")
    assert (row.workbook[:2], row.workbook_name) == (b"PK", "check.xlsx")
    assert session.scalars(select(AuditEntry.action)).all() == ["form.published"]


@on_one
def test_the_same_form_again_changes_nothing(session):
    first = form(session)
    assert form(session, at=LATER).id == first.id
    assert len(session.scalars(select(FormVersion)).all()) == 1


@on_one
def test_the_same_version_with_other_content_is_refused(session):
    form(session)
    found = form(session, CHECK.replace("Telephone", "Number"))
    assert found.id is None
    assert "publish.version-taken" in codes(found)


def test_a_new_version_closes_the_former_which_is_still_accepted(session):
    form(session)
    form(session, CHECK.replace("| check   | 1 ", "| check   | 2 "), at=LATER)
    assert states(session, FormVersion) == {
        ("check", "1"): VersionState.CLOSING,
        ("check", "2"): VersionState.LIVE,
    }
    assert [row.version for row in publishing.live_forms(session)] == ["2"]
    assert [item.version for item in publishing.accepted_forms(session)] == ["2", "1"]


@on_one
def test_a_former_version_can_be_brought_back(session):
    first = form(session)
    form(session, CHECK.replace("| check   | 1 ", "| check   | 2 "), at=LATER)
    assert form(session, at=LATER + timedelta(days=1)).id == first.id
    assert [row.version for row in publishing.live_forms(session)] == ["1"]


@on_one
def test_a_broken_form_is_refused_with_its_cell_and_nothing_is_kept(session):
    found = form(session, CHECK.replace("| integer  ", "| intejer  "))
    assert found.id is None
    errors = [item for item in found.findings if item.level == "error"]
    assert errors[0].cell.row == 11
    assert session.scalars(select(FormVersion)).all() == []


@on_one
def test_files_of_a_form_are_kept_beside_it(session):
    media = [MediaFile("a.csv", "text/csv", b"name,label\n")]
    found = form(session, media=media)
    row = session.scalars(select(FormMedia)).one()
    assert (row.form_version_id, row.filename, row.content) == (found.id, "a.csv", b"name,label\n")


@on_one
def test_a_question_that_a_new_version_lacks_is_said_where_the_live_rules_name_it(session):
    publish(session)
    found = form(
        session, CHECK.replace("| check   | 1 ", "| check   | 2 ").replace("| score        |", "| points       |")
    )
    assert found.id is not None  # Version 1 is still accepted and has the field: a warning.
    assert "rules.field-not-in-version" in codes(found)


# ---- rules ----------------------------------------------------------------------------------------


@pytest.fixture
def ready(session):
    """Forms and programme are there, rules are not."""
    publish_form(session, CHECK)
    publish_form(session, VISIT)
    assert programme(session).id is not None
    return session


@on_one
def test_rules_are_checked_tried_and_put_in_force(ready):
    found = rules(ready)
    assert found.id is not None, [item.describe("en") for item in found.findings if item.level == "error"]
    assert publishing.live_rulebook(ready).settings.rulebook_id == "small"


@on_one
def test_a_wrong_field_name_blocks_and_says_where_and_what_was_meant(ready):
    found = rules(ready, RULES.replace("${score} >= 10 |", "${scor} >= 10 |"))
    assert found.id is None
    (problem,) = [item for item in found.findings if item.code == "rules.unknown-field"]
    assert (problem.file, problem.cell.address) == ("rules.xlsx", "rules!D2")
    assert "score" in problem.cure.en


@on_one
def test_a_red_test_blocks(ready):
    found = rules(ready, RULES + TESTS.replace("R1     | R2 ", "R2     | R1 "))
    assert found.id is None
    assert "rules.test-red" in codes(found)
    assert ready.scalars(select(RulebookVersion)).all() == []


def test_only_one_rulebook_is_in_force(ready):
    rules(ready)
    rules(ready, (RULES + TESTS).replace("| small       | 1 ", "| other       | 7 "), at=LATER)
    assert states(ready, RulebookVersion) == {
        ("small", "1"): VersionState.CLOSED,
        ("other", "7"): VersionState.LIVE,
    }


@on_one
def test_the_same_rules_version_with_other_content_is_refused(ready):
    rules(ready)
    found = rules(ready, (RULES + TESTS).replace(">= 10", ">= 11"))
    assert "publish.version-taken" in codes(found)
    assert found.id is None


@on_one
def test_rules_can_be_rolled_back(ready):
    first = rules(ready)
    rules(ready, (RULES + TESTS).replace("| small       | 1 ", "| small       | 2 "), at=LATER)
    assert rules(ready, at=LATER + timedelta(days=1)).id == first.id
    assert publishing.live_rulebook(ready).settings.version == "1"


# ---- the programme --------------------------------------------------------------------------------


@on_one
def test_a_programme_fills_the_tables_that_rights_and_referrals_ask(session):
    programme(session)
    assert set(session.scalars(select(Area.code))) == {"N", "N1", "S"}
    assert session.get_one(Service, "talk").internal
    assert session.get_one(Provider, "north").services == ["clinic", "rescue"]
    within = {(w.ancestor, w.area) for w in territory.closure(session.scalars(select(Area)))}
    assert within == {("N", "N"), ("N", "N1"), ("N1", "N1"), ("S", "S")}


@on_one
def test_what_a_programme_no_longer_names_is_closed_and_not_deleted(session):
    programme(session)
    found = programme(
        session,
        PROGRAMME.replace("|          | south   | South house         | clinic rescue | S     |\n", "")
        .replace(ADVICE, "")
        .replace("|          | S    |        | South               |\n", ""),
        at=LATER,
    )
    assert found.id is not None
    assert not session.get_one(Service, "advice").offered
    assert not session.get_one(Provider, "south").active
    assert session.get(Area, "S") is not None
    assert "programme.area-dropped" in codes(found)


@on_one
def test_the_same_programme_again_changes_nothing(session):
    first = programme(session)
    assert programme(session, at=LATER).id == first.id
    assert len(session.scalars(select(ProgrammeVersion)).all()) == 1


def test_a_former_programme_can_be_brought_back(session):
    first = programme(session)
    programme(session, PROGRAMME.replace("South house", "House in the south"), at=LATER)
    assert session.get_one(Provider, "south").labels == {"en": "House in the south"}
    assert programme(session, at=LATER + timedelta(days=1)).id == first.id
    assert session.get_one(Provider, "south").labels == {"en": "South house"}


@on_one
def test_a_programme_that_takes_a_service_from_the_live_rules_is_refused(ready):
    rules(ready)
    found = programme(
        ready,
        PROGRAMME.replace(
            "|          | advice | Advice              |          |             | routine  |              |\n", ""
        ),
        at=LATER,
    )
    assert found.id is None
    assert ready.get_one(Service, "advice").offered


@on_one
def test_an_area_holds_within_another_only_while_the_whole_chain_holds(session):
    builders.area(session, "city")
    builders.area(session, "old", "city", valid_to=date(2025, 6, 30))
    builders.area(session, "ward", "old", valid_from=date(2019, 1, 1))
    found = {(w.ancestor, w.area): (w.valid_from, w.valid_to) for w in territory.closure(session.scalars(select(Area)))}
    assert found["old", "ward"] == (date(2019, 1, 1), date(2025, 6, 30))
    assert found["city", "ward"] == (date(2019, 1, 1), date(2025, 6, 30))
    assert found["ward", "ward"] == (date(2019, 1, 1), None)


# ---- what is in force -----------------------------------------------------------------------------


@on_one
def test_what_is_in_force_is_compiled_once_and_anew_when_another_is_published(session):
    publish(session)
    shelf = Shelf()
    first = shelf.in_force(session)
    assert shelf.in_force(session).rules is first.rules
    publish_form(session, CHECK.replace("| check   | 1 ", "| check   | 2 "))
    assert shelf.in_force(session).rules is not first.rules


@on_one
def test_a_form_can_be_read_for_ever(session):
    publish(session)
    for row in session.scalars(select(FormVersion)):
        row.state = VersionState.CLOSED
    session.flush()
    assert Shelf().form(session, "check", "1").title == "Check"
    with pytest.raises(UnknownForm):
        Shelf().form(session, "check", "99")


@on_one
def test_nothing_is_in_force_before_programme_and_rules_are_published(session):
    assert Shelf().in_force(session) is None
