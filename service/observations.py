"""What an observation keeps under seal: its typed answers and what was found wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from forms.definition import Answer, AnswerFinding, Answers, FieldType, FormDefinition
from forms.sheets import Text

_LISTS = (FieldType.SELECT_MULTIPLE, FieldType.RANK)


def pack(answers: Answers, findings: Sequence[AnswerFinding]) -> bytes:
    """Canonical JSON: `{"answers": {path: value}, "findings": [{code, level, path, vi, en}]}`."""
    document = {
        "answers": dict(answers),
        "findings": [
            {"code": item.code, "level": item.level, "path": item.path, "vi": item.problem.vi, "en": item.problem.en}
            for item in findings
        ],
    }
    return canonical(document)


def unpack(document: bytes, form: FormDefinition) -> tuple[Answers, tuple[AnswerFinding, ...]]:
    """The answers, typed again as the form says: JSON does not tell a select_multiple from a repeat's column."""
    data = json.loads(document)
    answers = {path: _typed(form, path, value) for path, value in data["answers"].items()}
    findings = tuple(
        AnswerFinding(item["code"], item["level"], item["path"], Text(item["vi"], item["en"]))
        for item in data["findings"]
    )
    return answers, findings


def canonical(document: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys and no spaces: equal documents are equal bytes."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _typed(form: FormDefinition, path: str, value: Any) -> Answer | list[Answer | None]:
    field = form.by_path.get(path)
    plural = field is not None and field.type in _LISTS
    if not isinstance(value, list):
        return value  # type: ignore[no-any-return]  # JSON's own types are the typed answers.
    if field is not None and field.repeats:
        return [tuple(row) if plural and row is not None else row for row in value]
    return tuple(value)
