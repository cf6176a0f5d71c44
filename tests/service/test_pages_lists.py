"""Warnings, clients, follow-ups, and the pages of providers, staff and administrators."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from service import clock, publishing
from service.sealing import Vault
from service.settings import Settings
from service.tables import Flag, FollowUp, FollowUpState, Role, User
from tests.service import builders
from tests.service.builders import NOW
from tests.service.page_house import PageHouse, open_pages, rows, words
from tests.service.small_programme import PROGRAMME, workbook_bytes


@pytest.fixture
def house(settings: Settings, sessions: sessionmaker[Session], vault: Vault) -> Iterator[PageHouse]:
    with open_pages(settings, sessions, vault) as house:
        yield house


def flag_of(house: PageHouse, code: str) -> Flag:
    with house.sessions() as session:
        return session.scalars(select(Flag).where(Flag.code == code)).one()


# ---- a warning ------------------------------------------------------------------------------------


def test_a_warning_shows_its_reasons_and_is_closed_with_a_reason(house: PageHouse):
    house.arrives(score=12)
    name = house.add(Role.SUPERVISOR, "N")
    browser, path = house.opens(name), f"/flags/{flag_of(house, 'high_score').id}"
    assert "Score từ 10 trở lên — thấy 12" in words(browser.page(path))
    response = browser.send(path, f"{path}/close", reason="dealt_with")
    assert response.headers["location"] == path
    page = browser.page(path)
    assert "Đã đóng cảnh báo, kèm lý do." in words(page)
    assert f"{house.code_of(name)}: Đã xử lý" in words(page)
    assert page.xpath(f"//form[@action='{path}/close']") == []
    assert flag_of(house, "high_score").ended_because == "dealt_with"
    assert len(house.audited("flag.closed")) == 1


def test_a_warning_is_not_closed_without_a_reason_nor_twice(house: PageHouse):
    house.arrives(score=12)
    first_name = house.add(Role.SUPERVISOR, "N")
    first, second = house.opens(first_name), house.supervisor()
    path = f"/flags/{flag_of(house, 'high_score').id}"
    token = second.page(path).forms[0].fields["csrf"]
    assert second.send(path, f"{path}/close").status_code == 422
    assert flag_of(house, "high_score").ended_at is None
    first.send(path, f"{path}/close", reason="mistake")
    late = second.client.post(f"{path}/close", data={"csrf": token, "reason": "other"})
    assert late.status_code == 409
    assert f"{house.code_of(first_name)} đã đóng cảnh báo này" in words(late)
    assert flag_of(house, "high_score").ended_because == "mistake"


def test_only_a_supervisor_of_the_area_with_the_right_finds_a_warning(house: PageHouse):
    house.arrives(danger="yes")
    path = f"/flags/{flag_of(house, 'danger').id}"
    assert house.supervisor("quiet").get(path).status_code == 200
    for browser in (house.supervisor(), house.signs_in(Role.SUPERVISOR, "S"), house.signs_in(Role.STAFF)):
        assert browser.get(path).status_code == 404
        assert browser.post(f"{path}/close", reason="other").status_code == 404
    assert flag_of(house, "danger").ended_at is None


# ---- a client -------------------------------------------------------------------------------------


def test_a_clients_page_gathers_what_is_open_under_the_code_alone(house: PageHouse):
    house.arrives(score=12, full_name="Mẫu Văn An", phone="0912 345 678")
    page = house.supervisor().page("/clients/KH-1")
    assert "Clinic" in words(page)
    assert "Cảnh báo từ" in words(page)
    assert "Month 1" in words(page)
    assert "Mẫu" not in words(page)
    assert "345" not in words(page)
    (entry,) = house.audited("client.read")
    assert entry.client_id is not None


def test_a_client_of_another_area_is_no_page(house: PageHouse):
    house.arrives(score=12)
    browser = house.signs_in(Role.SUPERVISOR, "S")
    assert words(browser.get("/clients/KH-1")) == words(browser.get("/clients/KH-NOBODY"))


# ---- follow-ups -----------------------------------------------------------------------------------


def plan(house: PageHouse, worker: str, code: str, due_in: int, **given: object) -> None:
    today = clock.now().astimezone().date()
    with house.sessions.begin() as session:
        user = session.scalars(select(User).where(User.username == worker)).one()
        client = builders.client(session, "N1", user, code=code)
        row = builders.follow_up(session, client, user)
        row.due_on = today + timedelta(days=due_in)
        row.opens_on, row.closes_on = row.due_on - timedelta(days=3), row.due_on + timedelta(days=7)
        for name, value in given.items():
            setattr(row, name, value)


def test_a_worker_sees_her_own_follow_ups_the_overdue_first(house: PageHouse):
    mine, other = house.add(Role.ENUMERATOR, "N1"), house.add(Role.ENUMERATOR, "N1")
    plan(house, mine, "KH-NEXT", 5)
    plan(house, mine, "KH-LATE", -4)
    plan(house, mine, "KH-GONE", -40, state=FollowUpState.MISSED)
    plan(house, mine, "KH-DONE", -1, state=FollowUpState.DONE)
    plan(house, other, "KH-OTHER", -2)
    page = house.opens(mine).page("/follow-ups")
    found = rows(page)
    assert [next(word for word in row.split() if word.startswith("KH-")) for row in found] == [
        "KH-LATE",
        "KH-NEXT",
        "KH-GONE",
    ]
    assert found[0].startswith("Quá hạn 4 ngày")
    assert "3 lần cần làm · 2 quá hạn" in words(page)


def test_each_follow_up_shows_its_window(house: PageHouse):
    worker = house.add(Role.ENUMERATOR, "N1")
    plan(house, worker, "KH-1", 5)
    with house.sessions() as session:
        row = session.scalars(select(FollowUp)).one()
    assert f"{row.opens_on:%d/%m}–{row.closes_on:%d/%m/%Y}" in rows(house.opens(worker).page("/follow-ups"))[0]


def test_a_supervisor_sees_those_of_her_areas(house: PageHouse):
    worker = house.add(Role.ENUMERATOR, "N1")
    plan(house, worker, "KH-1", 5)
    assert len(rows(house.supervisor().page("/follow-ups"))) == 1
    assert rows(house.signs_in(Role.SUPERVISOR, "S").page("/follow-ups")) == []


@pytest.mark.parametrize("role", [Role.STAFF, Role.ADMIN])
def test_who_sees_no_cases_has_no_follow_ups(house: PageHouse, role: Role):
    assert house.signs_in(role).get("/follow-ups").status_code == 404


# ---- providers ------------------------------------------------------------------------------------


def test_a_provider_sees_what_was_sent_to_it_and_nothing_of_why(house: PageHouse):
    house.arrives(score=25, full_name="Mẫu Văn An")
    assert house.referral().provider_code == "north"
    north = house.signs_in(Role.PROVIDER, provider_code="north")
    page = north.page("/received")
    (row,) = rows(page)
    for said in ("Trong ngày", "KH-1", "Clinic", "Mới chuyển đến"):
        assert said in row
    text = north.get("/received").text
    for hidden in ("Score", "25", "R1", "R8", "high_score", "mức cao", "Mẫu", "North 1", house.code_of_worker()):
        assert hidden not in text.split("<main", 1)[1]
    assert rows(house.signs_in(Role.PROVIDER, provider_code="south").page("/received")) == []


def test_a_provider_opens_no_other_page(house: PageHouse):
    house.arrives(score=25)
    north = house.signs_in(Role.PROVIDER, provider_code="north")
    number = house.referral().number
    for path in ("/queue", f"/referrals/{number}", "/clients/KH-1", "/follow-ups", "/published", "/people"):
        assert north.get(path).status_code == 404, path


# ---- staff and administrators ---------------------------------------------------------------------


def test_staff_download_the_workbook_that_was_published_byte_for_byte(house: PageHouse):
    workbook = workbook_bytes(PROGRAMME.replace("North house", "Northern house"))
    with house.sessions.begin() as session:
        assert publishing.publish_programme(session, workbook, "chương trình.xlsx", by=None, now=NOW).id
    staff = house.signs_in(Role.STAFF)
    page = staff.page("/published")
    assert "Đang dùng" in words(page)
    (link,) = [item.get("href") for item in page.xpath("//a") if "chương trình.xlsx" in words(item)]
    response = staff.get(link)
    assert response.content == workbook
    assert "attachment" in response.headers["content-disposition"]
    assert len(house.audited("workbook.downloaded")) == 1


def test_only_staff_find_what_is_published(house: PageHouse):
    for role in (Role.SUPERVISOR, Role.ENUMERATOR, Role.ADMIN):
        assert house.signs_in(role, "N").get("/published").status_code == 404


def test_an_administrator_sees_users_areas_and_phones_and_no_client(house: PageHouse):
    house.arrives(score=12)
    page = words(house.signs_in(Role.ADMIN).page("/people"))
    assert "Giám sát viên" in page
    assert "North" in page
    assert "KH-1" not in page


def test_only_an_administrator_finds_the_users(house: PageHouse):
    for role in (Role.SUPERVISOR, Role.ENUMERATOR, Role.STAFF):
        assert house.signs_in(role, "N").get("/people").status_code == 404
