"""Receive a submission once, however often it is sent, and in whatever parts.

Many phones send at once and each must wait for its commit; so one thread commits what has gathered, up to 64 at a
time, in one transaction: sealed XML, attachments, and the outbox row that owes the work. What is refused is kept too.
"""

from __future__ import annotations

import logging
import queue
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, exc, func, insert, or_, select, update

from forms.sheets import Text
from integrations.odk.submission import Envelope
from service import attachments, database
from service.attachments import AttachmentSink, StoredFile, open_attachment
from service.sealing import Vault
from service.tables import (
    Attachment,
    FormVersion,
    OutboxRow,
    RejectedUpload,
    Submission,
    SubmissionState,
    VersionState,
)

__all__ = [
    "AttachmentSink",
    "Incoming",
    "Received",
    "StoredFile",
    "SubmissionRefused",
    "Writer",
    "open_attachment",
]

log = logging.getLogger(__name__)

#: Most submissions in one commit.
BATCH = 64
#: How long a submission waits for the rest of a split upload before it is processed without.
WAIT_FOR_PARTS = timedelta(hours=24)
#: What one sender may have kept of refused uploads in a day: more is a fault or an attack, and would fill the disk.
REFUSED_PER_DAY = 50
REFUSED_BYTES_PER_DAY = 20_000_000
#: Seconds to wait for a place in the queue before a phone is told to come back later.
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """An upload as it was read: well-formed, with its envelope. `attachments` are sealed and in place already."""

    envelope: Envelope
    xml: bytes = field(repr=False)
    attachments: Sequence[StoredFile]
    #: More parts of this submission follow (`*isIncomplete*`).
    incomplete: bool
    user_id: uuid.UUID
    device_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Received:
    """Committed. `already_had_it`: the same XML had come before."""

    already_had_it: bool
    submission_id: uuid.UUID


class SubmissionRefused(Exception):
    """What cannot be taken, with the HTTP status and a sentence for the phone's screen. Nothing of it was stored
    as a submission; its files are removed, its XML is kept among the rejected uploads.

    `code`: unknown-form, closed-form, conflict, edit-conflict, busy.
    """

    def __init__(self, status: int, code: str, problem: Text) -> None:
        super().__init__(f"{status} {code}")
        self.status, self.code, self.problem = status, code, problem


# ---- the writer -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Item:
    """An upload with everything sealed, waiting for its commit."""

    incoming: Incoming
    now: datetime
    submission: dict[str, Any]
    files: list[dict[str, Any]]
    done: Future[Received | SubmissionRefused] = field(default_factory=Future)


