import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from service import access, accounts
from service.accounts import REALM, AccountProblem, SignedIn, SignInRefused
from service.sealing import Vault
from service.tables import AuditEntry, Device, Role, SignInAttempt, User, WebSession
from tests.service import builders
from tests.service.builders import NOW, PASSWORD

HOUR = timedelta(hours=1)


@pytest.fixture
def lan(sessions: sessionmaker[Session], vault: Vault) -> User:
    with sessions.begin() as session:
        return builders.signing_user(session, vault, Role.SUPERVISOR, username="lan")


def sign_in(sessions, vault, password=PASSWORD, username="lan", *, now=NOW, address="10.0.0.1"):
    with sessions.begin() as session:
        return accounts.sign_in(session, vault, username, password, now=now, address=address)


# ---- users ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Lan", "lân", "l", "", "lan mai", "lan:x", "x" * 65, "-lan"])
def test_a_user_name_that_phones_would_write_differently_is_refused(session: Session, vault: Vault, name: str):
    with pytest.raises(AccountProblem):
        accounts.create_user(session, vault, username=name, password=PASSWORD, role=Role.STAFF, now=NOW)


@pytest.mark.parametrize("password", ["", "short", "long-enough-name"])
def test_a_weak_password_is_refused(session: Session, vault: Vault, password: str):
    with pytest.raises(AccountProblem):
        accounts.create_user(session, vault, username="long-enough-name", password=password, role=Role.STAFF, now=NOW)


def test_a_name_is_given_once(session: Session, vault: Vault, lan: User):
    with pytest.raises(AccountProblem, match="taken"):
        accounts.create_user(session, vault, username="lan", password=PASSWORD, role=Role.STAFF, now=NOW)


def test_only_a_provider_belongs_to_a_provider(session: Session, vault: Vault):
    for role, code in ((Role.PROVIDER, None), (Role.STAFF, "clinic")):
        with pytest.raises(AccountProblem):
            accounts.create_user(
                session, vault, username="somebody", password=PASSWORD, role=role, now=NOW, provider_code=code
            )


def test_no_secret_of_an_account_is_on_the_disk(sessions, vault: Vault, lan: User, tmp_path: Path):
    signed = sign_in(sessions, vault)
    with sessions.begin() as session:
        token = accounts.add_device(session, lan, "phone", now=NOW)
    ha1 = accounts.digest_ha1(vault, lan)
    on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(secret.encode() in on_disk for secret in (PASSWORD, signed.cookie, token, ha1))


# ---- passwords and Digest -------------------------------------------------------------------------


def test_digest_is_checked_against_what_rfc_2617_says(vault: Vault, lan: User):
    assert accounts.digest_ha1(vault, lan) == hashlib.md5(f"lan:{REALM}:{PASSWORD}".encode()).hexdigest()


def test_a_new_password_holds_for_browsers_and_for_digest(sessions, vault: Vault, lan: User):
    before = accounts.digest_ha1(vault, lan)
    with sessions.begin() as session:
        accounts.set_password(session, vault, session.merge(lan), "mot-mat-khau-khac", now=NOW)
    with sessions() as session:
        lan = session.get_one(User, lan.id)
        assert accounts.digest_ha1(vault, lan) != before
        assert (accounts.verify_password(lan, PASSWORD), accounts.verify_password(lan, "mot-mat-khau-khac")) == (
            False,
            True,
        )


def test_a_new_password_signs_every_browser_out(sessions, vault: Vault, lan: User):
    signed = sign_in(sessions, vault)
    with sessions.begin() as session:
        accounts.set_password(session, vault, session.merge(lan), "mot-mat-khau-khac", now=NOW)
        assert accounts.browser_by_cookie(session, signed.cookie, now=NOW) is None


def test_one_users_digest_is_of_no_use_for_another(sessions, vault: Vault, lan: User):
    with sessions.begin() as session:
        thief = builders.signing_user(session, vault, Role.STAFF)
        thief.sealed_digest = lan.sealed_digest
        with pytest.raises(ValueError):
            accounts.digest_ha1(vault, thief)


# ---- browsers -------------------------------------------------------------------------------------


def test_the_right_password_opens_a_session(sessions, vault: Vault, lan: User):
    signed = sign_in(sessions, vault)
    assert isinstance(signed, SignedIn)
    with sessions() as session:
        browser = accounts.browser_by_cookie(session, signed.cookie, now=NOW)
    assert browser is not None
    assert (browser.user.id, browser.csrf) == (lan.id, signed.csrf)


def test_a_wrong_password_and_an_unknown_name_are_told_alike(sessions, vault: Vault, lan: User):
    assert sign_in(sessions, vault, "wrong-password") == sign_in(sessions, vault, username="nobody")


def test_the_police_have_no_pages(sessions, vault: Vault):
    with sessions.begin() as session:
        builders.signing_user(session, vault, Role.POLICE, username="ward")
    assert isinstance(sign_in(sessions, vault, username="ward"), SignInRefused)


