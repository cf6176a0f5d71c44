import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, create_engine, inspect, text

from service import database
from service.database import MigrationRefused, Store


@pytest.mark.parametrize("store", list(Store))
def test_migrations_build_exactly_the_tables(settings, store: Store):
    engine = database.connect(settings.database if store is Store.RECORDS else settings.keys)
    config = database.migration_config(store)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.check(config)  # Raises when the tables and the migrations disagree.
    engine.dispose()


def test_migrating_again_changes_nothing(engine: Engine):
    before = inspect(engine).get_table_names()
    database.migrate(engine)
    assert inspect(engine).get_table_names() == before


def test_processes_that_start_together_migrate_once(tmp_path: Path):
    failures: list[Exception] = []

    def start() -> None:
        try:
            engine = database.connect(f"sqlite:///{tmp_path / 'new.db'}")
            database.migrate(engine)
            engine.dispose()
        except Exception as error:  # Whatever it is, the test tells.
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert "submissions" in inspect(create_engine(f"sqlite:///{tmp_path / 'new.db'}")).get_table_names()


def test_a_database_of_a_newer_release_is_left_alone(engine: Engine):
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from_the_future'"))
    with pytest.raises(MigrationRefused, match="newer release"):
        database.migrate(engine)


def test_a_migration_can_be_taken_back(engine: Engine):
    config = database.migration_config(Store.RECORDS)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert inspect(engine).has_table("submissions") is False


def test_migrations_are_found_from_any_folder(tmp_path: Path):
    script = f"from service import database; e = database.connect('sqlite:///{tmp_path}/a%20b.db'); database.migrate(e)"
    root = Path(database.__file__).parents[1]
    subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(root)}, check=True, capture_output=True
    )