class Writer:
    """Commits uploads for all threads of a process. `receive` returns only after the commit."""

    def __init__(self, engine: Engine, vault: Vault, media_dir: Path, *, waiting: int = 256) -> None:
        """`waiting`: how many uploads may wait before phones are told to come back."""
        self._engine, self._vault, self._media_dir = engine, vault, media_dir
        self._queue: queue.Queue[_Item | None] = queue.Queue(waiting)
        self._closed = False
        #: Called after each commit, by whoever wants to hear of it at once; it must neither wait nor fail.
        self.after_commit: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="submission-writer", daemon=True)
        self._thread.start()

    def receive(self, incoming: Incoming, now: datetime) -> Received:
        """Store an upload. Raises SubmissionRefused; any other exception means that nobody knows whether it was
        stored: its files stay, and the phone must send again.
        """
        item = self._prepare(incoming, now)
        try:
            outcome = self._await(item)
        except SubmissionRefused:
            self._discard(incoming)
            raise
        if isinstance(outcome, Received):
            return outcome
        self._discard(incoming)
        self.keep_refused(incoming.xml, outcome.code, incoming.user_id, now)
        raise outcome

    def keep_refused(self, xml: bytes, code: str, user_id: uuid.UUID, now: datetime) -> bool:
        """Keep the XML of a refused upload, sealed. False where it was kept before, or the sender's day is full."""
        digest = self._vault.blind("xml", xml)
        with database.reading(self._engine).connect() as connection:
            if not _worth_keeping(connection, digest, code, size=len(xml), user_id=user_id, now=now):
                return False
        key = self._vault.new_key()
        row = {
            "id": uuid.uuid4(),
            "xml_digest": digest,
            "sealed_xml": self._vault.seal(key, xml, "xml"),
            "key_id": key.id,
            "size": len(xml),
            "user_id": user_id,
            "problem": code,
            "received_at": now,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(RejectedUpload), [row])
        except exc.IntegrityError:
            return False  # The same phone was faster on another thread.
        return True

    def close(self) -> None:
        """Commit what waits, then stop."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _prepare(self, incoming: Incoming, now: datetime) -> _Item:
        """Sealing needs no database transaction, so it happens in the caller's thread."""
        envelope, key = incoming.envelope, self._vault.new_key()
        submission = {
            "id": uuid.uuid4(),
            "instance_id": envelope.instance_id,
            "form_id": envelope.form_id,
            "form_version": envelope.version,
            "xml_digest": self._vault.blind("xml", incoming.xml),
            "sealed_xml": self._vault.seal(key, incoming.xml, "xml"),
            "key_id": key.id,
            "user_id": incoming.user_id,
            "device_id": incoming.device_id,
            "received_at": now,
            # An instance cannot replace itself; it is then no edit.
            "deprecated_instance_id": envelope.deprecated_id
            if envelope.deprecated_id != envelope.instance_id
            else None,
            "state": SubmissionState.RECEIVED,
            "client_id": None,
            "complete": not incoming.incomplete,
        }
        return _Item(incoming, now, submission, [self._file_row(file, now) for file in incoming.attachments])

    def _file_row(self, file: StoredFile, now: datetime) -> dict[str, Any]:
        return {
            "name_digest": attachments.name_digest(self._vault, file.name),
            "sealed_name": attachments.seal_name(self._vault, file),
            "stored_as": file.stored_as,
            "size": file.size,
            "key_id": file.key_id,
            "received_at": now,
        }

    def _await(self, item: _Item) -> Received | SubmissionRefused:
        if self._closed:
            raise _busy()
        try:
            self._queue.put(item, timeout=_PATIENCE)
        except queue.Full:
            raise _busy() from None
        while not item.done.done():
            wait([item.done], timeout=1.0)
            if not self._thread.is_alive() and not item.done.done():
                raise _busy()  # It was put in after the last one; nothing of it was stored.
        return item.done.result()

    def _discard(self, incoming: Incoming) -> None:
        attachments.discard(self._media_dir, [file.stored_as for file in incoming.attachments])

    # -- the thread

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch, stopping = self._gather()
            if batch:
                self._commit(batch)

    def _gather(self) -> tuple[list[_Item], bool]:
        """What has come while the last batch was committed; waits only when there is nothing."""
        batch: list[_Item] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) == BATCH:
                return batch, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: list[_Item]) -> None:
        try:
            self._store(batch)
        except (exc.OperationalError, exc.TimeoutError) as error:
            # The database is away or busy: one by one would only make everybody wait longer.
            _fail(batch, error)
        except Exception as error:
            if len(batch) == 1:
                self._commit_alone(batch[0], error)
                return
            log.warning("batch failed, storing one by one", extra={"submissions": len(batch)})
            for item in batch:
                self._commit([item])

    def _commit_alone(self, item: _Item, error: Exception) -> None:
        """Another process may have stored the same instance meanwhile: asked again, it is seen."""
        if not isinstance(error, exc.IntegrityError):
            _fail([item], error)
            return
        try:
            self._store([item])
        except Exception as again:
            _fail([item], again)

    def _store(self, batch: list[_Item]) -> None:
        with self._engine.begin() as connection:
            shelf = _Shelf.load(connection, batch)
            outcomes = [shelf.place(item) for item in batch]
            shelf.write(connection)
        # Only now is it true.
        for item, outcome in zip(batch, outcomes, strict=True):
            item.done.set_result(outcome)
        if self.after_commit is not None:
            self.after_commit()


def _fail(batch: Sequence[_Item], error: Exception) -> None:
    log.error("submissions not stored", exc_info=error, extra={"submissions": len(batch)})
    for item in batch:
        if not item.done.done():
            item.done.set_exception(error)


