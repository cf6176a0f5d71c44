import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from integrations.odk.submission import Envelope
from service import attachments, database, outbox, submissions
from service.sealing import Vault
from service.submissions import Incoming, StoredFile, SubmissionRefused, Writer
from service.tables import Attachment, OutboxRow, RejectedUpload, Role, Submission, VersionState
from tests.service import builders
from tests.service.builders import NOW


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def writer(engine: Engine, vault: Vault, media: Path) -> Iterator[Writer]:
    writer = Writer(engine, vault, media)
    yield writer
    writer.close()


class Phone:
    """Somebody's phone: sends what the test says, with the form `screening` version 1 unless it says otherwise."""

    def __init__(self, sessions: sessionmaker[Session], vault: Vault, media: Path, writer: Writer) -> None:
        with sessions.begin() as session:
            self.user = builders.user(session, Role.ENUMERATOR)
            builders.form(session, "screening")
        self.vault, self.media, self.writer = vault, media, writer

    def send(
        self,
        xml: bytes = b"<data/>",
        instance: str = "uuid:1",
        files: dict[str, bytes] | None = None,
        *,
        form: str = "screening",
        version: str = "1",
        replaces: str | None = None,
        incomplete: bool = False,
        now=NOW,
    ):
        stored = [self.store(name, content) for name, content in (files or {}).items()]
        envelope = Envelope(form, version, instance, replaces)
        return self.writer.receive(Incoming(envelope, xml, stored, incomplete, self.user.id, None), now)

    def store(self, name: str, content: bytes) -> StoredFile:
        sink = submissions.open_attachment(self.vault, self.media, name)
        sink.write(content)
        sink.close()
        return sink.stored

    def files_of(self, session: Session, instance: str) -> dict[str, bytes]:
        rows = session.scalars(select(Attachment).join(Submission).where(Submission.instance_id == instance))
        return {
            attachments.name_of(self.vault, row): b"".join(attachments.read(self.vault, self.media, row))
            for row in rows
        }


@pytest.fixture
def phone(sessions, vault, media, writer) -> Phone:
    return Phone(sessions, vault, media, writer)


