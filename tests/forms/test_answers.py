"""Submission XML ↔ typed answers."""

import datetime as dt
import time

import pytest

from forms.answers import Malformed, from_given, read, write
from forms.fill import fill
from tests.forms.markdown_forms import compiled

FORM = """
| survey |
|        | type              | name  | label | relevant   | required | calculation | constraint | save_to |
|        | end               | end   |       |            |          |             |            |         |
|        | begin group       | who   | Who   |            |          |             |            |         |
|        | text              | name  | Name  |            | yes      |             |            |         |
|        | integer           | age   | Age   |            |          |             | . <= 120   |         |
|        | end group         |       |       |            |          |             |            |         |
|        | decimal           | kg    | Kg    |            |          |             |            |         |
|        | select_one l      | one   | One   |            |          |             |            |         |
|        | select_multiple l | many  | Many  |            |          |             |            |         |
|        | date              | day   | Day   |            |          |             |            |         |
|        | time              | clock | Clock |            |          |             |            |         |
|        | image             | photo | Photo |            |          |             |            |         |
|        | note              | said  | Said  | ${age} > 3 |          |             |            |         |
|        | begin repeat      | child | Child |            |          |             |            |         |
|        | text              | cname | Name  |            |          |             |            |         |
|        | begin group       | more  | More  |            |          |             |            |         |
|        | integer           | years | Years |            |          |             |            |         |
|        | end group         |       |       |            |          |             |            |         |
|        | begin repeat      | toy   | Toy   |            |          |             |            |         |
|        | text              | tname | Name  |            |          |             |            |         |
|        | end repeat        |       |       |            |          |             |            |         |
|        | end repeat        |       |       |            |          |             |            |         |
|        | calculate         | score |       |            |          | ${age} * 2  |            |         |
|        | calculate         | over  |       |            |          | ${age} > 3  |            |         |
|        | calculate         | next  |       |            |          | today()     |            |         |
| choices |
|         | list_name | name | label |
|         | l         | a    | A     |
|         | l         | b    | B     |
"""

NOW = dt.datetime(2026, 11, 20, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=7)))
WHO = "<who><name>Lan</name></who>"
META = "<meta><instanceID>uuid:1</instanceID></meta>"


def sent(body: str, version: str = "1", form: str = "trial", meta: str = META) -> bytes:
    return f'<data id="{form}" version="{version}">{body}{meta}</data>'.encode()


def answers(body: str) -> dict[str, object]:
    """Answers by path, without the instance's own id."""
    found = dict(read(compiled(FORM), sent(body)).answers)
    found.pop("meta/instanceID")
    return found


def findings(body: str, **envelope: str) -> list[tuple[str, str, str]]:
    found = read(compiled(FORM), sent(body, **envelope)).findings
    return [(item.level, item.code.removeprefix("answers."), item.path) for item in found]


def test_answers_have_the_types_of_their_fields():
    assert answers(
        f"{WHO}<kg>2.50</kg><one>a</one><many>a b</many><day>2026-11-20</day><photo>1.jpg</photo>"
        "<score>14</score><over>1</over><next>2026-11-20T00:00:00.000+07:00</next>"
    ) == {
        "who/name": "Lan",
        "kg": 2.5,
        "one": "a",
        "many": ("a", "b"),
        "day": "2026-11-20",
        "photo": "1.jpg",
        "score": 14.0,
        "over": True,
        "next": "2026-11-20",
    }


def test_the_nested_form_follows_the_schema():
    found = read(compiled(FORM), sent(f"{WHO}<many>a b</many><child><cname>Bo</cname></child>"))
    assert found.nested == {
        "who": {"name": "Lan"},
        "many": ["a", "b"],
        "child": [{"cname": "Bo"}],
        "meta": {"instanceID": "uuid:1"},
    }
    assert (found.instance_id, found.version, found.findings) == ("uuid:1", "1", ())


def test_blank_and_absent_are_the_same():
    assert answers(f"{WHO}<kg/><one>  </one><day></day>") == {"who/name": "Lan"}


def test_each_row_of_a_repeat_has_its_place():
    assert answers(
        f"{WHO}<child><cname>Bo</cname><more><years>3</years></more></child><child><cname/></child>"
        "<child><more><years>5</years></more></child>"
    ) == {"who/name": "Lan", "child/cname": ["Bo", None, None], "child/more/years": [3, None, 5]}


def test_rows_of_a_repeat_inside_a_repeat_follow_the_document():
    toys = "<child><toy><tname>ball</tname></toy><toy/></child><child/><child><toy><tname>car</tname></toy></child>"
    assert answers(f"{WHO}{toys}")["child/toy/tname"] == ["ball", None, "car"]


def test_the_template_of_a_repeat_is_no_row():
    body = f'{WHO}<child xmlns:jr="http://openrosa.org/javarosa" jr:template=""><cname>x</cname></child>'
    assert answers(body) == {"who/name": "Lan"}


