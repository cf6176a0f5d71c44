"""The quoted names in record functions: `latest('…')`, `days-since('…')`, `has-flag('…')` must name something."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from forms.expressions.compile import Expression
from forms.expressions.pieces import Call
from forms.sheets import Cell, Finding, Level, Text
from forms.suggestions import did_you_mean
from rules.fields import Fields
from rules.functions import NAMES_OF, Names
from rules.model import Rulebook

_DAYS_SINCE = re.compile(r"""days-since\(\s*['"]([^'"]+)['"]""")

_MEND = Text("Sửa tên cho đúng.", "Correct the name.")


def quoted_findings(rulebook: Rulebook, fields: Fields, expression: Expression, cell: Cell) -> Iterator[Finding]:
    """What the quoted names of an expression do not name. Services are checked against the programme elsewhere."""
    for call in expression.calls:
        name = call.literals[0] if call.literals else None
        kind = NAMES_OF.get(call.name)
        if name is None or kind is None:
            continue
        if kind is Names.FLAG:
            yield from _flag(rulebook, name, cell)
        elif call.name == "refers-to":
            yield from _referral(rulebook, name, cell)
        elif kind is Names.FIELD:
            yield from _field(rulebook, fields, call, name, cell)
        elif kind is Names.FORM:
            yield from _form(rulebook, fields, name, cell)


def unpublished(rulebook: Rulebook, fields: Fields) -> frozenset[str]:
    """Forms that the workbook names and nobody has published yet."""
    named = {form for rule in rulebook.rules for form in rule.forms}
    named |= {step.form for step in rulebook.schedules}
    named |= {form for item in rulebook.calculations for form in item.forms}
    named |= {form for rule in rulebook.rules for form in _DAYS_SINCE.findall(f"{rule.when} {rule.resolved_when}")}
    return frozenset(named - fields.versions.keys())


def _slip(name: str, known: Iterable[str]) -> str | None:
    """The name that this one is surely a slip of. Nearness alone is no proof: `police_contact` is not `contact`."""
    return next(iter(get_close_matches(name, sorted(known), 1, 0.85)), None)


def _flag(rulebook: Rulebook, code: str, cell: Cell) -> Iterator[Finding]:
    raising = [rule for rule in rulebook.rules if rule.flag == code]
    if not raising:
        known = [rule.flag for rule in rulebook.rules if rule.flag]
        problem = Text(f"Không quy tắc nào dựng cờ '{code}'.", f"No rule raises the flag '{code}'.")
        yield _error("rules.unknown-flag", cell, problem, did_you_mean(code, known, _MEND), rulebook)
    elif not any(rule.runs for rule in raising):
        ids = ", ".join(rule.rule_id for rule in raising)
        problem = Text(
            f"Cờ '{code}' chỉ do quy tắc đang tắt dựng: {ids}.", f"Only rules that are off raise '{code}': {ids}."
        )
        yield _warning("rules.flag-off", cell, problem, Text("Bật quy tắc đó.", "Turn that rule on."), rulebook)


def _referral(rulebook: Rulebook, service: str, cell: Cell) -> Iterator[Finding]:
    known = [rule.referral for rule in rulebook.rules if rule.referral]
    if service not in known:
        problem = Text(f"Không quy tắc nào chuyển gửi đến '{service}'.", f"No rule refers to '{service}'.")
        yield _error("rules.unknown-service", cell, problem, did_you_mean(service, known, _MEND), rulebook)


def _field(rulebook: Rulebook, fields: Fields, call: Call, name: str, cell: Cell) -> Iterator[Finding]:
    forms = fields.forms_with(name)
    if any(found.repeats for form in forms if (found := fields.find(form, name))):
        yield _error(
            "rules.repeated",
            cell,
            Text(
                f"Câu '{name}' nằm trong phần lặp, có nhiều câu trả lời.", f"'{name}' stands in a repeat: many answers."
            ),
            Text("Tính một giá trị trong biểu mẫu rồi dùng tên đó.", "Calculate one value in the form and name that."),
            rulebook,
        )
    if forms:
        return
    waiting = sorted(unpublished(rulebook, fields))
    problem = Text(
        f"{call.name}(): không biểu mẫu nào có câu '{name}'.", f"{call.name}(): no form has a question '{name}'."
    )
    if waiting and _slip(name, fields.names) is None:
        names = ", ".join(waiting)
        cure = Text(f"Chờ biểu mẫu chưa công bố: {names}.", f"It may come with a form not yet published: {names}.")
        yield _warning("rules.field-not-published", cell, problem, cure, rulebook)
    else:
        yield _error("rules.unknown-field", cell, problem, did_you_mean(name, fields.names, _MEND), rulebook)


def _form(rulebook: Rulebook, fields: Fields, form: str, cell: Cell) -> Iterator[Finding]:
    if form in fields.versions:
        return
    problem = Text(f"Chưa có biểu mẫu '{form}'.", f"There is no form '{form}'.")
    if _slip(form, fields.versions):
        yield _error("rules.unknown-form", cell, problem, did_you_mean(form, fields.versions, _MEND), rulebook)
    else:
        cure = Text("Có tác dụng khi biểu mẫu được công bố.", "It takes effect when the form is published.")
        yield _warning("rules.form-not-published", cell, problem, cure, rulebook)


def _error(code: str, cell: Cell, problem: Text, cure: Text, rulebook: Rulebook) -> Finding:
    return Finding(code, Level.ERROR, cell, problem, cure, rulebook.file)


def _warning(code: str, cell: Cell, problem: Text, cure: Text, rulebook: Rulebook) -> Finding:
    return Finding(code, Level.WARNING, cell, problem, cure, rulebook.file)
