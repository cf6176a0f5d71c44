"""Where something stands in a sheet, and how it is said."""

import pytest

from forms.sheets import Cell, Checked, Finding, Level, SheetErrors, Text

PROBLEM = Text("Ô sai.", "Wrong.")
CURE = Text("Sửa lại.", "Mend it.")
ERROR = Finding("a.b", Level.ERROR, Cell("rules", 7, "when", "D"), PROBLEM, CURE, "rules.xlsx")
WARNING = Finding("a.c", Level.WARNING, Cell("rules"), PROBLEM, CURE)


def test_a_finding_says_where_what_and_how_in_both_languages():
    assert ERROR.describe() == "rules.xlsx, trang 'rules', dòng 7, cột 'when': Ô sai. Sửa lại."
    assert ERROR.describe("en") == "rules.xlsx, sheet 'rules', row 7, column 'when': Wrong. Mend it."


def test_an_address_is_as_excel_writes_it():
    assert [cell.address for cell in (ERROR.cell, Cell("rules", 7), Cell("rules", None, None, "D"), Cell("rules"))] == [
        "rules!D7",
        "rules!7",
        "rules!D",
        "rules",
    ]


def test_a_warning_does_not_stand_in_the_way_of_the_value():
    assert Checked("value", (WARNING,)).require() == "value"


def test_every_error_is_raised_at_once():
    with pytest.raises(SheetErrors) as raised:
        Checked("value", (ERROR, WARNING, ERROR)).require()
    assert raised.value.findings == (ERROR, ERROR)


def test_without_a_value_and_without_an_error_the_findings_are_raised():
    with pytest.raises(SheetErrors) as raised:
        Checked(None, (WARNING,)).require()
    assert raised.value.findings == (WARNING,)
