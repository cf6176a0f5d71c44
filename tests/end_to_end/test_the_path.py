"""The whole path: a demo from nothing, a phone, a decision, a supervisor in a browser who acts on it."""

import datetime as dt
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from forms.answers import from_given, write
from forms.compile import compile_form
from forms.fill import fill
from service import clock
from tests.phone import Phone, instance_id

_ROOT = Path(__file__).parents[2]
_ZONE = dt.timezone(dt.timedelta(hours=7))
_SUBSTANCES = (
    "tobacco", "alcohol", "cannabis", "cocaine", "ats", "inhalants", "sedatives", "hallucinogens", "opioids", "other",
)  # fmt: skip


@dataclass(frozen=True)
class House:
    """A running demo: its address, its data folder, and what it printed."""

    base: str
    data: Path
    password: str
    server_url: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data = tmp_path_factory.mktemp("demo")
    with running(data) as found:
        yield found


@contextmanager
def running(data: Path) -> Iterator[House]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "KETNOI_DATA_DIR": str(data), "KETNOI_PORT": str(port)}
    command = [sys.executable, "-m", "service.cli", "--language", "en", "demo"]
    with (data / "log").open("ab") as log:
        server = subprocess.Popen(
            command, env=environment, cwd=_ROOT, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
    try:
        base = f"http://127.0.0.1:{port}"
        _wait_for(lambda: _answers(base), seconds=120)
        logins = json.loads((data / "demo-logins.json").read_text(encoding="utf-8"))
        yield House(base, data, logins["password"], f"{base}/key/{logins['token']}")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=40)


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/healthz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def _wait_for(condition, *, seconds: float) -> float:
    started = clock.stopwatch()
    while not condition():
        assert clock.stopwatch() - started < seconds, "waited in vain"
        time.sleep(0.1)
    return clock.stopwatch() - started


def screening(code: str, **answers: object) -> bytes:
    """A screening of somebody with 31 points for opioids, as the phone sends it."""
    form = compile_form((_ROOT / "forms/xlsform/screening.xlsx").read_bytes(), "screening.xlsx").require()
    now = clock.now().astimezone(_ZONE)
    opioids = {"q2": "6", "q3": "6", "q4": "5", "q5": "8", "q6": "3", "q7": "3"}
    given = from_given(
        form,
        {
            "visit_date": now.date().isoformat(),
            "area": "LB-BODE",
            "client_code": code,
            "consent_take_part": "yes",
            "under_18": "no",
            "consent_share": ["mmt", "mental_health"],
            "full_name": "Mẫu Văn Thử",
            "phone": "0900000777",
            "address": "Số 7 ngõ Thử Nghiệm",
            **{f"assist_{name}_q1": "yes" if name == "opioids" else "no" for name in _SUBSTANCES},
            **{f"assist_opioids_{item}": value for item, value in opioids.items()},
            "assist_q8": "never",
            **{f"phq9_q{item}": "0" for item in range(1, 9)},
            "phq9_q9": "2",
            **answers,
        },
    )
    assert given.problems == ()
    return write(form, fill(form, given.answers, now), instance_id=instance_id())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
        )
        yield chromium
        chromium.close()


@contextmanager
def signed_in(browser: Browser, house: House, name: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1366, "height": 768}, locale="vi-VN")
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(f"{house.base}/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", house.password)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(lambda url: "sign-in" not in url)
    yield page
    assert problems == []
    context.close()


@pytest.mark.chromium
def test_a_screening_becomes_a_referral_with_its_reasons_that_a_supervisor_sends(house: House, browser: Browser):
    with Phone(house.server_url) as phone, signed_in(browser, house, "supervisor") as page:
        assert {form.form_id for form in phone.forms()} == {"contact", "screening"}
        assert "success" in phone.send(screening("KH-LB-0911"))

        def in_the_queue() -> bool:
            page.goto(f"{house.base}/queue?view=open")
            return page.get_by_role("link", name=re.compile("KH-LB-0911.*Methadone")).count() == 1

        _wait_for(in_the_queue, seconds=10)
        # The safety item stands beside it: item 9 of PHQ-9, and the suicide questions not asked yet.
        expect(page.get_by_role("link", name=re.compile("KH-LB-0911.*Cảnh báo")).first).to_be_visible()
        page.get_by_role("link", name=re.compile("KH-LB-0911.*Methadone")).click()
        why = page.locator("main")
        for words in ("Quy tắc A03", "trang rules, dòng 11", "từ 27 trở lên", "31", "Còn hiệu lực"):
            expect(why).to_contain_text(words)
        page.get_by_role("button", name="Duyệt và chuyển").click()
        expect(page.locator("main")).to_contain_text("Đã chuyển")


@pytest.mark.chromium
def test_without_consent_nothing_can_be_sent(house: House, browser: Browser):
    # Passing thoughts and a referral the same day, but nothing may be told to anybody.
    told = {"asq_q1": "yes", "asq_q2": "no", "asq_q3": "no", "asq_q4": "no", "asq_q5": "no", "consent_share": []}
    with Phone(house.server_url) as phone, signed_in(browser, house, "supervisor") as page:
        phone.send(screening("KH-LB-0912", **told))

        def in_the_queue() -> bool:
            page.goto(f"{house.base}/queue?view=open")
            return page.get_by_role("link", name=re.compile("KH-LB-0912.*tâm thần")).count() == 1

        _wait_for(in_the_queue, seconds=10)
        page.get_by_role("link", name=re.compile("KH-LB-0912.*tâm thần")).click()
        expect(page.locator("main")).to_contain_text("đồng ý")
        expect(page.get_by_role("button", name=re.compile("chuyển"))).to_have_count(0)


def test_a_second_start_is_quick_and_keeps_the_data(house: House, tmp_path: Path):
    with sqlite3.connect(house.data / "ketnoi.db") as source, sqlite3.connect(tmp_path / "ketnoi.db") as copy:
        source.backup(copy)
    with sqlite3.connect(house.data / "keys.db") as source, sqlite3.connect(tmp_path / "keys.db") as copy:
        source.backup(copy)
    for name in ("installation.key", "demo-logins.json"):
        (tmp_path / name).write_bytes((house.data / name).read_bytes())
    with running(tmp_path) as again:
        assert again.password == house.password
        with Phone(again.server_url) as phone:
            assert len(phone.forms()) == 2


def test_a_thief_reads_no_name_number_or_free_text(house: House):
    with Phone(house.server_url) as phone:
        phone.send(screening("KH-LB-0913"))
    time.sleep(2)
    stolen = b"".join(path.read_bytes() for path in house.data.rglob("*") if path.is_file() and path.suffix != ".key")
    for text in ("Mẫu Văn", "0900000777", "Thử Nghiệm", "09000001"):
        assert text.encode() not in stolen
        assert text.encode("utf-16-le") not in stolen


def test_the_log_says_nothing_about_anybody(house: House):
    with Phone(house.server_url) as phone:
        phone.send(screening("KH-LB-0914"))
    time.sleep(1)
    log = (house.data / "log").read_text(encoding="utf-8")
    for text in ("Mẫu", "0900000777", "KH-LB-0914", house.server_url.rpartition("/")[2]):
        assert text not in log
