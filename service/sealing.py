"""Encryption at rest: data keys per record, wrapped by the installation's key; blind indexes; sealed files.

A data key seals with AES-256-GCM. Its wrapped form stands in the key store (key_store.py) and nowhere else, so that
forgetting it makes every copy of what it sealed unreadable.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import os
import secrets
import struct
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from service import clock, database
from service.key_store import DataKeyRow, StandingKeyRow
from service.problems import Mendable

log = logging.getLogger(__name__)

KEY_FILE = "installation.key"
#: Bytes of plain text in one chunk of a sealed file.
CHUNK = 64 * 1024

_SEAL_VERSION = b"\x01"
_NONCE = 12
_TAG = 16
_SALT = 16
#: How many keys are made ahead in one commit, for those who need one at a time.
_AHEAD = 64
#: How many unwrapped keys are remembered, and for how many seconds: an erased key must not live on in memory.
_REMEMBERED = 512
_REMEMBER_SECONDS = 30.0


class Erased(LookupError):
    """The data key is gone: what it sealed can be read by nobody any more."""


class SealBroken(ValueError):
    """What is stored is not what was sealed under this key for this purpose."""


class InstallationKeyProblem(Mendable):
    """The installation key is missing or cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class InstallationKeys:
    """The installation's secrets by id. `current` wraps; the others only unwrap, until the key store is rewrapped."""

    current: str
    secrets: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DataKey:
    """An unwrapped data key. Its wrapped form is already committed in the key store."""

    id: uuid.UUID
    secret: bytes = field(repr=False)


# ---- the installation key -------------------------------------------------------------------------