@pytest.mark.parametrize(
    ("element", "path", "code"),
    [
        ("<who><name>x</name><age>1_000</age></who>", "who/age", "type"),
        ("<who><name>x</name><age>١٢</age></who>", "who/age", "type"),
        ("<who><name>x</name><age>7.5</age></who>", "who/age", "type"),
        ("<who><name>x</name><age>121</age></who>", "who/age", "out-of-range"),
        (f"{WHO}<kg>nan</kg>", "kg", "type"),
        (f"{WHO}<kg>1e999</kg>", "kg", "type"),
        (f"{WHO}<kg>2,5</kg>", "kg", "type"),
        (f"{WHO}<one>c</one>", "one", "choice"),
        (f"{WHO}<many>a c</many>", "many", "choice"),
        (f"{WHO}<day>2026-02-30</day>", "day", "type"),
        (f"{WHO}<day>20/11/2026</day>", "day", "type"),
        (f"{WHO}<clock>9h</clock>", "clock", "type"),
        (f"{WHO}<photo>../../x.jpg</photo>", "photo", "type"),
        (f"{WHO}<child><more><years>x</years></more></child>", "child/more/years", "type"),
        ("<kg>1</kg>", "who/name", "required"),
        (f"{WHO}{WHO}", "who", "twice"),
        (f"{WHO}<kg>1</kg><kg>2</kg>", "kg", "twice"),
    ],
)
def test_what_does_not_fit_is_an_error_about_that_field(element, path, code):
    assert findings(element) == [("error", code, path)]


def test_an_answer_of_the_wrong_type_stays_in_the_raw_part_only():
    found = read(compiled(FORM), sent("<who><name>x</name><age>seven</age></who><one>c</one>"))
    assert found.nested["who"]["age"] == "seven"
    assert "who/age" not in found.answers
    assert found.answers["one"] == "c"  # A choice of an older list is a text all the same.


def test_a_calculate_that_does_not_fit_is_only_a_warning():
    assert findings(f"{WHO}<score>Infinity</score>") == [("warning", "type", "score")]


def test_a_finding_names_the_row_and_never_the_answer():
    body = f"{WHO}<one>SECRET</one><child/><child><more><years>SECRET</years></more></child><score>SECRET</score>"
    found = read(compiled(FORM), sent(body)).findings
    assert len(found) == 3
    assert not any("SECRET" in item.problem.vi + item.problem.en for item in found)
    assert "row 2" in next(item.problem.en for item in found if item.path == "child/more/years")


def test_unknown_elements_are_kept_with_a_warning():
    found = read(compiled(FORM), sent(f"{WHO}<formhub><uuid>x</uuid></formhub><extra>y</extra>"))
    assert [(item.level, item.code, item.path) for item in found.findings] == [
        ("warning", "answers.unknown-element", "formhub"),
        ("warning", "answers.unknown-element", "extra"),
    ]
    assert (found.nested["formhub"], found.nested["extra"]) == ({"uuid": "x"}, "y")


@pytest.mark.parametrize(
    "meta",
    [
        "<meta><instanceID>uuid:1</instanceID><deprecatedID>uuid:0</deprecatedID></meta>",
        '<orx:meta xmlns:orx="http://openrosa.org/xforms"><orx:instanceID>uuid:1</orx:instanceID></orx:meta>',
        '<meta xmlns="http://openrosa.org/xforms"><instanceID>uuid:1</instanceID><instanceName>x</instanceName></meta>',
        '<meta><instanceID>uuid:1</instanceID><entity dataset="c" id="1"><label>x</label></entity></meta>',
    ],
)
def test_meta_is_found_wherever_a_tool_puts_it(meta):
    found = read(compiled(FORM), sent(WHO, meta=meta))
    assert (found.instance_id, found.findings) == ("uuid:1", ())


def test_a_submission_without_an_id_is_read_with_an_error():
    assert findings(WHO, meta="") == [("error", "no-instance-id", "meta/instanceID")]


def test_another_version_is_read_as_far_as_it_fits():
    found = findings("<who><name>x</name><age>x</age></who><gone>1</gone>", version="0")
    assert found == [
        ("warning", "other-version", ""),
        ("warning", "unknown-element", "gone"),
        ("warning", "type", "who/age"),
    ]


def test_another_form_is_an_error():
    assert findings(WHO, form="other") == [("error", "other-form", "")]


