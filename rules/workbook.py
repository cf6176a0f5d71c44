"""The sheets of a rules workbook → Rulebook. Every bad cell is reported at once, with its cure.

What is read here is form: that numbers are numbers, that ids stand once, that a schedule exists. Whether a condition
names fields that the forms have is checked against the forms, in rules/compile.py and rules/check.py.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping, Sequence

from forms.sheets import Cell, Checked, Level, Text
from forms.suggestions import did_you_mean
from forms.workbook import Row, Workbook
from rules import rule_rows
from rules.cells import Cells
from rules.model import (
    DEFAULT_TIMEZONE,
    Band,
    BandTable,
    Calculation,
    Example,
    Parameter,
    ParameterType,
    ParameterValue,
    Rulebook,
    Settings,
    Trigger,
)

#: Sheet → (columns that must be there, columns that may be, columns of text per language).
COLUMNS: Mapping[str, tuple[Sequence[str], Sequence[str], Sequence[str]]] = {
    "settings": (("rulebook_id", "version", "title"), ("default_language", "timezone", "valid_from"), ("title",)),
    "parameters": (("name", "value"), ("type", "basis"), ("label",)),
    "calculations": (("name", "calculation"), ("form", "basis"), ("label",)),
    "bands": (("table", "input", "from", "to", "value"), ("basis",), ("label",)),
    "rules": (
        ("rule_id", "when"),
        (
            *("trigger", "subject", "form", "priority", "flag", "level", "referral", "urgency", "due", "follow_up"),
            *("notify", "resolved_when", "basis", "status"),
        ),
        ("message",),
    ),
    "stops": (("stop_id", "service", "when"), ("instead", "basis"), ("message",)),
    "schedules": (
        ("schedule", "form"),
        ("step", "due", "opens_before", "closes_after", "starts_from", "basis"),
        ("label",),
    ),
    "tests": (("test_id", "given", "expect"), ("form", "record", "today", "expect_not", "trigger", "basis"), ()),
}

#: Without these there is no rulebook.
_REQUIRED_SHEETS = ("settings", "rules")

_YES = ("yes", "true", "1", "có")
_NO = ("no", "false", "0", "không")


def read_rules(workbook: Workbook) -> Checked[Rulebook]:
    """Read a rules workbook. `value` is None where an error was found; findings name sheet, row and column."""
    cells = Cells(workbook)
    _sheets(cells)
    rulebook = Rulebook(
        settings=_settings(cells),
        parameters=_parameters(cells),
        calculations=_calculations(cells),
        bands=_band_tables(cells),
        rules=rule_rows.rules(cells),
        stops=rule_rows.stops(cells),
        schedules=rule_rows.schedules(cells),
        tests=_tests(cells),
        columns={name: dict(sheet.letters) for name, sheet in workbook.sheets.items()},
        file=workbook.file,
    )
    _one_namespace(cells, rulebook)
    rule_rows.follow_ups_exist(cells, rulebook)
    broken = any(item.level is Level.ERROR for item in cells.found)
    return Checked(None if broken else rulebook, tuple(cells.found))


def _sheets(cells: Cells) -> None:
    present = cells.workbook.sheets
    for name in _REQUIRED_SHEETS:
        if not cells.workbook.rows(name):
            cells.error(
                "rules.sheet-missing",
                Cell(name),
                Text(f"Trang '{name}' thiếu hoặc trống.", f"The sheet '{name}' is missing or empty."),
                Text("Thêm trang này với dòng tiêu đề và nội dung.", "Add it, with its heading row and its content."),
            )
    for name, sheet in present.items():
        if name in COLUMNS:
            if sheet.headings:
                cells.headings(sheet, *COLUMNS[name])
        elif near := _near_sheet(name):
            cells.warn(
                "rules.unknown-sheet",
                Cell(name),
                Text(f"Trang '{name}' bị bỏ qua.", f"The sheet '{name}' is read by nobody."),
                near,
            )


def _near_sheet(name: str) -> Text | None:
    """A cure where the name looks like one of ours. Other sheets are the author's own notes."""
    nothing = Text("", "")
    cure = did_you_mean(name, COLUMNS, nothing)
    return None if cure == nothing else cure


def _settings(cells: Cells) -> Settings:
    rows = cells.workbook.rows("settings")
    if not rows:
        return Settings("", "", {})
    if len(rows) > 1:
        cells.error(
            "rules.settings-twice",
            rows[1].cell(),
            Text("Trang settings chỉ có một dòng.", "The sheet settings has one row."),
            Text("Xóa các dòng sau dòng đầu.", "Delete the rows after the first."),
        )
    row = rows[0]
    return Settings(
        rulebook_id=cells.name(row, "rulebook_id", required=True),
        version=_version(cells, row),
        title=cells.texts(row, "title"),
        default_language=cells.language,
        timezone=_timezone(cells, row),
        valid_from=cells.date(row, "valid_from"),
        row=row.number,
    )


def _version(cells: Cells, row: Row) -> str:
    value = cells.required(row, "version")
    if row.kinds.get("version") == "number" and "." in value:
        cells.warn(
            "rules.version-as-number",
            row.cell("version"),
            Text(
                f"Excel giữ phiên bản {value} như một số; 2024.10 sẽ thành 2024.1.",
                f"Excel keeps the version {value} as a number; 2024.10 would become 2024.1.",
            ),
            Text("Định dạng ô là văn bản (Text).", "Format the cell as Text."),
        )
    return value


