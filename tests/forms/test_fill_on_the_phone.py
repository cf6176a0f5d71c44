"""Our filling and JavaRosa's, held against each other over random answers."""

import datetime as dt
import random
from zoneinfo import ZoneInfo

import pytest
from lxml import etree

from forms.answers import from_given, read, write
from forms.fill import fill
from tests.forms.javarosa.oracle import shared_oracle
from tests.forms.markdown_forms import compiled

pytestmark = pytest.mark.jdk

#: The form asks for no time, so that it does not matter that JavaRosa has a clock of its own.
NOW = dt.datetime(2026, 11, 20, 9, 30, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))

FORM = """
| survey |
|        | type              | name | label | relevant             | calculation                       | default | trigger | choice_filter |
|        | integer           | n    | N     |                      |                                   | 3       |         |               |
|        | decimal           | w    | W     |                      |                                   |         |         |               |
|        | text              | t    | T     | ${n} > 2             |                                   | abc     |         |               |
|        | date              | d    | D     |                      |                                   |         |         |               |
|        | select_multiple l | m    | M     |                      |                                   | b       |         |               |
|        | select_one l      | o    | O     | selected(${m}, 'a')  |                                   |         |         |               |
|        | calculate         | b    |       |                      | ${n} > 2 and ${o} = 'c'           |         |         |               |
|        | calculate         | bb   |       |                      | if(${b}, 'T', 'F')                |         |         |               |
|        | calculate         | bc   |       |                      | ${b} = '1'                        |         |         |               |
|        | calculate         | sc   |       |                      | ${n} + ${w}                       |         |         |               |
|        | calculate         | sd   |       |                      | ${sc} * 2                         |         |         |               |
|        | calculate         | se   |       |                      | if(${sc} = '', 'none', ${sc} > 10) |        |         |               |
|        | calculate         | dd   |       |                      | ${d} + 30                         |         |         |               |
|        | calculate         | dx   |       |                      | date(${d} + 30)                   |         |         |               |
|        | calculate         | dy   |       |                      | format-date(${dx}, '%Y-%m-%d')    |         |         |               |
|        | calculate         | cm   |       |                      | count-selected(${m}) + 0          |         |         |               |
|        | calculate         | tr   |       |                      | ${n} * 10                         |         | ${n}    |               |
|        | begin group       | g    | G     | ${n} != 1            |                                   |         |         |               |
|        | begin repeat      | r    | R     | ${n} != 0            |                                   |         |         |               |
|        | decimal           | v    | V     |                      |                                   | 1.5     |         |               |
|        | text              | u    | U     | ${v} > 1 and ${n} > 2 |                                  |         |         |               |
|        | calculate         | v2   |       |                      | ${v} * 2 + ${n}                   |         |         |               |
|        | begin group       | rg   | RG    | ${v2} > 5            |                                   |         |         |               |
|        | integer           | x    | X     |                      |                                   |         |         |               |
|        | calculate         | y    |       |                      | ${x} + ${v2}                      |         |         |               |
|        | end group         |      |       |                      |                                   |         |         |               |
|        | end repeat        |      |       |                      |                                   |         |         |               |
|        | calculate         | tot  |       |                      | sum(${v2})                        |         |         |               |
|        | calculate         | cnt  |       |                      | count(${r})                       |         |         |               |
|        | calculate         | mx   |       |                      | max(${y})                         |         |         |               |
|        | calculate         | jn   |       |                      | join(',', ${v})                   |         |         |               |
|        | end group         |      |       |                      |                                   |         |         |               |
|        | calculate         | late |       |                      | coalesce(${tot}, 'x')             |         |         |               |
| choices |
|         | list_name | name | label |
|         | l         | a    | A     |
|         | l         | b    | B     |
|         | l         | c    | C     |
"""  # noqa: E501  A sheet is as wide as it is.

ROWS = 2


def some_answers(chance: random.Random) -> dict[str, object]:
    """Random answers, of which some are left out. The repeat has two rows, because a fresh form has one of its own."""
    pool: dict[str, object] = {
        "n": chance.choice([0, 1, 2, 3, 12]),
        "w": chance.choice([0.0, 1.5, 37.25]),
        "t": chance.choice(["x", "a b"]),
        "d": chance.choice(["2000-02-29", "2026-11-20"]),
        "m": chance.sample(["a", "b", "c"], chance.randint(1, 3)),
        "o": chance.choice(["a", "c"]),
    }
    kept = {name: value for name, value in pool.items() if chance.random() < 0.7}
    return {
        **kept,
        "g/r/v": [chance.choice([0.5, 2.0, 4.5]) for _ in range(ROWS)],
        "g/r/u": [chance.choice(["p", "q"]) for _ in range(ROWS)],
        "g/r/rg/x": [chance.choice([0, 7]) for _ in range(ROWS)],
    }


def as_the_phone_is_told(answers: dict[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for path, value in answers.items():
        if path.startswith("g/r/") and isinstance(value, list):
            for place, part in enumerate(value, start=1):
                row = "" if place == 1 else f"[{place}]"
                found[f"/data/g/r{row}/{path.removeprefix('g/r/')}"] = part
        else:
            found[f"/data/{path}"] = value
    return found


def shape(element: etree._Element) -> list[object]:
    return [(etree.QName(child).localname, shape(child)) for child in element]


@pytest.mark.parametrize("seed", range(40))
def test_a_form_is_filled_as_javarosa_fills_it(seed):
    form, answers = compiled(FORM), some_answers(random.Random(seed))
    phone = shared_oracle().fill(form.xform, as_the_phone_is_told(answers), rows={"/data/g/r": ROWS})
    ours = fill(form, from_given(form, answers).answers, NOW)
    theirs = read(form, phone.submission.encode())
    assert {**ours, "meta/instanceID": theirs.instance_id} == theirs.answers
    assert theirs.findings == ()
    written = write(form, ours, instance_id=theirs.instance_id, now=NOW)
    assert shape(etree.fromstring(written)) == shape(etree.fromstring(phone.submission.encode()))
