"""The JSON Schema of a form's submissions."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from forms.schema import schema_of, validator
from tests.forms.markdown_forms import compiled

FORM = """
| survey |
|        | type                           | name   | label | relevant   | constraint            | required | appearance      |
|        | integer                        | age    | Age   |            | . >= 0 and . <= 120   | yes      |                 |
|        | decimal                        | weight | W     |            | . > 0 and . < 300.5   |          |                 |
|        | integer                        | even   | E     |            | . mod 2 = 0           |          |                 |
|        | select_one l                   | one    | One   |            |                       |          |                 |
|        | select_multiple l or_other     | many   | Many  |            |                       |          |                 |
|        | rank l                         | order  | Order |            |                       |          |                 |
|        | select_one_from_file w.csv     | ward   | Ward  |            |                       |          |                 |
|        | select_one w                   | found  | F     |            |                       |          | search('wards') |
|        | date                           | day    | Day   |            |                       |          |                 |
|        | dateTime                       | moment | M     |            |                       |          |                 |
|        | time                           | clock  | C     |            |                       |          |                 |
|        | geopoint                       | place  | P     |            |                       |          |                 |
|        | image                          | photo  | Ph    |            |                       |          |                 |
|        | acknowledge                    | seen   | S     |            |                       |          |                 |
|        | note                           | said   | N     |            |                       |          |                 |
|        | begin group                    | sure   | G     |            |                       |          |                 |
|        | text                           | name   | Name  |            |                       | yes      |                 |
|        | text                           | maybe  | Maybe | ${age} > 3 |                       | yes      |                 |
|        | end group                      |        |       |            |                       |          |                 |
|        | begin group                    | unsure | G     | ${age} > 3 |                       |          |                 |
|        | text                           | must   | Must  |            |                       | yes      |                 |
|        | end group                      |        |       |            |                       |          |                 |
|        | begin repeat                   | child  | R     |            |                       |          |                 |
|        | integer                        | years  | Y     |            |                       | yes      |                 |
|        | end repeat                     |        |       |            |                       |          |                 |
| choices |
|         | list_name | name | label |
|         | l         | a    | A     |
|         | l         | b    | B     |
|         | w         | code | label |
"""  # noqa: E501  A sheet is as wide as it is.

GOOD: dict[str, Any] = {"age": 30, "sure": {"name": "x"}}


def wrong(**answers: Any) -> list[tuple[str, str]]:
    errors = validator(compiled(FORM)).iter_errors({**GOOD, **answers})
    return sorted(("/".join(map(str, error.absolute_path)), str(error.validator)) for error in errors)


def test_the_schema_is_a_good_schema_and_the_same_each_time():
    form = compiled(FORM)
    Draft202012Validator.check_schema(schema_of(form))
    assert schema_of(form) == form.schema
    assert list(form.schema["properties"])[:2] == ["age", "weight"]


def test_a_filled_form_fits():
    assert (
        wrong(
            weight=60,
            one="a",
            many=["a", "other", "a"],
            order=["b", "a"],
            ward="anything",
            found="anything",
            day="2024-02-29",
            moment="2026-11-20T08:30:00.000+07:00",
            clock="08:30:00.000+07:00",
            place="21.03 105.85 12.0 4.5",
            photo="1700000000000.jpg",
            seen="OK",
            sure={"name": "x", "maybe": "y"},
            unsure={"must": "z"},
            child=[{"years": 3}, {"years": 4}],
        )
        == []
    )


@pytest.mark.parametrize(
    ("answers", "keyword"),
    [
        ({"age": "30"}, "type"),
        ({"age": True}, "type"),
        ({"age": 121}, "maximum"),
        ({"age": -1}, "minimum"),
        ({"weight": 0}, "exclusiveMinimum"),
        ({"weight": 300.5}, "exclusiveMaximum"),
        ({"one": "c"}, "enum"),
        ({"one": "other"}, None),
        ({"many": ["c"]}, "enum"),
        ({"order": "a b"}, "type"),
        ({"day": "2024-02-30"}, "format"),
        ({"moment": "2026-11-20"}, "format"),
        ({"clock": "half past"}, "pattern"),
        ({"place": "21.03"}, "pattern"),
        ({"photo": "../../x.jpg"}, "pattern"),
        ({"seen": "yes"}, "enum"),
        ({"nobody": "x"}, "additionalProperties"),
        ({"child": []}, "minItems"),
        ({"many": []}, "minItems"),
        ({"day": None}, "type"),
    ],
)
def test_what_does_not_fit_is_found(answers, keyword):
    # or_other adds its choice to the shared list, so the other question on that list takes it too.
    assert [found for _, found in wrong(**answers)] == ([keyword] if keyword else [])


def test_a_constraint_that_is_no_plain_bound_is_left_to_the_phone():
    assert wrong(even=3) == []


def test_only_what_is_certainly_asked_is_required():
    form = compiled(FORM)
    assert form.schema["required"] == ["age", "sure"]
    assert form.schema["properties"]["sure"]["required"] == ["name"]
    assert "required" not in form.schema["properties"]["unsure"]
    assert form.schema["properties"]["child"]["items"]["required"] == ["years"]


def test_a_validator_is_built_once():
    assert validator(compiled(FORM)) is validator(compiled(FORM))
