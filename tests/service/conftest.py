"""One migrated database per test, on SQLite always and on PostgreSQL where a server answers.

A template is migrated once per run and copied per test, so that tests may commit, race and kill as the service does.
"""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.orm import Session, sessionmaker

from service import database
from service.database import Store
from service.sealing import Vault, prepare_installation_key, read_installation_keys
from service.settings import Settings
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


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[str]:
    """Name of a migrated, empty database that holds both stores."""
    name = f"ketnoi_template_{uuid.uuid4().hex[:12]}"
    _on_server(f'CREATE DATABASE "{name}"')
    engine = database.connect(_address(name))
    database.migrate(engine)
    database.migrate(engine, Store.KEYS)
    engine.dispose()
    yield name
    _on_server(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def settings(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Settings of an installation of its own: data folder, installation key, migrated databases."""
    data_dir = tmp_path / "data"
    prepare_installation_key(data_dir)
    if backend == "sqlite":
        templates: Path = request.getfixturevalue("sqlite_templates")
        for name in ("ketnoi.db", "keys.db"):
            shutil.copy(templates / name, data_dir / name)
        yield Settings(data_dir=data_dir, public_url="http://ketnoi.test")
        return
    template: str = request.getfixturevalue("postgres_template")
    name = f"ketnoi_test_{uuid.uuid4().hex[:12]}"
    _on_server(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    address = _address(name)
    yield Settings(data_dir=data_dir, database_url=address, keys_url=address, public_url="http://ketnoi.test")
    _on_server(f'DROP DATABASE "{name}" WITH (FORCE)')


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
