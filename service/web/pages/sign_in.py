"""The door: sign in, sign out, choose a language, and where each function begins its day."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form, Query, Response
from sqlalchemy import update

from service import accounts
from service.accounts import SignInRefused
from service.tables import User
from service.web.language import LANGUAGES
from service.web.rendering import go_to, links_for, render, set_cookie
from service.web.routes import pages
from service.web.visitor import FORM, LANGUAGE, SESSION, Anybody, Sender, SignedIn, Transaction, Visitor
from service.web.words import N_

router = pages()

#: The same for a wrong name, a wrong password, and an account that has no web pages (the police).
_WRONG = N_("Tên đăng nhập hoặc mật khẩu không đúng. Hãy thử lại.")
_WAIT = N_("Nhập sai quá nhiều lần. Hãy đợi %(minutes)s phút rồi thử lại, hoặc nhờ quản trị đặt lại mật khẩu.")


@router.get("/")
def home(visitor: SignedIn) -> Response:
    return go_to(visitor, links_for(visitor.who)[0].href)


@router.get("/sign-in")
def sign_in_page(visitor: Anybody, then: Annotated[str, Query(max_length=500)] = "") -> Response:
    if visitor.viewer is not None:
        return go_to(visitor, _inside(then))
    return render(visitor, "sign_in.html", then=_inside(then), problem="", username="")


@router.post("/sign-in")
def sign_in(
    visitor: Sender,
    session: Transaction,
    username: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    then: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    client = visitor.request.client
    found = accounts.sign_in(
        session,
        visitor.context.vault,
        username,
        password,
        now=visitor.now,
        address=client.host if client else "",
        lasting=visitor.context.session_length,
    )
    if isinstance(found, SignInRefused):
        return _refused(visitor, found, username, then)
    response = go_to(visitor, _inside(then))
    set_cookie(visitor, response, SESSION, found.cookie)
    response.delete_cookie(FORM)
    return response


def _refused(visitor: Visitor, refused: SignInRefused, username: str, then: str) -> Response:
    if refused.retry_after is None:
        problem, status = visitor.reader.gettext(_WRONG), 401
    else:
        minutes = max(round(refused.retry_after.total_seconds() / 60), 1)
        problem, status = visitor.reader.gettext(_WAIT, minutes=minutes), 429
    response = render(visitor, "sign_in.html", status=status, then=_inside(then), problem=problem, username=username)
    if refused.retry_after is not None:
        response.headers["Retry-After"] = str(int(refused.retry_after.total_seconds()))
    return response


@router.post("/sign-out")
def sign_out(visitor: Sender, session: Transaction) -> Response:
    accounts.sign_out(session, visitor.request.cookies.get(SESSION, ""), now=visitor.now)
    response = go_to(visitor, "/sign-in", "signed-out")
    response.delete_cookie(SESSION)
    return response


@router.post("/language")
def choose_language(
    visitor: Sender,
    session: Transaction,
    language: Annotated[str, Form(max_length=8)],
    then: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """For this browser, and for the person where she has signed in."""
    response = go_to(visitor, _inside(then))
    if language in LANGUAGES:
        set_cookie(visitor, response, LANGUAGE, language, seconds=365 * 24 * 60 * 60)
        if visitor.viewer is not None:
            session.execute(update(User).where(User.id == visitor.viewer.user_id).values(language=language))
    return response


def _inside(address: str) -> str:
    """An address of our own pages; the home page in place of anything that leads elsewhere."""
    plain = address.startswith("/") and not address.startswith("//") and "\\" not in address
    return address if plain and address.isprintable() else "/"
