"""Write a migration for what changed in the tables: `python -m service.migrations "what it does" [--keys]`.

It compares the tables with a throw-away SQLite database at the latest migration. Read what it wrote: data that must
be filled in, triggers and renamings are not seen by it.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from alembic import command

from service.database import Store, connect, migrate, migration_config


def write(title: str, store: Store, folder: Path) -> None:
    engine = connect(f"sqlite:///{folder / 'trial.db'}")
    migrate(engine, store)
    config = migration_config(store)
    config.set_main_option("file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(slug)s")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.revision(config, title, autogenerate=True, rev_id=_revision(title))
    engine.dispose()


def _revision(title: str) -> str:
    """A name instead of a random number; Alembic keeps 32 characters of it."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:32]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m service.migrations", description=__doc__)
    parser.add_argument("title")
    parser.add_argument("--keys", action="store_true", help="of the key store, not of the records")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(given.title, Store.KEYS if given.keys else Store.RECORDS, Path(folder))


if __name__ == "__main__":
    main()
