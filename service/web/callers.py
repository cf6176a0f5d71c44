"""Which phone is calling: by the token in its server URL, or by HTTP Digest; and why it may not.

What a refusal does in Collect decided the codes. 401 with a challenge asks for user name and password; right under
Digest, useless under a token: the person would type into the void. 404 reads "server unreachable". 403 lets Collect
try the POST all the same, whose answer it shows word for word. So a revoked or mistyped token gets 403 and a sentence
that says what to do. No code but 200 with an empty list ever takes a form off a phone.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlsplit

from fastapi import Request
from sqlalchemy import update
from sqlalchemy.orm import Session

from forms.sheets import Text
from integrations.odk import digest
from integrations.odk.digest import Verdict
from service import access, accounts, audit, clock
from service.access import Viewer
from service.tables import Device, User
from service.web.context import Context, context_of

#: A phone asks many times at each refresh; when it was last seen is noted once in this time.
_SEEN_STEP: Final = timedelta(minutes=1)


class Refused(Exception):
    """A call that gets no more than a sentence for an answer."""

    def __init__(self, status: int, message: Text, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(f"{status} {message.en}")
        self.status, self.message, self.headers = status, message, headers


@dataclass(frozen=True, slots=True)
class Caller:
    """A phone that proved whose it is. `forms` are those it may have and send (None: all); `base_url` is its server
    URL as it should be typed into Collect, without a trailing slash.
    """

    viewer: Viewer
    device_id: uuid.UUID | None
    forms: frozenset[str] | None = field(repr=False)
    base_url: str = field(repr=False)

    def may_have(self, form_id: str) -> bool:
        return self.forms is None or form_id in self.forms


def identify(request: Request) -> Caller:
    """Who calls; raises Refused. Asks the database, so it belongs in a thread."""
    context, now = context_of(request), clock.now()
    token = request.path_params.get("token")
    with context.reading() as session:
        if token is None:
            user, device = _by_digest(context, session, request, now), None
        else:
            user, device = _by_token(session, token)
        viewer = access.viewer_of(session, user, now)
        forms = access.forms_for(viewer, context.programme(session))
    if device is not None:
        _note_seen(context, device, now)
    if forms is not None and not forms:
        raise Refused(403, _NO_FORMS)
    return Caller(viewer, device.id if device else None, forms, _base_url(context, request, token))


# ---- by token -------------------------------------------------------------------------------------


def _by_token(session: Session, token: str) -> tuple[User, Device]:
    found = accounts.device_by_token(session, token)
    if found is None:
        raise Refused(403, _UNKNOWN_DEVICE)
    device, user = found
    return user, device


def _note_seen(context: Context, device: Device, now: datetime) -> None:
    if device.last_seen_at is not None and now - device.last_seen_at < _SEEN_STEP:
        return
    with context.sessions.begin() as session:
        session.execute(update(Device).where(Device.id == device.id).values(last_seen_at=now))


# ---- by Digest ------------------------------------------------------------------------------------


def _by_digest(context: Context, session: Session, request: Request, now: datetime) -> User:
    given = digest.parse(request.headers.get("authorization", ""))
    if given is None:
        raise _challenge(context, now)
    # Cut off, since whoever guesses chooses it: no user name is longer.
    key = f"{request.client.host if request.client else ''} {given.username[:64]}"
    wait = context.phone_throttle.wait(key, now)
    if wait:
        raise Refused(429, _TOO_OFTEN, {"Retry-After": str(math.ceil(wait.total_seconds()))})
    user = accounts.enabled_user(session, given.username)
    verdict = digest.verify(
        given,
        method=request.method,
        target=_target(context, request),
        # Nobody is compared too, so that the time does not tell which user names exist.
        ha1=accounts.digest_ha1(context.vault, user) if user else digest.ha1("", accounts.REALM, given.cnonce),
        realm=accounts.REALM,
        secret=_secret(context),
        now=now,
    )
    if user is None or verdict is Verdict.WRONG:
        context.phone_throttle.failed(key, now)
        _note_failure(context, user, now)
        raise _challenge(context, now)
    if verdict is Verdict.STALE:
        raise _challenge(context, now, stale=True)
    return user


def _challenge(context: Context, now: datetime, *, stale: bool = False) -> Refused:
    line = digest.challenge(accounts.REALM, _secret(context), now=now, stale=stale)
    return Refused(401, _LOGIN, {"WWW-Authenticate": line})


def _secret(context: Context) -> bytes:
    return context.vault.secret("digest nonce")


def _note_failure(context: Context, user: User | None, now: datetime) -> None:
    with context.sessions.begin() as session:
        audit.record(session, at=now, actor=user.id if user else None, action="sign_in.failed", kind="phone")


def _target(context: Context, request: Request) -> str:
    """Path and query as the phone wrote them; a proxy may have taken the public URL's own path off."""
    path: bytes = request.scope["raw_path"].partition(b"?")[0]
    query: bytes = request.scope["query_string"]
    prefix = urlsplit(context.settings.public_url or "").path.rstrip("/")
    target = path.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
    return target if target.startswith(f"{prefix}/") else prefix + target


def _base_url(context: Context, request: Request, token: str | None) -> str:
    root = context.settings.public_url or str(request.base_url).rstrip("/")
    return root if token is None else f"{root}/key/{quote(token, safe='')}"


# ---- what the phone shows -------------------------------------------------------------------------

_LOGIN: Final = Text(
    "Cần tên đăng nhập và mật khẩu. Kiểm tra trong Cài đặt › Máy chủ.",
    "User name and password are needed. Check them in Settings › Server.",
)
_TOO_OFTEN: Final = Text(
    "Sai mật khẩu quá nhiều lần. Đợi một phút rồi thử lại.",
    "Too many wrong passwords. Wait a minute and try again.",
)
_UNKNOWN_DEVICE: Final = Text(
    "Địa chỉ máy chủ trên điện thoại này không còn hiệu lực. Bài đã điền vẫn giữ trên máy; hãy hỏi quản trị để lấy địa "
    "chỉ mới.",
    "The server URL of this phone is no longer valid. Your forms stay on the phone; ask the administrator for a new "
    "one.",
)
_NO_FORMS: Final = Text(
    "Tài khoản này không có biểu mẫu nào. Hãy hỏi quản trị.",
    "This account has no forms. Ask the administrator.",
)
