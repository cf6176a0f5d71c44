"""Routes of pages: their forms are short, so a long body is refused before it is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

#: Bytes of a page's form: a note of some pages, its token, its codes.
MOST = 64_000


class PageRoute(APIRoute):
    """Asks for a Content-Length, as browsers send it, and refuses more than MOST."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def limited(request: Request) -> Response:
            if request.method == "POST":
                length = request.headers.get("content-length", "")
                if not length.isdecimal():
                    raise HTTPException(411)
                if int(length) > MOST:
                    raise HTTPException(413)
            return await handle(request)

        return limited


def pages() -> APIRouter:
    return APIRouter(route_class=PageRoute, include_in_schema=False)
