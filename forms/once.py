"""What is worked out once for each revision of a form, and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from forms.definition import FormDefinition

T = TypeVar("T")


class OncePerForm(Generic[T]):
    """Calls `make` once for each content hash and keeps the last `size` results. Safe with threads.

    Two threads may both make the same thing; the results are equal, so either may stay.
    """

    def __init__(self, make: Callable[[FormDefinition], T], size: int = 200) -> None:
        self._make = make
        self._size = size
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._lock = Lock()

    def __call__(self, definition: FormDefinition) -> T:
        with self._lock:
            if definition.content_hash in self._kept:
                self._kept.move_to_end(definition.content_hash)
                return self._kept[definition.content_hash]
        made = self._make(definition)
        with self._lock:
            self._kept[definition.content_hash] = made
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return made
