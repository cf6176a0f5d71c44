"""Forms that stand in a test as Markdown, compiled once for all tests of a file."""

import functools
import io

import openpyxl

from forms.compile import compile_workbook
from forms.definition import FormDefinition
from forms.workbook import Workbook, from_markdown

SETTINGS = """
| settings |
|          | form_title | form_id | version |
|          | Trial      | trial   | 1       |
"""


@functools.cache
def compiled(sheets: str) -> FormDefinition:
    """The form in these sheets; its settings, unless it has its own, are form `trial`, version 1."""
    return compile_workbook(book(sheets)).require()


def book(sheets: str) -> Workbook:
    return from_markdown(sheets if "| settings |" in sheets else sheets + SETTINGS, "trial.xlsx")


def xlsx(workbook: Workbook) -> bytes:
    """The same sheets as an Excel file, each row where it stood."""
    made = openpyxl.Workbook()
    made.remove(made.worksheets[0])
    for sheet in workbook.sheets.values():
        page = made.create_sheet(sheet.name)
        page.append(list(sheet.headings))
        for row in sheet.rows:
            for place, heading in enumerate(sheet.headings, start=1):
                page.cell(row.number, place, row.get(heading) or None)
    return saved(made)


def saved(made: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()
