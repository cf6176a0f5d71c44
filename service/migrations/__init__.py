"""Alembic's migrations: `versions` of the records, `key_versions` of the key store. database.py runs them."""
