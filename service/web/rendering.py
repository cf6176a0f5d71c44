"""Templates → pages: one environment for each language, static files by their content, and the frame around a page."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service import access
from service.access import Action, Viewer
from service.tables import Role
from service.web import words
from service.web.language import LANGUAGES, catalogue
from service.web.visitor import FORM, NOTICE, Visitor
from service.web.words import N_

HERE = Path(__file__).parent
STATIC = HERE / "static"

#: What a notice says after a form was done with. The cookie carries the code, never the words.
NOTICES: Mapping[str, str] = {
    "approved": N_("Đã duyệt. Phiếu chờ chọn cơ sở để chuyển."),
    "sent": N_("Đã chuyển đến cơ sở."),
    "approved-and-sent": N_("Đã duyệt và chuyển đến cơ sở."),
    "declined": N_("Đã ghi không duyệt, kèm lý do."),
    "closed": N_("Đã đóng cảnh báo, kèm lý do."),
    "signed-out": N_("Đã đăng xuất."),
}


@dataclass(frozen=True, slots=True)
class Link:
    """A way in the top bar; `name` is the page family that it leads to."""

    name: str
    href: str
    word: str


QUEUE = Link("queue", "/queue", N_("Hôm nay"))
REFERRALS = Link("referrals", "/queue?view=open", N_("Chuyển gửi"))
FOLLOW_UPS = Link("follow-ups", "/follow-ups", N_("Theo dõi"))
RECEIVED = Link("received", "/received", N_("Phiếu nhận"))
PUBLISHED = Link("published", "/published", N_("Bản công bố"))
PEOPLE = Link("people", "/people", N_("Người dùng"))


def links_for(viewer: Viewer) -> tuple[Link, ...]:
    """The pages that this person's function has, the home page first."""
    found = []
    if viewer.role is Role.PROVIDER:
        found.append(RECEIVED)
    elif access.can(viewer, Action.SEE_QUEUE):
        found += [QUEUE, REFERRALS]
    if access.can(viewer, Action.SEE_FOLLOW_UPS):
        found.append(FOLLOW_UPS)
    if access.can(viewer, Action.PUBLISH):
        found.append(PUBLISHED)
    if access.can(viewer, Action.MANAGE_USERS):
        found.append(PEOPLE)
    return tuple(found)


@cache
def static(name: str) -> str:
    """The address of a static file, with its content's hash, so that browsers may keep it for ever."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def render(visitor: Visitor, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """A page in the visitor's language. A notice that was waiting is shown once."""
    notice = NOTICES.get(visitor.request.cookies.get(NOTICE, ""), "")
    text = (
        _environment(visitor.reader.language)
        .get_template(template)
        .render(
            viewer=visitor.viewer,
            reader=visitor.reader,
            csrf=visitor.csrf,
            links=links_for(visitor.viewer) if visitor.viewer else (),
            other_languages=[code for code in LANGUAGES if code != visitor.reader.language],
            back=_back(visitor),
            notice=visitor.reader.gettext(notice) if notice else "",
            **values,
        )
    )
    response = HTMLResponse(text, status, {"Vary": "HX-Request, Cookie"})
    if visitor.request.cookies.get(NOTICE):
        response.delete_cookie(NOTICE)
    if visitor.viewer is None and visitor.request.cookies.get(FORM) != visitor.csrf:
        set_cookie(visitor, response, FORM, visitor.csrf)
    return response


def wants_part(visitor: Visitor) -> bool:
    """Whether htmx asks for the partial of the page alone. A restored history entry wants the whole page."""
    headers = visitor.request.headers
    return headers.get("HX-Request") == "true" and headers.get("HX-Request-Type") == "partial"


def go_to(visitor: Visitor, address: str, notice: str = "") -> Response:
    """After a form: see another page, with a notice that is shown there once."""
    response = RedirectResponse(address, 303)
    if notice:
        set_cookie(visitor, response, NOTICE, notice, seconds=60)
    return response


def set_cookie(visitor: Visitor, response: Response, name: str, value: str, *, seconds: int | None = None) -> None:
    """A cookie for this site alone, that no script reads; over https it never leaves in the clear."""
    secure = is_https(visitor)
    response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="lax", secure=secure, path="/")


def is_https(visitor: Visitor) -> bool:
    public = visitor.context.settings.public_url or ""
    return visitor.request.url.scheme == "https" or public.startswith("https://")


def _back(visitor: Visitor) -> str:
    """Where the language switch comes back to: this page, if it can be asked for again."""
    url = visitor.request.url
    return (url.path + (f"?{url.query}" if url.query else "")) if visitor.request.method == "GET" else "/"


@cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    said = catalogue(language)
    environment.install_gettext_translations(said, newstyle=True)  # type: ignore[attr-defined]  # the extension's own
    environment.globals |= {"static": static, "words": words, "language": language}
    return environment