def counted(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_submission_is_stored_sealed_and_owed_in_one_go(phone: Phone, session: Session, vault: Vault):
    received = phone.send(b"<data>secret</data>", files={"anh.jpg": b"pixels"})
    row = session.get_one(Submission, received.submission_id)
    assert vault.open(row.key_id, row.sealed_xml, "xml") == b"<data>secret</data>"
    assert phone.files_of(session, "uuid:1") == {"anh.jpg": b"pixels"}
    assert outbox.claim(session, limit=5, now=NOW) == [received.submission_id]


def test_nothing_that_was_sent_can_be_read_from_the_disk(phone: Phone, settings, tmp_path: Path):
    phone.send(b"<data>needle-in-xml</data>", files={"needle-in-name.jpg": b"needle-in-file" * 10_000})
    on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"needle" not in on_disk


def test_a_phone_that_lost_the_answer_sends_again_and_is_told_yes(phone: Phone, session: Session):
    first = phone.send()
    again = phone.send()
    assert (first.already_had_it, again.already_had_it, again.submission_id) == (False, True, first.submission_id)
    assert (counted(session, Submission), counted(session, OutboxRow)) == (1, 1)


def test_other_content_under_the_same_id_is_a_conflict_and_kept(phone: Phone, session: Session, vault: Vault):
    phone.send(b"<data>one</data>")
    with pytest.raises(SubmissionRefused) as refused:
        phone.send(b"<data>two</data>")
    kept = session.scalars(select(RejectedUpload)).one()
    assert (refused.value.status, vault.open(kept.key_id, kept.sealed_xml, "xml")) == (409, b"<data>two</data>")


def test_an_unknown_form_is_refused_and_kept(phone: Phone, session: Session):
    with pytest.raises(SubmissionRefused) as refused:
        phone.send(form="no_such_form")
    assert (refused.value.status, counted(session, Submission), counted(session, RejectedUpload)) == (404, 0, 1)


def test_an_unknown_version_of_a_known_form_is_taken(phone: Phone):
    assert phone.send(version="made-on-another-server").already_had_it is False


def test_a_closing_version_is_taken_and_a_closed_one_refused(phone: Phone, sessions: sessionmaker[Session]):
    with sessions.begin() as session:
        builders.form(session, "screening", "old", VersionState.CLOSING)
        builders.form(session, "screening", "older", VersionState.CLOSED)
    phone.send(instance="uuid:a", version="old")
    with pytest.raises(SubmissionRefused) as refused:
        phone.send(instance="uuid:b", version="older")
    assert refused.value.status == 409


def test_what_was_stored_is_acknowledged_even_after_its_form_was_closed(phone: Phone, session: Session):
    phone.send()
    session.execute(text("UPDATE form_versions SET state = 'closed'"))
    session.commit()
    assert phone.send().already_had_it is True


def test_files_of_a_refused_upload_are_removed(phone: Phone, media: Path):
    with pytest.raises(SubmissionRefused):
        phone.send(form="no_such_form", files={"a.jpg": b"x"})
    assert [path for path in media.rglob("*") if path.is_file()] == []


def test_nobody_fills_the_disk_with_refused_uploads(phone: Phone, session: Session):
    for number in range(submissions.REFUSED_PER_DAY + 5):
        with pytest.raises(SubmissionRefused):
            phone.send(b"<data>%d</data>" % number, form="no_such_form")
    assert counted(session, RejectedUpload) == submissions.REFUSED_PER_DAY


def test_a_refused_upload_that_is_sent_again_and_again_is_kept_once(phone: Phone, session: Session):
    for _ in range(3):
        with pytest.raises(SubmissionRefused):
            phone.send(form="no_such_form")
    assert counted(session, RejectedUpload) == 1


# ---- split uploads --------------------------------------------------------------------------------


def test_parts_of_a_split_upload_add_up(phone: Phone, session: Session):
    phone.send(files={"a.jpg": b"a"}, incomplete=True)
    assert outbox.waiting(session, NOW) == 0
    session.rollback()
    phone.send(files={"b.jpg": b"b"})
    assert phone.files_of(session, "uuid:1") == {"a.jpg": b"a", "b.jpg": b"b"}
    assert (outbox.waiting(session, NOW), session.scalars(select(Submission)).one().complete) == (1, True)


def test_parts_may_come_in_any_order(phone: Phone, session: Session):
    phone.send(files={"b.jpg": b"b"})
    phone.send(files={"a.jpg": b"a"}, incomplete=True)
    assert phone.files_of(session, "uuid:1") == {"a.jpg": b"a", "b.jpg": b"b"}
    assert session.scalars(select(Submission)).one().complete is True


def test_a_split_upload_that_is_never_finished_is_processed_a_day_later(phone: Phone, session: Session):
    phone.send(incomplete=True)
    assert [outbox.waiting(session, NOW + timedelta(hours=h)) for h in (1, 24)] == [0, 1]


def test_a_file_that_is_sent_again_takes_the_place_of_the_former(phone: Phone, session: Session):
    phone.send(files={"a.jpg": b"half"})
    phone.send(files={"a.jpg": b"whole"})
    assert phone.files_of(session, "uuid:1") == {"a.jpg": b"whole"}


def test_replaced_and_broken_files_are_swept_a_day_later(phone: Phone, session: Session, media: Path):
    phone.send(files={"a.jpg": b"half"})
    phone.send(files={"a.jpg": b"whole"})
    (media / "incoming" / "0123").write_bytes(b"broken off")
    began = max(path.stat().st_mtime for path in media.rglob("*") if path.is_file())
    written = NOW + timedelta(seconds=began - NOW.timestamp())
    assert attachments.sweep(session, media, now=written + timedelta(hours=1)) == 0
    assert attachments.sweep(session, media, now=written + timedelta(days=2)) == 2
    assert phone.files_of(session, "uuid:1") == {"a.jpg": b"whole"}


# ---- edits ----------------------------------------------------------------------------------------


def test_an_edit_is_a_new_version_with_the_files_that_were_not_sent_again(phone: Phone, session: Session):
    phone.send(files={"a.jpg": b"a", "b.jpg": b"b"})
    edited = phone.send(b"<data>new</data>", "uuid:2", files={"b.jpg": b"B"}, replaces="uuid:1")
    assert phone.files_of(session, "uuid:2") == {"a.jpg": b"a", "b.jpg": b"B"}
    assert phone.files_of(session, "uuid:1") == {"a.jpg": b"a", "b.jpg": b"b"}
    assert session.get_one(Submission, edited.submission_id).deprecated_instance_id == "uuid:1"


def test_an_edit_of_something_that_never_came_is_taken(phone: Phone):
    assert phone.send(replaces="uuid:never-seen").already_had_it is False


def test_the_same_version_cannot_be_edited_twice(phone: Phone):
    phone.send()
    phone.send(b"<data>a</data>", "uuid:2", replaces="uuid:1")
    with pytest.raises(SubmissionRefused) as refused:
        phone.send(b"<data>b</data>", "uuid:3", replaces="uuid:1")
    assert (refused.value.status, refused.value.code) == (409, "edit-conflict")
    assert phone.send(b"<data>a</data>", "uuid:2", replaces="uuid:1").already_had_it is True


# ---- many at once ---------------------------------------------------------------------------------


def test_many_phones_at_once_are_all_stored_in_few_commits(phone: Phone, session: Session, engine: Engine):
    commits = []
    event.listen(engine, "commit", lambda _: commits.append(1))
    with ThreadPoolExecutor(32) as pool:
        done = list(pool.map(lambda n: phone.send(b"<data>%d</data>" % n, f"uuid:{n}"), range(300)))
    assert len({received.submission_id for received in done}) == counted(session, Submission) == 300
    assert len(commits) < 150


def test_two_servers_that_get_the_same_upload_store_it_once(phone: Phone, session: Session, vault, media, settings):
    elsewhere = database.connect(settings.database)
    other = Writer(elsewhere, vault, media)
    writers = [phone.writer, other]

    def send(number: int):
        envelope = Envelope("screening", "1", f"uuid:{number // 4}")
        return writers[number % 2].receive(
            Incoming(envelope, b"<data/>", [phone.store("a.jpg", b"a")], False, phone.user.id, None), NOW
        )

    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(send, range(200)))
    other.close()
    elsewhere.dispose()
    assert sum(not received.already_had_it for received in done) == counted(session, Submission) == 50
    assert counted(session, Attachment) == 50


