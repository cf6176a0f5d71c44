"""Spreadsheets → numbered rows, as Excel numbers them.

Reads .xlsx from Excel or LibreOffice, and Markdown tables so that a test can show the sheet it is about.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, repeat

import openpyxl
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.workbook import Workbook as Book
from openpyxl.worksheet.formula import ArrayFormula, DataTableFormula

from forms.sheets import Cell, Checked, Finding, Level, Text

#: Excel's autocorrection turns straight quotes into these; expressions need the plain ones.
_QUOTES = str.maketrans({"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "\u00a0": " "})

#: `Tiếng Việt (vi)` → vi: how XLSForm writes a language.
_LANGUAGE_CODE = re.compile(r"\(([A-Za-z-]+)\)\s*$")

#: A workbook of 50,000 choices unpacks to about 30 MB; ten times that is an attack or a mistake.
MAX_UNPACKED_BYTES = 300_000_000

#: 50,000 choices in three languages fill about half a million cells.
MAX_CELLS = 3_000_000

#: Excel's own last row. A file may claim more, and would keep us counting.
MAX_ROWS = 1_048_576

#: How Excel and LibreOffice show a formula that failed.
_FAILURES = frozenset({"#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!"})

#: The first bytes of the old .xls, and of an .xlsx that is locked with a password.
_OLE = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a sheet: heading → text, blanks left out.

    `kinds` says of each cell that Excel does not keep as text what it keeps it as: "number", "date" or "boolean". It
    matters where the form of a text counts: the version 2024.10, kept as a number, is 2024.1.
    """

    sheet: Sheet
    number: int
    values: Mapping[str, str]
    kinds: Mapping[str, str] = field(default_factory=dict)

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

    A formula counts as the value that Excel stored; without one, or with a failure such as #REF!, it is an error that
    names the cell. Sheets are streamed: formatting down to the last row of a sheet costs nothing.
    """
    found: list[Finding] = []
    try:
        has_formulas = _look_inside(data)
        with warnings.catch_warnings():
            # Colours and drop-down lists that openpyxl does not know are none of our business.
            warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
            values = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            formulas = openpyxl.load_workbook(io.BytesIO(data), read_only=True) if has_formulas else None
            sheets = _sheets(values, formulas, found)
    except _UNREADABLE as error:
        return Checked(None, (_unreadable(data, file, error),))
    return Checked(Workbook(sheets, file), tuple(replace(item, file=file) for item in found))


#: What openpyxl and zipfile raise for files that are damaged, locked or something else altogether.
_UNREADABLE = (
    InvalidFileException,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def _sheets(values: Book, formulas: Book | None, found: list[Finding]) -> dict[str, Sheet]:
    sheets: dict[str, Sheet] = {}
    room = _Room()
    for sheet in values.worksheets:
        if not hasattr(sheet, "iter_rows"):
            continue
        name = plain(sheet.title).lower()
        written = _rows_of(formulas, sheet.title) if formulas else repeat(())
        sheets[name] = _sheet(name, _grid(_rows_of(values, sheet.title), written, room), found)
    return sheets


def _rows_of(book: Book, title: str) -> Iterator[tuple[object, ...]]:
    sheet = book[title]
    sheet.reset_dimensions()  # Other programs write sizes that are wrong, and rows would be lost.
    return islice(sheet.iter_rows(values_only=True), MAX_ROWS)


class _Room:
    """How many more cells a workbook may fill; ValueError when there are too many."""

    def __init__(self) -> None:
        self._left = MAX_CELLS

    def take(self, cells: int) -> None:
        self._left -= cells
        if self._left < 0:
            raise ValueError(f"the file holds more than {MAX_CELLS:,} cells")


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


def _look_inside(data: bytes) -> bool:
    """True if a sheet holds a formula; ValueError where the file unpacks to more than it should."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(item.file_size for item in archive.infolist()) > MAX_UNPACKED_BYTES:
            raise ValueError("the file unpacks to more than 300 MB")
        sheets = [item for item in archive.namelist() if "/worksheets/" in item and item.endswith(".xml")]
        return any(_holds_formula(archive, item) for item in sheets)


def _holds_formula(archive: zipfile.ZipFile, name: str) -> bool:
    before = b""
    with archive.open(name) as stream:
        while piece := stream.read(1 << 20):
            if b"<f>" in before + piece or b"<f " in before + piece:
                return True
            before = piece[-2:]
    return False


def _unreadable(data: bytes, file: str, error: Exception) -> Finding:
    if data.startswith(_OLE):
        problem = Text(
            "Tệp có định dạng .xls cũ, hoặc bị khóa bằng mật khẩu.",
            "The file is in the old .xls format, or locked with a password.",
        )
    else:
        problem = Text(f"Không đọc được tệp Excel ({error}).", f"This is not a readable Excel file ({error}).")
    cure = Text(
        "Mở bằng Excel, bỏ mật khẩu nếu có, rồi lưu lại dạng .xlsx.",
        "Open it in Excel, remove the password if it has one, and save it again as .xlsx.",
    )
    return Finding("workbook.unreadable", Level.ERROR, Cell("(tệp)"), problem, cure, file)


def _grid(
    values: Iterable[tuple[object, ...]], formulas: Iterable[tuple[object, ...]], room: _Room
) -> Iterator[tuple[int, list[object]]]:
    """Numbered rows that hold something; a formula without a stored value stands as _NoValue."""
    for number, (shown, written) in enumerate(zip(values, formulas, strict=False), start=1):
        row = list(shown)
        for index, item in enumerate(written):
            if item is not None and (index >= len(row) or row[index] is None) and (formula := _formula(item)):
                row += [None] * (index + 1 - len(row))
                row[index] = _NoValue(formula)
        filled = sum(item is not None for item in row)
        room.take(filled)
        if filled:
            yield number, row


def _formula(item: object) -> str:
    if isinstance(item, ArrayFormula):
        return str(item.text or "=")
    if isinstance(item, DataTableFormula):
        return "=TABLE"
    return item if isinstance(item, str) and item.startswith("=") else ""


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
            kinds = {h: kind for h, item in zip(headings, cells, strict=False) if h and (kind := _kind(item))}
            rows.append(Row(shell, number, values, kinds))
    return Sheet(name, shell.headings if shell else (), letters, tuple(rows))


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "date" if isinstance(value, dt.date | dt.time | dt.timedelta) else ""


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
    if value in _FAILURES:
        found.append(_failed_formula(cell, str(value)))
        return ""
    return plain(str(value))


def _failed_formula(cell: Cell, shown: str) -> Finding:
    return Finding(
        "workbook.failed-formula",
        Level.ERROR,
        cell,
        Text(f"Ô này hiện lỗi {shown} của Excel.", f"This cell shows Excel's error {shown}."),
        Text("Sửa công thức, hoặc gõ thẳng giá trị vào ô.", "Mend the formula, or type the value itself."),
    )


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