def _timezone(cells: Cells, row: Row) -> str:
    value = row.get("timezone", DEFAULT_TIMEZONE)
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        cells.error(
            "rules.timezone",
            row.cell("timezone"),
            Text(f"Không có múi giờ '{value}'.", f"There is no time zone '{value}'."),
            Text("Viết tên như Asia/Ho_Chi_Minh.", "Write a name such as Asia/Ho_Chi_Minh."),
        )
        return DEFAULT_TIMEZONE
    return value


def _parameters(cells: Cells) -> tuple[Parameter, ...]:
    rows = cells.unique(cells.workbook.rows("parameters"), lambda row: row.get("name"), "name")
    return tuple(_parameter(cells, row) for row in rows)


def _parameter(cells: Cells, row: Row) -> Parameter:
    text = cells.required(row, "value")
    kind = cells.maybe_one_of(row, "type", ParameterType) or _guess(text)
    return Parameter(
        name=cells.name(row, "name", required=True),
        value=_parameter_value(cells, row, kind, text),
        type=kind,
        label=cells.texts(row, "label"),
        row=row.number,
        basis=row.get("basis"),
    )


def _guess(text: str) -> ParameterType:
    if re.fullmatch(r"-?[0-9]+", text):
        return ParameterType.INTEGER
    return ParameterType.DECIMAL if re.fullmatch(r"-?[0-9]+\.[0-9]+", text) else ParameterType.TEXT


def _parameter_value(cells: Cells, row: Row, kind: ParameterType, text: str) -> ParameterValue:
    match kind:
        case ParameterType.INTEGER:
            return cells.whole(row, "value") or 0
        case ParameterType.DECIMAL:
            return float(cells.number(row, "value") or 0)
        case ParameterType.DATE:
            date = cells.date(row, "value")
            return date.isoformat() if date else ""
        case ParameterType.YES_NO:
            return _yes_no(cells, row, text)
        case ParameterType.TEXT:
            return text


def _yes_no(cells: Cells, row: Row, text: str) -> str:
    if text.lower() in _YES:
        return "yes"
    if text and text.lower() not in _NO:
        cells.error(
            "rules.yes-no",
            row.cell("value"),
            Text(f"'{text}' không phải yes hay no.", f"'{text}' is neither yes nor no."),
            Text("Viết yes hoặc no.", "Write yes or no."),
        )
    return "no"


def _calculations(cells: Cells) -> tuple[Calculation, ...]:
    rows = cells.unique(cells.workbook.rows("calculations"), lambda row: row.get("name"), "name")
    return tuple(
        Calculation(
            name=cells.name(row, "name", required=True),
            forms=cells.names(row, "form"),
            calculation=cells.required(row, "calculation"),
            label=cells.texts(row, "label"),
            row=row.number,
        )
        for row in rows
    )


def _band_tables(cells: Cells) -> tuple[BandTable, ...]:
    inputs: dict[str, str] = {}
    bands: dict[str, list[Band]] = {}
    for row in cells.workbook.rows("bands"):
        table = cells.name(row, "table", required=True)
        given = cells.required(row, "input")
        if inputs.setdefault(table, given) != given:
            cells.error(
                "rules.band-input",
                row.cell("input"),
                Text(
                    f"Bảng '{table}' đã dùng đầu vào '{inputs[table]}'.",
                    f"The table '{table}' already has the input '{inputs[table]}'.",
                ),
                Text("Mỗi bảng có một đầu vào.", "A table has one input."),
            )
        band = _band(cells, row)
        if band is not None:
            bands.setdefault(table, []).append(band)
    return tuple(
        BandTable(table, inputs[table], tuple(sorted(found, key=lambda item: (item.lowest, item.row))))
        for table, found in bands.items()
    )


def _band(cells: Cells, row: Row) -> Band | None:
    for column in ("from", "to", "value"):
        cells.required(row, column)
    lowest, highest = cells.number(row, "from"), cells.number(row, "to")
    if lowest is None or highest is None:
        return None
    if lowest > highest:
        cells.error(
            "rules.band-upside-down",
            row.cell("to"),
            Text(f"{highest} nhỏ hơn {lowest}.", f"{highest} is less than {lowest}."),
            Text("Đổi chỗ from và to.", "Swap from and to."),
        )
        return None
    return Band(lowest, highest, row.get("value"), cells.texts(row, "label"), row.number)


def _tests(cells: Cells) -> tuple[Example, ...]:
    rows = cells.unique(cells.workbook.rows("tests"), lambda row: row.get("test_id"), "test_id")
    return tuple(
        Example(
            test_id=cells.name(row, "test_id", required=True),
            row=row.number,
            form=cells.name(row, "form"),
            given=row.get("given"),
            record=row.get("record"),
            today=cells.date(row, "today"),
            trigger=cells.one_of(row, "trigger", Trigger, Trigger.SUBMISSION),
            expect=tuple(row.get("expect").replace(",", " ").split()),
            expect_not=tuple(row.get("expect_not").replace(",", " ").split()),
        )
        for row in rows
    )


def _one_namespace(cells: Cells, rulebook: Rulebook) -> None:
    """A name has one meaning: a parameter, a calculation and a band table never share one."""
    first: dict[str, str] = {}
    sheets = cells.workbook.sheets
    for name in (item.name for item in rulebook.parameters):
        first[name] = "parameters"
    named = [(item.name, item.row, "calculations", "name") for item in rulebook.calculations]
    named += [(item.table, item.row, "bands", "table") for item in rulebook.bands]
    for name, number, sheet, column in named:
        if first.setdefault(name, sheet) != sheet:
            cells.error(
                "rules.name-clash",
                sheets[sheet].cell(number, column),
                Text(f"'{name}' đã là tên trong trang {first[name]}.", f"'{name}' is a name in sheet {first[name]}."),
                Text("Mỗi tên chỉ có một nghĩa: đổi tên.", "A name has one meaning: rename one of them."),
            )