def test_an_encrypted_envelope_has_no_answers():
    xml = b'<data id="trial" version="1" encrypted="yes"><base64EncryptedKey>x</base64EncryptedKey></data>'
    found = read(compiled(FORM), xml)
    assert ([item.code for item in found.findings], found.answers) == (["answers.encrypted"], {})


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"<data><open></data>",
        b"\xff\xfe\x00",
        b'<!DOCTYPE data SYSTEM "file:///etc/passwd"><data id="trial"/>',
        b'<!DOCTYPE data [<!ENTITY x "y">]><data id="trial">&x;</data>',
        b'<!DOCTYPE d [<!ENTITY a "1234567890"><!ENTITY b "'
        + b"&a;" * 1000
        + b'"><!ENTITY c "'
        + b"&b;" * 1000
        + b'"><!ENTITY d "'
        + b"&c;" * 1000
        + b'">]><d>&d;</d>',
        b"<a>" * 300 + b"</a>" * 300,
    ],
    ids=["empty", "broken", "bytes", "external", "entity", "bomb", "deep"],
)
def test_what_must_not_be_read_is_malformed(xml):
    started = time.monotonic()
    with pytest.raises(Malformed) as raised:
        read(compiled(FORM), xml)
    assert "XML" in raised.value.problem.vi or "DTD" in raised.value.problem.vi
    assert time.monotonic() - started < 2


# Answers by hand.


def given(**values: object) -> tuple[dict[str, object], list[tuple[str, str]]]:
    found = from_given(compiled(FORM), values)
    return dict(found.answers), [(item.code.removeprefix("answers."), item.path) for item in found.problems]


def test_answers_by_hand_are_named_by_path_or_unique_name():
    found, problems = given(age=30, **{"who/name": "Lan", "kg": 2, "many": ["a", "b"], "years": [3, None]})
    assert found == {"who/age": 30, "who/name": "Lan", "kg": 2.0, "many": ("a", "b"), "child/more/years": [3, None]}
    assert problems == []


def test_blanks_by_hand_are_absent_and_text_is_read_strictly():
    assert given(age=None, kg="", one="a", many="a b", day="2026-11-20") == (
        {"one": "a", "many": ("a", "b"), "day": "2026-11-20"},
        [],
    )
    assert given(age="30") == ({"who/age": 30}, [])


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"agee": 3}, ("unknown-name", "agee")),
        ({"age": "x"}, ("type", "who/age")),
        ({"age": 3.5}, ("type", "who/age")),
        ({"age": True}, ("type", "who/age")),
        ({"age": [3]}, ("type", "who/age")),
        ({"one": "c"}, ("choice", "one")),
        ({"many": ["a", "c"]}, ("choice", "many")),
        ({"day": "2026-02-30"}, ("type", "day")),
        ({"years": 3}, ("type", "child/more/years")),
        ({"years": ["x"]}, ("type", "child/more/years")),
        ({"over": "maybe"}, ("type", "over")),
    ],
)
def test_a_wrong_answer_by_hand_is_a_problem(values, problem):
    assert given(**values)[1] == [problem]


def test_an_unknown_name_by_hand_has_a_suggestion():
    problem = from_given(compiled(FORM), {"agee": 3}).problems[0].problem
    assert "'age'" in problem.vi
    assert "'age'" in problem.en


# Back to XML.


def test_what_is_written_is_what_collect_writes_and_reads_back_the_same():
    form = compiled(FORM)
    by_hand = from_given(form, {"name": "Lan", "age": 30, "kg": 2, "many": ["a"], "cname": ["Bo", None]}).answers
    filled = fill(form, by_hand, NOW)
    xml = write(form, filled, instance_id="uuid:9", extra_meta={"deprecatedID": "uuid:8"})
    assert xml.decode().partition("<end>")[2] == (
        "2026-11-20T09:30:00.000+07:00</end><who><name>Lan</name><age>30</age></who><kg>2.0</kg><one/><many>a</many>"
        "<day/><clock/><photo/><said/><child><cname>Bo</cname><more><years/></more></child>"
        "<child><cname/><more><years/></more></child><score>60</score><over>1</over><next>2026-11-20</next>"
        "<meta><instanceID>uuid:9</instanceID><deprecatedID>uuid:8</deprecatedID></meta></data>"
    )
    back = read(form, xml)
    assert back.findings == ()
    assert back.answers == {**filled, "meta/instanceID": "uuid:9"}


def test_what_does_not_apply_is_not_written():
    form = compiled(FORM)
    xml = write(form, {"who/name": "Lan", "who/age": 2}, instance_id="uuid:9")
    assert b"<said" not in xml
    assert b"<said" in write(form, {"who/name": "Lan", "who/age": 5}, instance_id="uuid:9")


def test_a_submission_is_read_in_well_under_a_millisecond_apart_from_the_schema():
    questions = "".join(f"| | integer | q{place} | Q |\n" for place in range(60))
    form = compiled(f"| survey |\n| | type | name | label |\n{questions}")
    xml = sent("".join(f"<q{place}>{place}</q{place}>" for place in range(60)))
    read(form, xml)
    started = time.process_time()
    for _ in range(200):
        read(form, xml)
    # The schema's part included, which is most of it; a slow machine has room.
    assert (time.process_time() - started) / 200 < 0.005
