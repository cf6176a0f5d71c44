"""The web application: OpenRosa for phones, pages for people, one context for both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from typing import Final

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import installation
from service.settings import Settings
from service.submissions import Writer
from service.web import errors, openrosa, rendering
from service.web.context import Context
from service.web.pages import client, flag, follow_ups, people, published, queue, received, referral, sign_in
from service.worker import Bell

#: Something that runs while the server does and hears of each upload: the worker child.
Beside = Callable[[Settings], AbstractContextManager[Bell]]

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: browsers would then send forms with the origin "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_A_YEAR: Final = 365 * 24 * 60 * 60


def create_app(settings: Settings, beside: Sequence[Beside] = ()) -> FastAPI:
    """The application over a prepared installation: migrated databases, an installation key in the data folder.

    What is `beside` is entered when the server starts and left when it stops, before the connections close.
    """
    context, close = _context(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            stack.callback(close)
            for start in beside:
                context.writer.after_commit = stack.enter_context(start(settings)).ring
            yield

    # No generated documentation: it would load scripts from elsewhere, and pages are no API.
    app = FastAPI(title="Kết Nối", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    errors.install(app)
    app.add_middleware(Headers, https=(settings.public_url or "").startswith("https://"))
    app.include_router(openrosa.router)
    for page in (sign_in, queue, referral, flag, client, follow_ups, received, published, people):
        app.include_router(page.router)
    app.mount("/static", Files(directory=rendering.STATIC))
    app.add_api_route("/healthz", _healthy(context), methods=["GET", "HEAD"])
    return app


def _context(settings: Settings) -> tuple[Context, Callable[[], None]]:
    """The context and what closes it: uploads that wait are committed first."""
    place = installation.connect(settings)
    writer = Writer(place.engine, place.vault, settings.media_dir, waiting=settings.writer_queue)

    def close() -> None:
        writer.close()
        place.close()

    return Context(settings, place.engine, place.vault, writer), close


def _healthy(context: Context) -> Callable[[], Response]:
    def healthz() -> Response:
        """200 while the database answers; it says nothing else to strangers."""
        try:
            with context.reading() as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return PlainTextResponse("database does not answer", 503)
        return PlainTextResponse("ok")

    return healthz


class Files(StaticFiles):
    """Static files. Addresses carry the content's hash, so a browser never has to ask again."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they came
        response.headers["Cache-Control"] = f"public, max-age={_A_YEAR}, immutable"
        return response


class Headers:
    """Security headers on every answer; pages with people's data are kept by no cache."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self.fixed = dict(_HEADERS)
        if https:
            self.fixed["Strict-Transport-Security"] = f"max-age={_A_YEAR}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.fixed.items():
                    headers.setdefault(name, value)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, sending)
