"""Publish checks: rules against forms, programme, and their own examples. Every finding names its cell and its cure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from forms.definition import Field, FormDefinition
from forms.expressions.advice import ExpressionWarning
from forms.expressions.compile import Expression
from forms.expressions.errors import EvaluationError
from forms.expressions.pieces import Piece, every
from forms.expressions.signatures import Environment
from forms.sheets import Cell, Finding, Level, Text
from forms.suggestions import did_you_mean
from rules import durable
from rules.compile import Ruleset, compile_checked
from rules.decision import Urgency
from rules.evaluate import view
from rules.examples import ExampleResult, run_compiled
from rules.functions import NAMES_OF, Names
from rules.model import BandTable, Rule, Rulebook
from rules.names import FIELD, PARAMETER, grid
from rules.outcomes import EVERY_SERVICE
from rules.programme import Programme


def check(rulebook: Rulebook, forms: Sequence[FormDefinition], programme: Programme | None) -> tuple[Finding, ...]:
    """Everything that an author should know before publishing. Errors block, warnings do not.

    Of several versions of a form the first is the newest. Whether the workbook's own tests hold is for
    `rules.examples.run`; here they count as evidence: of each rule, and of the blanks that its condition meets.
    Chains are loaded into durable-rules in a child process, where it is installed.
    """
    compiled = compile_checked(rulebook, forms)
    found = [*compiled.findings, *_bands(rulebook), *_translations(rulebook)]
    if programme is not None:
        found += _services(rulebook, programme)
    if compiled.value is not None:
        found += _with_evidence(compiled.value, programme)
        found += _smoke(compiled.value)
    return tuple(dict.fromkeys(found))


# ---- bands ----------------------------------------------------------------------------------------


def _bands(rulebook: Rulebook) -> Iterator[Finding]:
    for table in rulebook.bands:
        for lower, upper in pairwise(table.bands):
            cell = rulebook.cell("bands", upper.row, "from")
            if upper.lowest <= lower.highest:
                problem = Text(
                    f"Trùng với dòng {lower.row}: {_number(upper.lowest)} thuộc cả hai mức.",
                    f"This overlaps row {lower.row}: {_number(upper.lowest)} lies in both.",
                )
                yield _error(rulebook, "rules.band-overlap", cell, problem, _next_step(table, lower.highest))
            elif upper.lowest - lower.highest > grid(table):
                problem = Text(
                    f"Giữa {_number(lower.highest)} (dòng {lower.row}) và {_number(upper.lowest)} không có mức nào.",
                    f"Nothing stands between {_number(lower.highest)} (row {lower.row}) and {_number(upper.lowest)}.",
                )
                yield _error(rulebook, "rules.band-gap", cell, problem, _next_step(table, lower.highest))


def _next_step(table: BandTable, highest: Fraction) -> Text:
    following = _number(highest + grid(table))
    return Text(f"Bắt đầu mức này từ {following}.", f"Begin this band at {following}.")


def _number(value: Fraction) -> str:
    return f"{float(value):g}"


# ---- the programme --------------------------------------------------------------------------------


def _services(rulebook: Rulebook, programme: Programme) -> Iterator[Finding]:
    known = programme.service
    offered = {code for provider in programme.providers if provider.active for code in provider.services}
    for service, cell in _services_named(rulebook):
        if service not in known:
            problem = Text(f"Chương trình không có dịch vụ '{service}'.", f"The programme has no service '{service}'.")
            otherwise = Text(
                "Thêm dịch vụ vào trang services của chương trình.", "Add it to the sheet services of the programme."
            )
            yield _error(rulebook, "rules.unknown-service", cell, problem, did_you_mean(service, known, otherwise))
    wanted = {rule.referral: rule for rule in reversed(rulebook.rules) if rule.runs and rule.referral in known}
    for service, rule in wanted.items():
        cell = rulebook.cell("rules", rule.row, "referral")
        if not known[service].internal and service not in offered:
            problem = Text(f"Chưa có cơ sở nào nhận '{service}'.", f"No provider offers '{service}'.")
            cure = Text("Thêm cơ sở vào trang providers.", "Add one to the sheet providers.")
            yield _warning(rulebook, "rules.nobody-offers", cell, problem, cure)
    for rule in rulebook.rules:
        if rule.urgency is Urgency.SAME_VISIT and rule.referral in known and not known[rule.referral].internal:
            problem = Text(
                f"same_visit dành cho dịch vụ nội bộ; '{rule.referral}' không phải.",
                f"same_visit is for internal services, and '{rule.referral}' is none.",
            )
            cure = Text("Chọn mức khẩn khác, hoặc đánh dấu internal.", "Choose another urgency, or mark it internal.")
            yield _warning(rulebook, "rules.same-visit", rulebook.cell("rules", rule.row, "urgency"), problem, cure)


def _services_named(rulebook: Rulebook) -> Iterator[tuple[str, Cell]]:
    for rule in rulebook.rules:
        if rule.referral:
            yield rule.referral, rulebook.cell("rules", rule.row, "referral")
    for stop in rulebook.stops:
        if stop.service != EVERY_SERVICE:
            yield stop.service, rulebook.cell("stops", stop.row, "service")


def _quoted_services(ruleset: Ruleset, programme: Programme) -> Iterator[Finding]:
    """`in-treatment('…')` and its like."""
    for expression, cell in _conditions(ruleset):
        for call in expression.calls:
            name = call.literals[0] if call.literals else None
            if NAMES_OF.get(call.name) is Names.SERVICE and name is not None and name not in programme.service:
                problem = Text(
                    f"{call.name}(): chương trình không có dịch vụ '{name}'.",
                    f"{call.name}(): the programme has no service '{name}'.",
                )
                cure = did_you_mean(name, programme.service, Text("Sửa tên cho đúng.", "Correct the name."))
                yield _error(ruleset.rulebook, "rules.unknown-service", cell, problem, cure)


def _conditions(ruleset: Ruleset) -> Iterator[tuple[Expression, Cell]]:
    for program in ruleset.programs.values():
        for item in program.rules:
            yield item.expression, ruleset.rulebook.cell("rules", item.rule.row, "when")
        for stop in program.stops:
            yield stop.expression, ruleset.rulebook.cell("stops", stop.stop.row, "when")


# ---- texts ----------------------------------------------------------------------------------------


def _translations(rulebook: Rulebook) -> Iterator[Finding]:
    """A text that stands in one of the rulebook's languages and not in another."""
    texts = [*_texts(rulebook)]
    languages = sorted({language for _, _, _, text in texts for language in text})
    for sheet, row, column, text in texts:
        for language in languages:
            if text and language not in text:
                cell = _translated(rulebook, sheet, row, column, language)
                problem = Text(f"Thiếu bản dịch '{language}'.", f"There is no text in '{language}'.")
                cure = Text(f"Điền cột {cell.column}.", f"Fill in the column {cell.column}.")
                yield _warning(rulebook, "rules.translation", cell, problem, cure)
    for rule in rulebook.rules:
        if rule.runs and not rule.message:
            problem = Text(
                f"Quy tắc '{rule.rule_id}' không có lời giải thích.",
                f"Rule '{rule.rule_id}' says nothing to its reader.",
            )
            cure = Text("Điền cột message.", "Fill in the column message.")
            yield _warning(rulebook, "rules.no-message", rulebook.cell("rules", rule.row, "message"), problem, cure)