def prepare_installation_key(data_dir: Path) -> None:
    """Make the data folder and its key at the first run; harmless later, and when two processes start at once.

    Raises InstallationKeyProblem when the key is missing although data keys exist: a new one would open none of them.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / KEY_FILE
    if path.exists():
        return
    if (data_dir / "keys.db").exists():
        raise InstallationKeyProblem(
            f"{path} is missing, but data sealed under it exists. Restore the file from its backup, "
            "or set KETNOI_INSTALLATION_KEYS. Nothing can be read without it."
        )
    draft = data_dir / f".{KEY_FILE}.{secrets.token_hex(8)}"
    _write_durably(draft, new_installation_key() + "\n")
    try:
        os.link(draft, path)  # Fails when another process was faster; its key then holds.
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    _sync_folder(data_dir)


def new_installation_key() -> str:
    """A line of the key file: an id and 256 random bits."""
    return f"{secrets.token_hex(4)} {base64.b64encode(secrets.token_bytes(32)).decode()}"


def read_installation_keys(data_dir: Path, given: str | None = None) -> InstallationKeys:
    """From `given` (KETNOI_INSTALLATION_KEYS) where it is set, else from the file in the data folder.

    One key a line (or separated by commas), `id base64`; the first wraps. Raises InstallationKeyProblem.
    """
    source = "KETNOI_INSTALLATION_KEYS"
    if given is None:
        path = data_dir / KEY_FILE
        source = str(path)
        try:
            given = path.read_text("ascii")
        except FileNotFoundError:
            raise InstallationKeyProblem(f"{path} is missing. Start once with `ketnoi serve`, or restore it.") from None
        except UnicodeDecodeError:
            raise InstallationKeyProblem(f"{path} is not a key file: it holds other than ASCII. Restore it.") from None
    return _parse_keys(given, source)


def _parse_keys(text: str, source: str) -> InstallationKeys:
    lines = [line.split() for line in text.replace(",", "\n").splitlines() if line.strip()]
    found: dict[str, bytes] = {}
    for number, parts in enumerate(lines, 1):
        try:
            key_id, encoded = parts
            secret = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            raise InstallationKeyProblem(
                f"{source}, key {number}: write an id, a blank and the key in base64."
            ) from None
        if len(secret) != 32 or len(key_id) > 32 or key_id in found:
            raise InstallationKeyProblem(
                f"{source}, key {number}: a key has 32 bytes, and an id of its own of at most 32 characters."
            )
        found[key_id] = secret
    if not found:
        raise InstallationKeyProblem(f"{source} holds no key. Restore it from its backup.")
    return InstallationKeys(next(iter(found)), found)


def _write_durably(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# ---- the vault ------------------------------------------------------------------------------------


class Vault:
    """Seals and opens. Safe to share between threads; one per process is enough."""

    def __init__(self, keys: Engine, installation: InstallationKeys) -> None:
        """`keys` is the key store's engine, migrated (`database.migrate(engine, Store.KEYS)`)."""
        self._engine = keys
        self._reading = database.reading(keys)
        self._current = installation.current
        self._wrapping = {key_id: _derive(secret, "wrapping") for key_id, secret in installation.secrets.items()}
        self._lock = threading.Lock()
        self._ahead: list[DataKey] = []
        self._remembered: OrderedDict[uuid.UUID, tuple[float, DataKey]] = OrderedDict()
        self._root = self._standing("root")

    # -- data keys

    def new_keys(self, count: int) -> list[DataKey]:
        """Fresh data keys, committed in the key store in one transaction before anybody seals with them."""
        if count < 1:
            return []
        made = [DataKey(uuid.uuid4(), secrets.token_bytes(32)) for _ in range(count)]
        rows = [
            {"id": key.id, "wrapped": self._wrap(key.id.bytes, key.secret), "wrapped_by": self._current} for key in made
        ]
        with self._engine.begin() as connection:
            connection.execute(insert(DataKeyRow), rows)
        return made

    def new_key(self) -> DataKey:
        """One fresh data key, from a stock made ahead: who receives many uploads pays one commit for many keys."""
        with self._lock:
            if not self._ahead:
                self._ahead = self.new_keys(_AHEAD)
            return self._ahead.pop()

    def key(self, key_id: uuid.UUID) -> DataKey:
        """The data key, to seal more under it. Raises Erased."""
        found = self.keys([key_id])
        if key_id not in found:
            raise Erased(f"data key {key_id}")
        return found[key_id]

    def keys(self, key_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, DataKey]:
        """Those of the data keys that are still there, in one question to the key store."""
        found, missing = self._recall(set(key_ids))
        # Databases limit how many values one question may hold.
        for start in range(0, len(missing), 500):
            found |= self._fetch(missing[start : start + 500])
        return found

    def _fetch(self, key_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, DataKey]:
        question = select(DataKeyRow.id, DataKeyRow.wrapped, DataKeyRow.wrapped_by).where(DataKeyRow.id.in_(key_ids))
        with self._reading.connect() as connection:
            rows = connection.execute(question).all()
        fetched = {row.id: DataKey(row.id, self._unwrap(row.id.bytes, row.wrapped, row.wrapped_by)) for row in rows}
        self._remember(fetched.values())
        return fetched

    def forget(self, key_ids: Iterable[uuid.UUID]) -> int:
        """Erase data keys for ever, here and in the log of the store; returns how many there were."""
        ids = list(set(key_ids))
        gone = 0
        with self._engine.begin() as connection:
            for start in range(0, len(ids), 500):
                gone += connection.execute(
                    delete(DataKeyRow).where(DataKeyRow.id.in_(ids[start : start + 500]))
                ).rowcount
        with self._lock:
            for key_id in ids:
                self._remembered.pop(key_id, None)
        self._scrub()
        return gone

    def _scrub(self) -> None:
        """SQLite keeps old pages in its write-ahead log, PostgreSQL dead rows in its tables: neither may stay."""
        if self._engine.dialect.name == "postgresql":
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM data_keys")
            return
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (busy, *_) = cursor.fetchone() or (1,)
        finally:
            raw.close()
        if busy:
            log.warning("erased keys stay in the key store's log until its next checkpoint")

    # -- sealing

    def seal(self, key: DataKey, plain: bytes, purpose: str) -> bytes:
        """AES-256-GCM under a fresh nonce, bound to the key and the purpose."""
        return _seal(key.secret, plain, _bound(purpose, key.id))

    def open(self, key_id: uuid.UUID, sealed: bytes, purpose: str) -> bytes:
        """What was sealed. Raises Erased when the key is gone, SealBroken when it was altered or is not for this."""
        return _open(self.key(key_id).secret, sealed, _bound(purpose, key_id))

    def open_many(self, sealed: Sequence[tuple[uuid.UUID, bytes]], purpose: str) -> list[bytes | None]:
        """Each opened, in order, with one question to the key store; None where the key is gone."""
        keys = self.keys(key_id for key_id, _ in sealed)
        return [
            _open(keys[key_id].secret, text, _bound(purpose, key_id)) if key_id in keys else None
            for key_id, text in sealed
        ]

    def seal_file(self, key: DataKey, target: BinaryIO, purpose: str) -> SealedWriter:
        """Seals what is written to it into `target`, chunk by chunk; `close` writes the last one."""
        return SealedWriter(target, key.secret, _bound(purpose, key.id))

    def open_file(self, key_id: uuid.UUID, source: BinaryIO, purpose: str) -> Iterator[bytes]:
        """The file's chunks. Raises Erased at once; SealBroken at the first chunk that was altered, moved or lost.

        A chunk is genuine when it is handed out, but only the end tells that nothing was cut off.
        """
        return _open_chunks(source, self.key(key_id).secret, _bound(purpose, key_id))

    # -- what outlives a change of installation key

    def blind(self, kind: str, text: str | bytes) -> str:
        """A keyed hash (HMAC-SHA256, 64 hex digits) by which equal texts of a kind are found without keeping them."""
        return hmac.new(self.secret(f"blind {kind}"), _bytes(text), hashlib.sha256).hexdigest()

    def secret(self, purpose: str) -> bytes:
        """32 bytes derived for a purpose, the same in every process and after every rotation."""
        return _derive(self._root, purpose)

    def seal_standing(self, plain: bytes, purpose: str) -> bytes:
        """Sealed under a secret of the installation instead of a data key: for what belongs to no client."""
        return _seal(self.secret(f"standing {purpose}"), plain, purpose.encode())

    def open_standing(self, sealed: bytes, purpose: str) -> bytes:
        """Raises SealBroken."""
        return _open(self.secret(f"standing {purpose}"), sealed, purpose.encode())

    # -- rotation

    def rewrap(self, batch: int = 1000) -> int:
        """Wrap all data keys anew under the current installation key; returns how many were changed.

        Afterwards older installation keys may leave the key file. Harmless to repeat, or to stop half-way.
        """
        changed = self._rewrap_standing()
        while step := self._rewrap_batch(batch):
            changed += step
        self._scrub()
        return changed

    def _rewrap_batch(self, batch: int) -> int:
        old = select(DataKeyRow.id, DataKeyRow.wrapped, DataKeyRow.wrapped_by)
        with self._engine.begin() as connection:
            rows = connection.execute(old.where(DataKeyRow.wrapped_by != self._current).limit(batch)).all()
            for row in rows:
                plain = self._unwrap(row.id.bytes, row.wrapped, row.wrapped_by)
                connection.execute(
                    update(DataKeyRow)
                    .where(DataKeyRow.id == row.id)
                    .values(wrapped=self._wrap(row.id.bytes, plain), wrapped_by=self._current)
                )
        return len(rows)

    def _rewrap_standing(self) -> int:
        old = select(StandingKeyRow.name, StandingKeyRow.wrapped, StandingKeyRow.wrapped_by)
        with self._engine.begin() as connection:
            rows = connection.execute(old.where(StandingKeyRow.wrapped_by != self._current)).all()
            for row in rows:
                plain = self._unwrap(row.name.encode(), row.wrapped, row.wrapped_by)
                connection.execute(
                    update(StandingKeyRow)
                    .where(StandingKeyRow.name == row.name)
                    .values(wrapped=self._wrap(row.name.encode(), plain), wrapped_by=self._current)
                )
        return len(rows)

    # -- inside

    def _standing(self, name: str) -> bytes:
        """The standing secret, made at the first run. Two processes that start at once get the same."""
        question = select(StandingKeyRow.wrapped, StandingKeyRow.wrapped_by).where(StandingKeyRow.name == name)
        with self._reading.connect() as connection:
            row = connection.execute(question).one_or_none()
        if row is None:
            made = self._wrap(name.encode(), secrets.token_bytes(32))
            try:
                with self._engine.begin() as connection:
                    connection.execute(insert(StandingKeyRow).values(name=name, wrapped=made, wrapped_by=self._current))
            except IntegrityError:
                pass  # Another process was faster; its secret holds.
            return self._standing(name)
        return self._unwrap(name.encode(), row.wrapped, row.wrapped_by)

    def _wrap(self, label: bytes, plain: bytes) -> bytes:
        return _seal(self._wrapping[self._current], plain, label)

    def _unwrap(self, label: bytes, wrapped: bytes, wrapped_by: str) -> bytes:
        if wrapped_by not in self._wrapping:
            raise InstallationKeyProblem(
                f"Data is sealed under installation key {wrapped_by}, which is not in {KEY_FILE} "
                "or KETNOI_INSTALLATION_KEYS. Add its line again."
            )
        return _open(self._wrapping[wrapped_by], wrapped, label)

    def _recall(self, key_ids: set[uuid.UUID]) -> tuple[dict[uuid.UUID, DataKey], list[uuid.UUID]]:
        oldest = clock.stopwatch() - _REMEMBER_SECONDS
        found: dict[uuid.UUID, DataKey] = {}
        with self._lock:
            for key_id in key_ids:
                since, key = self._remembered.get(key_id, (oldest, None))
                if key is not None and since > oldest:
                    found[key_id] = key
        return found, [key_id for key_id in key_ids if key_id not in found]

    def _remember(self, keys: Iterable[DataKey]) -> None:
        now = clock.stopwatch()
        with self._lock:
            for key in keys:
                self._remembered[key.id] = (now, key)
                self._remembered.move_to_end(key.id)
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)


