"""ketnoi expression: what an expression comes to, part by part."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from forms.compile import compile_form
from forms.definition import Answers, FormDefinition
from forms.expressions import (
    Environment,
    Explained,
    Expression,
    ExpressionError,
    Nodeset,
    Value,
    compile_expression,
    evaluate_plain,
    from_answer,
    stored,
)
from forms.references import ROWS, Names
from forms.sheets import SheetErrors, Text
from rules.decision import Part
from rules.fields import by_language_code
from service import clock
from service.commands.given import filled, unasked
from service.commands.printing import (
    Mistake,
    complain,
    json_object,
    parts_lines,
    read_bytes,
    say,
    say_json,
    shown,
    zone_of,
)

#: Whatever begins with a minus and is no option of ours.
_STARTS_WITH_MINUS = re.compile(r"-.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # An expression may begin with a minus; argparse has no open way to say that `-${a}` is no option.
    parser._negative_number_matcher = _STARTS_WITH_MINUS
    parser.add_argument("expression", help="such as '${a} > 3'")
    parser.add_argument("--values", default="{}", help='{"name": value} as JSON, or a file that holds it')
    parser.add_argument("--form", type=Path, help="an XLSForm whose types and calculates hold")
    parser.add_argument("--timezone", default="Asia/Ho_Chi_Minh", help="(default: %(default)s)")
    parser.add_argument("--format", choices=("text", "json"), default="text")


@dataclass(frozen=True, slots=True)
class Result:
    """`value` as JavaRosa would store it; `explained` says what it was made of."""

    value: str
    explained: Explained
    expression: Expression
    beyond: tuple[str, ...] = ()
    """Given answers that the form would not keep."""


def run(args: argparse.Namespace) -> int:
    try:
        result = _result(args)
    except ExpressionError as error:
        _show_place(args.expression, error)
        return _refused(args, error.problem, error.cure, error.start, error.end)
    except Mistake as mistake:
        return _refused(args, mistake.problem, mistake.cure)
    except SheetErrors as errors:
        if args.format == "json":
            described = "\n".join(finding.describe(args.language) for finding in errors.findings)
            say_json({"error": _error(args.language, Text(described, described), Text("", ""))})
        raise
    _tell(args, result)
    return 0


def _result(args: argparse.Namespace) -> Result:
    zone = zone_of(args.timezone)
    values = json_object(args.values)
    if args.form is None:
        plain = evaluate_plain(args.expression, values, clock.now().astimezone(zone))
        return Result(plain.stored, plain.explained, plain.expression)
    definition = compile_form(read_bytes(args.form), str(args.form)).require()
    return _in_form(args.expression, definition, values, zone)


def _in_form(text: str, definition: FormDefinition, values: Mapping[str, Any], zone: ZoneInfo) -> Result:
    """The expression as it would stand at the form's top level, once these answers are given."""
    now = clock.now().astimezone(zone)
    answers, beyond = filled(definition, values, now)
    expression = compile_expression(text, Names.of(definition).scope(""))
    env = Environment(values=lambda key: _seen(definition, answers, key), now=now)
    value = expression.evaluate(env)
    return Result(stored(value, zone), expression.explain(env), expression, beyond)


def _seen(definition: FormDefinition, answers: Answers, key: str) -> Value | Nodeset:
    """What a reference stands for in these answers: one value, a repeat's column, or its rows."""
    if key.startswith(ROWS):
        return ("",) * _rows(definition, answers, key.removeprefix(ROWS))
    field = definition.by_path[key]
    return from_answer(field.type, answers.get(key, [] if field.repeats else None))


def _rows(definition: FormDefinition, answers: Answers, repeat: str) -> int:
    columns = (answers.get(item.path) for item in definition.fields if item.repeats[:1] == (repeat,))
    return max((len(column) for column in columns if isinstance(column, list)), default=0)


# ---- what is said ---------------------------------------------------------------------------------


def _tell(args: argparse.Namespace, result: Result) -> None:
    warnings = result.expression.warnings
    if result.beyond:
        complain(unasked(result.beyond).to(args.language))
    if args.format == "json":
        explained = result.explained
        said = [_error(args.language, item.problem, item.cure, item.start, item.end) for item in warnings]
        parts = [_part_json(part) for part in explained.parts]
        say_json({"value": result.value, "type": explained.type, "parts": parts, "warnings": said})
        return
    kind = result.explained.type
    say(f"{args.expression} → {shown(result.value, kind, args.language)}  ({_TYPES[kind].to(args.language)})")
    for line in parts_lines((_part(part) for part in result.explained.parts), args.language, "  "):
        say(line)
    for warning in warnings:
        complain(f"{warning.problem.to(args.language)} {warning.cure.to(args.language)}")


_TYPES = {
    "boolean": Text("đúng/sai", "boolean"),
    "number": Text("số", "number"),
    "text": Text("văn bản", "text"),
    "date": Text("ngày", "date"),
    "time": Text("giờ", "time"),
    "datetime": Text("ngày giờ", "date and time"),
    "multiple": Text("nhiều lựa chọn", "several choices"),
    "nodeset": Text("cột của nhóm lặp", "a repeat's column"),
    "any": Text("chưa rõ kiểu", "of any type"),
}


def _part(explained: Explained) -> Part:
    parts = tuple(_part(part) for part in explained.parts)
    return Part(explained.text, explained.value, explained.type, by_language_code(explained.labels), parts)


def _part_json(explained: Explained) -> dict[str, object]:
    return {
        "text": explained.text,
        "value": explained.value,
        "type": explained.type,
        "label": by_language_code(explained.labels),
        "parts": [_part_json(part) for part in explained.parts],
    }


def _error(
    language: str, problem: Text, cure: Text, start: int | None = None, end: int | None = None
) -> dict[str, object]:
    return {"message": problem.to(language), "cure": cure.to(language), "start": start, "end": end}


def _refused(
    args: argparse.Namespace, problem: Text, cure: Text, start: int | None = None, end: int | None = None
) -> int:
    if args.format == "json":
        say_json({"error": _error(args.language, problem, cure, start, end)})
    complain(f"{problem.to(args.language)} {cure.to(args.language)}".rstrip())
    return 1


def _show_place(text: str, error: ExpressionError) -> None:
    """The expression, with marks under what is wrong in it."""
    if error.end > error.start and "\n" not in text:
        complain(f"  {text}\n  {' ' * error.start}{'^' * (error.end - error.start)}")
