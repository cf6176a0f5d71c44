"""The OpenRosa server that ODK Collect talks to: form list, forms, media, submissions.

The same routes stand twice: under `/key/{token}/…`, the server URL of one phone, and at the root, with HTTP Digest.
Every answer, also of a refusal, is OpenRosa's XML with a sentence that Collect shows as it stands. `deviceID`, which
Collect adds to every address, and its Date header, whose clock has twelve hours, are ignored.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy import exc
from starlette.requests import ClientDisconnect

from forms.sheets import Text
from integrations.odk import openrosa
from integrations.odk.openrosa import ListedForm, MediaFile
from integrations.odk.submission import Envelope, SubmissionProblem, read_envelope
from service import clock
from service.attachments import AttachmentSink, open_attachment
from service.queries import published_forms
from service.queries.published_forms import OfferedForm
from service.submissions import Incoming, SubmissionRefused
from service.web import multipart
from service.web.callers import Caller, Refused, identify
from service.web.context import Context, context_of
from service.web.multipart import Body, BodyRefused, Limits

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Bytes of one submission's XML. The largest form that we know of, with every question answered at length, has 1 MB.
MAX_XML_BYTES: Final = 5_000_000

#: Always asked for anew (OkHttp keeps 50 MiB of answers), and answered with 304 while nothing has changed.
_CACHE: Final = "private, no-cache"


class OpenRosaRoute(APIRoute):
    """Gives every answer OpenRosa's headers, and every failure a body that Collect can show."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            response = await _answer(handle, request)
            response.headers.update(openrosa.HEADERS)
            return response

        return answered


