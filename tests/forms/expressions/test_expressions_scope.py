"""Names, paths and types: what an expression is allowed to speak of."""

from __future__ import annotations

import datetime as dt

import pytest

from forms.expressions import (
    CATALOGUE,
    Argument,
    Environment,
    EvaluationError,
    ExpressionError,
    Function,
    Reference,
    Refused,
    Scope,
    ValueType,
    compile_expression,
)
from forms.sheets import Text

_NOW = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=7)))
_KNOWN = {
    "/screening/age": Reference("age", "age", ValueType.NUMBER, labels={"en": "Age"}),
    "/screening/home/town": Reference("home/town", "town", ValueType.TEXT),
    "/screening/visit/cost": Reference("visit/cost", "cost", ValueType.NUMBER, repeated=True),
}
_BY_NAME = {reference.name: reference for reference in _KNOWN.values()}


def _scope(context="", functions=CATALOGUE):
    return Scope(resolve=_BY_NAME.get, names=tuple(_BY_NAME), functions=functions, path=_KNOWN.get, context=context)


def _run(text, values, context="", current="", functions=CATALOGUE):
    expression = compile_expression(text, _scope(context, functions))
    return expression.evaluate(Environment(lambda key: values.get(key, ""), _NOW, current=current))


def test_an_unknown_name_is_an_error_with_a_suggestion():
    with pytest.raises(ExpressionError) as caught:
        compile_expression("${agee} > 3", _scope())

    assert caught.value.cure == Text(vi="Có phải ${age} không?", en="Did you mean ${age}?")


def test_paths_lead_from_the_root_or_from_the_node_itself():
    values = {"age": 20.0, "home/town": "Hanoi"}

    assert _run(" /screening/age  + 1", values) == 21
    assert _run("../age + 1", values, context="/screening/note") == 21
    assert _run("../../age", values, context="/screening/home/note") == 20
    assert _run("current()/../home/town", values, context="/screening/note") == "Hanoi"
    assert _run("concat( /screening/home/town , '!')", values) == "Hanoi!"


def test_a_dot_is_the_answer_being_checked():
    assert _run(". > 3 and . < ../age", {"age": 20.0}, context="/screening/score", current=7.0) is True
    assert _run("current()/. = 7", {}, context="/screening/score", current=7.0) is True


def test_a_path_that_leads_nowhere_is_an_error():
    for text in ("/screening/aeg", "../../../age"):
        with pytest.raises(ExpressionError):
            compile_expression(text, _scope("/screening/note"))


def test_references_and_calls_are_listed_once_and_in_order():
    expression = compile_expression("${town} = 'x' or ${age} > 3 and contains(${town}, 'y')", _scope())

    assert [reference.name for reference in expression.references] == ["town", "age"]
    assert [(call.name, call.literals) for call in expression.calls] == [("contains", (None, "y"))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${age} > 3", ValueType.BOOLEAN),
        ("-${age}", ValueType.NUMBER),
        ("today()", ValueType.DATE),
        ("'x'", ValueType.TEXT),
        ("if(${age} > 3, 'a', 'b')", ValueType.TEXT),
        ("if(${age} > 3, 1, '')", ValueType.NUMBER),
        ("if(${age} > 3, 1, 'b')", ValueType.ANY),
        ("coalesce(${age}, 0)", ValueType.NUMBER),
        ("once(today())", ValueType.DATE),
    ],
)
def test_the_type_is_known_before_any_answer(text, expected):
    assert compile_expression(text, _scope()).type is expected


def test_a_branch_not_taken_is_not_computed():
    broken = {"home/town": "not a date"}

    assert _run("if(${age} = '', 1, date(${town}))", broken) == 1
    assert _run("coalesce(1, date(${town}))", broken) == 1
    assert _run("false() and date(${town})", broken) is False


def test_a_failing_function_tells_its_place_and_never_the_answer():
    with pytest.raises(EvaluationError) as caught:
        _run("1 + date(${town})", {"home/town": "Secret Street 5"})

    assert (caught.value.start, caught.value.end) == (4, 17)
    assert "Secret" not in str(caught.value)


def test_a_repeated_question_has_one_value_as_long_as_it_has_one_row():
    assert _run("${cost} > 2", {"visit/cost": (3.0,)}) is True
    with pytest.raises(EvaluationError):
        _run("${cost} > 2", {"visit/cost": (3.0, 4.0)})


def test_other_functions_can_be_offered_beside_the_catalogue():
    def previous(env, given):
        if given[0] not in env.record:
            raise Refused(Text(vi="Không có.", en="Not there."), Text(vi="", en=""))
        return env.record[given[0]]

    function = Function(
        name="previous",
        arguments=(Argument(Text(vi="câu hỏi", en="question"), literal=True),),
        returns=ValueType.ANY,
        summary=Text(vi="", en=""),
        blank=Text(vi="", en=""),
        example="previous('age')",
        call=previous,
        typed_by=lambda literals: ValueType.NUMBER if literals == ("age",) else ValueType.TEXT,
    )
    scope = _scope(functions={**CATALOGUE, "previous": function})
    expression = compile_expression("previous('age') + 1", scope)
    env = Environment(lambda key: "", _NOW, record={"age": 4.0})

    assert expression.evaluate(env) == 5
    assert compile_expression("previous('age')", scope).type is ValueType.NUMBER
    with pytest.raises(ExpressionError, match="must be quoted"):
        compile_expression("previous(${age})", scope)
    with pytest.raises(EvaluationError, match="Not there"):
        compile_expression("previous('x')", scope).evaluate(env)
