"""The sheet `survey`: headings, types, groups, names, defaults, files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from forms.lint.findings import error, warning
from forms.question_types import ASKED, CHOOSING, FROM_FILE, MEANT, OLD, SILENT
from forms.readers import reader_of
from forms.sheets import Finding, Text
from forms.suggestions import did_you_mean, nearest
from forms.survey import Item, Kind, Survey
from forms.xform import PLAIN_NAME

#: A name that XML takes: it begins with a letter of any language or `_`; then letters, digits and `_ - .`
NAME = re.compile(r"[^\W\d][\w.-]*")

#: Headings that mean something; a near miss is passed over in silence by pyxform.
_HEADINGS = (
    *("type", "name", "label", "hint", "guidance_hint", "required", "required_message", "relevant", "constraint"),
    *("constraint_message", "calculation", "choice_filter", "appearance", "default", "read_only", "repeat_count"),
    *("parameters", "trigger", "image", "audio", "video", "save_to"),
)
_LIST_FILE = re.compile(r".+\.(?:csv|xml|geojson)")
_CHOICE_TYPES = ("select_one", "select_multiple", "rank", "select_one_from_file", "select_multiple_from_file")


def questions(survey: Survey) -> Iterator[Finding]:
    yield from _headings(survey)
    if not any(item.kind is Kind.QUESTION for item in survey.items):
        yield error(
            "no-questions",
            survey.workbook.sheets["survey"].cell(),
            Text("Trang survey không có câu hỏi nào.", "The sheet survey has no question."),
            Text("Thêm ít nhất một câu hỏi.", "Add at least one question."),
        )
    yield from _balance(survey)
    for item in survey.items:
        yield from _type(survey, item)
        yield from _list(survey, item)
        yield from _or_other(survey, item)
        yield from _name(survey, item)
        yield from _default(survey, item)
    yield from _doubles(survey)


def _headings(survey: Survey) -> Iterator[Finding]:
    sheet = survey.workbook.sheets["survey"]
    for first, second in survey.columns.doubled:
        yield error(
            "double-column",
            sheet.cell(None, second),
            Text(f"Cột '{first}' và '{second}' là cùng một cột.", f"'{first}' and '{second}' are the same column."),
            Text("Giữ một cột, xóa cột kia.", "Keep one of them."),
        )
    for (name, _), heading in survey.columns.headings.items():
        near = nearest(name.split(":")[0], _HEADINGS) if name not in _HEADINGS else None
        if near and survey.columns.heading(near) is None and _is_slip(name, near):
            yield warning(
                "unknown-column",
                sheet.cell(None, heading),
                Text(f"Cột '{heading}' không có tác dụng.", f"The column '{heading}' does nothing."),
                Text(f"Có phải '{near}'?", f"Did you mean '{near}'?"),
            )


def _is_slip(name: str, near: str) -> bool:
    """True for a misspelling; `label_note` beside `label` is a column of the author's own."""
    return abs(len(name.split(":", maxsplit=1)[0]) - len(near)) <= 2


def _balance(survey: Survey) -> Iterator[Finding]:
    for item in survey.unbalanced:
        cell = survey.columns.cell(item.row, "type")
        if item.type.startswith("begin"):
            problem = Text(f"'{item.type}' chưa được đóng.", f"'{item.type}' is never closed.")
            end = item.type.split(" over ")[0].replace("begin", "end", 1)
            cure = Text(f"Thêm dòng '{end}' sau câu hỏi cuối của nhóm.", f"Add a row '{end}' after its last question.")
        elif item.opened is None:
            problem = Text(f"'{item.type}' không có begin.", f"'{item.type}' has no begin before it.")
            cure = Text("Xóa dòng này, hoặc thêm begin ở trên.", "Remove this row, or add its begin above.")
        else:
            opened = survey.columns.value(item.opened, "type")
            problem = Text(
                f"'{item.type}' không khớp với '{opened}' ở dòng {item.opened.number}.",
                f"'{item.type}' does not fit '{opened}' in row {item.opened.number}.",
            )
            cure = Text("Đóng nhóm trong trước nhóm ngoài.", "Close the inner one before the outer one.")
        yield error("unbalanced", cell, problem, cure)