# ---- what is there, and what comes to it ----------------------------------------------------------


@dataclass(slots=True)
class _Known:
    """A submission that is stored, or about to be in this batch."""

    id: uuid.UUID
    xml_digest: str
    complete: bool
    #: name_digest → row of attachments, as far as this batch needs them.
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


class _Shelf:
    """The submissions that a batch touches: read once, placed one after the other, written once."""

    def __init__(self) -> None:
        self._forms: dict[str, dict[str, VersionState]] = {}
        self._known: dict[str, _Known] = {}
        #: deprecated instanceID → the instanceID that replaced it.
        self._replaced: dict[str, str] = {}
        self._new: list[dict[str, Any]] = []
        self._owed: list[dict[str, Any]] = []
        self._completed: dict[uuid.UUID, datetime] = {}
        self._new_files: dict[uuid.UUID, dict[str, Any]] = {}
        self._dropped: list[uuid.UUID] = []

    @classmethod
    def load(cls, connection: Connection, batch: Sequence[_Item]) -> _Shelf:
        shelf = cls()
        ids = {item.submission["instance_id"] for item in batch}
        deprecated = {item.submission["deprecated_instance_id"] for item in batch} - {None}
        shelf._load_forms(connection, {item.submission["form_id"] for item in batch})
        shelf._load_submissions(connection, ids, deprecated)
        wanted = {item.submission["instance_id"] for item in batch if item.files} | deprecated
        shelf._load_files(connection, [shelf._known[i] for i in wanted if i in shelf._known])
        return shelf

    def _load_forms(self, connection: Connection, form_ids: set[str]) -> None:
        question = select(FormVersion.form_id, FormVersion.version, FormVersion.state)
        for form_id, version, state in connection.execute(question.where(FormVersion.form_id.in_(form_ids))):
            self._forms.setdefault(form_id, {})[version] = state

    def _load_submissions(self, connection: Connection, ids: set[str], deprecated: set[str]) -> None:
        table = Submission
        question = (
            select(table.id, table.instance_id, table.xml_digest, table.complete, table.deprecated_instance_id)
            .where(or_(table.instance_id.in_(ids | deprecated), table.deprecated_instance_id.in_(deprecated)))
            .order_by(table.id)
            # Two processes that add parts to one submission take turns. SQLite has one writer anyway.
            .with_for_update(key_share=True)
        )
        for row in connection.execute(question):
            self._known[row.instance_id] = _Known(row.id, row.xml_digest, row.complete)
            if row.deprecated_instance_id is not None:
                self._replaced[row.deprecated_instance_id] = row.instance_id

    def _load_files(self, connection: Connection, known: Sequence[_Known]) -> None:
        by_id = {item.id: item for item in known}
        if not by_id:
            return
        rows = connection.execute(select(Attachment.__table__).where(Attachment.submission_id.in_(by_id)))
        for row in rows.mappings():
            by_id[row["submission_id"]].files[row["name_digest"]] = dict(row)

    # -- placing

    def place(self, item: _Item) -> Received | SubmissionRefused:
        known = self._known.get(item.submission["instance_id"])
        if known is None:
            return self._refuse(item) or self._take(item)
        if known.xml_digest != item.submission["xml_digest"]:
            return _conflict()
        self._add_files(known, item.files)
        if item.submission["complete"] and not known.complete:
            known.complete = True
            self._completed[known.id] = item.now
        return Received(True, known.id)

    def _refuse(self, item: _Item) -> SubmissionRefused | None:
        """A version that we do not know is no ground: it is kept, and waits in quarantine for its form."""
        versions = self._forms.get(item.submission["form_id"], {})
        if not versions:
            return _unknown_form()
        if versions.get(item.submission["form_version"], VersionState.LIVE) is VersionState.CLOSED:
            return _closed_form()
        if item.submission["deprecated_instance_id"] in self._replaced:
            return _edit_conflict()
        return None

    def _take(self, item: _Item) -> Received:
        row = item.submission
        known = _Known(row["id"], row["xml_digest"], row["complete"])
        self._known[row["instance_id"]] = known
        self._new.append(row)
        due = item.now if row["complete"] else item.now + WAIT_FOR_PARTS
        self._owed.append({"submission_id": row["id"], "available_at": due, "tries": 0})
        self._add_files(known, item.files)
        if row["deprecated_instance_id"] is not None:
            self._replaced[row["deprecated_instance_id"]] = row["instance_id"]
            self._inherit(known, self._known.get(row["deprecated_instance_id"]))
        return Received(False, row["id"])

    def _inherit(self, known: _Known, former: _Known | None) -> None:
        """An edit sends only the files that changed; the others are still those of the version before."""
        if former is None:
            return
        missing = [row for digest, row in former.files.items() if digest not in known.files]
        self._add_files(known, missing)

    def _add_files(self, known: _Known, files: Sequence[dict[str, Any]]) -> None:
        for file in files:
            former = known.files.get(file["name_digest"])
            if former is not None:
                self._drop(former)
            row = {**file, "id": uuid.uuid4(), "submission_id": known.id}
            known.files[file["name_digest"]] = row
            self._new_files[row["id"]] = row

    def _drop(self, row: dict[str, Any]) -> None:
        """Its file stays: an earlier version may still show it. If none does, the sweep finds that out."""
        if self._new_files.pop(row["id"], None) is None:
            self._dropped.append(row["id"])

    # -- writing

    def write(self, connection: Connection) -> None:
        if self._new:
            connection.execute(insert(Submission), self._new)
            connection.execute(insert(OutboxRow), self._owed)
        if self._dropped:
            connection.execute(delete(Attachment).where(Attachment.id.in_(self._dropped)))
        if self._new_files:
            connection.execute(insert(Attachment), list(self._new_files.values()))
        for submission_id, now in self._completed.items():
            connection.execute(update(Submission).where(Submission.id == submission_id).values(complete=True))
            connection.execute(
                update(OutboxRow)
                .where(OutboxRow.submission_id == submission_id, OutboxRow.available_at > now)
                .values(available_at=now)
            )


