"""One referral: why it is there, what was agreed, and approving, sending and declining it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from service import publishing
from service.sealing import Vault
from service.settings import Settings
from service.tables import Attempt, Provider, Referral, ReferralEvent, ReferralState, Role
from tests.service import builders
from tests.service.builders import NOW
from tests.service.page_house import Browser, PageHouse, open_pages, words
from tests.service.small_programme import PROGRAMME, workbook_bytes


@pytest.fixture
def house(settings: Settings, sessions: sessionmaker[Session], vault: Vault) -> Iterator[PageHouse]:
    with open_pages(settings, sessions, vault) as house:
        yield house


def buttons(browser: Browser, path: str) -> list[str]:
    """Where the forms of a page's main part go."""
    return [form.get("action") for form in browser.page(path).xpath("//main//form")]


def events(house: PageHouse) -> list[str]:
    """What happened to the referral to the clinic."""
    referral = house.referral()
    with house.sessions() as session:
        happened = select(ReferralEvent.event).where(ReferralEvent.referral_id == referral.id)
        return list(session.scalars(happened.order_by(ReferralEvent.id)))


def test_the_reasons_go_down_to_answer_sheet_and_row(house: PageHouse):
    house.arrives(score=12)
    page = words(house.supervisor().page(f"/referrals/{house.referral().number}"))
    assert "Quy tắc R1" in page
    assert "small 1, trang rules, dòng 2" in page
    assert "Score từ 10 trở lên — thấy 12" in page
    assert "${score} >= 10" in page
    assert "biểu mẫu Check (bản 1)" in page


def test_the_browsers_title_tells_nothing_but_the_number(house: PageHouse):
    house.arrives(score=12)
    number = house.referral().number
    assert house.supervisor().page(f"/referrals/{number}").findtext(".//title") == f"Phiếu {number} · Kết Nối"


def test_the_consent_box_says_when_which_form_and_what_the_provider_will_see(house: PageHouse):
    house.arrives(score=12)
    page = words(house.supervisor().page(f"/referrals/{house.referral().number}"))
    assert "Còn hiệu lực cho dịch vụ này" in page
    assert "Cơ sở sẽ thấy mã khách hàng, dịch vụ cần, mức độ khẩn cấp, hạn xử lý." in page
    assert "Cơ sở không thấy điểm sàng lọc và lý do" in page


def test_proposals_of_the_same_visit_that_a_stop_held_back_are_told(house: PageHouse):
    house.arrives(score=12, needs=["advice"], share=["clinic"])
    page = words(house.supervisor().page(f"/referrals/{house.referral().number}"))
    assert "1 đề xuất khác đã được giữ lại" in page
    assert "Advice (R6): Not shared Quy tắc dừng Z2, trang stops, dòng 3" in page


def test_opening_a_referral_is_written_down_before_it_is_shown(house: PageHouse):
    house.arrives(score=12)
    referral = house.referral()
    house.supervisor().page(f"/referrals/{referral.number}")
    (entry,) = house.audited("referral.read")
    assert (entry.object_id, entry.client_id) == (str(referral.id), referral.client_id)


# ---- approving ------------------------------------------------------------------------------------


def test_approving_sends_to_the_proposed_provider_and_says_so_once(house: PageHouse):
    house.arrives(score=12)
    name = house.add(Role.SUPERVISOR, "N")
    browser, path = house.opens(name), f"/referrals/{house.referral().number}"
    response = browser.send(path, f"{path}/approve")
    assert (response.status_code, response.headers["location"]) == (303, path)
    after = words(browser.page(path))
    assert "Đã duyệt và chuyển đến cơ sở." in after
    assert "Đã duyệt và chuyển đến cơ sở." not in words(browser.page(path))
    assert house.referral().state is ReferralState.SENT
    assert f"Duyệt {house.code_of(name)}," in after
    assert buttons(browser, path) == []


def test_another_provider_may_be_chosen(house: PageHouse):
    house.arrives(score=12)
    browser, path = house.supervisor(), f"/referrals/{house.referral().number}"
    options = browser.page(path).xpath("//select[@name='provider']/option/@value")
    assert options == ["north", "south"]
    browser.send(path, f"{path}/approve", provider="south")
    assert house.referral().provider_code == "south"


def test_a_provider_without_the_service_is_refused_and_nothing_changes(house: PageHouse):
    house.arrives(score=12)
    with house.sessions.begin() as session:
        builders.provider(session, "elsewhere", "advice")
    browser, path = house.supervisor(), f"/referrals/{house.referral().number}"
    response = browser.send(path, f"{path}/approve", provider="elsewhere")
    assert response.status_code == 422
    assert "không có dịch vụ" in words(response)
    assert house.referral().state is ReferralState.PROPOSED


