"""People who sign in, their devices and their browser sessions. Disabling a user ends all of them at once."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from forms.sheets import Text
from integrations.odk import digest
from service import audit
from service.sealing import Vault
from service.tables import Device, Role, SignInAttempt, User, UserArea, WebSession

#: Realm of HTTP Digest. It is part of each stored HA1: changing it would lock every phone out.
REALM = "Ket Noi"
#: Time without a request after which a browser signs in again.
SESSION = timedelta(hours=12)
#: However busy, a browser signs in again after this.
SESSION_AT_MOST = timedelta(days=7)
#: A session's end is moved on at most this often, so that not every page view is a write.
_SESSION_STEP = timedelta(minutes=10)
#: Failures in the window after which a sign-in has to wait. The name alone is allowed more than name and address
#: together: a guesser from elsewhere must not lock a supervisor out of an urgent queue.
_WINDOW = timedelta(minutes=15)
_FAILURES_PER_USER_AND_ADDRESS = 5
_FAILURES_PER_USER = 50
_FAILURES_PER_ADDRESS = 50

MIN_PASSWORD = 10
# ASCII: Digest hashes the name's bytes, and phones do not agree on how they write other letters.
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")
_CODE = re.compile(r"[^\s\x00-\x1f]{1,32}")

# OWASP Password Storage Cheat Sheet, Argon2id, second option: 19 MiB, 2 passes, 1 lane. The library's default takes
# 64 MiB: forty people (or one attacker) signing in at once would take 2.5 GB of a small server.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


NO_SUCH_USER = Text("Không có người dùng đang hoạt động với tên này.", "No active user has this name.")
NO_SUCH_DEVICE = Text("Không có điện thoại với mã này.", "No phone has this id.")


class AccountProblem(ValueError):
    """Something about an account that its administrator can mend."""

    def __init__(self, problem: Text) -> None:
        super().__init__(problem.en)
        self.problem = problem


# ---- users ----------------------------------------------------------------------------------------


def create_user(
    session: Session,
    vault: Vault,
    *,
    username: str,
    password: str,
    role: Role,
    now: datetime,
    code: str | None = None,
    areas: Iterable[str] = (),
    provider_code: str | None = None,
    compartments: Iterable[str] = (),
    language: str = "vi",
    by: uuid.UUID | None = None,
) -> User:
    """A new user. `code` is what screens show in place of a name; without it the user name is.

    Raises AccountProblem for a name that cannot be used or is taken, and for a weak password.
    """
    _check_name(session, username, code or username)
    if (role is Role.PROVIDER) != (provider_code is not None):
        raise AccountProblem(
            Text(
                "Tài khoản cơ sở dịch vụ cần mã cơ sở; vai trò khác thì không.",
                "A provider's account needs the provider's code; other roles have none.",
            )
        )
    user = User(
        id=uuid.uuid4(),
        username=username,
        code=code or username,
        role=role,
        password_hash=_hash_password(username, password),
        sealed_digest=_seal_ha1(vault, username, password),
        provider_code=provider_code,
        compartments=sorted(set(compartments)),
        language=language,
        created_at=now,
        disabled_at=None,
    )
    session.add(user)
    session.flush()
    session.add_all(UserArea(user_id=user.id, area_code=area, valid_from=None, valid_to=None) for area in areas)
    session.flush()
    audit.record(session, at=now, actor=by, action="user.created", kind="user", object_id=str(user.id), role=role.value)
    return user


def _check_name(session: Session, username: str, code: str) -> None:
    if not _USERNAME.fullmatch(username):
        raise AccountProblem(
            Text(
                f"Tên đăng nhập '{username}' không dùng được. Dùng 2–64 ký tự a–z, 0–9, chấm, gạch; không dấu.",
                f"The user name '{username}' cannot be used. Use 2 to 64 of a–z, 0–9, dot, dash, underscore.",
            )
        )
    if not _CODE.fullmatch(code):
        raise AccountProblem(
            Text(
                f"Mã '{code}' không dùng được. Dùng 1–32 ký tự, không có dấu cách.",
                f"The code '{code}' cannot be used. Use 1 to 32 characters without blanks.",
            )
        )
    if session.scalar(select(User.id).where(or_(User.username == username, User.code == code))):
        raise AccountProblem(
            Text(
                f"Tên đăng nhập '{username}' hoặc mã '{code}' đã có người dùng. Chọn tên khác.",
                f"The user name '{username}' or the code '{code}' is taken. Choose another.",
            )
        )


def set_password(
    session: Session, vault: Vault, user: User, password: str, *, now: datetime, by: uuid.UUID | None = None
) -> None:
    """Change the password, for browsers and for Digest, and sign the user out everywhere. Raises AccountProblem."""
    user.password_hash = _hash_password(user.username, password)
    user.sealed_digest = _seal_ha1(vault, user.username, password)
    session.flush()
    session.execute(delete(WebSession).where(WebSession.user_id == user.id))
    audit.record(session, at=now, actor=by, action="user.password", kind="user", object_id=str(user.id))


def disable(session: Session, user: User, *, now: datetime, by: uuid.UUID | None = None) -> None:
    """From this commit on neither password, nor device, nor open browser of the user is known any more."""
    user.disabled_at = now
    session.flush()
    session.execute(delete(WebSession).where(WebSession.user_id == user.id))
    session.execute(update(Device).where(Device.user_id == user.id, Device.revoked_at.is_(None)).values(revoked_at=now))
    audit.record(session, at=now, actor=by, action="user.disabled", kind="user", object_id=str(user.id))


def enabled_user(session: Session, username: str) -> User | None:
    return session.scalars(select(User).where(User.username == username, User.disabled_at.is_(None))).one_or_none()


# ---- passwords ------------------------------------------------------------------------------------


def _hash_password(username: str, password: str) -> str:
    if len(password) < MIN_PASSWORD or password.lower() == username:
        raise AccountProblem(
            Text(
                f"Mật khẩu cần ít nhất {MIN_PASSWORD} ký tự và khác tên đăng nhập.",
                f"A password needs at least {MIN_PASSWORD} characters and must differ from the user name.",
            )
        )
    return _HASHER.hash(password)


def verify_password(user: User | None, password: str) -> bool:
    """Takes as long for nobody as for somebody, so that the time does not tell which user names exist."""
    try:
        return _HASHER.verify(user.password_hash if user else _nobodys_hash(), password) and user is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys_hash() -> str:
    return _HASHER.hash(secrets.token_hex(16))


def _seal_ha1(vault: Vault, username: str, password: str) -> bytes:
    # MD5 is what RFC 2617 prescribes and Collect speaks; HA1 is as good as the password, hence sealed.
    return vault.seal_standing(digest.ha1(username, REALM, password).encode(), f"digest {username}")


def digest_ha1(vault: Vault, user: User) -> str:
    """MD5(username:realm:password) in hex, with which a Digest answer is checked. Raises SealBroken."""
    return vault.open_standing(user.sealed_digest, f"digest {user.username}").decode()


# ---- browsers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignedIn:
    """`cookie` goes to the browser and is kept nowhere else; `csrf` goes into every form that it sends back."""

    user: User
    cookie: str
    csrf: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignInRefused:
    """`retry_after`: None where another password may be tried at once."""

    problem: Text
    retry_after: timedelta | None = None


_WRONG = Text(
    "Tên đăng nhập hoặc mật khẩu không đúng. Hãy thử lại.", "The user name or the password is wrong. Try again."
)
_TOO_OFTEN = Text(
    "Nhập sai quá nhiều lần. Hãy đợi 15 phút rồi thử lại, hoặc nhờ quản trị đặt lại mật khẩu.",
    "Too many wrong attempts. Wait 15 minutes and try again, or ask the administrator for a new password.",
)
_POLICE = Text(
    "Tài khoản này chỉ gửi biểu mẫu từ điện thoại, không có trang web.",
    "This account sends forms from the phone only; it has no web pages.",
)


def sign_in(
    session: Session,
    vault: Vault,
    username: str,
    password: str,
    *,
    now: datetime,
    address: str = "",
    lasting: timedelta = SESSION,
) -> SignedIn | SignInRefused:
    """Start a browser session, or say why not.

    A refusal is returned and not raised: the failed attempt that slows down guessing must be committed.
    """
    username = username.strip().lower()
    names = _throttled(vault, username, address)
    if _failed_too_often(session, names, now):
        audit.record(session, at=now, actor=None, action="sign_in.throttled")
        return SignInRefused(_TOO_OFTEN, _WINDOW)
    user = enabled_user(session, username)
    if not verify_password(user, password) or user is None:
        session.add_all(SignInAttempt(who=who, at=now) for who in names)
        audit.record(session, at=now, actor=user.id if user else None, action="sign_in.failed")
        return SignInRefused(_WRONG)
    if user.role is Role.POLICE:
        audit.record(session, at=now, actor=user.id, action="sign_in.refused")
        return SignInRefused(_POLICE)
    if _HASHER.check_needs_rehash(user.password_hash):
        user.password_hash = _HASHER.hash(password)
    session.execute(
        delete(SignInAttempt).where(or_(SignInAttempt.who == next(iter(names)), SignInAttempt.at < now - _WINDOW))
    )
    audit.record(session, at=now, actor=user.id, action="sign_in")
    return _open_session(session, user, now, lasting)


def _open_session(session: Session, user: User, now: datetime, lasting: timedelta) -> SignedIn:
    cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    session.execute(delete(WebSession).where(WebSession.expires_at <= now))
    row = WebSession(
        token_hash=_hashed(cookie), user_id=user.id, csrf_token=csrf, created_at=now, expires_at=now + lasting
    )
    session.add(row)
    session.flush()
    return SignedIn(user, cookie, csrf, row.expires_at)


def _throttled(vault: Vault, username: str, address: str) -> dict[str, int]:
    """Under which keyed hashes attempts are counted, and how many may fail. Name and address together come first."""
    return {
        vault.blind("sign-in", f"{username} {address}"): _FAILURES_PER_USER_AND_ADDRESS,
        vault.blind("sign-in user", username): _FAILURES_PER_USER,
        vault.blind("sign-in address", address): _FAILURES_PER_ADDRESS,
    }


def _failed_too_often(session: Session, limits: dict[str, int], now: datetime) -> bool:
    counts = session.execute(
        select(SignInAttempt.who, func.count())
        .where(SignInAttempt.who.in_(limits), SignInAttempt.at > now - _WINDOW)
        .group_by(SignInAttempt.who)
    )
    return any(count >= limits[who] for who, count in counts)


@dataclass(frozen=True, slots=True)
class Browser:
    """A signed-in browser: whose it is, and the token that its forms must bring back."""

    user: User
    csrf: str


def browser_by_cookie(session: Session, cookie: str, *, now: datetime) -> Browser | None:
    """None for an unknown, expired or ended session, and for a disabled user. Only reads."""
    row = session.execute(
        select(WebSession.csrf_token, User)
        .join(User, User.id == WebSession.user_id)
        .where(WebSession.token_hash == _hashed(cookie), WebSession.expires_at > now, User.disabled_at.is_(None))
    ).one_or_none()
    return Browser(row[1], row[0]) if row else None


def keep_signed_in(session: Session, cookie: str, *, now: datetime, lasting: timedelta = SESSION) -> None:
    """Move the session's end on, at most every ten minutes and never past a week after the sign-in."""
    end = now + lasting
    session.execute(
        update(WebSession)
        .where(
            WebSession.token_hash == _hashed(cookie),
            WebSession.expires_at < end - _SESSION_STEP,
            WebSession.expires_at > now,
            WebSession.created_at > end - SESSION_AT_MOST,
        )
        .values(expires_at=end)
    )


