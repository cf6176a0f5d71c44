"""Workbook → XForm → FormDefinition. The only importer of pyxform.

pyxform runs in a child process that can be killed: it stops at the first error, crashes on some workbooks, and a large
one may take all memory. `python -m forms.compile` is that child: sheets as JSON in, XForm as JSON out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from forms.complaints import located
from forms.definition import FormDefinition
from forms.sheets import Cell, Checked, Finding, Level, Text
from forms.survey import Survey
from forms.workbook import Sheet, Workbook, read
from forms.xform import UnreadableXForm, definition_from_xform

__all__ = ["compile_form", "compile_workbook", "definition_from_xform"]

#: Seconds. The slowest of 429 public forms took 5.
TIMEOUT = 60.0

#: Address space of the child, bytes. The largest public form needed 80 MB of memory.
MEMORY = 512 * 1024 * 1024

#: The sheets that pyxform reads.
_SHEETS = ("survey", "choices", "settings", "external_choices", "osm", "entities")

_HERE = Path(__file__).resolve().parent.parent


def compile_form(workbook: bytes, file: str, *, timeout: float = TIMEOUT) -> Checked[FormDefinition]:
    """Compile an .xlsx. The same workbook gives the same bytes of XForm, each time.

    `timeout` is in seconds. What pyxform objects to becomes findings with sheet, row and column where they can be
    found; pyxform stops at its first error, so see `forms.gate` for all of them at once.
    """
    sheets = read(workbook, file)
    if sheets.value is None or sheets.errors:
        return Checked(None, sheets.findings)
    compiled = compile_workbook(sheets.value, timeout=timeout)
    return Checked(compiled.value, (*sheets.findings, *compiled.findings))


def compile_workbook(workbook: Workbook, *, timeout: float = TIMEOUT, memory: int = MEMORY) -> Checked[FormDefinition]:
    """Compile sheets that have been read already. Findings carry the workbook's file name."""
    survey = Survey(workbook)
    answer = _convert(_sheets_of(workbook), timeout, memory)
    if "xform" not in answer:
        found = located(answer.get("error", ""), survey) if answer.get("error") else (_failed(answer),)
        return Checked(None, _in_file(found, workbook.file))
    try:
        definition = definition_from_xform(answer["xform"].encode(), survey.rows)
    except UnreadableXForm as error:
        return Checked(None, _in_file((_not_xml(str(error)),), workbook.file))
    return Checked(_labelled(definition, survey))


def _labelled(definition: FormDefinition, survey: Survey) -> FormDefinition:
    """With the labels of calculates: the phone shows none, so pyxform drops them, but reasons are read by people."""
    written = survey.labels
    fields = (item if item.labels else replace(item, labels=written.get(item.path, {})) for item in definition.fields)
    return replace(definition, fields=tuple(fields))


def _in_file(findings: tuple[Finding, ...], file: str) -> tuple[Finding, ...]:
    return tuple(replace(item, file=file) for item in findings)


def _sheets_of(workbook: Workbook) -> dict[str, Any]:
    """The sheets as pyxform wants them: a dict a row; an empty one for each blank row, so that its row numbers hold.

    Of `settings` pyxform takes the first row, blank or not; it gets the first that is filled.
    """
    found: dict[str, Any] = {"sheet_names": list(workbook.sheets)}
    for name in _SHEETS:
        sheet = workbook.sheets.get(name)
        if sheet is None:
            continue
        headings = {heading: " ".join(heading.split()) for heading in sheet.headings}
        found[f"{name}_header"] = [dict.fromkeys(headings.values())]
        found[name] = _padded(sheet, headings) if name != "settings" else _dense(sheet, headings)[:1]
    return found


def _dense(sheet: Sheet, headings: Mapping[str, str]) -> list[dict[str, str]]:
    return [{headings[column]: text for column, text in row.values.items()} for row in sheet.rows]


def _padded(sheet: Sheet, headings: Mapping[str, str]) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for row, values in zip(sheet.rows, _dense(sheet, headings), strict=True):
        rows += [{} for _ in range(row.number - 2 - len(rows))]
        rows.append(values)
    return rows


