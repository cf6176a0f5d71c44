"""What a page says when it cannot be shown: where one is, what was kept, what to do.

Not found and not allowed look the same. Nothing that was sent is quoted, neither on the page nor in the log.
"""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import access
from service.access import Disabled
from service.web import rendering
from service.web.visitor import SESSION, FormTooOld, SignInNeeded, visitor

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Answer every problem of a page. OpenRosa's routes answer their own."""
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(FormTooOld, _too_old)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(Disabled, _disabled)
    app.add_middleware(Failures)


async def _sign_in(request: Request, problem: Exception) -> Response:
    then = problem.then if isinstance(problem, SignInNeeded) else ""
    address = f"/sign-in?then={quote(then, safe='/')}" if then not in ("", "/") else "/sign-in"
    # htmx would swap the sign-in page into the middle of the old one.
    if request.headers.get("HX-Request"):
        return Response(status_code=204, headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)


async def _disabled(_request: Request, _: Exception) -> Response:
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(SESSION)
    return response


async def _http(request: Request, problem: Exception) -> Response:
    status, headers = (problem.status_code, problem.headers) if isinstance(problem, HTTPException) else (500, None)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
        return await _page(request, "errors/not_found.html", HTTPStatus.NOT_FOUND)
    response = await _page(request, "errors/refused.html", status)
    response.headers.update(headers or {})
    return response


async def _unfit(request: Request, _: Exception) -> Response:
    """An address or a form that we never gave out."""
    status = HTTPStatus.NOT_FOUND if request.method == "GET" else HTTPStatus.UNPROCESSABLE_ENTITY
    return await _page(request, "errors/not_found.html" if request.method == "GET" else "errors/refused.html", status)


async def _too_old(request: Request, _: Exception) -> Response:
    return await _page(request, "errors/too_old.html", HTTPStatus.FORBIDDEN)


async def _page(request: Request, template: str, status: int, **values: str) -> Response:
    """The page in the asker's language; plain words where even that cannot be found out."""
    try:
        return await run_in_threadpool(
            lambda: rendering.render(visitor(request), template, status=int(status), **values)
        )
    except (SQLAlchemyError, access.Disabled):
        return PlainTextResponse("Kết Nối: tạm thời không trả lời được. / Kết Nối cannot answer just now.", int(status))


class Failures:
    """The last resort: a page with a reference number, and a log line by which the same failure is found.

    What the request had written was rolled back before it came here; what earlier requests wrote is kept.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as problem:
            if started:
                raise
            number = f"E-{secrets.token_hex(4)}"
            log.exception("page failed", extra={"problem": number, "error_class": type(problem).__name__})
            answer = await _page(Request(scope, receive), "errors/failed.html", 500, number=number)
            await answer(scope, receive, send)