def _type(survey: Survey, item: Item) -> Iterator[Finding]:
    cell = survey.columns.cell(item.row, "type")
    if not item.type:
        yield error(
            "no-type",
            cell,
            Text("Dòng này chưa có type.", "This row has no type."),
            Text("Ghi loại câu hỏi, như text hoặc integer.", "Write the type of question, such as text or integer."),
        )
    elif item.type in CHOOSING:
        yield error(
            "no-list",
            cell,
            Text(f"'{item.type}' thiếu tên danh sách.", f"'{item.type}' lacks the name of its list."),
            Text(f"Viết '{item.type} tên_danh_sách'.", f"Write '{item.type} list_name'."),
        )
    elif item.kind is Kind.QUESTION and not item.select and item.type not in {*ASKED, *SILENT, *OLD}:
        yield error(
            "unknown-type",
            cell,
            Text(f"Không có loại câu hỏi '{item.type}'.", f"There is no question type '{item.type}'."),
            _type_meant(item.type),
        )
    if item.kind is not Kind.QUESTION and item.path not in survey.parents:
        yield error(
            "empty-group",
            cell,
            Text("Nhóm này không có câu hỏi nào.", "This group has no question."),
            Text("Thêm câu hỏi, hoặc xóa nhóm.", "Add a question, or remove the group."),
        )


def _type_meant(written: str) -> Text:
    otherwise = Text(
        "Xem các loại câu hỏi tại xlsform.org, như text, integer, select_one danh_sách.",
        "See the question types at xlsform.org: text, integer, select_one list_name.",
    )
    meant = MEANT.get(written.lower())
    if meant:
        return Text(f"Có phải '{meant}'?", f"Did you mean '{meant}'?")
    command, _, rest = written.partition(" ")
    choosing = nearest(command, _CHOICE_TYPES) if rest else None
    if choosing:
        return Text(f"Có phải '{choosing} {rest}'?", f"Did you mean '{choosing} {rest}'?")
    return did_you_mean(
        written, (*ASKED, *SILENT, *_CHOICE_TYPES, "begin group", "begin repeat", "end group"), otherwise
    )


def _list(survey: Survey, item: Item) -> Iterator[Finding]:
    cell = survey.columns.cell(item.row, "type")
    if item.select == "select_one_external":
        yield error(
            "external-choices",
            cell,
            Text("select_one_external không được hỗ trợ.", "select_one_external is not supported."),
            Text("Dùng select_one_from_file với tệp CSV.", "Use select_one_from_file with a CSV file."),
        )
    elif item.select in FROM_FILE:
        if not (PLAIN_NAME.fullmatch(item.list_name) and _LIST_FILE.fullmatch(item.list_name)):
            yield error(
                "bad-file-name",
                cell,
                Text(
                    f"'{item.list_name}' không phải tên tệp dùng được.",
                    f"'{item.list_name}' is not a file name that can be used.",
                ),
                Text(
                    "Chỉ ghi tên tệp .csv, .xml hoặc .geojson, không có thư mục hay địa chỉ.",
                    "Write the name of a .csv, .xml or .geojson file alone, without folder or address.",
                ),
            )
    elif item.select and item.list_name not in survey.lists and "${" not in item.list_name:
        cure = did_you_mean(
            item.list_name,
            survey.lists,
            Text("Thêm danh sách vào trang choices.", "Add the list to the sheet choices."),
        )
        yield error(
            "missing-list",
            cell,
            Text(
                f"Danh sách '{item.list_name}' không có trong trang choices.",
                f"The list '{item.list_name}' is not on the sheet choices.",
            ),
            cure,
        )


def _or_other(survey: Survey, item: Item) -> Iterator[Finding]:
    if item.or_other and survey.languages:
        yield warning(
            "or-other-untranslated",
            survey.columns.cell(item.row, "type"),
            Text(
                "or_other thêm lựa chọn và câu hỏi bằng tiếng Anh ('Other', 'Specify other.').",
                "or_other adds a choice and a question in English ('Other', 'Specify other.').",
            ),
            Text(
                "Tự thêm lựa chọn 'other' và một câu hỏi text với relevant.",
                "Add the choice 'other' and a text question with its relevant yourself.",
            ),
        )


