"""The XLSForm expression language with JavaRosa's semantics: what Collect computes is what is computed here.

    expression = compile_expression("${score} >= ${cut_off}", scope)
    expression.truth(Environment(values=answers.get, now=now))

A blank is "". Blank answers are missing numbers: comparisons with them are false, computations with them blank.
"""

from forms.expressions.advice import ExpressionWarning
from forms.expressions.compile import Expression, Scope, compile_expression
from forms.expressions.errors import EvaluationError, ExpressionError, Refused
from forms.expressions.explain import Explained
from forms.expressions.functions import CATALOGUE
from forms.expressions.pieces import Call
from forms.expressions.plain import PlainResult, evaluate_plain
from forms.expressions.signatures import Argument, Environment, Function, Reference, Takes
from forms.expressions.syntax import Node, parse
from forms.expressions.values import (
    Nodeset,
    Value,
    ValueType,
    from_answer,
    stored,
    to_boolean,
    to_number,
    to_text,
    type_of_field,
)

__all__ = [
    "CATALOGUE",
    "Argument",
    "Call",
    "Environment",
    "EvaluationError",
    "Explained",
    "Expression",
    "ExpressionError",
    "ExpressionWarning",
    "Function",
    "Node",
    "Nodeset",
    "PlainResult",
    "Reference",
    "Refused",
    "Scope",
    "Takes",
    "Value",
    "ValueType",
    "compile_expression",
    "evaluate_plain",
    "from_answer",
    "parse",
    "stored",
    "to_boolean",
    "to_number",
    "to_text",
    "type_of_field",
]
