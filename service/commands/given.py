"""Answers that somebody typed, filled in as the phone would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from forms.answers import from_given
from forms.definition import AnswerFinding, Answers, FormDefinition
from forms.fill import fill
from forms.sheets import Text
from service.commands.printing import Mistake


def filled(definition: FormDefinition, values: Mapping[str, Any], now: datetime) -> tuple[Answers, tuple[str, ...]]:
    """The form as the phone would send it, and which of the given answers it would not keep because their question
    does not apply. Raises Mistake with everything that does not fit the form."""
    given = typed(definition, values)
    answers = fill(definition, given, now)
    return answers, tuple(path for path in given if path not in answers)


def typed(definition: FormDefinition, values: Mapping[str, Any]) -> Answers:
    """The given answers and nothing else. Raises Mistake."""
    given = from_given(definition, values)
    if given.problems:
        raise problems(given.problems)
    return given.answers


def problems(found: Iterable[AnswerFinding]) -> Mistake:
    texts = [item.problem for item in found]
    return Mistake(Text(" ".join(text.vi for text in texts), " ".join(text.en for text in texts)))


def not_kept(paths: Iterable[str]) -> Text:
    listed = ", ".join(paths)
    return Text(
        f"Không tính các câu sau, vì với các câu trả lời này biểu mẫu không hỏi chúng: {listed}.",
        f"Left out, because with these answers the form does not ask it: {listed}.",
    )
