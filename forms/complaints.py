"""What pyxform and ODK Validate say, turned into findings with their place in the workbook."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from forms.sheets import Cell, Finding, Level, Text
from forms.survey import Survey

_ROW = re.compile(r"\[row : (\d+)\]\s*")
_SHEET = re.compile(r"(?:On the '(\w+)' sheet|for sheet: '(\w+)')")
_COLUMN = re.compile(r"the '([^']+)' value")

_SEE_ROW = Text("Xem lại dòng này.", "Look at this row again.")


@dataclass(frozen=True, slots=True)
class _Known:
    """A message of pyxform that we can say in both languages, and how to find its row where it names none."""

    pattern: re.Pattern[str]
    code: str
    vi: str
    en: str
    cure: Text
    find: Callable[[Survey, re.Match[str]], Cell | None] = lambda survey, match: None


def _row_of_type(survey: Survey, match: re.Match[str]) -> Cell | None:
    return next((survey.columns.cell(item.row, "type") for item in survey.items if item.type == match[1]), None)


def _row_of_name(survey: Survey, match: re.Match[str]) -> Cell | None:
    return next((survey.columns.cell(item.row, "name") for item in survey.names.get(match[1], ())), None)


def _row_of_first_name(survey: Survey, text: str) -> Cell | None:
    """The row of the first quoted word that is a question's name."""
    named = (item for word in re.findall(r"'([^']+)'", text) for item in survey.names.get(word, ()))
    return next((survey.columns.cell(item.row, "name") for item in named), None)


def _row_of_choice(survey: Survey, match: re.Match[str]) -> Cell | None:
    columns = survey.choice_columns
    rows = survey.lists.get(match[2], ())
    return next((columns.cell(row, "name") for row in rows if columns.value(row, "name") == match[1]), None)


_KNOWN = (
    _Known(
        re.compile(r"Unknown question type '(.*)'"),
        "forms.unknown-type",
        "Không có loại câu hỏi '{0}'.",
        "There is no question type '{0}'.",
        Text("Chọn một loại của XLSForm, như integer, text, date.", "Take a type of XLSForm: integer, text, date."),
        _row_of_type,
    ),
    _Known(
        re.compile(r"The survey element named '(.*)' has no label or hint"),
        "forms.no-label",
        "Câu hỏi '{0}' không có nhãn.",
        "Question '{0}' has no label.",
        Text("Viết nhãn vào cột label.", "Write its label into the column label."),
        _row_of_name,
    ),
    _Known(
        re.compile(r"Choice names with spaces .* See \[(.*)\] in \[(.*)\]"),
        "forms.choice-name-with-space",
        "Tên lựa chọn '{0}' có dấu cách.",
        "The choice name '{0}' has a space.",
        Text("Thay dấu cách bằng dấu gạch dưới.", "Put an underscore instead of the space."),
        _row_of_choice,
    ),
    _Known(
        re.compile(r"Unmatched '(begin_\w+|end_\w+)'"),
        "forms.unbalanced",
        "'{0}' không có cặp.",
        "'{0}' has no partner.",
        Text("Mỗi begin cần một end cùng loại, lồng đúng thứ tự.", "Each begin needs its end, properly nested."),
    ),
    _Known(
        re.compile(r"List name not in (?:external )?choices sheet: (\S+)"),
        "forms.missing-list",
        "Danh sách '{0}' không có trong trang choices.",
        "The list '{0}' is not in the sheet choices.",
        Text("Thêm danh sách vào trang choices, hoặc sửa tên.", "Add the list to the sheet choices, or mend the name."),
    ),
    _Known(
        re.compile(r"Could not find the name '(.*)'"),
        "forms.unknown-name",
        "Không có câu hỏi tên '{0}'.",
        "There is no question named '{0}'.",
        Text("Sửa tên giữa ${ và }.", "Mend the name between ${ and }."),
    ),
)


def located(message: str, survey: Survey) -> tuple[Finding, ...]:
    """pyxform's message as findings. One message may speak of several rows, a line each."""
    lines = message.splitlines()
    several = len(lines) > 1 and all(_ROW.match(line) for line in lines)
    return tuple(_finding(part, survey) for part in (lines if several else [message.replace("\n", " ")]))


def _finding(message: str, survey: Survey) -> Finding:
    row, sheet, column = _ROW.search(message), _SHEET.search(message), _COLUMN.search(message)
    text = _ROW.sub("", message).strip()
    name = (sheet[1] or sheet[2]) if sheet else "survey"
    cell = _cell(survey, name, int(row[1]) if row else None, column[1] if column else None)
    for known in _KNOWN:
        if match := known.pattern.search(text):
            cell = cell if row else known.find(survey, match) or cell
            problem = Text(known.vi.format(*match.groups()), known.en.format(*match.groups()))
            return Finding(known.code, Level.ERROR, cell, problem, known.cure)
    cell = cell if row else _row_of_first_name(survey, text) or cell
    return Finding("forms.pyxform", Level.ERROR, cell, Text(f"pyxform báo: {text}", f"pyxform says: {text}"), _SEE_ROW)


def _cell(survey: Survey, sheet: str, row: int | None, column: str | None) -> Cell:
    found = survey.workbook.sheets.get(sheet)
    return found.cell(row, column) if found else Cell(sheet, row, column)
