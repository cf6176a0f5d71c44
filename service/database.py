"""Engines, transactions and migrations for SQLite and PostgreSQL: the same code on both, chosen by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from service.problems import Mendable

_MIGRATIONS = Path(__file__).parent / "migrations"
#: Seconds that a migration waits for a table that others use; then it gives up rather than stall every upload.
_MIGRATION_LOCK_TIMEOUT = 10
#: Any number that no other program locks on the same PostgreSQL database.
_MIGRATION_LOCK = 0x6B65746E6F69


class Store(StrEnum):
    """Which set of tables: the records, or the wrapped data keys, which are kept and backed up apart."""

    RECORDS = "versions"
    KEYS = "key_versions"


class MigrationRefused(Mendable):
    """The database was made by a newer release, or is broken."""


def connect(url: str | URL, *, erasable: bool = False, lock_timeout: float = 30.0) -> Engine:
    """An engine for `sqlite:///…` or `postgresql://…` (psycopg 3).

    `erasable` overwrites what is deleted, for the key store. `lock_timeout`: seconds to wait for another's write.
    """
    address = make_url(url)
    if address.drivername in {"postgres", "postgresql"}:
        address = address.set(drivername="postgresql+psycopg")
    if address.get_backend_name() == "sqlite":
        return _connect_sqlite(address, erasable, lock_timeout)
    # Under load every thread of the web server holds a connection: SQLAlchemy's 5 + 10 would time out.
    engine = create_engine(
        address,
        hide_parameters=True,  # An error in the log must not show what was sent.
        pool_size=10,
        max_overflow=40,
        pool_pre_ping=True,
        connect_args={"options": f"-c timezone=UTC -c lock_timeout={round(lock_timeout * 1000)}"},
    )
    event.listen(engine, "handle_error", _say_no_values)
    return engine


def _say_no_values(context: ExceptionContext) -> None:
    """PostgreSQL's errors quote the failing row, and those of class 22 (data) a value: no log may hold them."""
    original, wrapped = context.original_exception, context.sqlalchemy_exception
    told = getattr(original, "diag", None)
    if told is None or told.sqlstate is None:
        return
    said = type(original).__name__ if told.sqlstate.startswith("22") else told.message_primary
    original.args = (said,)
    if wrapped is not None:
        wrapped.args = (f"({type(original).__name__}) {said}",)


def _connect_sqlite(address: URL, erasable: bool, lock_timeout: float) -> Engine:
    engine = create_engine(
        address,
        hide_parameters=True,
        pool_size=10,
        max_overflow=40,
        connect_args={"timeout": lock_timeout, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself: it begins them late, and then without IMMEDIATE.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if erasable:
            connection.execute("PRAGMA secure_delete = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A plain BEGIN that reads and then writes fails at once when another has written meanwhile, whatever
        # the timeout. So who may write takes the lock first, and who only reads is kept from writing.
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if reading else 'OFF'}")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def reading(engine: Engine) -> Engine:
    """The same database, read-only: on SQLite its transactions wait for no writer, and writing is an error."""
    return engine.execution_options(reading=True, postgresql_readonly=True)


def sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions for work that may write. Rows stay readable after the commit."""
    return sessionmaker(engine, expire_on_commit=False)


def reading_sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions for pages and lists that only read."""
    return sessionmaker(reading(engine), expire_on_commit=False)


# ---- migrations -----------------------------------------------------------------------------------


def migration_config(store: Store) -> Config:
    """Alembic's configuration, found beside this file: it works from a clone and from an installed wheel."""
    config = Config()
    # Alembic reads options through configparser, where a percent sign in a folder's name would be a reference.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("version_locations", str(_MIGRATIONS / store.value).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["store"] = store
    return config


def version_table(store: Store) -> str:
    """Both stores may live in one database, so each notes its own version."""
    return "alembic_version" if store is Store.RECORDS else "key_store_version"


def migrate(engine: Engine, store: Store = Store.RECORDS) -> None:
    """Bring the tables to this release. Quick when they are; several processes may call it at once.

    Raises MigrationRefused when the database was made by a newer release.
    """
    config = migration_config(store)
    script = ScriptDirectory.from_config(config)
    if _current(engine, store) == script.get_current_head():
        return
    with _migrating(engine) as connection:
        known = {revision.revision for revision in script.walk_revisions()}
        current = MigrationContext.configure(connection, opts={"version_table": version_table(store)})
        if unknown := set(current.get_current_heads()) - known:
            raise MigrationRefused(
                f"The database is at version {', '.join(sorted(unknown))}, which this release does not know: "
                "a newer release has used it. Install that release, or restore a backup made before it."
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _current(engine: Engine, store: Store) -> str | None:
    with reading(engine).connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": version_table(store)})
        heads = context.get_current_heads()
    return heads[0] if len(heads) == 1 else None


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
    """One transaction, one migrator at a time; what failed half-way leaves nothing behind."""
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            with _sqlite_migration(connection):
                yield connection
            return
        with connection.begin():
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")  # Another's migration is waited for, however long.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_MIGRATION_LOCK_TIMEOUT}s'")
            yield connection


@contextmanager
def _sqlite_migration(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by copying and dropping it: foreign keys are off meanwhile, and checked at the end."""
    driver = connection.connection.cursor()  # Beside SQLAlchemy, for within a transaction the pragma is ignored.
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        with connection.begin():
            yield
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if broken:
                raise MigrationRefused(f"The migration left {len(broken)} rows without the row that they refer to.")
    finally:
        driver.execute("PRAGMA foreign_keys = ON")
