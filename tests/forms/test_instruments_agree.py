"""The phone's engine and ours, held against each other over the instruments: the rules see what the worker saw."""

import datetime as dt
import functools
import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from forms.answers import read
from forms.compile import compile_form
from forms.definition import FormDefinition
from forms.expressions import (
    Environment,
    Expression,
    ExpressionError,
    compile_expression,
    from_answer,
    stored,
)
from forms.references import Names
from tests.forms.javarosa.oracle import Filled, shared_oracle

pytestmark = pytest.mark.jdk

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
NOW = dt.datetime(2026, 11, 22, 9, tzinfo=ZONE)
WORKBOOKS = Path(__file__).parents[2] / "forms" / "xlsform"
VECTORS = {
    instrument: vectors
    for instrument, vectors in json.loads(Path(__file__).with_name("vectors.json").read_text()).items()
    if instrument != "about"
}
AGREED = {
    "area": "LB-BODE",
    "consent_language": "vi",
    "consent_take_part": "yes",
    "under_18": "no",
    "consent_way": "spoken",
    "client_code": "KH-LB-0042",
}


@functools.cache
def definition(form_id: str) -> FormDefinition:
    return compile_form((WORKBOOKS / f"{form_id}.xlsx").read_bytes(), f"{form_id}.xlsx").require()


@functools.cache
def names(form_id: str) -> Names:
    return Names.of(definition(form_id))


@functools.cache
def compiled(form_id: str, text: str, path: str) -> Expression | None:
    """None beyond our language: jr:choice-name puts a level in words, which no rule needs."""
    try:
        return compile_expression(text, names(form_id).scope(path))
    except ExpressionError:
        assert "jr:choice-name" in text
        return None


@functools.cache
def fillings(instrument: str) -> tuple[tuple[str, Filled], ...]:
    """Every vector of an instrument as the phone fills it in."""
    form = definition(form_of(instrument))
    found = []
    for vector in VECTORS[instrument]:
        given = {**AGREED, **vector["answers"]}
        paths = {f"/{form.root}/{form.by_name[name][0].path}": given[name] for name in given if name in form.by_name}
        found.append((vector["id"], shared_oracle().fill(form.xform, paths)))
    return tuple(found)


def form_of(instrument: str) -> str:
    return "contact" if instrument == "contact" else "screening"


def environment(form: FormDefinition, phone: Filled) -> Environment:
    answers = read(form, phone.submission.encode()).answers
    return Environment(lambda key: from_answer(form.by_path[key].type, answers.get(key)), NOW)


@pytest.mark.parametrize("instrument", VECTORS)
def test_our_language_computes_what_the_phone_stored(instrument: str) -> None:
    form_id = form_of(instrument)
    form = definition(form_id)
    compared, different = 0, []
    for vector_id, phone in fillings(instrument):
        ours = environment(form, phone)
        for field in form.fields:
            theirs = phone.values[f"/{form.root}/{field.path}"]
            expression = compiled(form_id, field.calculation, field.path) if field.calculation else None
            if expression is None or theirs is None or field.name == "instanceName":
                continue
            compared += 1
            value = stored(expression.evaluate(ours), ZONE)
            if value != theirs:
                different.append(f"{vector_id} {field.path}: phone {theirs!r}, ours {value!r}")
    print(f"{instrument}: {compared - len(different)}/{compared} calculates")
    assert different == []
    assert compared >= 10


@pytest.mark.parametrize("instrument", VECTORS)
def test_our_language_shows_and_hides_what_the_phone_did(instrument: str) -> None:
    form_id = form_of(instrument)
    form = definition(form_id)
    gates = {item.path: item.relevant for item in (*form.groups, *form.fields) if item.relevant}
    compared, different = 0, []
    for vector_id, phone in fillings(instrument):
        ours = environment(form, phone)
        open_ = {path: _truth(compiled(form_id, text, path), ours) for path, text in gates.items()}
        for field in form.fields:
            parts = field.path.split("/")
            above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
            shown = all(open_.get(path, True) for path in above)
            compared += 1
            if shown is not (phone.values[f"/{form.root}/{field.path}"] is not None):
                different.append(f"{vector_id} {field.path}: shown by us: {shown}")
    print(f"{instrument}: {compared - len(different)}/{compared} questions")
    assert different == []


def _truth(expression: Expression | None, environment: Environment) -> bool:
    assert expression is not None
    return expression.truth(environment)


@pytest.mark.parametrize("instrument", VECTORS)
def test_what_the_phone_sends_fits_the_form_without_a_finding(instrument: str) -> None:
    form = definition(form_of(instrument))
    for vector_id, phone in fillings(instrument):
        submitted = read(form, phone.submission.encode())
        assert submitted.findings == (), vector_id
        assert submitted.version == form.version