def _name(survey: Survey, item: Item) -> Iterator[Finding]:
    cell = survey.columns.cell(item.row, "name")
    if not item.name:
        yield error(
            "no-name",
            cell,
            Text("Dòng này chưa có name.", "This row has no name."),
            Text(
                "Đặt tên ngắn không dấu cách, như birth_year.",
                "Give it a short name without spaces, such as birth_year.",
            ),
        )
    elif not NAME.fullmatch(item.name):
        mended = re.sub(r"[^\w.-]+", "_", item.name).strip("_") or "name"
        mended = mended if NAME.fullmatch(mended) else f"_{mended}"
        yield error(
            "bad-name",
            cell,
            Text(
                f"Tên '{item.name}' có ký tự không dùng được.",
                f"The name '{item.name}' has characters that cannot be used.",
            ),
            Text(
                f"Bắt đầu bằng chữ hoặc _, sau đó chữ, số, _ - . (như {mended}).",
                f"Begin with a letter or _, then letters, digits, _ - . (such as {mended}).",
            ),
        )
    elif item.path == "meta" or (item.path.startswith("meta/") and item.type != "audit"):
        yield error(
            "reserved-name",
            cell,
            Text("Tên 'meta' dành riêng cho hệ thống.", "The name 'meta' is reserved."),
            Text("Đặt tên khác.", "Take another name."),
        )


def _default(survey: Survey, item: Item) -> Iterator[Finding]:
    """A fixed default must have its question's type: phones take `abc` for an integer, and then fail."""
    default = survey.columns.value(item.row, "default")
    kind = ASKED.get(item.type)
    if not default or kind is None or re.search(r"[($+*]| div | mod |[\d)] - ", default):
        return
    if reader_of(kind)(default) is None:
        yield error(
            "bad-default",
            survey.columns.cell(item.row, "default"),
            Text(
                f"Giá trị mặc định '{default}' không hợp với loại {item.type}.",
                f"The default '{default}' does not fit the type {item.type}.",
            ),
            Text("Sửa giá trị, hoặc để trống.", "Mend the value, or leave it blank."),
        )


def _doubles(survey: Survey) -> Iterator[Finding]:
    places: dict[tuple[str, str], Item] = {}
    folded: dict[tuple[str, str], Item] = {}
    for name, items in survey.names.items():
        for item in items:
            first = places.setdefault((item.parent, name), item)
            other = folded.setdefault((item.parent, name.lower()), item)
            if first is not item:
                yield _double(survey, item, first, name)
            elif other is not item:
                yield _near_double(survey, item, other, name)
    counts = Counter(item.name for item in survey.items if item.kind is Kind.REPEAT and item.name)
    for item in survey.items:
        if item.kind is Kind.REPEAT and (counts[item.name] > 1 or item.name == "data"):
            yield error(
                "double-repeat",
                survey.columns.cell(item.row, "name"),
                Text(
                    f"Tên nhóm lặp '{item.name}' phải là duy nhất trong biểu mẫu, và khác 'data'.",
                    f"The name of the repeat '{item.name}' must be the only one in the form, and not 'data'.",
                ),
                Text("Đặt tên khác cho nhóm lặp.", "Give the repeat another name."),
            )


def _double(survey: Survey, item: Item, first: Item, name: str) -> Finding:
    return error(
        "double-name",
        survey.columns.cell(item.row, "name"),
        Text(
            f"Tên '{name}' đã có ở dòng {first.row.number}.",
            f"The name '{name}' stands already in row {first.row.number}.",
        ),
        Text("Trong một nhóm, mỗi tên chỉ dùng một lần.", "Within a group, use each name once."),
    )


def _near_double(survey: Survey, item: Item, first: Item, name: str) -> Finding:
    return warning(
        "near-double-name",
        survey.columns.cell(item.row, "name"),
        Text(
            f"Tên '{name}' chỉ khác chữ hoa, chữ thường với dòng {first.row.number}.",
            f"The name '{name}' differs from row {first.row.number} only in capital letters.",
        ),
        Text("Đặt tên khác hẳn để khỏi nhầm.", "Take a name that nobody can confuse with it."),
    )