def _texts(rulebook: Rulebook) -> Iterator[tuple[str, int, str, Mapping[str, str]]]:
    """Sheet, row and column of every text that people read."""
    yield from (("rules", rule.row, "message", rule.message) for rule in rulebook.rules)
    yield from (("stops", stop.row, "message", stop.message) for stop in rulebook.stops)
    yield from (("schedules", step.row, "label", step.label) for step in rulebook.schedules)
    yield from (("parameters", item.row, "label", item.label) for item in rulebook.parameters)
    yield "settings", rulebook.settings.row, "title", rulebook.settings.title


def _translated(rulebook: Rulebook, sheet: str, row: int, column: str, language: str) -> Cell:
    """The cell of a column in one language, as the author heads it: `message::English (en)`."""
    for heading in rulebook.columns.get(sheet, {}):
        if heading.startswith(f"{column}::") and heading.endswith((f"({language})", f"::{language}")):
            return rulebook.cell(sheet, row, heading)
    return rulebook.cell(sheet, row, f"{column}::{language}")


# ---- examples as evidence -------------------------------------------------------------------------


def _with_evidence(ruleset: Ruleset, programme: Programme | None) -> Iterator[Finding]:
    if programme is not None:
        yield from _quoted_services(ruleset, programme)
    results = run_compiled(ruleset, programme)
    yield from _untested(ruleset, results)
    seen = [(result, view(ruleset, case)) for result in results for case in result.cases]
    for program in ruleset.programs.values():
        here = [(result, values.env) for result, (place, values) in seen if place is program]
        for item in program.rules:
            cell = ruleset.rulebook.cell("rules", item.rule.row, "when")
            about = [env for result, env in here if _is_about(result, item.rule)]
            yield from _blanks(ruleset, program.place.form, item.expression, cell, about)


