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
from forms.workbook import Row, Sheet, Workbook
from rules.cells import Cells
from rules.decision import FlagLevel, Urgency
from rules.model import (
    DEFAULT_LANGUAGE,
    DEFAULT_TIMEZONE,
    MAX_RULES,
    Band,
    BandTable,
    Calculation,
    Example,
    FollowUp,
    Instead,
    InsteadAction,
    Parameter,
    ParameterType,
    ParameterValue,
    Recipient,
    Rule,
    Rulebook,
    ScheduleStep,
    Settings,
    StartsFrom,
    Status,
    Stop,
    Subject,
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

_FOLLOW_UP = re.compile(r"([^\s+]+)(?:\s*\+\s*([0-9]+))?")
_INSTEAD = re.compile(r"([^\s+]+)(?:\s*\+\s*([0-9]+))?")
_LANGUAGE_CODE = re.compile(r"\(([A-Za-z-]+)\)\s*$")

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
        rules=_rules(cells),
        stops=_stops(cells),
        schedules=_schedules(cells),
        tests=_tests(cells),
        columns={name: dict(sheet.letters) for name, sheet in workbook.sheets.items()},
        file=workbook.file,
    )
    _one_namespace(cells, rulebook)
    _follow_ups_exist(cells, rulebook)
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
        title=_texts(cells, row, "title"),
        default_language=_language(cells),
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


def _language(cells: Cells) -> str:
    """The code of default_language: `Tiếng Việt (vi)` and `vi` are the same."""
    rows = cells.workbook.rows("settings")
    value = rows[0].get("default_language") if rows else ""
    code = _LANGUAGE_CODE.search(value)
    return code.group(1) if code else value or DEFAULT_LANGUAGE


def _texts(cells: Cells, row: Row, column: str) -> dict[str, str]:
    """Text per language code; a column without a language is in the default language."""
    found = row.translations(column)
    if "" in found:
        bare = found.pop("")
        found.setdefault(_language(cells), bare)
    return found


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
        label=_texts(cells, row, "label"),
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
            label=_texts(cells, row, "label"),
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
    return Band(lowest, highest, row.get("value"), _texts(cells, row, "label"), row.number)


def _rules(cells: Cells) -> tuple[Rule, ...]:
    rows = cells.unique(cells.workbook.rows("rules"), lambda row: row.get("rule_id"), "rule_id")
    if len(rows) > MAX_RULES:
        cells.error(
            "rules.too-many",
            rows[MAX_RULES].cell("rule_id"),
            Text(f"Có {len(rows)} quy tắc; tối đa {MAX_RULES}.", f"There are {len(rows)} rules; {MAX_RULES} at most."),
            Text("Chia thành nhiều chương trình, hoặc gộp quy tắc.", "Split the programme, or join rules."),
        )
    return tuple(_rule(cells, row) for row in rows)


def _rule(cells: Cells, row: Row) -> Rule:
    rule = Rule(
        rule_id=cells.name(row, "rule_id", required=True),
        row=row.number,
        when=cells.required(row, "when"),
        trigger=cells.one_of(row, "trigger", Trigger, Trigger.SUBMISSION),
        subject=cells.one_of(row, "subject", Subject, Subject.CLIENT),
        forms=cells.names(row, "form"),
        priority=cells.whole(row, "priority") or 0,
        flag=cells.name(row, "flag"),
        level=cells.maybe_one_of(row, "level", FlagLevel),
        referral=cells.name(row, "referral"),
        urgency=cells.maybe_one_of(row, "urgency", Urgency),
        due=cells.whole(row, "due", least=0),
        follow_up=_follow_up(cells, row),
        notify=cells.several_of(row, "notify", Recipient),
        resolved_when=row.get("resolved_when"),
        message=_texts(cells, row, "message"),
        basis=row.get("basis"),
        status=cells.one_of(row, "status", Status, Status.ACTIVE),
    )
    _rule_makes_sense(cells, row, rule)
    return rule


