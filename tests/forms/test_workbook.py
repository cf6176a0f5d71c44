"""Reading spreadsheets: what Excel and LibreOffice really hand over."""

import datetime as dt
import io
import time
import zipfile

import openpyxl
import pytest
from openpyxl.worksheet.formula import ArrayFormula

from forms.workbook import MAX_ROWS, from_markdown, read
from tests.forms.markdown_forms import saved

moment = dt.datetime.fromisoformat


def sheet_with(*rows: tuple[object, ...]) -> bytes:
    made = openpyxl.Workbook()
    made.worksheets[0].title = "Rules"
    for row in rows:
        made.worksheets[0].append(row)
    return saved(made)


def first_row(*cells: object) -> list[str]:
    headings = tuple(f"c{place}" for place in range(len(cells)))
    row = read(sheet_with(headings, cells)).require().rows("rules")[0]
    return [row.get(heading) for heading in headings]


def test_cells_come_as_the_text_that_excel_shows():
    assert first_row(1.0, 2.5, True, moment("2026-11-20"), moment("2026-11-20T08:30"), dt.time(9, 15)) == [
        "1",
        "2.5",
        "TRUE",
        "2026-11-20",
        "2026-11-20 08:30:00",
        "09:15:00",
    ]


def test_text_is_composed_and_quotes_are_straight():
    assert first_row("tuo\u0302\u0309i", "‘yes’ and “no”", "a\u00a0b ") == ["tuổi", "'yes' and \"no\"", "a b"]


def test_a_row_says_which_cells_excel_keeps_as_numbers():
    row = read(sheet_with(("version", "day", "on", "name"), (2024.1, moment("2026-01-01"), True, "1"))).require()
    assert row.rows("rules")[0].kinds == {"version": "number", "day": "date", "on": "boolean"}


def test_blank_rows_count_and_blank_headings_do_not():
    found = read(sheet_with((None,), ("a", None, "b"), (1, 2, 3), (None,), (4, 5, 6))).require()
    assert [(row.number, dict(row.values)) for row in found.rows("rules")] == [
        (3, {"a": "1", "b": "3"}),
        (5, {"a": "4", "b": "6"}),
    ]


def test_a_cell_knows_its_letter():
    found = read(sheet_with(("a", "b"), (1, 2))).require()
    assert found.rows("rules")[0].cell("b").address == "rules!B2"


@pytest.mark.parametrize("formula", ["=A1+1", ArrayFormula("A2:A2", "=SUM(B1:B3)")])
def test_a_formula_without_a_stored_value_is_an_error_that_names_its_cell(formula):
    found = read(sheet_with(("a", "b"), (None, None), ("x", formula)), "rules.xlsx")
    assert [(item.code, item.cell.address, item.file) for item in found.errors] == [
        ("workbook.formula-without-value", "rules!B3", "rules.xlsx")
    ]


def test_a_failed_formula_is_an_error_that_names_its_cell():
    found = read(sheet_with(("a",), ("#REF!",)))
    assert [(item.code, item.cell.address) for item in found.errors] == [("workbook.failed-formula", "rules!A2")]


def test_formatting_down_to_the_last_row_costs_neither_time_nor_rows():
    made = openpyxl.Workbook()
    made.worksheets[0].append(["name"])
    made.worksheets[0].append(["first"])
    made.worksheets[0].cell(MAX_ROWS, 1).number_format = "0.00"
    started = time.monotonic()
    found = read(saved(made)).require()
    assert [row.get("name") for row in found.rows("sheet")] == ["first"]
    assert time.monotonic() - started < 10


def test_a_wrong_size_in_the_file_loses_no_row():
    data = sheet_with(("a", "b"), (1, 2), (3, 4))
    found = read(rewritten(data, "xl/worksheets/sheet1.xml", b'ref="A1:B3"', b'ref="A1"')).require()
    assert [dict(row.values) for row in found.rows("rules")] == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


@pytest.mark.parametrize(
    "data",
    [b"", b"not a workbook", b"PK\x03\x04 broken", b"\xd0\xcf\x11\xe0 old excel"],
    ids=["empty", "text", "zip", "xls"],
)
def test_what_is_no_workbook_is_one_finding_with_a_cure(data):
    found = read(data, "rules.xlsx")
    assert found.value is None
    assert [item.code for item in found.errors] == ["workbook.unreadable"]
    assert ".xlsx" in found.errors[0].cure.vi


def test_damaged_xml_inside_is_a_finding_too():
    data = rewritten(sheet_with(("a",), (1,)), "xl/worksheets/sheet1.xml", b"</sheetData>", b"</sheetDat>")
    assert [item.code for item in read(data).errors] == ["workbook.unreadable"]


def test_a_zip_bomb_is_refused_before_it_is_unpacked():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 301_000_000)
    assert "300 MB" in read(file.getvalue()).errors[0].problem.en


def test_markdown_keeps_row_numbers_and_escaped_bars():
    found = from_markdown("""
        | rules |
        |       | rule_id | when     |
        |       | a       | x \\| y  |
        |       |         |          |
        |       | b       |          |
        """)
    assert [(row.number, row.get("rule_id"), row.get("when")) for row in found.rows("rules")] == [
        (2, "a", "x | y"),
        (4, "b", ""),
    ]


def rewritten(data: bytes, name: str, old: bytes, new: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(file, "w") as target:
        for item in source.namelist():
            content = source.read(item)
            assert item != name or old in content
            target.writestr(item, content.replace(old, new) if item == name else content)
    return file.getvalue()
