"""The sheet `settings`: which form this is, and what would send its data elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from forms.lint.findings import error, warning
from forms.sheets import Cell, Finding, Text
from forms.suggestions import did_you_mean
from forms.survey import Survey

_FORM_ID = re.compile(r"[\w.-]+")
_FORM_ID_NAMES = ("form_id", "id_string", "set_form_id")
_TITLE_NAMES = ("form_title", "title", "set_form_title")
_YES = frozenset({"yes", "true", "true()"})


def settings(survey: Survey) -> Iterator[Finding]:
    yield from _form_id(survey)
    yield from _version(survey)
    yield from _title(survey)
    yield from _default_language(survey)
    yield from _elsewhere(survey)


def _cell(survey: Survey, *names: str) -> Cell:
    sheet = survey.workbook.sheets.get("settings")
    heading = next((found for name in names if (found := survey.setting_columns.heading(name))), names[0])
    return (
        sheet.cell(survey.settings.number if survey.settings else 2, heading) if sheet else Cell("settings", 2, heading)
    )


def _form_id(survey: Survey) -> Iterator[Finding]:
    cell = _cell(survey, *_FORM_ID_NAMES)
    form_id = survey.setting(*_FORM_ID_NAMES)
    if not form_id:
        yield error(
            "no-form-id",
            cell,
            Text("Biểu mẫu chưa có form_id.", "The form has no form_id."),
            Text(
                "Ghi form_id vào trang settings, ví dụ screening; giữ nguyên qua các phiên bản.",
                "Write a form_id on the sheet settings, such as screening; keep it from version to version.",
            ),
        )
    elif not _FORM_ID.fullmatch(form_id):
        yield error(
            "bad-form-id",
            cell,
            Text(
                f"form_id '{form_id}' có ký tự không dùng được.",
                f"form_id '{form_id}' has characters that cannot be used.",
            ),
            Text("Chỉ dùng chữ, số, _ . và -.", "Use letters, digits, _ . and - only."),
        )


def _version(survey: Survey) -> Iterator[Finding]:
    cell = _cell(survey, "version")
    version = survey.setting("version")
    if not version:
        yield error(
            "no-version",
            cell,
            Text("Biểu mẫu chưa có version.", "The form has no version."),
            Text(
                "Ghi version vào trang settings, ví dụ 2026-11-20.1; đổi mỗi lần sửa biểu mẫu.",
                "Write a version on the sheet settings, such as 2026-11-20.1; change it with every change of the form.",
            ),
        )
        return
    row = survey.settings
    kind = row.kinds.get(survey.setting_columns.heading("version") or "", "") if row else ""
    if kind == "date" or (kind == "number" and not version.isdigit()):
        read_as = Text("một ngày", "a date") if kind == "date" else Text("một số", "a number")
        yield warning(
            "version-not-text",
            cell,
            Text(
                f"Excel giữ version như {read_as.vi}, nên phiên bản là '{version}'.",
                f"Excel keeps the version as {read_as.en}, so it is '{version}'.",
            ),
            Text(
                "Nếu đã gõ khác (như 2024.10), hãy định dạng ô là Text rồi gõ lại.",
                "If you typed something else (such as 2024.10), format the cell as Text and type it again.",
            ),
        )


def _title(survey: Survey) -> Iterator[Finding]:
    if not survey.setting(*_TITLE_NAMES):
        yield warning(
            "no-title",
            _cell(survey, *_TITLE_NAMES),
            Text(
                "Biểu mẫu chưa có form_title; điện thoại sẽ hiện form_id.",
                "The form has no form_title; phones show its form_id.",
            ),
            Text("Ghi tên biểu mẫu vào cột form_title.", "Write the form's name into the column form_title."),
        )


def _default_language(survey: Survey) -> Iterator[Finding]:
    wanted = survey.setting("default_language")
    languages = survey.languages
    if wanted and languages and wanted not in languages:
        listed = ", ".join(languages)
        cure = did_you_mean(wanted, languages, Text(f"Chọn một trong: {listed}.", f"Take one of: {listed}."))
        yield warning(
            "unknown-default-language",
            _cell(survey, "default_language"),
            Text(f"Không cột label nào có ngôn ngữ '{wanted}'.", f"No column label has the language '{wanted}'."),
            cure,
        )
    if not wanted and len(languages) > 1:
        yield warning(
            "no-default-language",
            _cell(survey, "default_language"),
            Text(
                f"Chưa có default_language; điện thoại mở bằng '{languages[0]}'.",
                f"There is no default_language; phones open the form in '{languages[0]}'.",
            ),
            Text("Ghi default_language vào trang settings.", "Write default_language on the sheet settings."),
        )


def _elsewhere(survey: Survey) -> Iterator[Finding]:
    """Settings that take the data away from this server, or out of the rules' sight."""
    if survey.setting("submission_url"):
        yield error(
            "submission-url",
            _cell(survey, "submission_url"),
            Text(
                "submission_url khiến điện thoại gửi dữ liệu đến máy chủ khác.",
                "submission_url makes phones send their data to another server.",
            ),
            Text("Xóa cột submission_url.", "Remove the column submission_url."),
        )
    if survey.setting("public_key"):
        yield warning(
            "encrypted",
            _cell(survey, "public_key"),
            Text(
                "Biểu mẫu được mã hóa (public_key): luật không đọc được câu trả lời nào.",
                "The form is encrypted (public_key): rules cannot see any of its answers.",
            ),
            Text(
                "Xóa public_key nếu cần luật; máy chủ tự mã hóa dữ liệu khi lưu.",
                "Remove public_key if rules are needed; the server seals what it stores by itself.",
            ),
        )
    if survey.setting("omit_instanceid").lower() in _YES:
        yield error(
            "no-instance-id",
            _cell(survey, "omit_instanceid"),
            Text("omit_instanceID bỏ mã của bài gửi.", "omit_instanceID takes the identity of submissions away."),
            Text("Xóa cột omit_instanceID.", "Remove the column omit_instanceID."),
        )