def _rule_makes_sense(cells: Cells, row: Row, rule: Rule) -> None:
    wanted = ("flag", "referral", "follow_up", "notify")
    if not any(row.get(column) for column in wanted):
        cells.error(
            "rules.no-outcome",
            row.cell(),
            Text(f"Quy tắc '{rule.rule_id}' không dẫn đến điều gì.", f"Rule '{rule.rule_id}' leads to nothing."),
            Text(
                "Điền ít nhất một trong: flag, referral, follow_up, notify.",
                "Fill in at least one of flag, referral, follow_up, notify.",
            ),
        )
    if rule.referral and not row.get("urgency"):
        cells.error(
            "rules.urgency-missing",
            row.cell("urgency"),
            Text("Chuyển gửi cần mức khẩn.", "A referral needs an urgency."),
            Text(
                "Chọn same_day, same_visit, priority, soon hoặc routine.",
                "Choose same_day, same_visit, priority, soon or routine.",
            ),
        )
    if rule.flag and not row.get("level"):
        cells.warn(
            "rules.level-missing",
            row.cell("level"),
            Text("Cờ không có mức; tính là info.", "The flag has no level; it counts as info."),
            Text("Chọn mức cho cờ.", "Choose a level."),
        )
    if rule.trigger is Trigger.SUBMISSION and rule.subject is not Subject.CLIENT:
        cells.error(
            "rules.subject",
            row.cell("subject"),
            Text("Quy tắc của phiếu luôn nói về khách hàng.", "A submission rule is always about the client."),
            Text("Xóa subject, hoặc dùng trigger event hay clock.", "Clear subject, or use trigger event or clock."),
        )
    if rule.trigger is not Trigger.SUBMISSION and rule.forms:
        cells.warn(
            "rules.form-unused",
            row.cell("form"),
            Text("Quy tắc event và clock không có biểu mẫu.", "Event and clock rules have no form."),
            Text("Để trống ô form.", "Leave the cell form blank."),
        )


def _follow_up(cells: Cells, row: Row) -> FollowUp | None:
    value = row.get("follow_up")
    if not value:
        return None
    match = _FOLLOW_UP.fullmatch(value)
    if not match:
        cells.error(
            "rules.follow-up",
            row.cell("follow_up"),
            Text(f"Không hiểu '{value}'.", f"'{value}' is not understood."),
            Text(
                "Viết tên lịch (course) hoặc tên lịch + số ngày (visit + 14).",
                "Write a schedule (course), or a schedule + days (visit + 14).",
            ),
        )
        return None
    return FollowUp(match.group(1), int(match.group(2)) if match.group(2) else None)


def _stops(cells: Cells) -> tuple[Stop, ...]:
    rows = cells.unique(cells.workbook.rows("stops"), lambda row: row.get("stop_id"), "stop_id")
    return tuple(
        Stop(
            stop_id=cells.name(row, "stop_id", required=True),
            row=row.number,
            service=cells.required(row, "service"),
            when=cells.required(row, "when"),
            instead=_instead(cells, row),
            message=_texts(cells, row, "message"),
            basis=row.get("basis"),
        )
        for row in rows
    )


def _instead(cells: Cells, row: Row) -> Instead:
    value = row.get("instead", InsteadAction.DROP.value)
    match = _INSTEAD.fullmatch(value)
    action = match.group(1).lower() if match else ""
    days = int(match.group(2)) if match and match.group(2) else None
    needs_days = action == InsteadAction.OFFER_AGAIN
    if action in list(InsteadAction) and needs_days == (days is not None):
        return Instead(InsteadAction(action), days)
    cells.error(
        "rules.instead",
        row.cell("instead"),
        Text(f"Không hiểu '{value}'.", f"'{value}' is not understood."),
        Text(
            "Viết một trong: information_only, self_referral_information, attach_to_open, drop, offer_again + 30.",
            "Write one of: information_only, self_referral_information, attach_to_open, drop, offer_again + 30.",
        ),
    )
    return Instead(InsteadAction.DROP)


def _schedules(cells: Cells) -> tuple[ScheduleStep, ...]:
    rows = cells.unique(
        cells.workbook.rows("schedules"), lambda row: f"{row.get('schedule')} {row.get('step')}".strip(), "schedule"
    )
    return tuple(_schedule_step(cells, row) for row in rows)


