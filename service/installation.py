"""An installation: data folder, key, databases, and the connections over them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from service import database
from service.database import Store
from service.sealing import Vault, prepare_installation_key, read_installation_keys
from service.settings import Settings


@dataclass
class Installation:
    """Open connections of one process. `sessions` may write, `reading` may not."""

    settings: Settings
    engine: Engine
    keys: Engine
    vault: Vault
    sessions: sessionmaker[Session] = field(init=False)
    reading: sessionmaker[Session] = field(init=False)

    def __post_init__(self) -> None:
        self.sessions = database.sessions(self.engine)
        self.reading = database.reading_sessions(self.engine)

    def close(self) -> None:
        self.engine.dispose()
        self.keys.dispose()


def prepare(settings: Settings) -> None:
    """Make what is missing: folder (ours alone), installation key, tables. Doing it again changes nothing.

    Raises InstallationKeyProblem and MigrationRefused, both with a cure.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.media_dir.mkdir(exist_ok=True, mode=0o700)
    if settings.installation_keys is None:
        prepare_installation_key(settings.data_dir)
    for url, store in ((settings.database, Store.RECORDS), (settings.keys, Store.KEYS)):
        engine = database.connect(url, erasable=store is Store.KEYS, lock_timeout=settings.lock_timeout)
        try:
            database.migrate(engine, store)
        finally:
            engine.dispose()


def connect(settings: Settings) -> Installation:
    """Connections to a prepared installation, for a process that keeps them. Raises InstallationKeyProblem."""
    given = settings.installation_keys.get_secret_value() if settings.installation_keys else None
    installation_keys = read_installation_keys(settings.data_dir, given)
    engine = database.connect(settings.database, lock_timeout=settings.lock_timeout)
    keys = database.connect(settings.keys, erasable=True, lock_timeout=settings.lock_timeout)
    return Installation(settings, engine, keys, Vault(keys, installation_keys))


@contextmanager
def opened(settings: Settings) -> Iterator[Installation]:
    """The same, closed at the end."""
    place = connect(settings)
    try:
        yield place
    finally:
        place.close()