def test_who_comes_second_is_told_who_was_first_and_when(house: PageHouse):
    house.arrives(score=12)
    first_name = house.add(Role.SUPERVISOR, "N")
    first, second = house.opens(first_name), house.supervisor()
    path = f"/referrals/{house.referral().number}"
    token = second.page(path).forms[0].fields["csrf"]
    first.send(path, f"{path}/approve")
    response = second.client.post(f"{path}/approve", data={"csrf": token})
    assert response.status_code == 409
    assert f"{house.code_of(first_name)} vừa đổi phiếu này lúc" in words(response)
    assert "nay là “Đã chuyển”" in words(response)
    assert events(house) == ["proposed", "approved", "sent"]


def test_without_a_provider_the_referral_waits_and_is_sent_later(house: PageHouse):
    house.arrives(needs=["advice"])
    browser, path = house.supervisor(), f"/referrals/{house.referral('advice').number}"
    assert "Chưa có cơ sở nào nhận dịch vụ này" in words(browser.page(path))
    browser.send(path, f"{path}/approve")
    assert house.referral("advice").state is ReferralState.APPROVED
    with house.sessions.begin() as session:
        builders.provider(session, "desk", "advice")
    browser.send(path, f"{path}/send")
    assert "Đã chuyển đến cơ sở." in words(browser.page(path))
    assert house.referral("advice").provider_code == "desk"


# ---- the consent gate -----------------------------------------------------------------------------


def test_without_consent_an_explanation_stands_where_the_button_was(house: PageHouse):
    house.arrives(score=12)
    house.arrives(score=1, share=[])
    browser, path = house.supervisor(), f"/referrals/{house.referral().number}"
    page = words(browser.page(path))
    assert "Chưa duyệt được: khách hàng chưa đồng ý chia sẻ" in page
    assert "Không đồng ý chia sẻ" in page
    assert buttons(browser, path) == []


def test_without_consent_nothing_leaves_although_the_form_is_sent(house: PageHouse):
    house.arrives(score=12)
    browser, path = house.supervisor(), f"/referrals/{house.referral().number}"
    token = browser.page(path).forms[0].fields["csrf"]
    house.arrives(score=1, share=[])
    response = browser.client.post(f"{path}/approve", data={"csrf": token, "provider": "north"})
    assert response.status_code == 409
    assert "chưa gửi gì cho cơ sở" in words(response)
    assert house.referral().state is ReferralState.PROPOSED
    assert len(house.audited("referral.refused_without_consent")) == 1
    with house.sessions() as session:
        assert session.scalars(select(Attempt)).all() == []


def test_same_day_work_without_consent_stays_inside_and_says_so(house: PageHouse):
    house.arrives(danger="yes", share=[])
    browser = house.supervisor("quiet")
    with house.sessions() as session:
        numbers = session.scalars(select(Referral.number)).all()
    for number in numbers:
        page = words(browser.page(f"/referrals/{number}"))
        assert "chỉ báo trong chương trình, chưa gửi gì cho cơ sở" in page
    assert len(numbers) == 1


def test_internal_work_needs_no_consent(house: PageHouse):
    house.arrives(score=6, share=[])
    page = words(house.supervisor().page(f"/referrals/{house.referral('talk').number}"))
    assert "nên không cần đồng ý chia sẻ" in page
    assert "Đề xuất" in page


# ---- declining ------------------------------------------------------------------------------------


def test_declining_asks_for_a_coded_reason_on_a_page_of_its_own(house: PageHouse):
    house.arrives(score=12)
    browser, path = house.supervisor(), f"/referrals/{house.referral().number}"
    assert browser.page(path).xpath(f"//a[@href='{path}/decline']")
    asked = browser.page(f"{path}/decline")
    assert "không mở lại được" in words(asked)
    assert not asked.xpath("//input[@type='radio'][@checked]")
    assert house.referral().state is ReferralState.PROPOSED


def test_without_a_reason_nothing_changes_and_the_note_is_kept(house: PageHouse):
    house.arrives(score=12)
    browser, path = house.supervisor(), f"/referrals/{house.referral().number}"
    response = browser.send(f"{path}/decline", f"{path}/decline", note="Đã gọi hai lần.")
    assert response.status_code == 422
    assert "Chọn một lý do." in words(response)
    assert "Đã gọi hai lần." in words(response)
    assert house.referral().state is ReferralState.PROPOSED


