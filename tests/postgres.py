"""Where a PostgreSQL server for the tests can be found."""

import os
from functools import cache

#: Tried in turn: a local server over its socket, then over TCP, as Debian's packages set them up.
_USUAL = ("postgresql:///postgres", "postgresql://postgres@127.0.0.1:5432/postgres")


@cache
def server_url() -> str | None:
    """URL of a server on which databases may be made and dropped; None where there is none."""
    try:
        import psycopg
    except ImportError:
        return None
    given = os.environ.get("KETNOI_TEST_POSTGRES_URL")
    for url in (given,) if given else _USUAL:
        try:
            with psycopg.connect(url, connect_timeout=2):
                return url
        except psycopg.OperationalError:
            continue
    return None
