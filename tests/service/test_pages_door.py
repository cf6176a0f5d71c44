"""The door of the web pages: signing in and out, tokens, languages, headers, and what a failure says."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session, sessionmaker

from service.sealing import Vault
from service.settings import Settings
from service.tables import ReferralState, Role, User, WebSession
from tests.service.builders import PASSWORD
from tests.service.page_house import PageHouse, open_pages, words


@pytest.fixture
def house(settings: Settings, sessions: sessionmaker[Session], vault: Vault) -> Iterator[PageHouse]:
    with open_pages(settings, sessions, vault) as house:
        yield house


WRONG = "Tên đăng nhập hoặc mật khẩu không đúng"


def test_a_stranger_is_sent_to_the_door_and_then_where_she_was_going(house: PageHouse):
    name = house.add(Role.SUPERVISOR, "N")
    stranger = house.stranger()
    asked = stranger.asks("/queue?view=overdue")
    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?then=/queue%3Fview%3Doverdue")
    entered = stranger.send(asked.headers["location"], "/sign-in", username=name, password=PASSWORD)
    assert (entered.status_code, entered.headers["location"]) == (303, "/queue?view=overdue")


@pytest.mark.parametrize(
    ("role", "home"),
    [
        (Role.SUPERVISOR, "/queue"),
        (Role.COORDINATOR, "/queue"),
        (Role.ENUMERATOR, "/follow-ups"),
        (Role.STAFF, "/published"),
        (Role.ADMIN, "/people"),
    ],
)
def test_each_function_begins_on_its_own_page(house: PageHouse, role: Role, home: str):
    browser = house.signs_in(role, "N")
    response = browser.asks("/")
    assert response.headers["location"] == home
    assert browser.get(home).status_code == 200


def test_the_police_are_refused_with_the_words_of_a_wrong_password(house: PageHouse):
    police, worker = house.add(Role.POLICE, "N"), house.add(Role.ENUMERATOR, "N")
    right = house.stranger().send("/sign-in", "/sign-in", username=police, password=PASSWORD)
    wrong = house.stranger().send("/sign-in", "/sign-in", username=worker, password="khong-phai-mat-khau")
    nobody = house.stranger().send("/sign-in", "/sign-in", username="nobody-here", password=PASSWORD)
    assert right.status_code == wrong.status_code == nobody.status_code == 401
    assert WRONG in words(right)
    assert words(right) == words(wrong) == words(nobody)
    assert "ketnoi_session" not in right.cookies


def test_guessing_is_slowed_down(house: PageHouse):
    name = house.add(Role.SUPERVISOR, "N")
    browser = house.stranger()
    for _ in range(5):
        assert browser.send("/sign-in", "/sign-in", username=name, password="sai").status_code == 401
    slowed = browser.send("/sign-in", "/sign-in", username=name, password=PASSWORD)
    assert slowed.status_code == 429
    assert int(slowed.headers["retry-after"]) > 0
    assert "Hãy đợi 15 phút" in words(slowed)


def test_the_user_name_is_kept_after_a_wrong_password_and_the_password_is_not(house: PageHouse):
    page = house.stranger().send("/sign-in", "/sign-in", username="giang", password="mat-khau-bi-mat")
    assert 'value="giang"' in page.text
    assert "mat-khau-bi-mat" not in page.text


def test_no_script_reads_the_session(house: PageHouse):
    name = house.add(Role.SUPERVISOR, "N")
    plain = house.stranger().send("/sign-in", "/sign-in", username=name, password=PASSWORD)
    cookie = next(line for line in plain.headers.get_list("set-cookie") if line.startswith("ketnoi_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_over_https_the_session_never_leaves_in_the_clear(settings: Settings, sessions, vault):
    with open_pages(settings.model_copy(update={"public_url": "https://ketnoi.test"}), sessions, vault) as house:
        name, stranger = house.add(Role.SUPERVISOR, "N"), house.stranger()
        door = stranger.get("/sign-in")
        token = door.cookies["ketnoi_form"]  # A browser would send it back over https alone, as httpx does.
        response = stranger.client.post(
            "/sign-in",
            data={"username": name, "password": PASSWORD, "csrf": token},
            headers={"Cookie": f"ketnoi_form={token}"},
        )
    cookies = [line for line in response.headers.get_list("set-cookie") if line.startswith("ketnoi_session=")]
    assert cookies
    assert all("Secure" in line for line in cookies)
    assert response.headers["strict-transport-security"]


def test_signing_out_ends_the_session_for_every_copy_of_the_cookie(house: PageHouse):
    browser = house.supervisor()
    copy = dict(browser.client.cookies)
    assert browser.send("/queue", "/sign-out").headers["location"] == "/sign-in"
    thief = house.stranger()
    thief.client.cookies.update(copy)
    assert thief.asks("/queue").status_code == 303


def test_a_disabled_user_is_outside_at_once(house: PageHouse):
    name = house.add(Role.SUPERVISOR, "N")
    browser = house.opens(name)
    with house.sessions.begin() as session:
        user = session.scalars(select(User).where(User.username == name)).one()
        user.disabled_at = user.created_at
    assert browser.asks("/queue").headers["location"].startswith("/sign-in")


@pytest.mark.parametrize("token", [None, "", "somebody-elses"])
def test_a_form_without_its_token_changes_nothing(house: PageHouse, token: str | None):
    house.arrives(score=12)
    browser, referral = house.supervisor(), house.referral()
    given = {} if token is None else {"csrf": token}
    response = browser.client.post(f"/referrals/{referral.number}/approve", data=given)
    assert response.status_code == 403
    assert "Chưa có gì thay đổi" in words(response)
    assert house.referral().state is ReferralState.PROPOSED


def test_another_sites_form_cannot_sign_anybody_in(house: PageHouse):
    name = house.add(Role.SUPERVISOR, "N")
    stranger = house.stranger()
    response = stranger.client.post("/sign-in", data={"username": name, "password": PASSWORD, "csrf": ""})
    assert response.status_code == 403
    with house.sessions() as session:
        assert session.scalars(select(WebSession)).all() == []


@pytest.mark.parametrize("elsewhere", ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)"])
def test_the_door_leads_to_no_other_site(house: PageHouse, elsewhere: str):
    name = house.add(Role.SUPERVISOR, "N")
    response = house.stranger().send("/sign-in", "/sign-in", username=name, password=PASSWORD, then=elsewhere)
    assert response.headers["location"] == "/"


def test_the_language_is_switched_and_remembered_for_the_person(house: PageHouse):
    name = house.add(Role.SUPERVISOR, "N")
    browser = house.opens(name)
    assert browser.page("/queue").get("lang") == "vi"
    browser.send("/queue", "/language", language="en")
    page = browser.page("/queue")
    assert page.get("lang") == "en"
    assert "Today" in words(page)
    assert house.opens(name).page("/queue").get("lang") == "en"


def test_a_stranger_chooses_a_language_for_this_browser(house: PageHouse):
    stranger = house.stranger()
    assert stranger.page("/sign-in").get("lang") == "vi"
    stranger.send("/sign-in", "/language", language="en")
    assert "Sign in" in words(stranger.page("/sign-in"))


def test_every_page_forbids_foreign_and_inline_code_and_holds_none(house: PageHouse):
    house.arrives(score=25, danger="yes")
    browser, number = house.supervisor("quiet"), house.referral().number
    for path in (
        "/queue",
        "/follow-ups",
        f"/referrals/{number}",
        f"/referrals/{number}/decline",
        "/clients/KH-1",
        "/no",
    ):
        response = browser.get(path)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*src=)|javascript:|hx-on", response.text)
        assert not re.search(r"""(?:src|href)=["']https?:""", response.text)