def test_declining_withdraws_with_reason_and_a_sealed_note(house: PageHouse):
    house.arrives(score=12)
    browser, path = house.supervisor(), f"/referrals/{house.referral().number}"
    note = "Khách hàng muốn nghĩ thêm."
    response = browser.send(f"{path}/decline", f"{path}/decline", reason="no_longer_interested", note=note)
    assert response.headers["location"] == path
    referral = house.referral()
    assert (referral.state, referral.closed_reason) == (ReferralState.WITHDRAWN, "no_longer_interested")
    page = words(browser.page(path))
    assert "Không duyệt : Khách hàng không còn muốn" in page
    assert note in page
    with house.sessions() as session:
        sealed = session.scalars(select(ReferralEvent.sealed_note).where(ReferralEvent.event == "declined")).one()
    assert note.encode() not in sealed


def test_a_referral_that_changed_meanwhile_is_not_withdrawn(house: PageHouse):
    house.arrives(score=12)
    first, second = house.supervisor(), house.supervisor()
    path = f"/referrals/{house.referral().number}"
    form = dict(second.page(f"{path}/decline").xpath(f"//form[@action='{path}/decline']")[0].form_values())
    first.send(path, f"{path}/approve")
    response = second.client.post(f"{path}/decline", data={**form, "reason": "other"})
    assert response.status_code == 409
    assert house.referral().state is ReferralState.SENT


# ---- rights ---------------------------------------------------------------------------------------


def test_a_worker_reads_her_clients_referral_and_has_no_button(house: PageHouse):
    name = house.add(Role.ENUMERATOR, "N1")
    with house.sessions.begin() as session:
        worker = session.scalars(select(builders.User).where(builders.User.username == name)).one()
        client = builders.client(session, "N1", worker, code="KH-HERS")
        number = builders.referral(session, client, "clinic").number
    browser = house.opens(name)
    assert buttons(browser, f"/referrals/{number}") == []
    assert browser.post(f"/referrals/{number}/approve").status_code == 404
    assert browser.post(f"/referrals/{number}/decline", reason="other").status_code == 404


@pytest.mark.parametrize(
    ("role", "areas"),
    [(Role.SUPERVISOR, ["S"]), (Role.ENUMERATOR, ["N1"]), (Role.STAFF, []), (Role.ADMIN, []), (Role.COORDINATOR, [])],
)
def test_others_find_no_such_page_and_may_not_act(house: PageHouse, role: Role, areas: list[str]):
    house.arrives(score=12)
    browser, path = house.signs_in(role, *areas), f"/referrals/{house.referral().number}"
    assert words(browser.get(path)) == words(browser.get("/referrals/CG-1999-0001"))
    assert browser.post(f"{path}/approve").status_code == 404
    assert browser.post(f"{path}/decline", reason="other").status_code == 404
    assert browser.post(f"{path}/send", provider="north").status_code == 404
    assert house.referral().state is ReferralState.PROPOSED


def test_a_hidden_compartment_is_no_page_for_those_without_the_right(house: PageHouse):
    house.arrives(danger="yes")
    path = f"/referrals/{house.referral('rescue').number}"
    assert house.supervisor().get(path).status_code == 404
    assert house.supervisor("quiet").get(path).status_code == 200


def test_a_reason_over_a_hidden_answer_is_protected_on_every_page(house: PageHouse):
    with house.sessions.begin() as session:
        hidden = PROGRAMME.replace("means             | reportable |", "means | reportable | compartment |", 1).replace(
            "| check | score       |                   | yes        |", "| check | score | | yes | quiet |", 1
        )
        assert hidden != PROGRAMME
        found = publishing.publish_programme(session, workbook_bytes(hidden), "programme.xlsx", by=None, now=NOW)
        assert found.id is not None, found.findings
    house.arrives(score=12)
    path = f"/referrals/{house.referral().number}"
    without, with_it = house.supervisor(), house.supervisor("quiet")
    for page in ("/queue", path):
        seen = words(without.page(page))
        assert "Lý do được bảo vệ" in seen
        assert "Score" not in seen
        assert "R1" not in seen
    assert "Score từ 10 trở lên — thấy 12" in words(with_it.page(path))


def test_an_inactive_provider_is_not_offered(house: PageHouse):
    house.arrives(score=12)
    with house.sessions.begin() as session:
        session.get_one(Provider, "south").active = False
    page = house.supervisor().page(f"/referrals/{house.referral().number}")
    assert "Chuyển đến: North house" in words(page)
    assert page.xpath("//select[@name='provider']") == []
