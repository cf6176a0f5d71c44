"""Words and pictures: missing labels, missing translations, names of media files."""

from __future__ import annotations

from collections.abc import Iterator

from forms.lint.findings import error, warning
from forms.question_types import ASKED
from forms.sheets import Finding, Text
from forms.survey import Columns, Item, Survey
from forms.workbook import Row
from forms.xform import PLAIN_NAME

_WORDS = ("label", "hint", "guidance_hint", "constraint_message", "required_message")
_MEDIA = ("image", "big-image", "audio", "video")


def labels(survey: Survey) -> Iterator[Finding]:
    for item in survey.items:
        yield from _unlabelled(survey, item)
    for sheet, columns in (("survey", survey.columns), ("choices", survey.choice_columns)):
        rows = survey.workbook.rows(sheet)
        yield from _missing_columns(survey, sheet, columns)
        for row in rows:
            for column in _WORDS:
                yield from _untranslated(columns, row, column)
            for column in _MEDIA:
                yield from _media(columns, row, column)


def _unlabelled(survey: Survey, item: Item) -> Iterator[Finding]:
    """Questions that show nothing. pyxform says so without a row, and stops."""
    shown = any(survey.columns.anywhere(item.row, column) for column in ("label", "hint", *_MEDIA))
    if (item.select or item.type in ASKED) and not shown:
        yield error(
            "no-label",
            survey.columns.cell(item.row, "label"),
            Text(f"Câu hỏi '{item.name}' chưa có nhãn.", f"The question '{item.name}' has no label."),
            Text("Viết nhãn vào cột label.", "Write its label into the column label."),
        )


def _missing_columns(survey: Survey, name: str, columns: Columns) -> Iterator[Finding]:
    """A column that stands in some languages of the form but not in all."""
    sheet = survey.workbook.sheets.get(name)
    sides = (survey.columns, survey.choice_columns)
    spoken = dict.fromkeys(language for side in sides for language in side.languages("label") if language)
    for column in _WORDS:
        here = columns.languages(column)
        if sheet is None or not any(here):
            continue
        for language in spoken:
            if language not in here:
                wanted = f"{column}::{language}"
                yield warning(
                    "missing-language",
                    sheet.cell(None, columns.heading(column, here[-1])),
                    Text(f"Trang {name} thiếu cột {wanted}.", f"The sheet {name} has no column {wanted}."),
                    Text(
                        "Thêm cột này; tên ngôn ngữ phải viết giống nhau ở mọi cột.",
                        "Add it; a language's name is written the same in every column.",
                    ),
                )


def _untranslated(columns: Columns, row: Row, column: str) -> Iterator[Finding]:
    languages = columns.languages(column)
    filled = [language for language in languages if columns.value(row, column, language)]
    if not filled:
        return
    for language in languages:
        if language not in filled and language:
            yield warning(
                "missing-translation",
                columns.cell(row, column, language),
                Text(
                    f"Thiếu bản dịch '{language}' của {column}; điện thoại sẽ hiện dấu gạch.",
                    f"The {column} is not translated into '{language}'; phones show a dash.",
                ),
                Text("Dịch ô này.", "Translate this cell."),
            )


def _media(columns: Columns, row: Row, column: str) -> Iterator[Finding]:
    for language in columns.languages(column):
        name = columns.value(row, column, language)
        if name and not PLAIN_NAME.fullmatch(name):
            yield error(
                "bad-file-name",
                columns.cell(row, column, language),
                Text(f"'{name}' không phải tên tệp dùng được.", f"'{name}' is not a file name that can be used."),
                Text(
                    "Chỉ ghi tên tệp, như card.png, không có thư mục hay địa chỉ.",
                    "Write the file's name alone, such as card.png, without folder or address.",
                ),
            )
