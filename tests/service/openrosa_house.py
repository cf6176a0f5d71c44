"""A running OpenRosa server with one form, one enumerator and her phone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, func, select

from service import accounts, clock
from service.sealing import Vault
from service.settings import Settings
from service.submissions import Writer
from service.tables import Base, FormVersion, RejectedUpload, Role, User
from service.web.context import Context
from service.web.openrosa import router
from tests.phone import Phone, Refused, instance_id
from tests.service import builders
from tests.service.builders import PASSWORD
from tests.web_server import serving

XFORM = """<h:html xmlns="http://www.w3.org/2002/xforms" xmlns:h="http://www.w3.org/1999/xhtml"><h:head>
<h:title>Tiếp cận</h:title></h:head><h:body/></h:html>""".encode()


@dataclass
class House:
    """A running server with one form, `contact`, one enumerator and her phone."""

    url: str
    app: FastAPI
    context: Context
    user: User
    token: str
    clients: list[httpx.Client] = field(default_factory=list)

    def phone(self, token: str | None = None) -> Phone:
        """By the URL of a device."""
        return self._opened(Phone(f"{self.url}/key/{token or self.token}"))

    def digest_phone(self, username: str, password: str = PASSWORD) -> Phone:
        return self._opened(Phone(self.url, username, password))

    def add_signing_user(self) -> str:
        """An enumerator who signs in with PASSWORD; gives the user name."""
        with self.context.sessions.begin() as session:
            return builders.signing_user(session, self.context.vault, Role.ENUMERATOR).username

    def _opened(self, phone: Phone) -> Phone:
        self.clients.append(phone.client)
        return phone

    def add(self, role: Role, **given: object) -> str:
        """Another user with a phone; gives its token."""
        with self.context.sessions.begin() as session:
            user = builders.user(session, role, **given)
            return accounts.add_device(session, user, "phone", now=clock.now())

    def set_form(self, **values: object) -> None:
        with self.context.sessions.begin() as session:
            for name, value in values.items():
                setattr(session.scalars(select(FormVersion)).one(), name, value)

    def count(self, table: type[Base]) -> int:
        with self.context.reading() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def refused_uploads(self) -> list[tuple[str, bytes]]:
        """What was refused and kept: why, and the XML."""
        with self.context.reading() as session:
            rows = session.scalars(select(RejectedUpload).order_by(RejectedUpload.received_at)).all()
        return [(row.problem, self.context.vault.open(row.key_id, row.sealed_xml, "xml")) for row in rows]

    def files(self) -> list[Path]:
        return [path for path in self.context.settings.media_dir.rglob("*") if path.is_file()]


@contextmanager
def open_house(settings: Settings, engine: Engine, vault: Vault) -> Iterator[House]:
    """The server, on a free port."""
    settings = settings.model_copy(update={"public_url": None})
    context = Context(settings, engine, vault, Writer(engine, vault, settings.media_dir))
    with context.sessions.begin() as session:
        user = builders.user(session, Role.ENUMERATOR)
        form = builders.form(session, "contact")
        form.title, form.xform, form.md5 = "Tiếp cận", XFORM, hashlib.md5(XFORM).hexdigest()
        token = accounts.add_device(session, user, "phone", now=clock.now())
    app = FastAPI()
    app.include_router(router)
    app.state.context = context
    with serving(app) as url:
        house = House(url, app, context, user, token)
        yield house
        for client in house.clients:
            client.close()
    context.writer.close()


def filled_in(form: str = "contact", version: str = "1", *, instance: str = "", answer: str = "x") -> bytes:
    """A submission's XML."""
    return (
        f'<data id="{form}" version="{version}"><name>{answer}</name>'
        f"<meta><instanceID>{instance or instance_id()}</instanceID></meta></data>"
    ).encode()


def refusal(phone: Phone, xml: bytes, files: dict[str, bytes] | None = None) -> Refused:
    """What the phone shows, since the upload must be refused."""
    with pytest.raises(Refused) as caught:
        phone.post(xml, files)
    return caught.value
