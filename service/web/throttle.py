"""Slows down the guessing of passwords without ever locking anybody out."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta

#: Wrong answers that are free. Collect sends a wrong password about twice for each press of a button.
FREE = 20
#: Thereafter one more is let through each time this has passed: 2,880 a day, against 10 characters or more.
REFILL = timedelta(seconds=30)
#: Keys remembered at once; the one unused for longest is forgotten first.
REMEMBERED = 10_000


class Throttle:
    """Counts wrong answers per key, in this process. Who waits is told how long; the count runs off by itself.

    A key should name address and user together: then a guesser from elsewhere does not slow down the real phone.
    """

    def __init__(self, free: int = FREE, refill: timedelta = REFILL, remembered: int = REMEMBERED) -> None:
        self._free, self._refill, self._remembered = free, refill, remembered
        self._levels: OrderedDict[str, tuple[float, datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, key: str, now: datetime) -> timedelta:
        """How long this key has to wait before its next try is looked at; zero most of the time."""
        with self._lock:
            return max(self._level(key, now) - self._free + 1, 0) * self._refill

    def failed(self, key: str, now: datetime) -> None:
        with self._lock:
            self._levels[key] = (self._level(key, now) + 1, now)
            self._levels.move_to_end(key)
            while len(self._levels) > self._remembered:
                self._levels.popitem(last=False)

    def _level(self, key: str, now: datetime) -> float:
        level, at = self._levels.get(key, (0.0, now))
        return max(level - (now - at) / self._refill, 0.0)
