"""HTTP Digest access authentication (RFC 7616, which keeps RFC 2617's MD5) as ODK Collect speaks it.

Collect answers only a challenge whose line begins with `Digest` and whose realm is in double quotes; it hashes
credentials as ASCII unless the challenge says `charset=UTF-8`; it keeps one nonce for all requests to a host, with a
growing count. So a nonce here serves many requests: a one-time nonce would make every upload travel twice.

Nonces are stateless: the time of issue, signed. Time and secret are arguments.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

SCHEME: Final = "Digest"

#: A working day: a phone that is used in the morning and in the evening is challenged about twice.
NONCE_LIFETIME: Final = timedelta(hours=12)

_SIGNED_BYTES: Final = 16
_PARAMETER: Final = re.compile(r'([A-Za-z0-9_*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)')
_COUNT: Final = re.compile(r"[0-9a-fA-F]{8}")


class Verdict(Enum):
    """What an Authorization header proves. STALE: the password is right, the nonce has had its day."""

    ACCEPTED = "accepted"
    STALE = "stale"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The parts of an `Authorization: Digest …` header, as the client wrote them."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    qop: str
    nc: str
    cnonce: str
    algorithm: str


def ha1(username: str, realm: str, password: str) -> str:
    """MD5(username:realm:password) as lower-case hex: what a server must keep, and as good as the password itself.

    The password is normalised to NFC, as RFC 7616 §4 asks where the charset is UTF-8.
    """
    return _md5(f"{username}:{realm}:{unicodedata.normalize('NFC', password)}")


def challenge(realm: str, secret: bytes, *, now: datetime, stale: bool = False) -> str:
    """The value of a `WWW-Authenticate` header. `realm` holds neither quotes nor backslashes."""
    parts = [
        f'realm="{realm}"',
        'qop="auth"',
        "algorithm=MD5",
        "charset=UTF-8",
        f'nonce="{new_nonce(realm, secret, now=now)}"',
        f'opaque="{_sign(secret, f"opaque:{realm}".encode()).hex()}"',
    ]
    if stale:
        # Tells the client to try again at once with the same password, without asking its user.
        parts.append("stale=true")
    return f"{SCHEME} {', '.join(parts)}"


def parse(header: str) -> Credentials | None:
    """The credentials of an Authorization header; None where it is no complete Digest header."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() != SCHEME.lower():
        return None
    found = {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
        for name, quoted, bare in _PARAMETER.findall(rest)
    }
    required = ("username", "realm", "nonce", "uri", "response", "qop", "nc", "cnonce")
    # qop is optional for a client in RFC 2617; we offered it, and an answer without it could be replayed on any method.
    if any(not found.get(name) for name in required):
        return None
    return Credentials(**{name: found[name] for name in required}, algorithm=found.get("algorithm", "MD5"))


def verify(
    given: Credentials,
    *,
    method: str,
    target: str,
    ha1: str,
    realm: str,
    secret: bytes,
    now: datetime,
    lifetime: timedelta = NONCE_LIFETIME,
) -> Verdict:
    """Whether `given` proves knowledge of the password behind `ha1` for this very request.

    `target` is path and query as they stood in the request line. Nonces are shared by many requests and no server
    process remembers them, so a recorded request could be repeated within `lifetime`; what it could repeat is a read
    over the same wire, or an upload that is recognised as a repetition.
    """
    issued = _issued_at(given.nonce, realm, secret)
    well_formed = (
        issued is not None
        and given.realm == realm
        and given.algorithm.upper() == "MD5"
        and given.qop.lower() == "auth"
        and _COUNT.fullmatch(given.nc) is not None
        and _same_target(given.uri, target)
    )
    # Computed in every case, so that the time taken does not tell which part was wrong.
    expected = _md5(f"{ha1}:{given.nonce}:{given.nc}:{given.cnonce}:{given.qop}:{_md5(f'{method}:{given.uri}')}")
    right = hmac.compare_digest(expected.encode(), given.response.lower().encode())
    if not right or not well_formed or issued is None:
        return Verdict.WRONG
    return Verdict.ACCEPTED if timedelta(0) <= now - issued <= lifetime else Verdict.STALE


def new_nonce(realm: str, secret: bytes, *, now: datetime) -> str:
    """A nonce that says when it was issued and cannot be made without `secret`."""
    moment = int(now.timestamp()).to_bytes(8)
    return base64.urlsafe_b64encode(moment + _sign(secret, b"nonce:" + realm.encode() + b":" + moment)).decode()


def _issued_at(nonce: str, realm: str, secret: bytes) -> datetime | None:
    try:
        raw = base64.b64decode(nonce, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    moment, signature = raw[:8], raw[8:]
    if not hmac.compare_digest(signature, _sign(secret, b"nonce:" + realm.encode() + b":" + moment)):
        return None
    return datetime.fromtimestamp(int.from_bytes(moment), UTC)


def _same_target(uri: str, target: str) -> bool:
    """True for the request target itself; a client behind a proxy may write the whole address (RFC 7616 §3.4.6)."""
    if uri == target:
        return True
    if "://" not in uri:
        return False
    parts = urlsplit(uri)
    return (f"{parts.path}?{parts.query}" if parts.query else parts.path) == target


def _sign(secret: bytes, text: bytes) -> bytes:
    return hmac.new(secret, text, hashlib.sha256).digest()[:_SIGNED_BYTES]


def _md5(text: str) -> str:
    # MD5 is what the protocol prescribes; Collect knows it on every Android version.
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