# ---- the cryptography, from the library -----------------------------------------------------------


def _derive(secret: bytes, purpose: str, salt: bytes | None = None) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"ketnoi 1 " + purpose.encode()).derive(secret)


def _bound(purpose: str, key_id: uuid.UUID) -> bytes:
    return key_id.bytes + purpose.encode()


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _seal(secret: bytes, plain: bytes, bound: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    return _SEAL_VERSION + nonce + AESGCM(secret).encrypt(nonce, plain, bound)


def _open(secret: bytes, sealed: bytes, bound: bytes) -> bytes:
    if sealed[:1] != _SEAL_VERSION or len(sealed) < 1 + _NONCE + _TAG:
        raise SealBroken("not sealed by us")
    try:
        return AESGCM(secret).decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], bound)
    except InvalidTag:
        raise SealBroken("altered, or sealed for something else") from None


# ---- files ----------------------------------------------------------------------------------------
#
# A sealed file is: version (1 byte), salt (16), then chunks of CHUNK bytes and a tag each, the last one shorter or
# equal. Each file has a key of its own, derived with the salt; a chunk's nonce is its number and whether it is the
# last (the STREAM construction: Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its
# Nonce-Reuse Misuse-Resistance", 2015). So chunks cannot be altered, moved, dropped or cut off unseen.


