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
    """The form with what it calculates, and which of the given answers a phone would not have asked for.

    Those stand all the same, as in a workbook's examples: who tries a rule tells what matters to it and leaves out the
    way there. Raises Mistake with everything that does not fit the form.
    """
    given = typed(definition, values)
    on_the_phone = fill(definition, given, now)
    return fill(definition, given, now, as_told=True), tuple(path for path in given if path not in on_the_phone)


def typed(definition: FormDefinition, values: Mapping[str, Any]) -> Answers:
    """The given answers and nothing else. Raises Mistake."""
    given = from_given(definition, values)
    if given.problems:
        raise problems(given.problems)
    return given.answers


def problems(found: Iterable[AnswerFinding]) -> Mistake:
    texts = [item.problem for item in found]
    return Mistake(Text(" ".join(text.vi for text in texts), " ".join(text.en for text in texts)))


def unasked(paths: Iterable[str]) -> Text:
    listed = ", ".join(paths)
    return Text(
        f"Với các câu trả lời này điện thoại không hỏi: {listed}. Ở đây vẫn tính như đã cho.",
        f"With these answers the phone would not ask: {listed}. They count here as given.",
    )
