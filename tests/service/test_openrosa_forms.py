"""Which forms a phone is given, and which phone is given any, over real HTTP.

On SQLite alone: the questions asked here are plain; test_openrosa_submissions.py runs on both databases.
"""

import asyncio
import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import Engine, select, text

from forms.workbook import from_markdown
from integrations.odk import openrosa
from rules import programme
from service import accounts, clock
from service.sealing import Vault
from service.settings import Settings
from service.tables import Device, FormMedia, FormVersion, ProgrammeVersion, Role, Submission, User, VersionState
from tests.phone import Phone, Refused, multipart, response_message
from tests.service import builders
from tests.service.builders import PASSWORD
from tests.service.openrosa_house import XFORM, House, filled_in, open_house, refusal


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.fixture
def house(settings: Settings, engine: Engine, vault: Vault) -> Iterator[House]:
    with open_house(settings, engine, vault) as house:
        yield house


# ---- blank forms ----------------------------------------------------------------------------------


def test_a_phone_lists_and_downloads_the_form_byte_for_byte(house):
    (listed,) = house.phone().forms()
    assert (listed.form_id, listed.name, listed.version, listed.manifest_url) == ("contact", "Tiếp cận", "1", None)
    blank = house.phone().download(listed)
    assert blank.xform == XFORM
    assert hashlib.md5(blank.xform).hexdigest() == listed.hash


def test_media_come_with_the_form(house):
    content = "name,label\nlb,Long Biên\n".encode()
    with house.context.sessions.begin() as session:
        session.add(
            FormMedia(
                id=uuid.uuid4(),
                form_version_id=session.scalars(select(FormVersion.id)).one(),
                filename="phường xã.csv",
                content_type="text/csv",
                md5=hashlib.md5(content).hexdigest(),
                content=content,
            )
        )
    (listed,) = house.phone().forms()
    assert house.phone().download(listed).media == {"phường xã.csv": content}


def test_only_the_live_version_is_listed_and_a_closing_one_can_still_be_fetched(house):
    (before,) = house.phone().forms()
    house.set_form(state=VersionState.CLOSING)
    with house.context.sessions.begin() as session:
        builders.form(session, "contact", "2")
    (now,) = house.phone().forms()
    assert now.version == "2"
    assert house.phone().download(before).xform == XFORM


def test_a_closed_form_is_gone(house):
    (listed,) = house.phone().forms()
    house.set_form(state=VersionState.CLOSED)
    with pytest.raises(Refused, match="404"):
        house.phone().download(listed)


def test_a_list_can_be_asked_for_one_form(house):
    with house.context.sessions.begin() as session:
        builders.form(session, "screening")
    assert [form.form_id for form in house.phone().forms()] == ["contact", "screening"]
    assert [form.form_id for form in house.phone().forms("screening")] == ["screening"]


