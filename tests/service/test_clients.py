"""Who a submission is about: linked by code, found without being named."""

import json
from datetime import date

import pytest
from sqlalchemy import select

from forms.workbook import from_markdown
from rules.facts import TAKE_PART
from rules.programme import read_programme
from service import clients
from service.sealing import Erased
from service.tables import Client, ClientIdentity, IdentityIndex, Role
from tests.service import builders
from tests.service.builders import NOW
from tests.service.small_programme import PROGRAMME, consent

DAY = date(2026, 3, 10)


@pytest.fixture(scope="module")
def programme():
    return read_programme(from_markdown(PROGRAMME)).require()


class Case:
    def __init__(self, session, vault, programme) -> None:
        self.session, self.vault, self.programme = session, vault, programme
        for code, parent in (("N", None), ("N1", "N"), ("S", None)):
            builders.area(session, code, parent)
        self.worker = builders.user(session, Role.ENUMERATOR, "N1")

    def link(self, by=None, **given) -> Client:
        row = builders.submission(self.session, self.vault, by or self.worker, form_id="check")
        return clients.link(self.session, self.programme, row, given, event_date=DAY, now=NOW)

    def keep(self, client, **given) -> None:
        clients.keep_identity(self.session, self.vault, self.programme, client, form="check", answers=given, now=NOW)

    def identity(self, client) -> dict[str, str]:
        return clients.identity(self.vault, self.session.get_one(ClientIdentity, client.id))


@pytest.fixture
def case(session, vault, programme) -> Case:
    return Case(session, vault, programme)


def test_the_first_form_makes_the_client_and_its_sender_is_the_worker(case):
    client = case.link(client_code="KH-7")
    assert (client.code, client.worker_id, client.area_code) == ("KH-7", case.worker.id, "N1")


def test_a_code_has_no_case_and_no_spaces(case):
    assert case.link(client_code="KH-7").id == case.link(client_code=" kh - 7 ").id


def test_a_form_without_a_code_makes_a_client_with_a_fresh_one(case):
    first, second = case.link(), case.link()
    assert first.code.startswith("KH-")
    assert first.code != second.code


def test_a_fresh_code_is_never_one_that_a_phone_has_used(case):
    taken = clients._fresh_code(case.session, case.programme)
    number = int(taken.rpartition("-")[2]) + 1
    case.link(client_code=f"KH-{number:04}")
    assert case.link().code == f"KH-{number + 1:04}"


def test_the_area_that_the_form_says_counts_before_the_workers(case):
    assert case.link(client_code="KH-7", area="S").area_code == "S"


def test_an_area_that_the_programme_does_not_know_is_the_workers(case):
    assert case.link(client_code="KH-7", area="Nowhere").area_code == "N1"


def test_a_client_of_another_worker_is_linked_and_stays_with_her(case):
    client = case.link(client_code="KH-7")
    cover = builders.user(case.session, Role.ENUMERATOR, "S")
    assert case.link(client_code="KH-7", area="S", by=cover).id == client.id
    assert (client.worker_id, client.area_code) == (case.worker.id, "N1")


def test_the_police_open_the_door_and_the_client_is_the_social_workers(case):
    police = builders.user(case.session, Role.POLICE, "N1")
    client = case.link(client_code="KH-7", by=police)
    assert client.worker_id is None
    case.link(client_code="KH-7")
    assert client.worker_id == case.worker.id


def test_identity_is_kept_only_of_those_who_take_part(case):
    client = case.link(client_code="KH-7")
    case.keep(client, full_name="Mẫu An")
    assert case.session.get(ClientIdentity, client.id) is None


@pytest.fixture
def taking_part(case) -> Client:
    client = case.link(client_code="KH-7")
    consent(case.session, client, TAKE_PART)
    return client


def test_what_a_form_leaves_blank_keeps_its_former_value(case, taking_part):
    case.keep(taking_part, full_name="Mẫu Văn An", phone="0912 345 678")
    case.keep(taking_part, phone="0987 654 321")
    assert case.identity(taking_part) == {"name": "Mẫu Văn An", "phone": "0987 654 321"}


def test_a_former_telephone_finds_nobody_any_more(case, taking_part):
    case.keep(taking_part, phone="0912 345 678")
    case.keep(taking_part, phone="0987 654 321")
    digests = set(case.session.scalars(select(IdentityIndex.digest)))
    assert digests == {case.vault.blind("phone", "987654321")}


def test_a_form_that_says_nothing_of_the_person_changes_nothing(case, taking_part):
    case.keep(taking_part, score=12)
    assert case.session.get(ClientIdentity, taking_part.id) is None


def test_an_identity_that_was_erased_is_not_written_over(case, taking_part):
    case.keep(taking_part, full_name="Mẫu Văn An")
    row = case.session.get_one(ClientIdentity, taking_part.id)
    case.vault.forget([row.key_id])
    with pytest.raises(Erased):
        case.keep(taking_part, full_name="Mẫu Văn An")


def test_no_name_stands_in_clear(case, taking_part):
    case.keep(taking_part, full_name="Mẫu Văn An")
    row = case.session.get_one(ClientIdentity, taking_part.id)
    indexes = [(item.kind, item.digest) for item in case.session.scalars(select(IdentityIndex))]
    assert "An" not in json.dumps(indexes).replace("name", "")
    assert "Mẫu".encode() not in row.sealed_identity


@pytest.mark.parametrize(
    ("typed", "found"),
    [("nguyen duc", "Nguyễn Đức"), ("NGUYỄN  đức", "Nguyễn Đức"), ("Nguyễn Đức", "Nguyễn Đức")],
)
def test_names_are_found_without_diacritics(typed, found):
    assert clients.search_terms("name", typed) == " ".join(clients.folded(found).split())


@pytest.mark.parametrize("typed", ["0912345678", "+84 912 345 678", "0084-912-345-678", "84912345678"])
def test_a_telephone_number_is_found_however_it_is_written(typed):
    assert clients.search_terms("phone", typed) == "912345678"
