"""The gate that every form passes before phones see it: lint, pyxform, XML, ODK Validate. Every finding at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from forms.compile import compile_workbook
from forms.definition import FormDefinition
from forms.lint import lint
from forms.odk_validate import java_at, nodes_in, validate
from forms.sheets import Cell, Checked, Finding, Level, Text
from forms.survey import Survey
from forms.workbook import Workbook, read


def gate(
    workbook: bytes, file: str, *, require_validate: bool = False, java: str | None = None, validates: bool = True
) -> Checked[FormDefinition]:
    """Check an .xlsx and compile it. The value is None after an error.

    `java` names the Java to run ODK Validate with, by default the one on the path. Without any there is a warning,
    or an error where validation is required. Unless it `validates`, the gate leaves ODK Validate out without a word.
    """
    sheets = read(workbook, file)
    if sheets.value is None:
        return Checked(None, sheets.findings)
    passed = gate_workbook(sheets.value, require_validate=require_validate, java=java, validates=validates)
    findings = (*sheets.findings, *passed.findings)
    return Checked(None if sheets.errors else passed.value, findings)


def gate_workbook(
    workbook: Workbook, *, require_validate: bool = False, java: str | None = None, validates: bool = True
) -> Checked[FormDefinition]:
    """The same for sheets that have been read already."""
    survey = Survey(workbook)
    linted = lint(survey)
    findings = list(linted)
    value = None
    if "survey" in workbook.sheets:
        compiled = compile_workbook(workbook)
        findings += [item for item in compiled.findings if not _said(item, linted)]
        value = compiled.value
    if value is not None and validates:
        findings += [item for item in _validated(value, survey, java, require_validate) if not _said(item, linted)]
    findings = [replace(item, file=workbook.file) for item in findings]
    failed = any(item.level is Level.ERROR for item in findings)
    return Checked(None if failed else value, tuple(findings))


def _said(finding: Finding, linted: tuple[Finding, ...]) -> bool:
    """True if the lint has said it already, with a better cure: an error in that row, or in any if it names none."""
    if finding.level is not Level.ERROR:
        return False
    errors = [item for item in linted if item.level is Level.ERROR]
    if finding.cell.row is None and not finding.code.startswith("forms.validate-"):
        return bool(errors)
    return any(item.cell.sheet == finding.cell.sheet and item.cell.row == finding.cell.row for item in errors)


def _validated(definition: FormDefinition, survey: Survey, java: str | None, required: bool) -> Iterator[Finding]:
    found = java_at(java)
    if found is None:
        yield _no_java(required)
        return
    verdict = validate(definition.xform, found)
    if verdict.timed_out:
        yield _too_slow()
    elif not verdict.valid:
        for message in verdict.messages or ("ODK Validate gave no reason.",):
            yield _rejected(message, survey)


def _no_java(required: bool) -> Finding:
    return Finding(
        "forms.validate-no-java",
        Level.ERROR if required else Level.WARNING,
        Cell("survey"),
        Text(
            "Chưa kiểm tra được bằng ODK Validate vì máy này không có Java.",
            "ODK Validate could not check the form: this machine has no Java.",
        ),
        Text(
            "Cài Java 17 trở lên (Debian: apt install default-jre-headless) rồi kiểm tra lại; nếu không, lỗi trong "
            "biểu thức có thể chỉ hiện trên điện thoại.",
            "Install Java 17 or later (Debian: apt install default-jre-headless) and check again; else mistakes in "
            "expressions may show up on the phones only.",
        ),
    )


def _too_slow() -> Finding:
    return Finding(
        "forms.validate-timeout",
        Level.ERROR,
        Cell("survey"),
        Text("ODK Validate không xong trong 60 giây.", "ODK Validate did not finish in 60 seconds."),
        Text(
            "Thử lại khi máy rảnh; nếu vẫn vậy, chia biểu mẫu hoặc chuyển danh sách dài sang tệp CSV.",
            "Try again when the machine is idle; else split the form, or move long lists to a CSV file.",
        ),
    )


def _rejected(message: str, survey: Survey) -> Finding:
    nodes = [node for node in nodes_in(message) if node in survey.rows]
    code, cell = "forms.validate", Cell("survey")
    cure = Text("Sửa biểu thức ở dòng này.", "Mend the expression in this row.")
    if nodes:
        sheet = survey.workbook.sheets["survey"]
        cell = sheet.cell(survey.rows[nodes[0]], _column(message, survey))
    if message.startswith("Cycle detected"):
        rows = ", ".join(str(survey.rows[node]) for node in nodes)
        return Finding(
            "forms.validate-cycle",
            Level.ERROR,
            cell,
            Text(
                f"Các dòng {rows} tính vòng tròn: dòng này cần kết quả của dòng kia.",
                f"Rows {rows} need each other's results in a circle.",
            ),
            Text("Bỏ một trong các biểu thức ấy.", "Take one of these expressions out of the circle."),
        )
    words = re.sub(r"\[\d+\]", "", message)
    return Finding(code, Level.ERROR, cell, Text(f"ODK Validate báo: {words}", f"ODK Validate says: {words}"), cure)


def _column(message: str, survey: Survey) -> str | None:
    """The column that a message speaks of, by JavaRosa's words for it."""
    words = {"constraint": "constraint", "calculate": "calculation", "display condition": "relevant"}
    words |= {"Condition expression": "relevant", "Calculate expression": "calculation", "required": "required"}
    name = next((column for word, column in words.items() if word in message), None)
    return survey.columns.heading(name) if name else None