def test_guessing_is_slowed_down_even_with_the_right_password_at_last(sessions, vault: Vault, lan: User):
    for _ in range(5):
        sign_in(sessions, vault, "wrong-password")
    refused = sign_in(sessions, vault)
    assert isinstance(refused, SignInRefused)
    assert refused.retry_after == timedelta(minutes=15)
    assert isinstance(sign_in(sessions, vault, now=NOW + timedelta(minutes=16)), SignedIn)


def test_a_guesser_from_elsewhere_does_not_lock_the_user_out(sessions, vault: Vault, lan: User):
    for _ in range(6):
        sign_in(sessions, vault, "wrong-password", address="10.6.6.6")
    assert isinstance(sign_in(sessions, vault), SignedIn)


def test_guessing_over_many_names_from_one_place_is_slowed_down(sessions, vault: Vault, lan: User):
    who = vault.blind("sign-in address", "10.0.0.1")
    with sessions.begin() as session:
        session.add_all(SignInAttempt(who=who, at=NOW) for _ in range(50))
    assert isinstance(sign_in(sessions, vault), SignInRefused)
    assert isinstance(sign_in(sessions, vault, address="10.0.0.2"), SignedIn)


def test_a_good_sign_in_forgives_the_typing_mistakes_before_it(sessions, vault: Vault, lan: User):
    for _ in range(2):
        for _ in range(4):
            sign_in(sessions, vault, "wrong-password")
        assert isinstance(sign_in(sessions, vault), SignedIn)


def test_attempts_say_neither_name_nor_address(sessions, vault: Vault, lan: User):
    sign_in(sessions, vault, "wrong-password")
    with sessions() as session:
        kept = session.scalars(select(SignInAttempt.who)).all()
    assert len(kept) == 3
    assert all(len(who) == 64 and "lan" not in who for who in kept)


def test_a_session_ends_after_twelve_idle_hours_and_lives_on_with_use(sessions, vault: Vault, lan: User):
    signed = sign_in(sessions, vault)
    with sessions.begin() as session:
        assert accounts.browser_by_cookie(session, signed.cookie, now=NOW + 12 * HOUR) is None
        accounts.keep_signed_in(session, signed.cookie, now=NOW + 11 * HOUR)
        assert accounts.browser_by_cookie(session, signed.cookie, now=NOW + 22 * HOUR) is not None


def test_however_busy_a_browser_signs_in_again_after_a_week(sessions, vault: Vault, lan: User):
    signed = sign_in(sessions, vault)
    with sessions.begin() as session:
        for hours in range(6, 24 * 9, 6):
            accounts.keep_signed_in(session, signed.cookie, now=NOW + hours * HOUR)
        ends = session.scalars(select(WebSession.expires_at)).one()
    assert timedelta(days=6) < ends - NOW <= timedelta(days=7)


def test_signing_out_ends_the_session(sessions, vault: Vault, lan: User):
    signed = sign_in(sessions, vault)
    with sessions.begin() as session:
        accounts.sign_out(session, signed.cookie, now=NOW)
        assert accounts.browser_by_cookie(session, signed.cookie, now=NOW) is None


def test_every_sign_in_and_every_failure_is_in_the_audit(sessions, vault: Vault, lan: User):
    sign_in(sessions, vault, "wrong-password")
    sign_in(sessions, vault)
    with sessions() as session:
        said = session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
    assert said == ["user.created", "sign_in.failed", "sign_in"]


# ---- devices --------------------------------------------------------------------------------------


def test_a_device_is_known_by_its_token_alone(sessions, lan: User):
    with sessions.begin() as session:
        token = accounts.add_device(session, lan, "phone", now=NOW)
        found = accounts.device_by_token(session, token)
        assert found is not None
        assert (found[0].label, found[1].id) == ("phone", lan.id)
        assert accounts.device_by_token(session, token[:-1]) is None
        assert len(token) >= 43  # 256 bits in base64.


def test_a_lost_phone_is_shut_out(sessions, lan: User):
    with sessions.begin() as session:
        token = accounts.add_device(session, lan, "phone", now=NOW)
        accounts.revoke_device(session, session.scalars(select(Device)).one(), now=NOW)
        assert accounts.device_by_token(session, token) is None


def test_disabling_a_user_ends_devices_browsers_and_passwords_at_once(sessions, vault: Vault, lan: User):
    signed = sign_in(sessions, vault)
    with sessions.begin() as session:
        token = accounts.add_device(session, lan, "phone", now=NOW)
    with sessions.begin() as session:
        accounts.disable(session, session.get_one(User, lan.id), now=NOW)
    with sessions() as session:
        assert accounts.browser_by_cookie(session, signed.cookie, now=NOW) is None
        assert accounts.device_by_token(session, token) is None
        assert accounts.enabled_user(session, "lan") is None
        with pytest.raises(access.Disabled):
            access.viewer_of(session, lan, NOW)
    assert isinstance(sign_in(sessions, vault), SignInRefused)
