"""What is wrong in the sheets of an XLSForm, all at once, before pyxform stops at the first of it."""

from __future__ import annotations

from forms.lint.choices import choices
from forms.lint.findings import error
from forms.lint.formulas import formulas
from forms.lint.labels import labels
from forms.lint.questions import questions
from forms.lint.settings import settings
from forms.sheets import Cell, Finding, Text
from forms.suggestions import did_you_mean
from forms.survey import Survey

__all__ = ["lint"]


def lint(survey: Survey) -> tuple[Finding, ...]:
    """Every finding of the sheets themselves, sheet by sheet. Findings carry no file name."""
    if "survey" not in survey.workbook.sheets:
        return (_no_survey(survey),)
    return (*settings(survey), *questions(survey), *choices(survey), *labels(survey), *formulas(survey))


def _no_survey(survey: Survey) -> Finding:
    cure = did_you_mean(
        "survey",
        survey.workbook.sheets,
        Text("Đặt tên trang câu hỏi là survey.", "Name the sheet of questions survey."),
    )
    return error(
        "no-survey", Cell("survey"), Text("Tệp không có trang survey.", "The workbook has no sheet survey."), cure
    )