def test_one_bad_row_does_not_fail_the_others(phone: Phone, session: Session, engine: Engine):
    """A sender who does not exist breaks the foreign key, and with it the whole batch."""
    begun, go = threading.Event(), threading.Event()

    @event.listens_for(engine, "commit")
    def hold(_) -> None:
        begun.set()
        go.wait(10)

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(phone.send, instance="uuid:first")
        begun.wait(10)
        good = [pool.submit(phone.send, instance=f"uuid:{n}") for n in range(4)]
        nobody = Incoming(Envelope("screening", "1", "uuid:bad"), b"<data/>", [], False, uuid.uuid4(), None)
        bad = pool.submit(phone.writer.receive, nobody, NOW)
        go.set()
        assert first.result().already_had_it is False
        assert [future.result().already_had_it for future in good] == [False] * 4
        with pytest.raises(DBAPIError):
            bad.result()
    assert counted(session, Submission) == 5


def test_a_failed_commit_is_never_reported_as_received(phone: Phone, session: Session, engine: Engine):
    @event.listens_for(engine, "commit")
    def fail(_) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk full"))

    with pytest.raises(OperationalError):
        phone.send(files={"a.jpg": b"a"})
    event.remove(engine, "commit", fail)
    assert counted(session, Submission) == 0
    session.rollback()
    assert phone.send().already_had_it is False


def test_a_writer_that_closes_commits_what_waits_and_takes_no_more(phone: Phone, session: Session):
    with ThreadPoolExecutor(16) as pool:
        sent = [pool.submit(phone.send, instance=f"uuid:{n}") for n in range(100)]
        phone.writer.close()
        outcomes = [future.exception() for future in sent]
    refused = [error for error in outcomes if error is not None]
    assert all(isinstance(error, SubmissionRefused) and error.status == 503 for error in refused)
    assert counted(session, Submission) == 100 - len(refused)
