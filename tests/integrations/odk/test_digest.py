import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from integrations.odk import digest
from integrations.odk.digest import Credentials, Verdict

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SECRET = b"s" * 32
REALM = "Ket Noi"
TARGET = "/formList?deviceID=collect%3Aabc"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _answer(nonce: str, *, password: str = "mật khẩu", method: str = "GET", uri: str = TARGET, nc: str = "00000001"):
    """What a phone answers, computed by hand from RFC 7616 §3.4."""
    first, second = _md5(f"lan:{REALM}:{password}"), _md5(f"{method}:{uri}")
    response = _md5(f"{first}:{nonce}:{nc}:0a1b:auth:{second}")
    return (
        f'Digest username="lan", realm="{REALM}", nonce="{nonce}", uri="{uri}", response="{response}", '
        f'qop=auth, nc={nc}, cnonce="0a1b", algorithm=MD5'
    )


def _credentials(**changed: str) -> Credentials:
    parsed = digest.parse(_answer(digest.new_nonce(REALM, SECRET, now=NOW), **changed))
    assert parsed is not None
    return parsed


def _verdict(
    given: Credentials, *, method: str = "GET", target: str = TARGET, now: datetime = NOW, secret: bytes = SECRET
) -> Verdict:
    ha1 = digest.ha1("lan", REALM, "mật khẩu")
    return digest.verify(given, method=method, target=target, ha1=ha1, realm=REALM, secret=secret, now=now)


def test_the_right_password_is_accepted():
    assert _verdict(_credentials()) is Verdict.ACCEPTED


def test_a_wrong_password_is_refused():
    assert _verdict(_credentials(password="mat khau")) is Verdict.WRONG


def test_the_example_of_rfc_2617_verifies():
    """RFC 2617 §3.5: Mufasa asks for /dir/index.html; only the nonce's signature is not ours."""
    ha1 = digest.ha1("Mufasa", "testrealm@host.com", "Circle Of Life")
    assert ha1 == "939e7578ed9e3c518a452acee763bce9"
    nonce, second = "dcd98b7102dd2f0e8b11d0f600bfb0c093", _md5("GET:/dir/index.html")
    assert _md5(f"{ha1}:{nonce}:00000001:0a4f113b:auth:{second}") == "6629fae49393a05397450978507c4ef1"


def test_one_nonce_serves_many_requests():
    assert _verdict(_credentials(nc="0000002a"), now=NOW + timedelta(hours=11)) is Verdict.ACCEPTED


def test_after_some_hours_the_nonce_is_stale_though_the_password_is_right():
    assert _verdict(_credentials(), now=NOW + timedelta(hours=13)) is Verdict.STALE


def test_a_wrong_password_over_an_old_nonce_is_wrong_and_not_stale():
    """Else Collect would try the wrong password again without asking its user."""
    assert _verdict(_credentials(password="x"), now=NOW + timedelta(hours=13)) is Verdict.WRONG


def test_a_nonce_from_the_future_is_stale():
    assert _verdict(_credentials(), now=NOW - timedelta(hours=1)) is Verdict.STALE


def test_a_nonce_that_we_did_not_sign_is_refused():
    assert _verdict(_credentials(), secret=b"t" * 32) is Verdict.WRONG


@pytest.mark.parametrize("nonce", ["", "x", "ký", "AAAA", "A" * 4000])
def test_a_nonce_of_any_shape_is_no_crash(nonce):
    assert _verdict(replace(_credentials(), nonce=nonce)) is Verdict.WRONG


def test_the_answer_holds_for_its_address_alone():
    assert _verdict(_credentials(), target="/formList") is Verdict.WRONG
    assert _verdict(_credentials(), target="/submission") is Verdict.WRONG


def test_the_answer_holds_for_its_method_alone():
    assert _verdict(_credentials(), method="POST") is Verdict.WRONG


def test_the_whole_address_may_stand_for_the_target():
    assert _verdict(_credentials(uri=f"http://host:8000{TARGET}")) is Verdict.ACCEPTED
    assert _verdict(_credentials(uri="http://host:8000/submission")) is Verdict.WRONG


@pytest.mark.parametrize("changed", [{"nc": "1"}, {"nc": "0000000g"}, {"realm": "Other"}, {"algorithm": "SHA-256"}])
def test_what_we_did_not_ask_for_is_refused(changed):
    assert _verdict(replace(_credentials(), **changed)) is Verdict.WRONG


def test_a_composed_and_a_decomposed_password_are_one():
    assert digest.ha1("lan", REALM, "mật") == digest.ha1("lan", REALM, "mật")


@pytest.mark.parametrize("missing", ["username", "realm", "nonce", "uri", "response", "qop", "nc", "cnonce"])
def test_an_incomplete_header_is_no_credentials(missing):
    whole = _answer("n")
    assert digest.parse(whole) is not None
    assert digest.parse(re.sub(rf'(?<=[ ]){missing}=("[^"]*"|\w+),? ?', "", whole)) is None


@pytest.mark.parametrize("header", ["", "Digest", "Basic bGFuOng=", "Bearer x", "Digest ,,,=,"])
def test_another_header_is_no_credentials(header):
    assert digest.parse(header) is None


def test_quotes_inside_quotes_are_read():
    parsed = digest.parse(_answer("n").replace('"lan"', r'"l\"a, n=\\"'))
    assert parsed is not None
    assert parsed.username == 'l"a, n=\\'


def test_the_challenge_is_one_that_collect_understands():
    line = digest.challenge(REALM, SECRET, now=NOW)
    # Collect's own expression: scheme, blank, anything, a realm in double quotes.
    assert re.match(r'Digest .*?realm="(.*?)"', line)[1] == REALM
    for part in ('qop="auth"', "algorithm=MD5", "charset=UTF-8", 'nonce="', 'opaque="'):
        assert part in line
    assert "stale" not in line
    assert digest.challenge(REALM, SECRET, now=NOW, stale=True).endswith("stale=true")


def test_the_nonce_of_a_challenge_is_accepted():
    nonce = re.search(r'nonce="(.*?)"', digest.challenge(REALM, SECRET, now=NOW))[1]
    assert _verdict(digest.parse(_answer(nonce))) is Verdict.ACCEPTED