def _chunk_nonce(number: int, last: bool) -> bytes:
    return struct.pack(">QxxxB", number, last)


class SealedWriter:
    """A file that is sealed while it is written. Memory: two chunks."""

    def __init__(self, target: BinaryIO, secret: bytes, bound: bytes) -> None:
        salt = secrets.token_bytes(_SALT)
        self._target, self._bound = target, bound
        self._cipher = AESGCM(_derive(secret, "file", salt))
        self._held = bytearray()
        self._number = 0
        #: Plain bytes written so far.
        self.size = 0
        target.write(_SEAL_VERSION + salt)

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self._held += data
        # A full chunk is held back until more comes: only then is it known not to be the last.
        while len(self._held) > CHUNK:
            self._put(bytes(self._held[:CHUNK]), last=False)
            del self._held[:CHUNK]

    def close(self) -> None:
        """Write the last chunk; without it nobody takes the file for whole. Does not close the target."""
        self._put(bytes(self._held), last=True)
        self._held.clear()

    def _put(self, plain: bytes, *, last: bool) -> None:
        self._target.write(self._cipher.encrypt(_chunk_nonce(self._number, last), plain, self._bound))
        self._number += 1


def _open_chunks(source: BinaryIO, secret: bytes, bound: bytes) -> Iterator[bytes]:
    header = source.read(1 + _SALT)
    if len(header) != 1 + _SALT or header[:1] != _SEAL_VERSION:
        raise SealBroken("not a file sealed by us")
    cipher = AESGCM(_derive(secret, "file", header[1:]))
    number, chunk = 0, source.read(CHUNK + _TAG)
    while True:
        following = source.read(CHUNK + _TAG)
        try:
            yield cipher.decrypt(_chunk_nonce(number, last=not following), chunk, bound)
        except (InvalidTag, ValueError):
            raise SealBroken("a part of the file was altered, moved or lost") from None
        if not following:
            return
        number, chunk = number + 1, following
