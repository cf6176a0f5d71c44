"""Log lines on stderr: plain words with ids beside them, and nothing personal.

A line says an event and, in `extra`, only names from ALLOWED with short codes, numbers and ids as values. Tracebacks
give types and places, never an exception's own words, for those quote what was sent. Addresses that phones call hold
their tokens, so requests are not logged at all.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
import uuid
from datetime import UTC, datetime
from typing import Literal

from service.settings import Settings

#: What may stand beside an event. A new name is added here when it can hold nothing personal.
ALLOWED = frozenset(
    {
        "action",
        "alone",
        "attempt",
        "batch",
        "claimed",
        "count",
        "decided",
        "decision",
        "decisions",
        "device",
        "engine",
        "error",
        "error_class",
        "exit_code",
        "failed",
        "files",
        "form",
        "kind",
        "ms",
        "outcome",
        "pid",
        "port",
        "problem",
        "quarantined",
        "referrals",
        "retry_in",
        "rule",
        "rulebook",
        "rules",
        "seconds",
        "size",
        "state",
        "status",
        "submission",
        "submissions",
        "tries",
        "user",
        "version",
        "waiting",
        "worker",
    }
)
#: What a text beside an event must look like: a code, never a sentence, a name or a number that can be called.
_CODE = re.compile(r"[A-Za-z0-9_.:/@-]{1,80}")
_PHONE = re.compile(r"\+?\d{8,}")
_OURS = ("service", "rules", "forms", "integrations")
_HIDDEN = "[hidden]"


def configure(settings: Settings) -> None:
    """Send all logging of this process to stderr. Start uvicorn with log_config=None and Celery without its own."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(settings.log_format))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # Its lines hold whole addresses, and with them the tokens of phones.
    logging.getLogger("uvicorn.access").disabled = True
    for noisy in ("sqlalchemy", "alembic", "python_multipart", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def formatter(kind: Literal["plain", "json"]) -> logging.Formatter:
    return JsonLines() if kind == "json" else PlainLines()


class PlainLines(logging.Formatter):
    """`2026-03-10T02:30:00Z INFO batch processed submissions=50`"""

    def format(self, record: logging.LogRecord) -> str:
        beside = "".join(f" {name}={value}" for name, value in _beside(record).items())
        line = f"{_at(record)} {record.levelname} {_event(record)}{beside}"
        return "\n".join([line, *_places(record)])


class JsonLines(logging.Formatter):
    """One object a line: at, level, logger, event, the extras, and `traceback` as a list of lines."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"at": _at(record), "level": record.levelname, "logger": record.name, "event": _event(record)}
        places = _places(record)
        return json.dumps({**line, **_beside(record), **({"traceback": places} if places else {})}, ensure_ascii=False)


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event(record: logging.LogRecord) -> str:
    """Our own events are constant words: were something put into them after all, it is left out."""
    if record.name.partition(".")[0] in _OURS:
        return str(record.msg)
    return record.getMessage()


def _beside(record: logging.LogRecord) -> dict[str, str | int | float | bool]:
    return {name: _harmless(value) for name, value in record.__dict__.items() if name in ALLOWED}


def _harmless(value: object) -> str | int | float | bool:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, uuid.UUID):
        return str(value)
    text = str(value)
    return text if _CODE.fullmatch(text) and not _PHONE.fullmatch(text) else _HIDDEN


def _places(record: logging.LogRecord) -> list[str]:
    """Each exception of the chain, the cause first: its type, and where it passed."""
    lines: list[str] = []
    error = record.exc_info[1] if record.exc_info else None
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"    {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        lines = [f"  {type(error).__module__}.{type(error).__qualname__}", *places, *lines]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines
