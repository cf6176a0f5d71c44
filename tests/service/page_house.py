"""The web application over the small programme: browsers that sign in, and pages as people read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from fastapi import FastAPI
from lxml import html
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from service import clock
from service.sealing import Vault
from service.settings import Settings
from service.tables import AuditEntry, Referral, Role, User
from service.web.app import create_app
from tests.service import builders
from tests.service.builders import PASSWORD
from tests.service.small_programme import Town, answers
from tests.web_server import serving


@dataclass
class Browser:
    """Somebody's browser. Forms are sent as they stand on the page, with their token."""

    client: httpx.Client

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=headers, follow_redirects=True)

    def asks(self, path: str, **headers: str) -> httpx.Response:
        """Without following where it leads."""
        return self.client.get(path, headers=headers)

    def page(self, path: str) -> html.HtmlElement:
        response = self.get(path)
        assert response.status_code == 200, response.status_code
        return html.fromstring(response.text)

    def send(self, on: str, action: str, **values: str) -> httpx.Response:
        """Fill in the form that goes to `action` on the page `on`, and send it; not followed further."""
        form = next(item for item in self.page(on).forms if item.action == action)
        given = {name: value for name, value in form.form_values() if name not in values}
        return self.client.post(action, data={**given, **values})

    def post(self, path: str, **values: str) -> httpx.Response:
        """Send a form with the browser's own token, whether or not a page offers it."""
        token = self.page("/").forms[0].fields["csrf"]
        return self.client.post(path, data={"csrf": token, **values})


@dataclass
class PageHouse:
    """An application with the small programme: a worker and a supervisor of the north, and whom the test adds."""

    url: str
    app: FastAPI
    town: Town
    sessions: sessionmaker[Session]
    vault: Vault
    stack: ExitStack

    def stranger(self) -> Browser:
        return Browser(self.stack.enter_context(httpx.Client(base_url=self.url, timeout=30)))

    def add(self, role: Role, *areas: str, **given: Any) -> str:
        """Another user who can sign in; returns the user name."""
        with self.sessions.begin() as session:
            return builders.signing_user(session, self.vault, role, *areas, **given).username

    def signs_in(self, role: Role, *areas: str, **given: Any) -> Browser:
        return self.opens(self.add(role, *areas, **given))

    def opens(self, username: str) -> Browser:
        browser = self.stranger()
        response = browser.send("/sign-in", "/sign-in", username=username, password=PASSWORD)
        assert response.status_code == 303, response.text
        return browser

    def supervisor(self, *compartments: str) -> Browser:
        return self.signs_in(Role.SUPERVISOR, "N", compartments=compartments)

    def arrives(self, code: str = "KH-1", *, days_ago: int = 0, **given: Any) -> None:
        """A check-up of a client in North 1 was made so many days ago, arrived and was decided."""
        at = clock.now() - timedelta(days=days_ago)
        day = at.astimezone(ZoneInfo("Asia/Ho_Chi_Minh")).date().isoformat()
        self.town.sends(answers(day, code, **{"area": "N1", **given}), at=at)

    def referral(self, service: str = "clinic") -> Referral:
        with self.sessions() as session:
            return self.town.referrals(session)[service]

    def audited(self, action: str) -> list[AuditEntry]:
        with self.sessions() as session:
            return list(session.scalars(select(AuditEntry).where(AuditEntry.action == action)))

    def code_of(self, username: str) -> str:
        with self.sessions() as session:
            return session.scalars(select(User.code).where(User.username == username)).one()

    def code_of_worker(self) -> str:
        with self.sessions() as session:
            return session.get_one(User, self.town.worker).code


@contextmanager
def open_pages(settings: Settings, sessions: sessionmaker[Session], vault: Vault) -> Iterator[PageHouse]:
    """The application behind a real server, on a free port."""
    app = create_app(settings)
    with serving(app) as url, ExitStack() as stack:
        yield PageHouse(url, app, Town(sessions, vault), sessions, vault, stack)


def words(page: html.HtmlElement | httpx.Response) -> str:
    """What a person reads of a page, with single spaces; nothing that is hidden in attributes."""
    tree = html.fromstring(page.text) if isinstance(page, httpx.Response) else page
    tree = tree.find("body") if tree.tag == "html" else tree
    return re.sub(r"\s+", " ", " ".join(tree.itertext())).strip()


def rows(page: html.HtmlElement) -> list[str]:
    """The rows of the lists on a page, without group headings."""
    return [words(row) for row in page.xpath("//div[contains(@class, 'rows')]//tbody/tr[not(@class)]")]
