"""Typed reading of a workbook's cells: what does not fit is gathered, with its place and its cure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

from forms.sheets import Cell, Finding, Level, Text
from forms.suggestions import did_you_mean
from forms.workbook import Row, Sheet, Workbook
from rules.model import DEFAULT_LANGUAGE

E = TypeVar("E", bound=StrEnum)

#: Ids, codes and names stand inside expressions and between spaces, so they hold no space, quote, brace or dollar.
_NAME = re.compile(r"[^\s${}'\"]+")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_LANGUAGE_CODE = re.compile(r"\(([A-Za-z-]+)\)\s*$")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


class Cells:
    """Reads cells of one workbook and gathers findings, so that a sheet is mended in one round."""

    def __init__(self, workbook: Workbook) -> None:
        self.workbook = workbook
        self.found: list[Finding] = []

    @property
    def language(self) -> str:
        """The code of default_language in `settings`: `Tiếng Việt (vi)` and `vi` are the same."""
        rows = self.workbook.rows("settings")
        value = rows[0].get("default_language") if rows else ""
        code = _LANGUAGE_CODE.search(value)
        return code.group(1) if code else value or DEFAULT_LANGUAGE

    def texts(self, row: Row, column: str) -> dict[str, str]:
        """Text per language code; a column without a language is in the default language."""
        found = row.translations(column)
        if "" in found:
            bare = found.pop("")
            found.setdefault(self.language, bare)
        return found

    def error(self, code: str, cell: Cell, problem: Text, cure: Text) -> None:
        self.found.append(Finding(code, Level.ERROR, cell, problem, cure, self.workbook.file))

    def warn(self, code: str, cell: Cell, problem: Text, cure: Text) -> None:
        self.found.append(Finding(code, Level.WARNING, cell, problem, cure, self.workbook.file))

    def headings(self, sheet: Sheet, required: Sequence[str], optional: Sequence[str], texts: Sequence[str]) -> None:
        """Columns that must be there and are not, and columns that nobody reads. `texts` may carry `::language`."""
        bases = {heading.partition("::")[0].strip() for heading in sheet.headings}
        for column in required:
            if column not in bases:
                self.error(
                    "rules.column-missing",
                    sheet.cell(None, column),
                    Text(f"Thiếu cột '{column}'.", f"The column '{column}' is missing."),
                    Text("Thêm cột này vào dòng tiêu đề.", "Add it to the heading row."),
                )
        known = {*required, *optional, *texts}
        for heading in sheet.headings:
            base, separator, _ = heading.partition("::")
            if base.strip() in texts or (base.strip() in known and not separator):
                continue
            self.warn(
                "rules.unknown-column",
                sheet.cell(None, heading),
                Text(f"Không có cột nào tên '{heading}'; cột này bị bỏ qua.", f"Column '{heading}' is read by nobody."),
                did_you_mean(base.strip(), known, Text("Sửa tên hoặc xóa cột.", "Correct its name, or delete it.")),
            )

    def required(self, row: Row, column: str) -> str:
        value = row.get(column)
        # A column that is missing has been reported once; not again in every row.
        if not value and column in row.sheet.headings:
            self.error(
                "rules.blank",
                row.cell(column),
                Text("Ô này không được để trống.", "This cell must not be blank."),
                Text("Điền giá trị, hoặc xóa cả dòng.", "Fill it in, or delete the row."),
            )
        return value

    def name(self, row: Row, column: str, *, required: bool = False) -> str:
        value = self.required(row, column) if required else row.get(column)
        if value and not _NAME.fullmatch(value):
            self._bad_name(row, column, value)
        return value

    def names(self, row: Row, column: str) -> tuple[str, ...]:
        """Several names separated by spaces (commas are forgiven), each once."""
        found = tuple(dict.fromkeys(row.get(column).replace(",", " ").split()))
        for value in found:
            if not _NAME.fullmatch(value):
                self._bad_name(row, column, value)
        return found

    def one_of(self, row: Row, column: str, kind: type[E], default: E) -> E:
        return self.maybe_one_of(row, column, kind) or default

    def maybe_one_of(self, row: Row, column: str, kind: type[E]) -> E | None:
        value = row.get(column)
        return self._member(row, column, kind, value) if value else None

    def several_of(self, row: Row, column: str, kind: type[E]) -> tuple[E, ...]:
        found = (self._member(row, column, kind, value) for value in row.get(column).replace(",", " ").split())
        return tuple(dict.fromkeys(item for item in found if item is not None))

    def whole(self, row: Row, column: str, *, least: int | None = None) -> int | None:
        """A whole number, None where the cell is blank or wrong."""
        value = row.get(column)
        if not value:
            return None
        if not _INTEGER.fullmatch(value) or (least is not None and int(value) < least):
            self.not_a_number(row, column, value, whole=True)
            return None
        return int(value)

    def number(self, row: Row, column: str) -> Fraction | None:
        """An exact number: 0.1 is a tenth."""
        value = row.get(column)
        if not value:
            return None
        if not _NUMBER.fullmatch(value):
            self.not_a_number(row, column, value)
            return None
        return Fraction(value)

    def date(self, row: Row, column: str) -> dt.date | None:
        value = row.get(column)
        if not value:
            return None
        try:
            return dt.date.fromisoformat(value[:10])
        except ValueError:
            self.error(
                "rules.not-a-date",
                row.cell(column),
                Text(f"'{value}' không phải ngày.", f"'{value}' is not a date."),
                Text("Viết năm-tháng-ngày, ví dụ 2026-01-31.", "Write year-month-day, such as 2026-01-31."),
            )
            return None

    def unique(self, rows: Iterable[Row], key: Callable[[Row], str], column: str) -> list[Row]:
        """Rows whose key stands for the first time; the others are errors that name the first."""
        first: dict[str, int] = {}
        kept = []
        for row in rows:
            name = key(row)
            if name in first:
                self.error(
                    "rules.duplicate",
                    row.cell(column),
                    Text(f"'{name}' đã có ở dòng {first[name]}.", f"'{name}' already stands in row {first[name]}."),
                    Text("Đổi tên một trong hai dòng.", "Rename one of the two rows."),
                )
                continue
            if name:
                first[name] = row.number
            kept.append(row)
        return kept

    def not_a_number(self, row: Row, column: str, value: str, *, whole: bool = False) -> None:
        mended = value.replace(",", ".")
        example = mended if "," in value and _NUMBER.fullmatch(mended) and not whole else "7"
        kind = Text("số nguyên không âm", "a whole number, 0 or more") if whole else Text("số", "a number")
        self.error(
            "rules.not-a-number",
            row.cell(column),
            Text(f"'{value}' không phải {kind.vi}.", f"'{value}' is not {kind.en}."),
            Text(f"Chỉ viết số, ví dụ {example}.", f"Write the number alone, such as {example}."),
        )

    def _member(self, row: Row, column: str, kind: type[E], value: str) -> E | None:
        try:
            return kind(value.lower())
        except ValueError:
            choices = ", ".join(item.value for item in kind)
            self.error(
                "rules.unknown-value",
                row.cell(column),
                Text(f"Không có giá trị '{value}'.", f"There is no value '{value}'."),
                did_you_mean(
                    value.lower(),
                    [item.value for item in kind],
                    Text(f"Chọn một trong: {choices}.", f"Choose one of: {choices}."),
                ),
            )
            return None

    def _bad_name(self, row: Row, column: str, value: str) -> None:
        self.error(
            "rules.bad-name",
            row.cell(column),
            Text(f"'{value}' không dùng được làm tên.", f"'{value}' cannot be a name."),
            Text(
                "Bỏ dấu cách, dấu nháy, ngoặc nhọn và ký hiệu $; dùng gạch dưới.",
                "Leave out spaces, quotes, braces and $; use an underscore.",
            ),
        )
