"""The sheet `choices`: every list with its names."""

from __future__ import annotations

from collections.abc import Iterator

from forms.definition import FieldType
from forms.lint.findings import error, warning
from forms.question_types import CHOOSING
from forms.sheets import Finding, Text
from forms.suggestions import nearest
from forms.survey import Survey
from forms.workbook import Row

_YES = frozenset({"yes", "true", "true()"})
_SEVERAL = frozenset(word for word, kind in CHOOSING.items() if kind is not FieldType.SELECT_ONE)


def choices(survey: Survey) -> Iterator[Finding]:
    sheet = survey.workbook.sheets.get("choices")
    if sheet is None:
        return
    for heading in ("list_name", "name"):
        if survey.choice_columns.heading(heading) is None:
            near = nearest(heading, sheet.headings)
            cure = Text(f"Đổi '{near}' thành '{heading}'.", f"Call '{near}' {heading}.") if near else _ADD_COLUMN
            problem = Text(f"Trang choices thiếu cột {heading}.", f"The sheet choices has no column {heading}.")
            yield error("no-choice-column", sheet.cell(None, heading), problem, cure)
            return
    for first, second in survey.choice_columns.doubled:
        yield error(
            "double-column",
            sheet.cell(None, second),
            Text(f"Cột '{first}' và '{second}' là cùng một cột.", f"'{first}' and '{second}' are the same column."),
            Text("Giữ một cột, xóa cột kia.", "Keep one of them."),
        )
    several = {item.list_name for item in survey.items if item.select in _SEVERAL}
    for name, rows in survey.lists.items():
        yield from _list(survey, name, rows, several=name in several)


_ADD_COLUMN = Text("Thêm cột này.", "Add this column.")


def _list(survey: Survey, name: str, rows: tuple[Row, ...], *, several: bool) -> Iterator[Finding]:
    columns = survey.choice_columns
    seen: dict[str, int] = {}
    twice_allowed = survey.setting("allow_choice_duplicates").lower() in _YES
    for row in rows:
        choice = columns.value(row, "name")
        if not name:
            yield error(
                "choice-without-list",
                columns.cell(row, "list_name"),
                Text("Lựa chọn này không thuộc danh sách nào.", "This choice belongs to no list."),
                Text("Ghi tên danh sách vào cột list_name.", "Write the name of its list into list_name."),
            )
        elif not choice:
            yield error(
                "choice-without-name",
                columns.cell(row, "name"),
                Text("Lựa chọn này chưa có name.", "This choice has no name."),
                Text("Ghi mã ngắn, như yes hoặc 1.", "Write a short code, such as yes or 1."),
            )
        elif choice in seen and not twice_allowed:
            yield error(
                "double-choice",
                columns.cell(row, "name"),
                Text(
                    f"Danh sách '{name}' đã có '{choice}' ở dòng {seen[choice]}.",
                    f"The list '{name}' has '{choice}' already, in row {seen[choice]}.",
                ),
                Text("Đặt mã khác cho lựa chọn này.", "Give this choice another code."),
            )
        elif several and len(choice.split()) > 1:
            yield error(
                "choice-name-with-space",
                columns.cell(row, "name"),
                Text(
                    f"Mã '{choice}' có dấu cách; câu hỏi nhiều lựa chọn sẽ đọc thành hai.",
                    f"The code '{choice}' has a space; a question with several answers would read two of it.",
                ),
                Text(f"Viết '{'_'.join(choice.split())}'.", f"Write '{'_'.join(choice.split())}'."),
            )
        elif not columns.anywhere(row, "label") and not columns.anywhere(row, "image"):
            yield warning(
                "choice-without-label",
                columns.cell(row, "label"),
                Text(f"Lựa chọn '{choice}' chưa có nhãn.", f"The choice '{choice}' has no label."),
                Text("Viết nhãn vào cột label.", "Write its label into the column label."),
            )
        seen.setdefault(choice, row.number)
