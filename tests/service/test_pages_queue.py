"""The queue: what is on top, what each row says, what the filters find, and what nobody without the right sees."""

from collections.abc import Iterator

import pytest
from lxml import html
from sqlalchemy.orm import Session, sessionmaker

from service.sealing import Vault
from service.settings import Settings
from service.tables import Decision, ReferralState, Role
from tests.service import builders
from tests.service.page_house import Browser, PageHouse, open_pages, rows, words


@pytest.fixture
def house(settings: Settings, sessions: sessionmaker[Session], vault: Vault) -> Iterator[PageHouse]:
    with open_pages(settings, sessions, vault) as house:
        yield house


def groups(page: html.HtmlElement) -> list[str]:
    return [words(item) for item in page.xpath("//tr[@class='group']/th")]


def tallies(page: html.HtmlElement) -> dict[str, int]:
    """The counts of the rail."""
    ways = page.xpath("//aside//a")
    return {words(way).rsplit(" ", 1)[0]: int(words(way).rsplit(" ", 1)[1]) for way in ways}


def test_a_row_says_urgency_client_area_reason_service_provider_due_state_and_worker(house: PageHouse):
    house.arrives(score=12)
    page = house.supervisor().page("/queue")
    (row,) = [item for item in rows(page) if "Clinic" in item]
    worker = words(page.xpath("//td[contains(@class, 'c-worker')]")[0])
    for said in ("Sớm", "KH-1", "North 1", "Score: 12, mức cao", "Clinic", "North house", "Còn 7 ngày", "Đề xuất"):
        assert said in row
    assert worker.startswith("EN-")
    assert row.endswith(worker)


def test_the_urgent_and_the_overdue_stand_first(house: PageHouse):
    house.arrives("KH-CALM", needs=["advice"])
    house.arrives("KH-WAITS", score=12)
    house.arrives("KH-LATE", days_ago=30, score=12)
    house.arrives("KH-DANGER", danger="yes")
    page = house.supervisor("quiet").page("/queue")
    assert [name.split(" · ")[0] for name in groups(page)] == ["Cần làm ngay", "Chờ bạn duyệt", "Cảnh báo cần xem"]
    assert [row.split()[2 if row.startswith("Trong ngày") else 1] for row in rows(page)][:4] == [
        "KH-DANGER",
        "KH-DANGER",
        "KH-LATE",
        "KH-WAITS",
    ]


def test_a_flag_is_an_item_of_its_own(house: PageHouse):
    house.arrives(danger="yes", share=[])
    browser = house.supervisor("quiet")
    page = browser.page("/queue")
    (row,) = [item for item in rows(page) if "Cảnh báo" in item]
    assert "In danger: Yes" in row
    (link,) = page.xpath("//a[@class='code'][starts-with(@href, '/flags/')]/@href")
    assert browser.get(link).status_code == 200


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=proposed", ["KH-LATE", "KH-WAITS"]),
        ("state=flag", ["KH-DANGER", "KH-LATE", "KH-WAITS"]),
        ("urgency=same_day", ["KH-DANGER", "KH-DANGER"]),
        ("service=clinic", ["KH-LATE", "KH-WAITS"]),
        ("area=N1", ["KH-DANGER", "KH-DANGER", "KH-LATE", "KH-LATE"]),
        ("area=N", ["KH-DANGER", "KH-DANGER", "KH-LATE", "KH-LATE", "KH-WAITS", "KH-WAITS"]),
        ("area=S", []),
        ("view=overdue", ["KH-LATE", "KH-LATE", "KH-LATE"]),
        ("view=approve&urgency=soon&area=N1&service=clinic", ["KH-LATE"]),
        ("view=unanswered", ["KH-DANGER"]),
        ("view=no_show", []),
    ],
)
def test_each_filter_and_view_is_an_address(house: PageHouse, query: str, found: list[str]):
    house.arrives("KH-LATE", days_ago=30, score=12)
    house.arrives("KH-DANGER", danger="yes")
    house.arrives("KH-WAITS", score=12, area="N")
    page = house.supervisor("quiet").page(f"/queue?{query}")
    codes = [words(item).split(" ,")[0] for item in page.xpath("//div[contains(@class, 'rows')]//a[@class='code']")]
    assert sorted(codes) == found


