"""Text as it stands in a submission → a typed answer.

Strict, because Python's own casts take `1_000`, `nan` and Arabic digits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date

from forms.definition import Answer, FieldType

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_ZONE = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
_TIME = re.compile(_CLOCK + _ZONE)
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T" + _CLOCK + _ZONE + ")?")
_DATETIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T" + _CLOCK + _ZONE)
_COORDINATES = re.compile(r"[-+0-9.eE; ]+")
_TRUTH = {"1": True, "true": True, "0": False, "false": False}

#: Reads one text; None where it does not fit.
Reader = Callable[[str], Answer | None]


def _integer(text: str) -> Answer | None:
    text = text.strip()
    return int(text) if _INTEGER.fullmatch(text) else None


def _decimal(text: str) -> Answer | None:
    text = text.strip()
    if not _DECIMAL.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _boolean(text: str) -> Answer | None:
    """Collect stores 1 and 0, the web form true and false."""
    return _TRUTH.get(text.strip())


def _date(text: str) -> Answer | None:
    """A calculated date is stored with its midnight (`2024-03-01T00:00:00.000+07:00`); the day is what counts."""
    found = _DATE.fullmatch(text.strip())
    return found[1] if found and _exists(found[1]) else None


def _datetime(text: str) -> Answer | None:
    text = text.strip()
    found = _DATETIME.fullmatch(text)
    return text if found and _exists(found[1]) else None


def _time(text: str) -> Answer | None:
    text = text.strip()
    return text if _TIME.fullmatch(text) else None


def _exists(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def _names(text: str) -> Answer | None:
    return tuple(text.split())


def _as_sent(text: str) -> Answer | None:
    return text


def _file(text: str) -> Answer | None:
    """A name alone: with a folder in it, it could point outside of where attachments are kept."""
    text = text.strip()
    return None if "/" in text or "\\" in text or text in {".", ".."} else text


def _coordinates(text: str) -> Answer | None:
    text = text.strip()
    return text if _COORDINATES.fullmatch(text) else None


def _stripped(text: str) -> Answer | None:
    return text.strip()


_READERS: Mapping[FieldType, Reader] = {
    FieldType.INTEGER: _integer,
    FieldType.DECIMAL: _decimal,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.DATETIME: _datetime,
    FieldType.TIME: _time,
    FieldType.SELECT_MULTIPLE: _names,
    FieldType.RANK: _names,
    FieldType.FILE: _file,
    FieldType.GEOPOINT: _coordinates,
    FieldType.GEOTRACE: _coordinates,
    FieldType.GEOSHAPE: _coordinates,
    FieldType.TEXT: _as_sent,
    FieldType.NOTE: _as_sent,
}


def reader_of(kind: FieldType) -> Reader:
    """The reader for this type of field."""
    return _READERS.get(kind, _stripped)
