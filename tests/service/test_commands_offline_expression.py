"""`ketnoi expression`: what an expression comes to, part by part, without a form and with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.cli import main
from tests.forms.markdown_forms import book, xlsx

GOLDEN = Path(__file__).parents[1] / "forms" / "expressions" / "golden.jsonl"
ROWS = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]

FORM = """
| survey |
| | type | name | label | relevant | calculation |
| | integer | a | How many | | |
| | text | why | Why | ${a} > 100 | |
| | date | d | Day | | |
| | select_multiple m | m | Which | | |
| | calculate | flag | | | ${a} > 5 |
| | calculate | twice | | | ${a} * 2 |
| | begin_repeat | child | Child | | |
| | integer | age | Age | | |
| | end_repeat | | | | |
| choices |
| | list_name | name | label |
| | m | x | X |
| | m | y | Y |
"""


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("form") / "trial.xlsx"
    path.write_bytes(xlsx(book(FORM)))
    return str(path)


def answered(capsys, expression, values, *more):
    """Exit code and JSON of the command."""
    code = main(["expression", expression, "--values", json.dumps(values), "--format", "json", *more])
    return code, json.loads(capsys.readouterr().out)


def test_json_holds_the_stored_value_its_type_and_each_part(capsys):
    code, found = answered(capsys, "${a} > 3 and ${b} = 'x'", {"a": 5, "b": "x"})

    assert (code, found["value"], found["type"]) == (0, "1", "boolean")
    assert [(part["text"], part["value"], part["type"]) for part in found["parts"]] == [
        ("${a} > 3", "1", "boolean"),
        ("${b} = 'x'", "1", "boolean"),
    ]
    assert [(part["text"], part["value"]) for part in found["parts"][0]["parts"]] == [("${a}", "5")]


@pytest.mark.parametrize(("zone", "column"), [("Asia/Ho_Chi_Minh", "value_plus7"), ("UTC", "value_utc")])
def test_what_javarosa_stores_is_what_is_printed_and_what_it_refuses_is_refused(capsys, zone, column):
    different = []
    asked = 0
    for row in ROWS:
        # A calculate needs its form, and so does the knowledge that a blank question has a node to count.
        if "flag" in row["expression"] or (row["expression"], row["inputs"]) == ("count(${a})", {}):
            continue
        asked += 1
        code, found = answered(capsys, row["expression"], row["inputs"], "--timezone", zone)
        expected = (1, True) if isinstance(row[column], dict) else (0, row[column])
        got = (code, "error" in found) if code else (code, found["value"])
        if got != expected:
            different.append((row["expression"], row["inputs"], expected, got))

    assert different == []
    assert asked > 350


def test_a_moment_without_a_form_is_stored_in_the_zone_that_is_asked_for(capsys):
    _, here = answered(capsys, "${d} + 1", {"d": "2026-03-01"}, "--timezone", "UTC")
    _, day = answered(capsys, "date(${d})", {"d": "2026-03-01"})

    assert here["type"] == "number"
    assert day["value"] == "2026-03-01T00:00:00.000+07:00"


def test_an_expression_may_begin_with_a_minus(capsys):
    for expression in ("-${a}", "--${a}", "-1", "- ${a}"):
        code, found = answered(capsys, expression, {"a": 1})
        assert (code, found["value"]) == (0, "1" if expression.startswith("--") else "-1")


def test_an_error_says_where_and_how_to_mend_it_and_exits_1(capsys):
    code = main(["expression", "foor(${a})", "--format", "json", "--language", "en"])
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]

    assert code == 1
    assert (error["start"], error["end"]) == (0, 10)
    assert "foor" in error["message"]
    assert "floor" in error["cure"]
    assert "floor" in said.err


def test_text_points_at_what_is_wrong(capsys):
    assert main(["expression", "1 + foor(2)"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "  1 + foor(2)\n      ^^^^^^^\n" in said.err


def test_text_tells_value_type_and_parts_in_the_readers_language(capsys):
    assert main(["expression", "${a} > ${b}", "--values", '{"a": 5}']) == 0
    vietnamese = capsys.readouterr().out
    assert main(["--language", "en", "expression", "${a} > ${b}", "--values", '{"a": 5}']) == 0
    english = capsys.readouterr().out

    assert vietnamese.splitlines() == ["${a} > ${b} → sai  (đúng/sai)", "  ${a} → 5", "  ${b} → (trống)"]
    assert english.splitlines() == ["${a} > ${b} → false  (boolean)", "  ${a} → 5", "  ${b} → (blank)"]


def test_a_form_gives_types_calculates_and_labels(capsys, form):
    code, found = answered(capsys, "${flag} and ${twice} = 18", {"a": "9"}, "--form", form)
    assert (code, found["value"]) == (0, "1")

    _, named = answered(capsys, "${a} + 1", {"a": 9}, "--form", form)
    assert named["parts"][0]["label"] == {"": "How many"}


@pytest.mark.parametrize("row", [row for row in ROWS if "${flag}" in row["expression"]], ids=lambda row: str(row)[:60])
def test_a_forms_truth_calculate_is_seen_as_javarosa_sees_it(capsys, form, row):
    code, found = answered(capsys, row["expression"], row["inputs"], "--form", form)
    assert (code, found.get("value")) == (0, row["value_plus7"])


def test_a_calculate_that_is_given_keeps_its_value(capsys, form):
    _, found = answered(capsys, "${twice}", {"a": 1, "twice": 50}, "--form", form)
    assert found["value"] == "50"


def test_a_forms_repeat_is_a_column_and_can_be_counted(capsys, form):
    _, found = answered(capsys, "sum(${age}) + count(${child})", {"age": [3, 4]}, "--form", form)
    assert found["value"] == "9"


def test_an_answer_that_the_phone_would_not_ask_for_counts_and_is_said_so(capsys, form):
    assert main(["expression", "${why} = ''", "--values", '{"a": 1, "why": "b"}', "--form", form]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("${why} = '' → sai")
    assert "why" in said.err


@pytest.mark.parametrize(
    ("expression", "values", "word"),
    [
        ("${twicee}", {}, "twice"),
        ("${a}", {"aa_": 1}, "aa_"),
        ("${a}", {"a": "many"}, "'a'"),
        ("${m}", {"m": ["z"]}, "x, y"),
    ],
)
def test_names_and_values_that_the_form_does_not_have_are_refused_with_a_cure(capsys, form, expression, values, word):
    code, found = answered(capsys, expression, values, "--form", form)
    error = found["error"]
    assert code == 1
    assert word in f"{error['message']} {error['cure']}"


def test_a_form_that_cannot_be_used_is_an_error_in_json_too(capsys, tmp_path):
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"no workbook")
    code, found = answered(capsys, "1", {}, "--form", str(broken))
    assert code == 1
    assert "broken.xlsx" in found["error"]["message"]


def test_values_may_lie_in_a_file(capsys, tmp_path):
    file = tmp_path / "values.json"
    file.write_text('{"tên": 2}', "utf-8")
    for given in (str(file), f"@{file}"):
        assert main(["expression", "${tên} + 1", "--values", given, "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["value"] == "3"


@pytest.mark.parametrize("more", [["--values", "nowhere.json"], ["--values", "{bad"], ["--timezone", "Mars/Base"]])
def test_what_cannot_be_read_is_said_in_words_and_exits_1(capsys, more):
    assert main(["expression", "1", *more]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