def test_a_filter_is_shown_as_a_chip_that_takes_it_away(house: PageHouse):
    house.arrives(score=12)
    page = house.supervisor().page("/queue?urgency=soon&service=clinic")
    chips = {words(item): item.get("href") for item in page.xpath("//a[contains(@class, 'chip')]")}
    assert chips == {
        "Mức độ khẩn cấp: Sớm , bỏ lọc": "/queue?service=clinic",
        "Dịch vụ: Clinic , bỏ lọc": "/queue?urgency=soon",
    }


def test_without_a_match_the_filters_can_be_dropped_at_once(house: PageHouse):
    page = house.supervisor().page("/queue?urgency=soon&state=sent")
    assert "Không có việc nào khớp 2 điều kiện lọc." in words(page)
    assert page.xpath("//div[@class='empty']//a/@href") == ["/queue"]


def test_an_empty_day_is_done(house: PageHouse):
    assert "Hôm nay đã xong." in words(house.supervisor().page("/queue"))


def test_a_nonsense_address_shows_the_day(house: PageHouse):
    house.arrives(score=12)
    page = house.supervisor().page("/queue?view=%3Cscript%3E&group=zzz")
    assert "Hôm nay" in words(page.xpath("//h1")[0])


def test_the_counts_are_those_of_the_lists(house: PageHouse):
    house.arrives("KH-LATE", days_ago=30, score=12)
    house.arrives("KH-DANGER", danger="yes")
    house.arrives("KH-WAITS", score=12)
    browser = house.supervisor("quiet")
    page = browser.page("/queue")
    assert tallies(page)["Chờ duyệt"] == 2
    for way in page.xpath("//aside//a"):
        count = int(words(way).rsplit(" ", 1)[1])
        assert len(rows(browser.page(way.get("href")))) == count, words(way)


def test_without_consent_a_referral_is_counted_as_lacking_it(house: PageHouse):
    house.arrives(score=12)
    browser = house.supervisor()
    assert tallies(browser.page("/queue"))["Thiếu đồng ý"] == 0
    house.arrives(share=[])
    page = browser.page("/queue?view=consent")
    assert tallies(page)["Thiếu đồng ý"] == 1
    assert len(rows(page)) == 1


def test_internal_work_waits_for_the_worker_and_not_for_the_supervisor(house: PageHouse):
    house.arrives(days_ago=20, score=6)
    browser = house.supervisor()
    assert rows(browser.page("/queue")) == []
    (row,) = rows(browser.page("/queue?view=open"))
    assert "Talk làm trong chương trình" in row


# ---- rights ---------------------------------------------------------------------------------------


def test_other_areas_are_neither_shown_nor_counted_nor_offered(house: PageHouse):
    house.arrives(score=12)
    page = house.signs_in(Role.SUPERVISOR, "S").page("/queue?view=all")
    assert "KH-1" not in words(page)
    assert set(tallies(page).values()) == {0}
    assert page.xpath("//select[@name='area']/option/@value") == [""]
    assert page.xpath("//select[@name='service']/option/@value") == [""]


def test_a_hidden_compartment_is_neither_shown_nor_counted_nor_offered(house: PageHouse):
    house.arrives(danger="yes")
    without, with_it = house.supervisor().page("/queue?view=all"), house.supervisor("quiet").page("/queue?view=all")
    assert "Rescue" in words(with_it)
    assert "Rescue" not in words(without)
    assert "In danger" not in words(without)
    assert tallies(without)["Kể cả đã đóng"] == 0
    assert tallies(with_it)["Kể cả đã đóng"] == 2
    assert "rescue" not in page_source(house.supervisor())


def page_source(browser: Browser) -> str:
    return browser.get("/queue?view=all").text