def _untested(ruleset: Ruleset, results: Iterable[ExampleResult]) -> Iterator[Finding]:
    """A rule is shown by an example in which it fires, and one in which it does not."""
    examples = [result.example for result in results]
    firing = {token for example in examples for token in example.expect}
    silent = {token for example in examples for token in example.expect_not}
    for rule in ruleset.rulebook.rules:
        if not rule.runs:
            continue
        name, cell = rule.rule_id, ruleset.rulebook.cell("rules", rule.row, "rule_id")
        if name not in firing:
            problem = Text(f"Chưa có ví dụ nào mà '{name}' áp dụng.", f"There is no example in which '{name}' fires.")
            cure = Text("Thêm một dòng vào trang tests.", "Add a row to the sheet tests.")
            yield _warning(ruleset.rulebook, "rules.no-firing-test", cell, problem, cure)
        if name not in silent:
            problem = Text(
                f"Chưa có ví dụ nào mà '{name}' không áp dụng.", f"There is no example in which '{name}' does not fire."
            )
            cure = Text("Thêm một dòng có expect_not vào trang tests.", "Add a row with expect_not to the sheet tests.")
            yield _warning(ruleset.rulebook, "rules.no-silent-test", cell, problem, cure)


def _is_about(result: ExampleResult, rule: Rule) -> bool:
    """Whether an example expects the rule or its flag, or says that they must not come about."""
    tokens = (*result.example.expect, *result.example.expect_not)
    flag = f"flag:{rule.flag}"
    return any(token == rule.rule_id or (rule.flag and token.partition("/")[0] == flag) for token in tokens)


def _blanks(
    ruleset: Ruleset, form: str, expression: Expression, cell: Cell, about: Sequence[Environment]
) -> Iterator[Finding]:
    """A condition that is true of a question nobody answered, unless an example shows that this is meant."""
    for warning in expression.warnings:
        if warning.code != "blank-is-true":
            continue
        risky = [piece for piece in _risky(expression, warning) if _may_be_blank(ruleset, form, piece)]
        if any(not any(_is_blank(piece, env) for env in about) for piece in risky):
            cure = Text(
                f"{warning.cure.vi} Hoặc thêm vào trang tests một ví dụ để trống.",
                f"{warning.cure.en} Or add an example to the sheet tests that leaves it blank.",
            )
            yield _warning(ruleset.rulebook, "rules.blank-is-true", cell, warning.problem, cure)


def _risky(expression: Expression, warning: ExpressionWarning) -> list[Piece]:
    """The pieces that the warning is about: its references, else the functions within it that may be blank."""
    inside = [
        piece
        for piece in every(expression.piece)
        if warning.start <= piece.node.start and piece.node.end <= warning.end
    ]
    if warning.references:
        return [piece for piece in inside if piece.reference in warning.references]
    return [piece for piece in inside if piece.function is not None and piece.function.may_be_blank]


def _may_be_blank(ruleset: Ruleset, form: str, piece: Piece) -> bool:
    """False for a parameter, and for a required question that every version always asks."""
    reference = piece.reference
    if reference is None or not reference.key.startswith((FIELD, PARAMETER)):
        return True
    versions = ruleset.fields.versions.get(form, ())
    asked = all(_always_answered(version, version.field(reference.name)) for version in versions)
    return reference.key.startswith(FIELD) and not asked


def _always_answered(form: FormDefinition, found: Field | None) -> bool:
    if found is None or found.required.strip() != "true()" or found.relevant:
        return False
    return not any(group.relevant for group in form.groups if found.path.startswith(f"{group.path}/"))


def _is_blank(piece: Piece, env: Environment) -> bool:
    try:
        value = piece.run(env)
    except EvaluationError:
        return False
    return value == "" or (isinstance(value, float) and math.isnan(value))


# ---- the engine -----------------------------------------------------------------------------------


def _smoke(ruleset: Ruleset) -> Iterator[Finding]:
    problem = durable.smoke_test(ruleset.chains)
    if problem is not None:
        cure = Text(
            "Bớt quy tắc dùng has-flag hoặc refers-to, và báo cho người quản trị.",
            "Use has-flag and refers-to in fewer rules, and tell the administrator.",
        )
        yield _error(ruleset.rulebook, "rules.engine", ruleset.rulebook.cell("rules", None), problem, cure)


def _error(rulebook: Rulebook, code: str, cell: Cell, problem: Text, cure: Text) -> Finding:
    return Finding(code, Level.ERROR, cell, problem, cure, rulebook.file)


def _warning(rulebook: Rulebook, code: str, cell: Cell, problem: Text, cure: Text) -> Finding:
    return Finding(code, Level.WARNING, cell, problem, cure, rulebook.file)