def sign_out(session: Session, cookie: str, *, now: datetime) -> None:
    user_id = session.scalar(
        delete(WebSession).where(WebSession.token_hash == _hashed(cookie)).returning(WebSession.user_id)
    )
    if user_id is not None:
        audit.record(session, at=now, actor=user_id, action="sign_out")


def same_token(given: str, kept: str) -> bool:
    """Compares in constant time: a CSRF token, say."""
    return hmac.compare_digest(given.encode(), kept.encode())


# ---- devices --------------------------------------------------------------------------------------


def add_device(session: Session, user: User, label: str, *, now: datetime, by: uuid.UUID | None = None) -> str:
    """A token of 256 bits for the phone's server URL. It is shown once; we keep only its hash."""
    token = secrets.token_urlsafe(32)
    device = Device(
        id=uuid.uuid4(),
        user_id=user.id,
        token_hash=_hashed(token),
        label=label[:120],
        created_at=now,
        last_seen_at=None,
        revoked_at=None,
    )
    session.add(device)
    session.flush()
    audit.record(session, at=now, actor=by, action="device.added", kind="device", object_id=str(device.id))
    return token


def device_by_token(session: Session, token: str) -> tuple[Device, User] | None:
    """The phone and whose it is; None where the token is unknown or revoked, or the user disabled."""
    row = session.execute(
        select(Device, User)
        .join(User, User.id == Device.user_id)
        .where(Device.token_hash == _hashed(token), Device.revoked_at.is_(None), User.disabled_at.is_(None))
    ).one_or_none()
    return (row[0], row[1]) if row else None


def revoke_device(session: Session, device: Device, *, now: datetime, by: uuid.UUID | None = None) -> None:
    """A lost phone: its address stops working with this commit."""
    device.revoked_at = now
    session.flush()
    audit.record(session, at=now, actor=by, action="device.revoked", kind="device", object_id=str(device.id))


def _hashed(token: str) -> str:
    # 256 random bits cannot be guessed, so the hash needs neither salt nor cost.
    return hashlib.sha256(token.encode()).hexdigest()