async def _answer(handle: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    try:
        return await handle(request)
    except Refused as refused:
        return _said(refused.status, refused.message, refused.headers)
    except SubmissionRefused as refused:
        return _said(refused.status, refused.problem)
    except RequestValidationError:
        return _said(404, _NOT_FOUND)
    except ClientDisconnect:
        # Nobody is there to read it; without an answer the server would report an error of ours.
        return Response(status_code=400)
    except (exc.OperationalError, exc.TimeoutError):
        log.exception("database out of reach for a phone")
        return _said(503, _BUSY, {"Retry-After": "30"})
    except Exception:
        log.exception("request of a phone failed")
        return _said(500, _FAILED)


_routes = APIRouter(route_class=OpenRosaRoute, include_in_schema=False)

Phone = Annotated[Caller, Depends(identify)]


# ---- blank forms ----------------------------------------------------------------------------------


@_routes.get("/formList")
def form_list(request: Request, phone: Phone, form_id: Annotated[str, Query(alias="formID")] = "") -> Response:
    """Never an empty list by accident: under "exactly match server" Collect deletes every form that is not in it."""
    with context_of(request).reading() as session:
        offered = [form for form in published_forms.offered(session) if phone.may_have(form.form_id)]
    if not offered:
        raise Refused(503, _NOTHING_PUBLISHED)
    asked = [_listed(form, phone.base_url) for form in offered if form_id in ("", form.form_id)]
    return _cacheable(request, openrosa.form_list(asked))


@_routes.get("/xforms/{version_id}/form.xml")
def xform(request: Request, phone: Phone, version_id: uuid.UUID) -> Response:
    """The bytes as they were stored when the form was published."""
    with context_of(request).reading() as session:
        form = published_forms.xform(session, version_id)
    if form is None or not phone.may_have(form.form_id):
        raise Refused(404, _NOT_FOUND)
    return _cacheable(request, form.xform, form.md5)


@_routes.get("/xforms/{version_id}/manifest.xml")
def manifest(request: Request, phone: Phone, version_id: uuid.UUID) -> Response:
    with context_of(request).reading() as session:
        form_id = published_forms.form_of(session, version_id)
        files = published_forms.media(session, version_id)
    if form_id is None or not phone.may_have(form_id):
        raise Refused(404, _NOT_FOUND)
    base = f"{phone.base_url}/xforms/{version_id}/media"
    listed = [MediaFile(file.filename, file.md5, f"{base}/{file.id}") for file in files]
    return _cacheable(request, openrosa.manifest(listed))


@_routes.get("/xforms/{version_id}/media/{media_id}")
def media(request: Request, phone: Phone, version_id: uuid.UUID, media_id: uuid.UUID) -> Response:
    with context_of(request).reading() as session:
        file = published_forms.media_file(session, version_id, media_id)
    if file is None or not phone.may_have(file.form_id):
        raise Refused(404, _NOT_FOUND)
    # Whatever was uploaded beside a form is never a page of ours in somebody's browser.
    guard = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
    return _cacheable(request, file.content, file.md5, file.content_type, guard)


def _listed(form: OfferedForm, base_url: str) -> ListedForm:
    base = f"{base_url}/xforms/{form.id}"
    return ListedForm(
        form_id=form.form_id,
        name=form.title or form.form_id,
        version=form.version,
        md5=form.md5,
        download_url=f"{base}/form.xml",
        manifest_url=f"{base}/manifest.xml" if form.has_media else None,
    )


# ---- submissions ----------------------------------------------------------------------------------


@_routes.head("/submission")
def before_submission(request: Request, phone: Phone) -> Response:
    """Login, address and size, before anything heavy is sent. Only 204 makes Collect read these headers."""
    headers = {
        openrosa.ACCEPT_LENGTH_HEADER: str(context_of(request).settings.max_submission_bytes),
        "Location": f"{phone.base_url}/submission",
    }
    return Response(status_code=204, headers=headers)


@_routes.post("/submission")
async def submission(request: Request) -> Response:
    """201 once everything is durable. The body is read in the event loop: a slow phone holds no thread."""
    context = context_of(request)
    limits = Limits(xml_bytes=MAX_XML_BYTES, body_bytes=context.settings.max_body_bytes)
    try:
        phone = await _in_thread(partial(identify, request))
    except Refused:
        await multipart.drain(request.stream(), limits.drain_bytes)
        raise
    open_file = partial(open_attachment, context.vault, context.settings.media_dir)
    body = Body(request.headers.get("content-type", ""), _declared_bytes(request), limits, open_file)
    try:
        await body.receive(request.stream(), _in_thread)
        return await _in_thread(partial(_store, context, phone, body))
    except BodyRefused as refused:
        if refused.xml:
            await _in_thread(partial(_keep, context, phone, refused.xml, refused.code))
        # Should there be more than we cared to drop, the rest is not taken for the next request.
        raise Refused(refused.status, refused.problem, {"Connection": "close"}) from None


def _store(context: Context, phone: Caller, body: Body[AttachmentSink]) -> Response:
    upload = body.finish()
    try:
        envelope = _envelope(context, phone, upload.xml)
    except SubmissionRefused as refused:
        upload.discard()
        _keep(context, phone, upload.xml, refused.code)
        raise
    incoming = Incoming(
        envelope=envelope,
        xml=upload.xml,
        attachments=[sink.stored for sink in upload.files.values()],
        incomplete=upload.incomplete,
        user_id=phone.viewer.user_id,
        device_id=phone.device_id,
    )
    # A phone that lost our answer sends again and is told the same: an error would keep it trying for ever.
    context.writer.receive(incoming, clock.now())
    if upload.incomplete:
        return _said(201, _MORE_TO_COME, nature=openrosa.SUCCESS_NATURE)
    return Response(openrosa.message(openrosa.COMPLETE), 201, media_type=openrosa.CONTENT_TYPE)


def _envelope(context: Context, phone: Caller, xml: bytes) -> Envelope:
    try:
        envelope = read_envelope(xml)
    except SubmissionProblem as problem:
        raise SubmissionRefused(400, problem.code, problem.problem) from None
    if not phone.may_have(envelope.form_id) and _is_ours(context, envelope.form_id):
        raise SubmissionRefused(403, "form-not-allowed", _NOT_YOUR_FORM)
    return envelope


def _keep(context: Context, phone: Caller, xml: bytes, code: str) -> None:
    """What the phone may never get rid of is not lost: somebody can read here what it was."""
    context.writer.keep_refused(xml, code, phone.viewer.user_id, clock.now())


def _declared_bytes(request: Request) -> int | None:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


async def _in_thread(work: Callable[[], T]) -> T:
    return await to_thread.run_sync(work)


# ---- answers --------------------------------------------------------------------------------------


def _cacheable(
    request: Request,
    content: bytes,
    md5: str = "",
    content_type: str = openrosa.CONTENT_TYPE,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    tag = f'"{md5 or hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    headers = {**headers, "ETag": tag, "Cache-Control": _CACHE}
    known = [item.strip().removeprefix("W/") for item in request.headers.get("if-none-match", "").split(",")]
    if tag in known:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=content_type)


def _said(
    status: int,
    message: Text,
    headers: Mapping[str, str] = MappingProxyType({}),
    nature: str = openrosa.ERROR_NATURE,
) -> Response:
    body = openrosa.message(f"{message.vi}\n{message.en}", nature)
    return Response(body, status, dict(headers), openrosa.CONTENT_TYPE)


def _is_ours(context: Context, form_id: str) -> bool:
    """A form that nobody published is unknown, not forbidden: the writer says so."""
    with context.reading() as session:
        return published_forms.is_known(session, form_id)


_NOTHING_PUBLISHED: Final = Text("Chưa có biểu mẫu nào được công bố.", "No form is published yet.")
_NOT_FOUND: Final = Text(
    "Không có biểu mẫu hoặc tệp này. Hãy làm mới danh sách biểu mẫu.",
    "There is no such form or file. Refresh the list of forms.",
)
_NOT_YOUR_FORM: Final = Text(
    "Tài khoản này không được gửi biểu mẫu này. Hãy giữ bài trên máy và báo quản trị.",
    "This account may not send this form. Keep it on the phone and tell the administrator.",
)
_MORE_TO_COME: Final = Text("Đã nhận phần này; còn chờ phần sau.", "This part has arrived; the rest is awaited.")
_BUSY: Final = Text("Máy chủ đang bận. Hãy gửi lại sau ít phút.", "The server is busy. Send again in a few minutes.")
_FAILED: Final = Text(
    "Máy chủ gặp lỗi. Bài vẫn giữ trên máy; hãy gửi lại sau và báo quản trị nếu vẫn lỗi.",
    "The server failed. The form stays on the phone; send it again later. If it fails again, tell the administrator.",
)

router = APIRouter()
router.include_router(_routes)
router.include_router(_routes, prefix="/key/{token}")