# ---- what was refused -----------------------------------------------------------------------------


def _worth_keeping(
    connection: Connection, digest: str, code: str, *, size: int, user_id: uuid.UUID, now: datetime
) -> bool:
    table = RejectedUpload
    if connection.scalar(select(table.id).where(table.xml_digest == digest, table.problem == code)) is not None:
        return False
    count, total = connection.execute(
        select(func.count(), func.coalesce(func.sum(table.size), 0)).where(
            table.user_id == user_id, table.received_at > now - timedelta(days=1)
        )
    ).one()
    return bool(count < REFUSED_PER_DAY and total + size <= REFUSED_BYTES_PER_DAY)


def _unknown_form() -> SubmissionRefused:
    return SubmissionRefused(
        404,
        "unknown-form",
        Text(
            "Máy chủ không có biểu mẫu này. Hãy giữ bài trên máy và báo quản trị.",
            "The server does not have this form. Keep it on the phone and tell the administrator.",
        ),
    )


def _closed_form() -> SubmissionRefused:
    return SubmissionRefused(
        409,
        "closed-form",
        Text(
            "Phiên bản biểu mẫu này đã đóng. Hãy giữ bài trên máy và báo quản trị.",
            "This version of the form is closed. Keep it on the phone and tell the administrator.",
        ),
    )


def _conflict() -> SubmissionRefused:
    return SubmissionRefused(
        409,
        "conflict",
        Text(
            "Máy chủ đã có một bài khác cùng mã. Hãy giữ bài này trên máy và báo quản trị.",
            "The server has another submission with this id. Keep this one on the phone and tell the administrator.",
        ),
    )


def _edit_conflict() -> SubmissionRefused:
    return SubmissionRefused(
        409,
        "edit-conflict",
        Text(
            "Bài gốc đã được sửa ở nơi khác. Hãy giữ bài này trên máy và báo giám sát.",
            "The original has been edited elsewhere. Keep this one on the phone and tell your supervisor.",
        ),
    )


def _busy() -> SubmissionRefused:
    return SubmissionRefused(
        503,
        "busy",
        Text("Máy chủ đang bận. Hãy gửi lại sau ít phút.", "The server is busy. Send again in a few minutes."),
    )
