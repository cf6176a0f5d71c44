"""Sending, over real HTTP, on SQLite and PostgreSQL."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from integrations.odk import openrosa
from service import attachments
from service.sealing import Vault
from service.settings import Settings
from service.tables import Attachment, Device, OutboxRow, Submission, VersionState
from tests.phone import multipart, response_message
from tests.service.openrosa_house import House, filled_in, open_house, refusal


@pytest.fixture
def house(settings: Settings, engine: Engine, vault: Vault) -> Iterator[House]:
    with open_house(settings, engine, vault) as house:
        yield house


# ---- sending --------------------------------------------------------------------------------------


def test_before_sending_a_phone_learns_where_to_and_how_much(house):
    phone = house.phone()
    assert phone.prepare() == (f"{phone.server_url}/submission", 10_000_000)
    assert phone.request("HEAD", f"{phone.server_url}/submission").status_code == 204


def test_a_submission_is_kept_sealed_and_owed_to_the_worker(house):
    xml = filled_in(answer="Nguyễn Thị Hoa")
    assert house.phone().send(xml) == "full submission upload was successful!"
    with house.context.reading() as session:
        row = session.scalars(select(Submission)).one()
        assert session.scalars(select(OutboxRow.submission_id)).all() == [row.id]
        assert row.device_id == session.scalars(select(Device.id)).one()
    assert (row.form_id, row.form_version, row.user_id) == ("contact", "1", house.user.id)
    assert b"Hoa" not in row.sealed_xml
    assert house.context.vault.open(row.key_id, row.sealed_xml, "xml") == xml


def test_a_phone_that_lost_our_answer_sends_again_and_is_told_the_same(house):
    xml = filled_in()
    assert [house.phone().send(xml) for _ in range(3)] == [openrosa.COMPLETE] * 3
    assert house.count(Submission) == 1


def test_an_upload_in_parts_is_complete_with_its_last(house):
    xml, phone = filled_in(), house.phone()
    first = phone.post(xml, {"ảnh 1.jpg": b"1" * 100_000}, incomplete=True)
    assert first != openrosa.COMPLETE
    assert "còn chờ" in first
    with house.context.reading() as session:
        assert not session.scalars(select(Submission.complete)).one()
    assert phone.post(xml, {"ảnh 2.jpg": b"2" * 300_000}) == openrosa.COMPLETE
    with house.context.reading() as session:
        assert session.scalars(select(Submission.complete)).one()
        rows = session.scalars(select(Attachment)).all()
    vault, media_dir = house.context.vault, house.context.settings.media_dir
    kept = {attachments.name_of(vault, row): b"".join(attachments.read(vault, media_dir, row)) for row in rows}
    assert kept == {"ảnh 1.jpg": b"1" * 100_000, "ảnh 2.jpg": b"2" * 300_000}


def test_files_beyond_the_announced_size_are_split_by_the_phone_and_all_arrive(house):
    files = {f"{number}.jpg": bytes([number]) * 4_000_000 for number in range(5)}
    assert house.phone().send(filled_in(), files) == openrosa.COMPLETE
    assert house.count(Attachment) == 5


def test_an_old_version_of_a_form_that_we_do_not_know_is_kept(house):
    assert house.phone().send(filled_in(version="0.9")) == openrosa.COMPLETE
    assert house.count(Submission) == 1


@pytest.mark.parametrize(
    ("xml", "status", "code"),
    [
        ("không phải XML".encode(), 400, "malformed"),
        (filled_in()[:60], 400, "malformed"),
        (b"<data id='contact'><meta/></data>", 400, "no-instance-id"),
        (b"<data><meta><instanceID>uuid:1</instanceID></meta></data>", 400, "no-form-id"),
        (b"<!DOCTYPE d [<!ENTITY a 'x'>]><data id='contact'>&a;</data>", 400, "doctype"),
        (filled_in("no_such_form"), 404, "unknown-form"),
    ],
    ids=["no XML", "half", "no id", "no form", "a bomb", "unknown form"],
)
def test_what_cannot_be_taken_is_refused_in_words_and_not_lost(house, xml, status, code):
    refused = refusal(house.phone(), xml, {"a.jpg": b"1"})
    assert refused.status == status
    assert len(refused.message.splitlines()) == 2
    assert house.refused_uploads() == [(code, xml)]
    assert house.count(Submission) == 0
    assert house.files() == []


def test_other_answers_under_a_known_id_are_a_conflict(house):
    first, other = filled_in(instance="uuid:1"), filled_in(instance="uuid:1", answer="y")
    house.phone().send(first)
    assert refusal(house.phone(), other).status == 409
    assert house.refused_uploads() == [("conflict", other)]


def test_a_closed_form_takes_nothing_more(house):
    house.set_form(state=VersionState.CLOSED)
    assert refusal(house.phone(), filled_in()).status == 409


def test_a_body_that_is_no_upload_is_refused_in_words(house):
    for content_type in ("text/xml", "multipart/form-data", "multipart/form-data; boundary=x"):
        answer = house.phone().request("POST", f"{house.phone().server_url}/submission", b"<data/>", content_type)
        assert answer.status_code == 400
        assert response_message(answer.content)


@pytest.mark.parametrize("declared", [True, False], ids=["length declared", "chunked"])
def test_a_body_of_200_mb_is_refused_in_words_and_its_answers_are_kept(house, declared):
    xml = filled_in()
    head, tail, content_type = _around_a_film(xml)
    phone = house.phone()
    headers = {"Content-Type": content_type}
    if declared:
        headers["Content-Length"] = str(len(head) + 200_000_000 + len(tail))

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(200):
            yield bytes(1_000_000)
        yield tail

    answer = phone.client.post(f"{phone.server_url}/submission", content=body(), headers=headers)
    assert answer.status_code == 413
    assert "100 MB" in response_message(answer.content)
    assert house.refused_uploads() == [("too-large", xml)]
    assert house.files() == []
    assert phone.send(filled_in()) == openrosa.COMPLETE


def _around_a_film(xml: bytes) -> tuple[bytes, bytes, str]:
    body, content_type = multipart(xml, {"film.mp4": b"HERE"})
    head, _, tail = body.partition(b"HERE")
    return head, tail, content_type


def test_one_file_above_the_announced_size_is_taken(house):
    assert house.phone().send(filled_in(), {"film.mp4": bytes(11_000_000)}) == openrosa.COMPLETE


def test_no_answer_and_no_name_is_written_to_the_log(house, caplog):
    caplog.set_level("DEBUG")
    phone = house.phone()
    phone.send(filled_in(answer="Bí mật"), {"Bí mật.jpg": b"x"})
    refusal(phone, filled_in("no_such_form", answer="Bí mật"))
    refusal(phone, "<Bí mật".encode())
    assert "Bí mật" not in caplog.text
