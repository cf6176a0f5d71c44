"""Forms filled on the server as the phone fills them."""

import datetime as dt

import pytest

from forms.answers import from_given
from forms.fill import fill
from tests.forms.markdown_forms import compiled

NOW = dt.datetime(2026, 11, 20, 23, 30, tzinfo=dt.timezone(dt.timedelta(hours=7)))

FORM = """
| survey |
|        | type              | name  | label | relevant                  | calculation                    | default | trigger |
|        | start             | start |       |                           |                                |         |         |
|        | today             | today |       |                           |                                |         |         |
|        | username          | user  |       |                           |                                |         |         |
|        | integer           | n     | N     |                           |                                | 3       |         |
|        | date              | day   | Day   |                           |                                | today() |         |
|        | select_multiple l | many  | Many  |                           |                                | a b     |         |
|        | text              | why   | Why   | ${n} > 2                  |                                |         |         |
|        | begin group       | g     | G     | ${why} != ''              |                                |         |         |
|        | integer           | m     | M     |                           |                                |         |         |
|        | calculate         | twice |       |                           | ${m} * 2                       |         |         |
|        | end group         |       |       |                           |                                |         |         |
|        | calculate         | flag  |       |                           | ${twice} > 10                  |         |         |
|        | calculate         | band  |       |                           | if(${flag}, 'high', 'low')     |         |         |
|        | calculate         | soon  |       |                           | date(${day} + 30)              |         |         |
|        | calculate         | words |       |                           | jr:choice-name('a', '${many}') |         |         |
|        | calculate         | when  |       |                           | now()                          |         | ${why}  |
|        | begin repeat      | child | Child | ${n} != 9                 |                                |         |         |
|        | integer           | years | Years |                           |                                |         |         |
|        | text              | skul  | S     | ${years} > 5              |                                | none    |         |
|        | calculate         | older |       |                           | ${years} + ${n}                |         |         |
|        | end repeat        |       |       |                           |                                |         |         |
|        | calculate         | total |       |                           | sum(${older})                  |         |         |
|        | calculate         | heads |       |                           | count(${child})                |         |         |
| choices |
|         | list_name | name | label |
|         | l         | a    | A     |
|         | l         | b    | B     |
"""  # noqa: E501  A sheet is as wide as it is.


def filled(**values: object) -> dict[str, object]:
    given = from_given(compiled(FORM), values)
    assert given.problems == ()
    return dict(fill(compiled(FORM), given.answers, NOW))


def test_a_fresh_form_has_its_defaults_and_what_the_phone_knows_of_time():
    assert filled() == {
        "start": "2026-11-20T23:30:00.000+07:00",
        "today": "2026-11-20",
        "n": 3,
        "day": "2026-11-20",
        "many": ("a", "b"),
        "flag": False,
        "band": "low",
        "soon": "2026-12-20",
        "total": 0.0,
        "heads": 0.0,
    }


def test_what_is_given_stands_instead_of_the_default():
    found = filled(n=1, day="2026-11-01", many=["b"])
    assert (found["n"], found["day"], found["many"], found["soon"]) == (1, "2026-11-01", ("b",), "2026-12-01")


def test_calculates_follow_each_other_whatever_their_order():
    found = filled(why="x", m=6)
    assert (found["g/twice"], found["flag"], found["band"]) == (12.0, True, "high")


def test_what_does_not_apply_is_left_out_with_all_that_is_in_it():
    found = filled(n=1, why="x", m=6)
    assert not {"why", "g/m", "g/twice"} & found.keys()
    assert found["band"] == "low"


def test_a_calculate_that_is_given_keeps_its_value():
    found = filled(why="x", m=6, twice=100, words="as given")
    assert (found["g/twice"], found["words"]) == (100.0, "as given")


def test_a_trigger_stores_when_somebody_answers_it():
    assert "when" not in filled()
    assert filled(why="x")["when"] == "2026-11-20T23:30:00.000+07:00"


def test_each_row_of_a_repeat_is_filled_by_itself():
    found = filled(years=[4, 7, None])
    assert found["child/years"] == [4, 7, None]
    assert found["child/skul"] == [None, "none", None]
    assert found["child/older"] == [7.0, 10.0, None]
    assert (found["total"], found["heads"]) == (17.0, 3.0)


def test_a_repeat_that_does_not_apply_has_no_rows():
    found = filled(n=9, years=[4, 7])
    assert "child/years" not in found
    assert found["heads"] == 0.0


def test_a_day_is_the_day_of_the_programmes_zone():
    form = compiled(FORM)
    assert fill(form, {}, NOW.astimezone(dt.UTC))["today"] == "2026-11-20"
    assert fill(form, {}, NOW + dt.timedelta(hours=1))["today"] == "2026-11-21"


def test_rows_of_a_repeat_inside_a_repeat_stay_as_given():
    form = compiled("""
        | survey |
        |        | type         | name | label | relevant | calculation |
        |        | begin repeat | a    | A     |          |             |
        |        | text         | x    | X     |          |             |
        |        | begin repeat | b    | B     |          |             |
        |        | text         | y    | Y     | 1 = 2    |             |
        |        | integer      | z    | Z     |          |             |
        |        | end repeat   |      |       |          |             |
        |        | end repeat   |      |       |          |             |
        |        | calculate    | sum  |       |          | sum(${z})   |
        """)
    given = {"a/x": ["p"], "a/b/y": ["q", None], "a/b/z": [2, 5]}
    assert fill(form, given, NOW) == {**given, "sum": 7.0}


def test_a_circle_leaves_its_nodes_blank_rather_than_running_for_ever():
    form = compiled("""
        | survey |
        |        | type      | name | label | calculation |
        |        | text      | t    | T     |             |
        |        | calculate | a    |       | ${b} + 1    |
        |        | calculate | b    |       | ${a} + 1    |
        """)
    assert fill(form, {"t": "x"}, NOW) == {"t": "x"}


@pytest.mark.parametrize("count", [10, 400])
def test_a_long_chain_of_conditions_is_followed_to_its_end(count):
    rows = "".join(f"| | integer | q{place} | Q | ${{q{place - 1}}} = 1 |\n" for place in range(1, count))
    form = compiled(f"| survey |\n| | type | name | label | relevant |\n| | integer | q0 | Q | |\n{rows}")
    given = {f"q{place}": 1 for place in range(count)}
    assert fill(form, given, NOW) == given
    assert fill(form, {**given, "q0": 2}, NOW) == {"q0": 2}


def test_an_example_may_leave_out_the_way_to_its_answers():
    form = compiled("""
        | survey |
        |        | type        | name  | label | relevant     | calculation    |
        |        | text        | use   | Use   |              |                |
        |        | begin_group | g     | G     | ${use} = 'y' |                |
        |        | integer     | days  | Days  |              |                |
        |        | calculate   | twice |       |              | ${days} * 2    |
        |        | end_group   |       |       |              |                |
        """)
    assert fill(form, {"g/days": 3}, NOW) == {}
    assert fill(form, {"g/days": 3}, NOW, as_told=True) == {"g/days": 3, "g/twice": 6.0}
