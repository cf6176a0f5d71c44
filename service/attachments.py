"""Files sent with submissions: sealed while they arrive, durable before the database refers to them.

A file stands under the media folder by a random name. It is written under `incoming`, synced, and moved into place;
so a row never points at nothing, and a crash leaves at most a file without a row, which `sweep` removes.
"""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.sealing import Vault
from service.tables import Attachment

_PURPOSE = "attachment"
_NAME_PURPOSE = "attachment-name"
#: How old a file without a row must be before it is taken for a leftover: an upload takes minutes at the worst.
LEFTOVER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A sealed file in its place. `name` as the phone sent it; `size` is that of the plain bytes."""

    name: str
    stored_as: str
    size: int
    key_id: uuid.UUID


def open_attachment(vault: Vault, media_dir: Path, name: str) -> AttachmentSink:
    """A sink for one file of a request."""
    return AttachmentSink(vault, media_dir, name)


class AttachmentSink:
    """Seals a file while it arrives. After `close` it is durable; after `discard` nothing is left of it."""

    def __init__(self, vault: Vault, media_dir: Path, name: str) -> None:
        self._key = vault.new_key()
        self._name, self._stored_as = name, secrets.token_hex(16)
        self._final = path_of(media_dir, self._stored_as)
        self._draft = media_dir / "incoming" / self._stored_as
        self._draft.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = self._draft.open("xb")
        self._seal = vault.seal_file(self._key, self._file, _PURPOSE)

    def write(self, chunk: bytes) -> None:
        self._seal.write(chunk)

    def close(self) -> None:
        self._seal.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        _make_folder(self._final.parent)
        self._draft.rename(self._final)
        _sync(self._final.parent)

    def discard(self) -> None:
        self._file.close()
        self._draft.unlink(missing_ok=True)
        self._final.unlink(missing_ok=True)

    @property
    def stored(self) -> StoredFile:
        """What to hand to the writer, once closed."""
        return StoredFile(self._name, self._stored_as, self._seal.size, self._key.id)


def path_of(media_dir: Path, stored_as: str) -> Path:
    # 256 folders, so that none grows to millions of names.
    return media_dir / stored_as[:2] / stored_as


def discard(media_dir: Path, stored_as: Iterable[str]) -> None:
    for name in stored_as:
        path_of(media_dir, name).unlink(missing_ok=True)


def name_digest(vault: Vault, name: str) -> str:
    """By which a file that is sent again is known to be the same one."""
    return vault.blind(_NAME_PURPOSE, name)


def seal_name(vault: Vault, file: StoredFile) -> bytes:
    return vault.seal(vault.key(file.key_id), file.name.encode(), _NAME_PURPOSE)


def name_of(vault: Vault, row: Attachment) -> str:
    """The file's name as the phone sent it. Raises Erased."""
    return vault.open(row.key_id, row.sealed_name, _NAME_PURPOSE).decode()


def read(vault: Vault, media_dir: Path, row: Attachment) -> Iterator[bytes]:
    """The plain bytes, a chunk at a time. Raises Erased, SealBroken, FileNotFoundError."""
    with path_of(media_dir, row.stored_as).open("rb") as file:
        yield from vault.open_file(row.key_id, file, _PURPOSE)


def sweep(session: Session, media_dir: Path, *, now: datetime) -> int:
    """Remove what broken uploads left behind a day ago or earlier; returns how many files."""
    before = (now - LEFTOVER).timestamp()
    old = (path for path in media_dir.glob("*/*") if path.is_file() and path.stat().st_mtime < before)
    removed = 0
    while batch := list(islice(old, 500)):
        named = [path.name for path in batch if path.parent.name != "incoming"]
        kept = set(session.scalars(select(Attachment.stored_as).where(Attachment.stored_as.in_(named))))
        for path in batch:
            if path.parent.name == "incoming" or path.name not in kept:
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _make_folder(path: Path) -> None:
    if not path.exists():
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