def test_an_unchanged_list_is_not_sent_again(house):
    phone = house.phone()
    url = f"{phone.server_url}/formList"
    first = phone.request("GET", url)
    again = phone.request("GET", url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    house.set_form(title="Tiếp cận 2")
    assert phone.request("GET", url, headers={"If-None-Match": first.headers["etag"]}).status_code == 200
    assert "no-cache" in first.headers["cache-control"]


def test_where_nothing_is_published_the_list_is_an_error_and_not_empty(house):
    """An empty list would take every form off phones that mirror the server."""
    house.set_form(state=VersionState.CLOSED)
    with pytest.raises(Refused, match="503") as caught:
        house.phone().forms()
    assert "công bố" in caught.value.message


def test_a_broken_database_is_an_error_that_the_phone_can_show(house):
    with house.context.sessions.begin() as session:
        session.execute(text("ALTER TABLE form_versions RENAME TO elsewhere"))
    with pytest.raises(Refused) as caught:
        house.phone().forms()
    assert caught.value.status in (500, 503)
    assert caught.value.message


@pytest.mark.parametrize("version_id", [uuid.UUID(int=0), "nonsense"])
def test_a_form_that_is_not_there_is_not_found(house, version_id):
    phone = house.phone()
    answer = phone.request("GET", f"{phone.server_url}/xforms/{version_id}/form.xml")
    assert answer.status_code == 404
    assert response_message(answer.content)


@pytest.mark.parametrize("path", ["formList", f"xforms/{uuid.UUID(int=0)}/form.xml", "xforms/nonsense/form.xml"])
def test_every_answer_is_openrosa_s_also_a_refusal(house, path):
    for phone in (house.phone(), house.phone("no-such-token"), house.digest_phone("nobody")):
        answer = phone.request("GET", f"{phone.server_url}/{path}")
        assert answer.headers["x-openrosa-version"] == "1.0"
        assert answer.headers["content-type"] == "text/xml; charset=utf-8"
        assert len(answer.headers.get_list("date")) == 1


# ---- who calls ------------------------------------------------------------------------------------


def test_by_digest_a_phone_is_asked_once_and_then_known(house):
    phone = house.digest_phone(house.add_signing_user())
    (listed,) = phone.forms()
    assert phone.download(listed).xform == XFORM
    assert phone.send(filled_in()) == openrosa.COMPLETE
    assert phone.challenged == 1


@pytest.mark.parametrize(("username", "password"), [("", "sai mật khẩu"), ("nobody", PASSWORD)])
def test_a_wrong_login_is_asked_for_again(house, username, password):
    phone = house.digest_phone(username or house.add_signing_user(), password)
    for method, path in (("GET", "formList"), ("HEAD", "submission"), ("POST", "submission")):
        answer = phone.request(method, f"{house.url}/{path}")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Digest realm=")


def test_an_upload_without_a_login_is_read_to_its_end_before_one_is_asked_for(house):
    """Collect hears nothing before it has said everything, so it must be let finish."""
    body, content_type = multipart(filled_in(), {"film.mp4": bytes(3_000_000)})
    pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    left_when_answered = []

    async def receive():
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message):
        if message["type"] == "http.response.start":
            left_when_answered.append((message["status"], len(pieces)))

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/submission",
        "raw_path": b"/submission",
        "query_string": b"",
        "headers": [(b"host", b"ketnoi.test"), (b"content-type", content_type.encode())],
        "server": ("ketnoi.test", 80),
        "scheme": "http",
    }
    asyncio.run(house.app(scope, receive, send))
    assert left_when_answered == [(401, 0)]


def test_an_answer_to_one_address_opens_no_other(house):
    phone = house.digest_phone(house.add_signing_user())
    phone.forms()
    stolen = phone._authorization("GET", "/formList")
    other = phone.client.get(f"{house.url}/formList?formID=contact", headers={"Authorization": stolen})
    assert other.status_code == 401


def test_who_guesses_passwords_has_to_wait_and_others_do_not(house):
    guesser = house.digest_phone(house.add_signing_user(), "đoán")
    for _ in range(20):
        assert guesser.request("GET", f"{house.url}/formList").status_code == 401
    refused = guesser.request("GET", f"{house.url}/formList")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) <= 30
    assert house.digest_phone(house.add_signing_user()).forms()


def test_a_revoked_phone_is_told_so_in_words_and_keeps_what_it_has(house):
    with house.context.sessions.begin() as session:
        accounts.revoke_device(session, session.scalars(select(Device)).one(), now=clock.now())
    phone = house.phone()
    with pytest.raises(Refused, match="403"):
        phone.forms()
    with pytest.raises(Refused, match="403") as caught:
        phone.send(filled_in())
    assert "không còn hiệu lực" in caught.value.message
    assert house.count(Submission) == 0


def test_a_disabled_user_is_known_no_more(house):
    username = house.add_signing_user()
    with house.context.sessions.begin() as session:
        for user in session.scalars(select(User)).all():
            accounts.disable(session, user, now=clock.now())
    with pytest.raises(Refused, match="403"):
        house.phone().forms()
    with pytest.raises(Refused, match="401"):
        house.digest_phone(username).forms()


def test_when_a_phone_was_last_seen_is_noted(house):
    house.phone().forms()
    with house.context.reading() as session:
        first = session.scalars(select(Device.last_seen_at)).one()
    house.phone().forms()
    with house.context.reading() as session:
        assert session.scalars(select(Device.last_seen_at)).one() == first
    assert first is not None


