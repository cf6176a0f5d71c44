"""The pages in a real browser: sign in, see the queue, read the reasons, approve; with and without scripts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from service import database
from service.database import Store
from service.sealing import Vault, prepare_installation_key, read_installation_keys
from service.settings import Settings
from service.tables import ReferralState, Role
from service.web.app import create_app
from tests.service.builders import PASSWORD
from tests.service.page_house import PageHouse
from tests.service.small_programme import Town
from tests.web_server import serving

pytestmark = pytest.mark.chromium

DESK, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[PageHouse]:
    """A fresh installation with the small programme, behind a real server."""
    settings = Settings(data_dir=tmp_path / "data")
    prepare_installation_key(settings.data_dir)
    engine, keys = database.connect(settings.database), database.connect(settings.keys, erasable=True)
    database.migrate(engine)
    database.migrate(keys, Store.KEYS)
    vault, sessions = Vault(keys, read_installation_keys(settings.data_dir)), database.sessions(engine)
    app = create_app(settings)
    with serving(app) as url, ExitStack() as stack:
        yield PageHouse(url, app, Town(sessions, vault), sessions, vault, stack)
    engine.dispose()
    keys.dispose()


@dataclass
class Screen:
    """A page with what the browser complained about."""

    page: Page
    url: str
    complaints: list[str]

    def signs_in(self, username: str) -> None:
        self.page.goto(f"{self.url}/")
        self.page.get_by_label("Tên đăng nhập").fill(username)
        self.page.get_by_label("Mật khẩu").fill(PASSWORD)
        self.page.get_by_role("button", name="Đăng nhập").click()
        # A key pressed while the next page is still coming would go to the door.
        self.page.wait_for_url(lambda url: "sign-in" not in url)


def screen(chromium: Browser, house: PageHouse, *, scripts: bool = True, **given: object) -> Screen:
    context = chromium.new_context(**{"viewport": DESK, "java_script_enabled": scripts, **given})  # type: ignore[arg-type]  # as a test says it
    house.stack.callback(context.close)
    page = context.new_page()
    complaints: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return Screen(page, house.url, complaints)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_supervisor_signs_in_reads_the_reasons_and_approves(chromium: Browser, house: PageHouse, scripts: bool):
    house.arrives(score=12)
    there = screen(chromium, house, scripts=scripts)
    there.signs_in(house.add(Role.SUPERVISOR, "N"))
    page = there.page
    expect(page.get_by_role("heading", level=1)).to_have_text("Hôm nay")
    row = page.get_by_role("row").filter(has_text="Clinic")
    expect(row).to_contain_text("Score: 12, mức cao")
    row.get_by_role("link", name="KH-1").click()
    expect(page.get_by_text("Score từ 10 trở lên")).to_be_visible()
    page.get_by_role("button", name="Duyệt và chuyển").click()
    expect(page.get_by_text("Đã duyệt và chuyển đến cơ sở.")).to_be_visible()
    assert house.referral().state is ReferralState.SENT
    assert there.complaints == []


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_filters_work_and_the_address_can_be_shared(chromium: Browser, house: PageHouse, scripts: bool):
    house.arrives("KH-HIGH", score=12)
    house.arrives("KH-CALM", needs=["advice"])
    there = screen(chromium, house, scripts=scripts)
    there.signs_in(house.add(Role.SUPERVISOR, "N"))
    page = there.page
    page.get_by_text("Lọc").first.click()
    page.get_by_label("Dịch vụ", exact=True).select_option("advice")
    page.get_by_role("button", name="Lọc").click()
    expect(page.get_by_role("link", name="KH-HIGH")).to_have_count(0)
    expect(page.get_by_role("link", name="KH-CALM")).to_be_visible()
    assert "service=advice" in page.url
    page.reload()
    expect(page.get_by_role("link", name="KH-CALM")).to_be_visible()
    page.get_by_role("link", name="Dịch vụ: Advice").click()
    expect(page.get_by_role("link", name="KH-HIGH").first).to_be_visible()
    page.go_back()
    expect(page.get_by_role("link", name="KH-HIGH")).to_have_count(0)
    assert there.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_no_page_is_wider_than_its_screen(chromium: Browser, house: PageHouse, size: dict[str, int], scheme: str):
    house.arrives(score=25, danger="yes")
    there = screen(chromium, house, viewport=size, color_scheme=scheme)
    there.signs_in(house.add(Role.SUPERVISOR, "N", compartments=["quiet"]))
    number = house.referral().number
    paths = [
        "/queue",
        f"/referrals/{number}",
        f"/referrals/{number}/decline",
        "/clients/KH-1",
        "/follow-ups",
        "/nothing",
    ]
    for path in paths:
        there.page.goto(house.url + path)
        for summary in there.page.locator("main summary").all():
            summary.click()
        wide = there.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
    assert [text for text in there.complaints if "404" not in text] == []


def test_the_whole_way_can_be_gone_by_keyboard(chromium: Browser, house: PageHouse):
    house.arrives(score=12)
    there = screen(chromium, house)
    there.signs_in(house.add(Role.SUPERVISOR, "N"))
    page = there.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Bỏ qua đến nội dung")).to_be_focused()
    page.goto(f"{house.url}/referrals/{house.referral().number}")
    button = page.get_by_role("button", name="Duyệt và chuyển")
    for _ in range(40):
        if button.evaluate("it => it === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(button).to_be_focused()
    outline = button.evaluate("it => getComputedStyle(it).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_text("Đã duyệt và chuyển đến cơ sở.")).to_be_visible()
