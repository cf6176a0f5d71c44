"""«Did you mean …?»"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

from forms.sheets import Text


def nearest(written: str, names: Iterable[str]) -> str | None:
    """The name that an author most likely meant, None if no name is near. Case and diacritics count little."""
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(_fold(name), name)
    found = get_close_matches(_fold(written), folded, n=1, cutoff=0.65)
    return folded[found[0]] if found else None


def did_you_mean(written: str, names: Iterable[str], otherwise: Text) -> Text:
    """The cure for a wrong name: the nearest right one, else `otherwise`."""
    found = nearest(written, names)
    return Text(f"Có phải '{found}'?", f"Did you mean '{found}'?") if found else otherwise


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text.lower()).replace("đ", "d")
    return "".join(item for item in decomposed if not unicodedata.combining(item))