def test_who_sends_no_forms_is_given_none(house):
    phone = house.phone(house.add(Role.STAFF))
    with pytest.raises(Refused, match="403"):
        phone.forms()
    assert refusal(phone, filled_in()).status == 403
    assert house.count(Submission) == 0


def _publish_roles(house: House) -> None:
    book = from_markdown("""
        | settings |
        |          | programme_id | title::Tiếng Việt (vi) |
        |          | thu          | Thử                    |
        | areas |
        |       | code | parent | label::Tiếng Việt (vi) |
        |       | hn   |        | Hà Nội                 |
        | services |
        |          | code | label::Tiếng Việt (vi) |
        |          | x    | X                      |
        | fields |
        |        | form | field | means |
        | providers |
        |           | code | services | areas | label::Tiếng Việt (vi) |
        | roles |
        |       | role       | forms          |
        |       | enumerator | *              |
        |       | police     | police_contact |
        """)
    plan = programme.read_programme(book).require()
    with house.context.sessions.begin() as session:
        builders.form(session, "police_contact")
        session.add(
            ProgrammeVersion(
                id=uuid.uuid4(),
                content_hash="0" * 64,
                workbook=b"",
                workbook_name="programme.xlsx",
                state=VersionState.LIVE,
                programme=programme.to_json(plan),
                published_at=clock.now(),
            )
        )


def test_the_police_are_offered_their_form_and_may_send_no_other(house):
    _publish_roles(house)
    (contact,) = [form for form in house.phone().forms() if form.form_id == "contact"]
    police = house.phone(house.add(Role.POLICE))
    assert [form.form_id for form in police.forms()] == ["police_contact"]
    assert police.send(filled_in("police_contact")) == openrosa.COMPLETE
    with pytest.raises(Refused, match="404"):
        police.download(replace(contact, download_url=_by(police, contact.download_url, house)))
    other = filled_in("contact")
    assert refusal(police, other, {"a.jpg": b"1"}).status == 403
    assert house.refused_uploads() == [("form-not-allowed", other)]
    assert house.files() == []


def _by(phone: Phone, url: str, house: House) -> str:
    return url.replace(f"{house.url}/key/{house.token}", phone.server_url)


# ---- behind a proxy -------------------------------------------------------------------------------


class Proxy(httpx.HTTPTransport):
    """Serves the house under https://ketnoi.test/phones, and passes the path on without /phones."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self._house = house

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.removeprefix(b"/phones")
        inside = httpx.URL(self._house.url).copy_with(raw_path=path)
        return super().handle_request(
            httpx.Request(request.method, inside, headers=request.headers, stream=request.stream)
        )


@pytest.fixture
def outside(house: House) -> Iterator[httpx.Client]:
    house.context.settings = house.context.settings.model_copy(update={"public_url": "https://ketnoi.test/phones"})
    with httpx.Client(transport=Proxy(house)) as client:
        yield client


def test_behind_a_proxy_all_addresses_are_the_public_ones(house, outside):
    phone = Phone(f"https://ketnoi.test/phones/key/{house.token}", client=outside)
    (listed,) = phone.forms()
    assert listed.download_url.startswith(f"{phone.server_url}/xforms/")
    assert phone.prepare()[0] == f"{phone.server_url}/submission"
    assert phone.download(listed).xform == XFORM


def test_behind_a_proxy_digest_still_holds(house, outside):
    phone = Phone("https://ketnoi.test/phones", house.add_signing_user(), PASSWORD, client=outside)
    assert phone.forms()
    assert phone.send(filled_in()) == openrosa.COMPLETE


def test_a_form_that_nobody_published_is_unknown_whoever_sends_it(house):
    _publish_roles(house)
    stray = filled_in("contact").replace(b'id="contact"', b'id="stray"')
    assert refusal(house.phone(house.add(Role.POLICE)), stray, {}).status == 404
    assert house.refused_uploads() == [("unknown-form", stray)]
