"""The only reader of the clock. Everything else is told the time."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, in UTC, zone-aware."""
    return datetime.now(UTC)


def stopwatch() -> float:
    """Seconds since an arbitrary start, for measuring how long something took."""
    return time.monotonic()
