"""Who asks for a page: the signed-in viewer, her language and clock, and what her forms must bring back."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import Depends, Form, Request
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException

from rules.programme import Programme
from service import access, accounts, audit, clock
from service.access import Action, Viewer
from service.audit import Detail
from service.web.context import Context, context_of
from service.web.language import LANGUAGES, Reader

#: Cookies. The names say nothing; none holds more than a token or a code.
SESSION = "ketnoi_session"
FORM = "ketnoi_form"
LANGUAGE = "ketnoi_language"
NOTICE = "ketnoi_notice"


class SignInNeeded(Exception):
    """The page is for people who have signed in. `then` is where to go afterwards."""

    def __init__(self, then: str) -> None:
        super().__init__("sign-in needed")
        self.then = then


class FormTooOld(Exception):
    """A form came back without the token that it was given: from another site, or after a new sign-in."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """One request's asker. `viewer` is None before sign-in; `csrf` goes into every form of the page."""

    context: Context
    request: Request
    viewer: Viewer | None
    csrf: str
    reader: Reader
    now: datetime
    programme: Programme | None = field(repr=False)

    @property
    def today(self) -> date:
        """The day in the programme's zone."""
        return self.now.astimezone(self.reader.zone).date()

    @property
    def who(self) -> Viewer:
        """The signed-in viewer. Raises SignInNeeded."""
        if self.viewer is None:
            raise SignInNeeded(_address(self.request))
        return self.viewer

    def require(self, action: Action) -> Viewer:
        """The viewer, if her function includes this; else there is no such page (the two look alike)."""
        viewer = self.who
        if not access.can(viewer, action):
            raise not_found()
        return viewer

    def witness(
        self, action: str, *, kind: str = "", object_id: str = "", client_id: uuid.UUID | None = None, **detail: Detail
    ) -> None:
        """Write down a read before it is shown, and keep the reader signed in. Committed at once."""
        with self.context.sessions.begin() as session:
            audit.record(
                session,
                at=self.now,
                actor=self.who.user_id,
                action=action,
                kind=kind,
                object_id=object_id,
                client_id=client_id,
                **detail,
            )
            accounts.keep_signed_in(
                session, self.request.cookies.get(SESSION, ""), now=self.now, lasting=self.context.session_length
            )


def not_found() -> HTTPException:
    """The same answer for what is not there and for what the viewer may not see."""
    return HTTPException(404)


def visitor(request: Request) -> Visitor:
    """Anybody, signed in or not."""
    context, now = context_of(request), clock.now()
    with context.reading() as session:
        found = _signed_in(session, request, now)
        programme = context.programme(session)
    viewer, csrf = found or (None, request.cookies.get(FORM) or secrets.token_urlsafe(24))
    zone = ZoneInfo(programme.settings.timezone) if programme else context.settings.zone
    return Visitor(context, request, viewer, csrf, Reader(_language(request, context, viewer), zone), now, programme)


def _signed_in(session: Session, request: Request, now: datetime) -> tuple[Viewer, str] | None:
    cookie = request.cookies.get(SESSION)
    browser = accounts.browser_by_cookie(session, cookie, now=now) if cookie else None
    if browser is None:
        return None
    viewer = access.viewer_of(session, browser.user, now)
    return (viewer, browser.csrf) if access.can(viewer, Action.USE_WEB) else None


def _language(request: Request, context: Context, viewer: Viewer | None) -> str:
    wanted = viewer.language if viewer else request.cookies.get(LANGUAGE, "")
    return wanted if wanted in LANGUAGES else context.settings.language


def _address(request: Request) -> str:
    """Where a GET was going, to come back to after the sign-in; nothing of a POST."""
    if request.method != "GET":
        return ""
    query = request.url.query
    return quote(request.url.path) + (f"?{query}" if query else "")


Anybody = Annotated[Visitor, Depends(visitor)]


def _signed_in_visitor(visitor: Anybody) -> Visitor:
    """Raises SignInNeeded."""
    _ = visitor.who
    return visitor


#: Somebody who has signed in; others are sent to the sign-in page.
SignedIn = Annotated[Visitor, Depends(_signed_in_visitor)]


def checked(visitor: Anybody, csrf: Annotated[str, Form(max_length=200)] = "") -> Visitor:
    """A form that came back with its token. Raises FormTooOld."""
    expected = visitor.csrf if visitor.viewer else visitor.request.cookies.get(FORM, "")
    if not expected or not accounts.same_token(csrf, expected):
        raise FormTooOld
    return visitor


#: Whoever sends a form that we gave out.
Sender = Annotated[Visitor, Depends(checked)]


def _reading(visitor: Anybody) -> Iterator[Session]:
    with visitor.context.reading() as session:
        yield session


def _transaction(visitor: Anybody) -> Iterator[Session]:
    session = visitor.context.sessions()
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.close()


#: Reads only, and waits for no writer.
Reading = Annotated[Session, Depends(_reading, scope="function")]
#: One request is one transaction. scope="function": it commits before the reply leaves, so that what was not kept is
#: never reported as done.
Transaction = Annotated[Session, Depends(_transaction, scope="function")]
