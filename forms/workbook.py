"""Spreadsheets → numbered rows, as Excel numbers them.

Reads .xlsx from Excel or LibreOffice, and Markdown tables so that a test can show the sheet it is about.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import openpyxl
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from forms.sheets import Cell, Checked, Finding, Level, Text

#: Excel's autocorrection turns straight quotes into these; expressions need the plain ones.
_QUOTES = str.maketrans({"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "\u00a0": " "})

#: `Tiếng Việt (vi)` → vi: how XLSForm writes a language.
_LANGUAGE_CODE = re.compile(r"\(([A-Za-z-]+)\)\s*$")

#: A workbook of 50,000 choices unpacks to about 30 MB; ten times that is an attack or a mistake.
MAX_UNPACKED_BYTES = 300_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a sheet: heading → text, blanks left out."""

    sheet: Sheet
    number: int
    values: Mapping[str, str]

    def get(self, column: str, default: str = "") -> str:
        return self.values.get(column, default)

    def cell(self, column: str | None = None) -> Cell:
        letter = self.sheet.letters.get(column) if column else None
        return Cell(self.sheet.name, self.number, column, letter)

    def translations(self, column: str) -> dict[str, str]:
        """Text per language code of `column::Tiếng Việt (vi)`, `column::English (en)`; a bare `column` is under ""."""
        found = {}
        for heading, value in self.values.items():
            name, separator, language = heading.partition("::")
            if name.strip() == column:
                code = _LANGUAGE_CODE.search(language)
                found[code.group(1) if code else language.strip() if separator else ""] = value
        return found


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet with its heading row. Blank rows are left out, but they count in the numbers of the others."""

    name: str
    headings: tuple[str, ...]
    letters: Mapping[str, str]
    rows: tuple[Row, ...] = field(default=(), compare=False)

    def cell(self, row: int | None = None, column: str | None = None) -> Cell:
        return Cell(self.name, row, column, self.letters.get(column) if column else None)


@dataclass(frozen=True, slots=True)
class Workbook:
    """The sheets of a file by name, lower-case and stripped, in the order of the tabs."""

    sheets: Mapping[str, Sheet]
    file: str = ""

    def rows(self, name: str) -> tuple[Row, ...]:
        sheet = self.sheets.get(name)
        return sheet.rows if sheet else ()


def plain(text: str) -> str:
    """NFC, straight quotes, no surrounding space: what an author meant to type."""
    return unicodedata.normalize("NFC", text).translate(_QUOTES).strip()


def read(data: bytes, file: str = "") -> Checked[Workbook]:
    """Read an .xlsx. Cells come as text: 1.0 → "1", dates → ISO 8601, TRUE/FALSE as Excel shows them.

    A formula counts as the value that Excel stored; without one it is an error that names the cell.
    """
    found: list[Finding] = []
    try:
        _refuse_bomb(data)
        values = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
        formulas = openpyxl.load_workbook(io.BytesIO(data), data_only=False)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, OSError, TypeError) as error:
        return Checked(None, (_unreadable(file, error),))
    sheets = {}
    for sheet in values.worksheets:
        if not hasattr(sheet, "iter_rows"):
            continue
        name = plain(sheet.title).lower()
        grid = _grid(sheet.iter_rows(values_only=True), formulas[sheet.title].iter_rows(values_only=True))
        sheets[name] = _sheet(name, grid, found)
    findings = tuple(_in_file(item, file) for item in found)
    return Checked(Workbook(sheets, file), findings)


def from_markdown(text: str, file: str = "") -> Workbook:
    """A workbook written as Markdown tables, as pyxform's own tests do: `| sheet |`, then indented rows."""
    sheets: dict[str, list[tuple[int, list[str]]]] = {}
    current = ""
    for line in text.strip().splitlines():
        stripped = line.strip()
        if not stripped.startswith("|"):
            continue
        cells = [part.strip() for part in re.split(r"(?<!\\)\|", stripped)[1:-1]]
        if cells and cells[0]:
            current = cells[0].lower()
            sheets[current] = []
        elif current:
            rows = sheets[current]
            rows.append((len(rows) + 1, [item.replace("\\|", "|") for item in cells[1:]]))
    found: list[Finding] = []
    return Workbook({name: _sheet(name, rows, found) for name, rows in sheets.items()}, file)


def _refuse_bomb(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(item.file_size for item in archive.infolist()) > MAX_UNPACKED_BYTES:
            raise ValueError("the file unpacks to more than 300 MB")


def _unreadable(file: str, error: Exception) -> Finding:
    return Finding(
        "workbook.unreadable",
        Level.ERROR,
        Cell("(tệp)"),
        Text(f"Không đọc được tệp Excel ({error}).", f"This is not a readable Excel file ({error})."),
        Text("Mở bằng Excel rồi lưu lại dạng .xlsx.", "Open it in Excel and save it again as .xlsx."),
        file,
    )


def _in_file(finding: Finding, file: str) -> Finding:
    return Finding(finding.code, finding.level, finding.cell, finding.problem, finding.cure, file)


def _grid(
    values: Iterable[tuple[object, ...]], formulas: Iterable[tuple[object, ...]]
) -> Iterator[tuple[int, list[object]]]:
    for number, (shown, written) in enumerate(zip(values, formulas, strict=True), start=1):
        row = list(shown)
        for index, item in enumerate(written):
            if row[index] is None and isinstance(item, str) and item.startswith("="):
                row[index] = _NoValue(item)
        yield number, row


@dataclass(frozen=True, slots=True)
class _NoValue:
    formula: str


def _sheet(
    name: str, grid: Iterable[tuple[int, list[object]]] | list[tuple[int, list[str]]], found: list[Finding]
) -> Sheet:
    headings: list[str] = []
    letters: dict[str, str] = {}
    shell: Sheet | None = None
    rows: list[Row] = []
    for number, cells in grid:
        texts = [_text(item, Cell(name, number, None, get_column_letter(i + 1)), found) for i, item in enumerate(cells)]
        if shell is None:
            if not any(texts):
                continue
            headings = [plain(item) for item in texts]
            letters = {h: get_column_letter(i + 1) for i, h in enumerate(headings) if h}
            shell = Sheet(name, tuple(h for h in headings if h), letters)
            continue
        values = {h: v for h, v in zip(headings, texts, strict=False) if h and v}
        if values:
            rows.append(Row(shell, number, values))
    return Sheet(name, shell.headings if shell else (), letters, tuple(rows))


def _text(value: object, cell: Cell, found: list[Finding]) -> str:
    if value is None:
        return ""
    if isinstance(value, _NoValue):
        found.append(_formula_without_value(cell, value.formula))
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, dt.datetime):
        at_midnight = value.time() == dt.time()
        return value.date().isoformat() if at_midnight else value.isoformat(sep=" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return plain(str(value))


def _formula_without_value(cell: Cell, formula: str) -> Finding:
    return Finding(
        "workbook.formula-without-value",
        Level.ERROR,
        cell,
        Text(f"Công thức {formula} chưa có giá trị lưu sẵn.", f"The formula {formula} has no stored value."),
        Text(
            "Mở tệp bằng Excel, lưu lại; hoặc dán giá trị thay cho công thức.",
            "Open the file in Excel and save it, or paste the value instead of the formula.",
        ),
    )