def _convert(sheets: Mapping[str, Any], timeout: float, memory: int) -> dict[str, Any]:
    """Run the child: {"xform", "warnings"}, or {"error"} in pyxform's words, or {"failed"}: why there is no answer."""
    # The child sees none of our secrets, hashes the same way each time, and finds this package wherever it is.
    environment = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if key in os.environ}
    environment |= {"PYTHONPATH": str(_HERE), "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
    try:
        done = subprocess.run(  # noqa: S603  A fixed command, and the sheets go in as data.
            [sys.executable, "-P", "-m", "forms.compile", str(memory)],
            input=json.dumps(sheets).encode(),
            capture_output=True,
            timeout=timeout,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": "timeout", "seconds": timeout}
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return {"failed": "died", "code": done.returncode}
    return answer if isinstance(answer, dict) else {"failed": "died", "code": done.returncode}


def _failed(answer: Mapping[str, Any]) -> Finding:
    """pyxform gave no answer, or crashed: no row to point at."""
    smaller = Text(
        "Chuyển danh sách lựa chọn dài sang tệp CSV (select_one_from_file), rồi thử lại.",
        "Move long choice lists to a CSV file (select_one_from_file), then try again.",
    )
    if answer.get("failed") == "timeout":
        problem = Text(
            f"Biên dịch biểu mẫu quá {answer['seconds']:.0f} giây nên đã dừng.",
            f"Compiling the form took more than {answer['seconds']:.0f} seconds and was stopped.",
        )
        return Finding("forms.compile-timeout", Level.ERROR, Cell("survey"), problem, smaller)
    if answer.get("failed") == "memory":
        problem = Text("Biểu mẫu cần quá nhiều bộ nhớ để biên dịch.", "The form needs too much memory to compile.")
        return Finding("forms.compile-memory", Level.ERROR, Cell("survey"), problem, smaller)
    what = answer.get("crash") or f"exit code {answer.get('code')}"
    return Finding(
        "forms.compile-crash",
        Level.ERROR,
        Cell("survey"),
        Text(f"pyxform gặp sự cố với tệp này ({what}).", f"pyxform crashed on this workbook ({what})."),
        Text(
            "Sửa các lỗi khác trước; nếu vẫn còn, bỏ bớt từng phần của biểu mẫu để tìm dòng gây lỗi.",
            "Mend the other findings first; if it stays, take parts of the form away until the row shows itself.",
        ),
    )


def _not_xml(what: str) -> Finding:
    return Finding(
        "forms.not-well-formed",
        Level.ERROR,
        Cell("survey"),
        Text(f"Biểu mẫu biên dịch ra không phải XML hợp lệ ({what}).", f"The compiled form is not good XML ({what})."),
        Text(
            "Tìm ký tự lạ trong nhãn (dán từ chương trình khác) hoặc dấu hai chấm trong tên câu hỏi.",
            "Look for odd characters in labels (pasted from another program), or a colon in a question's name.",
        ),
    )


def _child() -> None:
    """Convert the sheets on standard input; say what came of it on standard output."""
    _limit_memory(int(sys.argv[1]))
    answer: dict[str, Any]
    try:
        answer = _converted(json.load(sys.stdin))
    except MemoryError:
        answer = {"failed": "memory"}
    except Exception as error:  # pyxform crashes with TypeError, AttributeError, KeyError and more.
        answer = {"failed": "crash", "crash": type(error).__name__}
    json.dump(answer, sys.stdout)


def _converted(sheets: dict[str, Any]) -> dict[str, Any]:
    # Imported here: it takes half a second, and only the child needs it.
    from pyxform.errors import PyXFormError  # noqa: PLC0415  Only the child needs it.
    from pyxform.xls2xform import convert  # noqa: PLC0415  Only the child needs it.

    try:
        result = convert(sheets, form_name="data", validate=False)
    except PyXFormError as error:
        return {"error": str(error)}
    return {"xform": result.xform, "warnings": result.warnings}


def _limit_memory(limit: int) -> None:
    try:
        import resource  # noqa: PLC0415  Not on Windows.
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    _child()