def test_static_files_are_kept_by_browsers_for_ever_under_their_contents_address(house: PageHouse):
    stranger = house.stranger()
    address = stranger.page("/sign-in").xpath("//link[@rel='stylesheet']/@href")[0]
    response = stranger.get(address)
    assert re.fullmatch(r"/static/ui\.css\?v=[0-9a-f]{12}", address)
    assert "immutable" in response.headers["cache-control"]


def test_what_is_not_there_and_what_is_not_allowed_look_the_same(house: PageHouse):
    browser = house.signs_in(Role.STAFF)
    forbidden, missing = browser.get("/queue"), browser.get("/nothing-here")
    assert forbidden.status_code == missing.status_code == 404
    assert words(forbidden) == words(missing)


def test_a_long_form_is_refused_before_it_is_read(house: PageHouse):
    response = house.supervisor().client.post("/sign-out", data={"csrf": "x" * 70_000})
    assert response.status_code == 413


def test_a_commit_that_fails_is_never_reported_as_done(house: PageHouse):
    house.arrives(score=12)
    browser, referral = house.supervisor(), house.referral()
    path = f"/referrals/{referral.number}"
    token = browser.page(path).forms[0].fields["csrf"]
    engine = house.app.state.context.engine

    def fails(_connection):
        raise OSError("disk full: Nguyễn Văn A")

    event.listen(engine, "commit", fails)
    response = browser.client.post(f"{path}/approve", data={"csrf": token})
    event.remove(engine, "commit", fails)
    assert response.status_code == 500
    assert re.search(r"E-[0-9a-f]{8}", words(response))
    assert "chưa được lưu" in words(response)
    assert "Nguyễn" not in response.text
    assert house.referral().state is ReferralState.PROPOSED


def test_health_is_told_to_anybody_and_says_nothing_else(house: PageHouse):
    response = house.stranger().get("/healthz")
    assert (response.status_code, response.text) == (200, "ok")
