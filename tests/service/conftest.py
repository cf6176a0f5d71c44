"""An empty, migrated installation for each test, on SQLite always and on PostgreSQL where a server answers.

Nothing is rolled back behind a test's back: tests may commit, race and kill as the service does. SQLite's files are
copied from a template. PostgreSQL takes half a second to make a database, so one is emptied before each test, and made
anew only after a test that changed its tables.
"""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from service import database
from service.database import Store
from service.key_store import KeyBase
from service.sealing import Vault, prepare_installation_key, read_installation_keys
from service.settings import Settings
from service.tables import Base
from tests.postgres import server_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def sqlite_templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ketnoi.db and keys.db, migrated and empty."""
    folder = tmp_path_factory.mktemp("templates")
    for name, store in (("ketnoi.db", Store.RECORDS), ("keys.db", Store.KEYS)):
        engine = database.connect(f"sqlite:///{folder / name}")
        database.migrate(engine, store)
        engine.dispose()
    return folder


class PostgresDatabase:
    """A database of this run, empty whenever a test asks for it."""

    def __init__(self) -> None:
        self._name = ""

    def emptied(self) -> str:
        """Its URL."""
        if not (self._name and self._empty()):
            self.drop()
            self._make()
        return _address(self._name)

    def drop(self) -> None:
        if self._name:
            _on_server(f'DROP DATABASE "{self._name}" WITH (FORCE)')

    def _make(self) -> None:
        self._name = f"ketnoi_test_{uuid.uuid4().hex[:12]}"
        _on_server(f'CREATE DATABASE "{self._name}"')
        engine = database.connect(_address(self._name))
        database.migrate(engine)
        database.migrate(engine, Store.KEYS)
        engine.dispose()

    def _empty(self) -> bool:
        """False where the tables are not ours any more, or somebody still holds them."""
        engine = database.connect(_address(self._name), lock_timeout=2)
        try:
            with engine.begin() as connection:
                if not _is_as_migrated(connection):
                    return False
                connection.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))
                for table in _filled(connection):
                    connection.execute(text(f"DELETE FROM {table}"))
                connection.execute(text("ALTER TABLE audit ENABLE TRIGGER USER"))
        except OperationalError:
            return False
        finally:
            engine.dispose()
        return True


_TABLES = [table.name for base in (Base, KeyBase) for table in reversed(base.metadata.sorted_tables)]


def _is_as_migrated(connection: Connection) -> bool:
    there = set(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))
    if there != {*_TABLES, *map(database.version_table, Store)}:
        return False
    config = database.migration_config(Store.RECORDS)
    head = ScriptDirectory.from_config(config).get_current_head()
    return connection.scalar(text("SELECT version_num FROM alembic_version")) == head


def _filled(connection: Connection) -> list[str]:
    """Tables that hold rows, those that refer to others first."""
    probe = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in _TABLES)
    filled = set(connection.scalars(text(probe)))
    return [name for name in _TABLES if name in filled]


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[PostgresDatabase]:
    kept = PostgresDatabase()
    yield kept
    kept.drop()


@pytest.fixture
def settings(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Settings of an installation of its own: data folder, installation key, migrated databases."""
    data_dir = tmp_path / "data"
    prepare_installation_key(data_dir)
    if backend == "sqlite":
        templates: Path = request.getfixturevalue("sqlite_templates")
        for name in ("ketnoi.db", "keys.db"):
            shutil.copy(templates / name, data_dir / name)
        return Settings(data_dir=data_dir, public_url="http://ketnoi.test")
    kept: PostgresDatabase = request.getfixturevalue("postgres_database")
    address = kept.emptied()
    return Settings(data_dir=data_dir, database_url=address, keys_url=address, public_url="http://ketnoi.test")


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = database.connect(settings.database)
    yield engine
    engine.dispose()


@pytest.fixture
def keys_engine(settings: Settings) -> Iterator[Engine]:
    engine = database.connect(settings.keys, erasable=True)
    yield engine
    engine.dispose()


@pytest.fixture
def vault(settings: Settings, keys_engine: Engine) -> Vault:
    return Vault(keys_engine, read_installation_keys(settings.data_dir))


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    """`with sessions.begin() as session:` is one transaction."""
    return database.sessions(engine)


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """One open session for tests that need no second one; the test commits where it means to."""
    with sessions() as session:
        yield session


def _address(name: str) -> str:
    server = server_url()
    assert server is not None
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _on_server(statement: str) -> None:
    server = server_url()
    assert server is not None
    engine = database.connect(server).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