def test_the_same_sentence_stands_on_the_page_whatever_is_hidden(house: PageHouse):
    fixed = "Trang này chỉ hiện những mục mà vai trò của bạn được xem."
    assert fixed in words(house.supervisor().page("/queue"))
    house.arrives(danger="yes")
    assert fixed in words(house.supervisor().page("/queue"))
    assert fixed in words(house.supervisor("quiet").page("/queue"))


@pytest.mark.parametrize("role", [Role.ENUMERATOR, Role.STAFF, Role.ADMIN])
def test_others_have_no_queue(house: PageHouse, role: Role):
    house.arrives(score=12)
    response = house.signs_in(role, "N1").get("/queue")
    assert response.status_code == 404
    assert "KH-1" not in response.text


def test_a_provider_has_no_queue(house: PageHouse):
    house.arrives(score=25)
    assert house.signs_in(Role.PROVIDER, provider_code="north").get("/queue").status_code == 404


def test_opening_the_queue_is_written_down(house: PageHouse):
    house.arrives(score=12)
    name = house.add(Role.SUPERVISOR, "N")
    house.opens(name).page("/queue")
    (entry,) = house.audited("queue.read")
    assert entry.actor_id is not None
    assert entry.detail == {"view": "today", "rows": 2}


# ---- partial and pages ----------------------------------------------------------------------------


def test_htmx_gets_the_list_alone_and_a_restored_page_whole(house: PageHouse):
    house.arrives(score=12)
    browser = house.supervisor()
    part = browser.get("/queue", **{"HX-Request": "true", "HX-Request-Type": "partial"})
    whole = browser.get("/queue", **{"HX-Request": "true", "HX-Request-Type": "full"})
    assert "<html" not in part.text
    assert "KH-1" in part.text
    assert "<html" in whole.text
    assert "HX-Request" in part.headers["vary"]


def test_after_the_session_htmx_is_sent_to_the_door(house: PageHouse):
    response = house.stranger().asks("/queue", **{"HX-Request": "true", "HX-Request-Type": "partial"})
    assert (response.status_code, response.headers["hx-redirect"]) == (204, "/sign-in?then=/queue")


def test_a_long_group_shows_its_first_rows_and_all_of_them_page_by_page(house: PageHouse):
    with house.sessions.begin() as session:
        for number in range(60):
            client = builders.client(session, "N1", code=f"KH-{number:03}")
            builders.referral(session, client, "clinic", urgency="soon")
    browser = house.supervisor()
    first = browser.page("/queue")
    assert len(rows(first)) == 12
    (link,) = first.xpath("//tr[@class='group']//a/@href")
    one = browser.page(link)
    (next_page,) = one.xpath("//nav[@class='pager']//a/@href")
    two = browser.page(next_page)
    codes = [words(item) for page in (one, two) for item in page.xpath("//a[@class='code']")]
    assert (len(rows(one)), len(rows(two))) == (50, 10)
    assert len(set(codes)) == 60


def test_closed_referrals_are_found_under_all(house: PageHouse):
    with house.sessions.begin() as session:
        client = builders.client(session, "N1", code="KH-OLD")
        builders.referral(session, client, "clinic", state=ReferralState.COMPLETED)
    browser = house.supervisor()
    assert rows(browser.page("/queue?view=open")) == []
    (row,) = rows(browser.page("/queue?view=all"))
    assert "Hoàn thành" in row


def test_a_decision_whose_key_was_erased_is_shown_as_protected(house: PageHouse):
    house.arrives(score=12)
    referral, browser = house.referral(), house.supervisor()
    with house.sessions() as session:
        decision = session.get_one(Decision, referral.decision_id)
    # The server remembers keys for a while; a fresh one asks the key store.
    house.vault.forget([decision.key_id])
    house.app.state.context.vault.forget([decision.key_id])
    (row,) = rows(browser.page("/queue?view=approve"))
    assert "Lý do được bảo vệ" in row
    assert "Lý do được bảo vệ" in words(browser.page(f"/referrals/{referral.number}"))