def _schedule_step(cells: Cells, row: Row) -> ScheduleStep:
    step = ScheduleStep(
        schedule=cells.name(row, "schedule", required=True),
        step=cells.name(row, "step"),
        form=cells.name(row, "form", required=True),
        row=row.number,
        due=cells.whole(row, "due", least=0),
        opens_before=cells.whole(row, "opens_before", least=0) or 0,
        closes_after=cells.whole(row, "closes_after", least=0) or 0,
        starts_from=cells.one_of(row, "starts_from", StartsFrom, StartsFrom.ACTUAL),
        label=_texts(cells, row, "label"),
    )
    if step.step and not row.get("due"):
        cells.error(
            "rules.step-without-due",
            row.cell("due"),
            Text("Bước của một loạt cần ngày hẹn.", "A step of a series needs its due day."),
            Text("Điền số ngày tính từ mốc.", "Fill in the days from the anchor."),
        )
    return step


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
    rows = {name: sheet for name, sheet in cells.workbook.sheets.items() if name in ("calculations", "bands")}
    for name in (item.name for item in rulebook.parameters):
        first[name] = "parameters"
    named = [(item.name, item.row, "calculations", "name") for item in rulebook.calculations]
    named += [(item.table, item.row, "bands", "table") for item in rulebook.bands]
    for name, number, sheet, column in named:
        if first.setdefault(name, sheet) != sheet:
            cells.error(
                "rules.name-clash",
                rows[sheet].cell(number, column),
                Text(f"'{name}' đã là tên trong trang {first[name]}.", f"'{name}' is a name in sheet {first[name]}."),
                Text("Mỗi tên chỉ có một nghĩa: đổi tên.", "A name has one meaning: rename one of them."),
            )


def _follow_ups_exist(cells: Cells, rulebook: Rulebook) -> None:
    """Every follow_up names a schedule that has what it asks for: a series its steps, a single one its days."""
    sheet = cells.workbook.sheets.get("rules")
    for rule in rulebook.rules:
        if rule.follow_up is not None and sheet is not None:
            _follow_up_exists(cells, rulebook, sheet.cell(rule.row, "follow_up"), rule.follow_up)
    _no_mixed_schedules(cells, rulebook)


def _follow_up_exists(cells: Cells, rulebook: Rulebook, cell: Cell, wanted: FollowUp) -> None:
    steps = rulebook.steps(wanted.schedule)
    name = wanted.schedule
    if not steps:
        cells.error(
            "rules.unknown-schedule",
            cell,
            Text(f"Không có lịch '{name}'.", f"There is no schedule '{name}'."),
            did_you_mean(
                name,
                [item.schedule for item in rulebook.schedules],
                Text("Thêm lịch này vào trang schedules.", "Add it to the sheet schedules."),
            ),
        )
    elif wanted.days is None and any(item.due is None for item in steps):
        cells.error(
            "rules.follow-up-days",
            cell,
            Text(f"Lịch '{name}' không có ngày hẹn.", f"The schedule '{name}' has no due day."),
            Text(f"Viết số ngày: {name} + 14.", f"Say in how many days: {name} + 14."),
        )
    elif wanted.days is not None and any(item.step for item in steps):
        cells.error(
            "rules.follow-up-series",
            cell,
            Text(f"'{name}' là một loạt bước có ngày riêng.", f"'{name}' is a series with days of its own."),
            Text(f"Viết {name}, không có số ngày.", f"Write {name} without days."),
        )


def _no_mixed_schedules(cells: Cells, rulebook: Rulebook) -> None:
    sheet: Sheet | None = cells.workbook.sheets.get("schedules")
    for item in rulebook.schedules:
        if sheet is not None and not item.step and any(other.step for other in rulebook.steps(item.schedule)):
            cells.error(
                "rules.mixed-schedule",
                sheet.cell(item.row, "step"),
                Text(
                    f"Lịch '{item.schedule}' vừa có bước vừa không.",
                    f"The schedule '{item.schedule}' has rows with and without a step.",
                ),
                Text("Đặt tên bước, hoặc tách thành lịch khác.", "Name the step, or make it a schedule of its own."),
            )
