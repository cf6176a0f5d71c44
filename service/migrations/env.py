"""Alembic runs this file. The connection, its transaction and the choice of store come from database.py."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON, Enum, MetaData

from service import key_store, tables
from service.database import Store, version_table

_METADATA: dict[Store, MetaData] = {
    Store.RECORDS: tables.Base.metadata,
    Store.KEYS: key_store.KeyBase.metadata,
}


def _render(kind: str, thing: Any, autogen: Any) -> str | Literal[False]:
    """Types are written as what the database holds: an old migration must not change when our own types do."""
    if kind == "type" and isinstance(thing, JSON):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return "sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')"
    if kind == "type" and isinstance(thing, tables.Instant):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(thing, Enum):
        return f"sa.String(length={thing.length})"
    return False


def run() -> None:
    attributes = context.config.attributes
    store: Store = attributes["store"]
    context.configure(
        connection=attributes["connection"],
        target_metadata=_METADATA[store],
        version_table=version_table(store),
        # Both stores may live in one database: neither may take the other's tables for its own.
        include_name=lambda name, kind, _: kind != "table" or name in _METADATA[store].tables,
        render_item=_render,
        render_as_batch=True,
        compare_type=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
