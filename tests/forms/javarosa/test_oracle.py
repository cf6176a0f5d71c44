"""The oracle itself: it must say what a phone stores, and refuse loudly."""

import pytest

from tests.forms.javarosa.oracle import OracleFailed, evaluate, shared_oracle

pytestmark = pytest.mark.jdk


def xform(calculate: str) -> str:
    """A form with an integer `a`, a select_multiple `m`, a repeat `child` with `age`, and the calculate `c`."""
    return f"""<h:html xmlns="http://www.w3.org/2002/xforms" xmlns:h="http://www.w3.org/1999/xhtml"
        xmlns:jr="http://openrosa.org/javarosa">
      <h:head><h:title>probe</h:title><model>
        <instance><data id="probe"><a/><m/>
          <child jr:template=""><age/></child><child><age/></child><c/></data></instance>
        <bind nodeset="/data/a" type="int" constraint=". &lt; 10" jr:constraintMsg="below ten"/>
        <bind nodeset="/data/m" type="string" required="true()"/>
        <bind nodeset="/data/child/age" type="int" relevant="/data/a &gt; 0"/>
        <bind nodeset="/data/c" type="string" calculate="{calculate}"/>
      </model></h:head>
      <h:body><input ref="/data/a"><label>a</label></input>
        <select ref="/data/m"><label>m</label>
          <item><label>x</label><value>x</value></item><item><label>y</label><value>y</value></item></select>
        <group ref="/data/child"><label>child</label>
          <repeat nodeset="/data/child"><input ref="/data/child/age"><label>age</label></input></repeat></group>
      </h:body></h:html>"""


def test_a_blank_makes_a_sum_blank_and_a_comparison_false() -> None:
    assert evaluate(xform("/data/a + 1"), {})["/data/c"] == ""
    assert evaluate(xform("/data/a + 1"), {"/data/a": 4})["/data/c"] == "5"
    assert evaluate(xform("/data/a &lt; 5"), {})["/data/c"] == "0"


def test_rows_are_made_and_taken_away_as_asked() -> None:
    form = xform("sum(/data/child/age)")
    answers = {"/data/a": 1, "/data/child/age": 3, "/data/child[2]/age": 4}
    assert evaluate(form, answers, rows={"/data/child": 2})["/data/c"] == "7"
    assert evaluate(form, {"/data/a": 1}, rows={"/data/child": 0})["/data/c"] == "0"


def test_every_refusal_says_why() -> None:
    filled = shared_oracle().fill(
        xform("1"), {"/data/a": 12, "/data/m": ["x", "z"], "/data/child/age": 3, "/data/q": 1}
    )
    assert filled.refused == {
        "/data/a": "constraint",
        "/data/m": "no such choice",
        "/data/child/age": "not asked",
        "/data/q": "not asked",
    }
    assert filled.messages == {"/data/a": "below ten"}
    assert filled.missing == ("/data/m",)
    assert filled.values["/data/child/age"] is None


def test_a_word_is_no_number() -> None:
    assert shared_oracle().fill(xform("1"), {"/data/a": "ba"}).refused == {"/data/a": "not of this type"}


def test_the_zone_is_the_one_asked_for() -> None:
    clock = xform("format-date-time(now(), '%Y-%m-%d')")
    assert (
        evaluate(clock, {}, timezone="Pacific/Kiritimati")["/data/c"]
        != evaluate(clock, {}, timezone="Etc/GMT+12")["/data/c"]
    )


def test_an_unknown_function_and_broken_xml_fail_with_javarosas_own_words() -> None:
    with pytest.raises(OracleFailed, match="cannot handle function 'nope'"):
        evaluate(xform("nope(1)"), {})
    with pytest.raises(OracleFailed):
        evaluate("<h:html", {})
    assert evaluate(xform("1"), {})["/data/c"] == "1"
