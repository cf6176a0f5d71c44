"""Rulebook and forms → Ruleset: every condition compiled against every form in which it runs.

All errors are gathered first, each with its sheet, cell and cure; compile_rules then raises them together.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from forms.definition import FormDefinition
from forms.expressions.advice import ExpressionWarning
from forms.expressions.compile import Expression, compile_expression
from forms.expressions.errors import ExpressionError
from forms.expressions.pieces import Piece, every
from forms.expressions.values import ValueType
from forms.sheets import Cell, Checked, Finding, Level, SheetErrors, Text
from forms.suggestions import did_you_mean
from rules import durable
from rules.chain import Chain, ChainingRule, CircleThroughNot, Fact, Kind, TooWide, Ways, build, names_outcome, ways
from rules.facts import ReferralFact
from rules.fields import Fields
from rules.functions import CONTEXTS, WRONG_PLACE, Context
from rules.model import MAX_CHAINING_RULES, Rule, Rulebook, Stop, Subject, Trigger
from rules.names import FIELD, Names
from rules.quoted import quoted_findings

_BRACES = re.compile(r"\$\{([^{}]+)\}")

#: Warnings of the expression language that do not apply to rules, or that the publish check weighs itself.
_NOT_FOR_RULES = frozenset({"not-on-phone", "blank-is-true"})


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule in one program. `tests` are the pieces of a chaining rule's condition that name no outcome."""

    rule: Rule
    expression: Expression
    makes: frozenset[Fact]
    ways: Ways | None = None
    tests: Mapping[str, Piece] = field(default_factory=dict)

    @property
    def chains(self) -> bool:
        return self.ways is not None


@dataclass(frozen=True, slots=True)
class CompiledStop:
    stop: Stop
    expression: Expression


@dataclass(frozen=True, slots=True)
class Place:
    """What a program is for: the submissions of a form, or a trigger and its subject."""

    trigger: Trigger
    form: str = ""
    subject: Subject = Subject.CLIENT

    @property
    def context(self) -> Context:
        if self.trigger is Trigger.SUBMISSION:
            return Context.SUBMISSION
        return Context.REFERRAL if self.subject is Subject.REFERRAL else Context.CLIENT


@dataclass(frozen=True)
class Program:
    """The rules and stops that run in one place, in the order of the sheet; `chain` holds the chaining ones."""

    place: Place
    names: Names
    rules: tuple[CompiledRule, ...]
    stops: tuple[CompiledStop, ...]
    chain: Chain

    @property
    def raises(self) -> frozenset[str]:
        """Codes of the flags that these rules decide."""
        return frozenset(item.rule.flag for item in self.rules if item.rule.flag)


class FormUnknown(LookupError):
    """The ruleset was compiled without this form, so nothing can be decided about its submissions."""


class Ruleset:
    """A rulebook compiled against forms. Drivers of durable-rules are loaded on first use, and go with the ruleset."""

    def __init__(self, rulebook: Rulebook, fields: Fields, programs: Mapping[Place, Program]) -> None:
        self.rulebook = rulebook
        self.fields = fields
        self.programs = programs
        self._drivers: dict[Place, durable.Driver] = {}
        self._lock = threading.Lock()

    def program(self, trigger: Trigger, form: str, referral: ReferralFact | None) -> Program:
        """Raises FormUnknown."""
        subject = Subject.CLIENT if referral is None else Subject.REFERRAL
        place = Place(trigger, form) if trigger is Trigger.SUBMISSION else Place(trigger, subject=subject)
        try:
            return self.programs[place]
        except KeyError:
            raise FormUnknown(form) from None

    def driver(self, program: Program) -> durable.Driver:
        """The driver that holds this program's chain. Raises durable.DriverFailure."""
        with self._lock:
            found = self._drivers.get(program.place)
            if found is None:
                found = self._drivers[program.place] = durable.Driver(program.chain)
            return found

    def close(self) -> None:
        """Give durable-rules' memory back at once, instead of when the ruleset goes."""
        with self._lock:
            for driver in self._drivers.values():
                driver.close()
            self._drivers.clear()

    @property
    def chains(self) -> tuple[Chain, ...]:
        return tuple(program.chain for program in self.programs.values() if program.chain.strata)


def compile_rules(rulebook: Rulebook, forms: Sequence[FormDefinition]) -> Ruleset:
    """The rulebook, ready to decide. Of several versions of a form the first is the newest.

    Raises SheetErrors with every condition that does not fit the forms.
    """
    checked = compile_checked(rulebook, forms)
    if checked.value is None or checked.errors:
        raise SheetErrors(checked.errors)
    return checked.value


def compile_checked(rulebook: Rulebook, forms: Sequence[FormDefinition]) -> Checked[Ruleset]:
    """As compile_rules, but with all findings, warnings too. `value` is None where a rule cannot be compiled."""
    compiler = _Compiler(rulebook, Fields(tuple(forms)))
    programs = {place: compiler.program(place) for place in compiler.places()}
    compiler.calculations_that_nobody_names(programs)
    compiler.stops_that_hold_nothing(programs)
    compiler.clashes()
    compiler.forms_that_are_not_published()
    findings = tuple(dict.fromkeys(compiler.found))
    broken = any(item.level is Level.ERROR for item in findings)
    return Checked(None if broken else Ruleset(rulebook, compiler.fields, programs), findings)


@dataclass
class _Compiler:
    rulebook: Rulebook
    fields: Fields
    found: list[Finding] = field(default_factory=list)

    def places(self) -> list[Place]:
        submissions = [Place(Trigger.SUBMISSION, form) for form in self.fields.versions]
        others = [Place(trigger, subject=subject) for trigger in (Trigger.EVENT, Trigger.CLOCK) for subject in Subject]
        return [*submissions, *others]

    def program(self, place: Place) -> Program:
        names = Names(self.rulebook, self.fields, place.form, self._report)
        here = [rule for rule in self.rulebook.rules if rule.runs and self._runs_in(rule, place, names)]
        rules = tuple(item for item in (self._rule(rule, place, names) for rule in here) if item)
        # Where nothing is referred nothing can be held back, and a stop may name what only other forms have.
        wanted = self.rulebook.stops if any(rule.referral for rule in here) else ()
        stops = tuple(item for item in (self._stop(stop, names) for stop in wanted) if item)
        return Program(place, names, rules, stops, self._chain(rules))

    def _runs_in(self, rule: Rule, place: Place, names: Names) -> bool:
        if rule.trigger is not place.trigger:
            return False
        if rule.trigger is not Trigger.SUBMISSION:
            return rule.subject is place.subject
        return place.form in rule.forms if rule.forms else self._fits(rule, names)

    def _fits(self, rule: Rule, names: Names) -> bool:
        """A rule that names no form runs wherever all its names mean something; nowhere is an error at its cell."""
        asked = _names_in(rule.when)
        if all(names.resolve(name) for name in asked):
            return True
        somewhere = [Names(self.rulebook, self.fields, form, _ignore) for form in self.fields.versions]
        if not any(all(other.resolve(name) for name in asked) for other in somewhere):
            self._rule(rule, Place(Trigger.SUBMISSION, names.form), names)
        return False

    # ---- rules and stops ----

    def _rule(self, rule: Rule, place: Place, names: Names) -> CompiledRule | None:
        cell = self.rulebook.cell("rules", rule.row, "when")
        expression = self._condition(rule.when, names, place.context, cell)
        if rule.resolved_when:
            context = Context.REFERRAL if rule.subject is Subject.REFERRAL else Context.CLIENT
            elsewhere = Names(self.rulebook, self.fields, "", self._report)
            self._condition(
                rule.resolved_when, elsewhere, context, self.rulebook.cell("rules", rule.row, "resolved_when")
            )
        return None if expression is None else self._compiled(rule, expression, cell)

    def _compiled(self, rule: Rule, expression: Expression, cell: Cell) -> CompiledRule | None:
        makes = {Fact(Kind.FLAG, rule.flag)} if rule.flag else set()
        makes |= {Fact(Kind.REFER, rule.referral)} if rule.referral else set()
        if not names_outcome(expression.piece.node):
            return CompiledRule(rule, expression, frozenset(makes))
        try:
            found = ways(expression.piece.node, expression.text)
        except ExpressionError as error:
            self._error("rules.chain", cell, error)
            return None
        tests = {item.of for way in found for item in way if isinstance(item.of, str)}
        pieces = {piece.text: piece for piece in every(expression.piece) if piece.text in tests}
        return CompiledRule(rule, expression, frozenset(makes), found, pieces)

    def _stop(self, stop: Stop, names: Names) -> CompiledStop | None:
        expression = self._condition(stop.when, names, Context.STOP, self.rulebook.cell("stops", stop.row, "when"))
        return CompiledStop(stop, expression) if expression else None

    def _chain(self, rules: Iterable[CompiledRule]) -> Chain:
        chaining = [item for item in rules if item.ways is not None]
        if len(chaining) > MAX_CHAINING_RULES:
            self._too_many_chaining(chaining[MAX_CHAINING_RULES].rule, len(chaining))
            return Chain()
        try:
            return build(ChainingRule(item.rule.rule_id, item.ways or (), item.makes) for item in chaining)
        except CircleThroughNot as circle:
            self._circle(circle.rule_ids)
        except TooWide as wide:
            rule = self.rulebook.rule(wide.rule_id)
            cell = self.rulebook.cell("rules", rule.row if rule else None, "when")
            cure = Text("Tách thành nhiều quy tắc, qua một cờ trung gian.", "Split the rule, by way of a flag between.")
            self._say("rules.chain-too-wide", Level.ERROR, cell, wide.problem, cure)
        return Chain()

    # ---- conditions ----

    def _condition(self, text: str, names: Names, context: Context, cell: Cell) -> Expression | None:
        """A compiled condition, or None with the error told. Warnings that do not block are told too."""
        try:
            expression = compile_expression(text, names.scope(context))
        except ExpressionError as error:
            code = "rules.unknown-field" if text[error.start : error.end].startswith("${") else "rules.condition"
            self._error(code, cell, self._better(error, text, names))
            return None
        for warning in expression.warnings:
            if warning.code not in _NOT_FOR_RULES:
                self._warning(warning, cell)
        self._must_be_a_condition(expression, cell)
        self._wrong_places(expression, context, cell)
        self._older_versions(expression, names, cell)
        self.found.extend(quoted_findings(self.rulebook, self.fields, expression, cell))
        return expression

    def _better(self, error: ExpressionError, text: str, names: Names) -> ExpressionError:
        """The cure for a name that means nothing here, but would elsewhere."""
        wrong = text[error.start : error.end]
        name = wrong[2:-1].strip() if wrong.startswith("${") else ""
        if not name:
            return error
        if not names.form and any(self.fields.find(form, name) for form in self.fields.versions):
            cure = Text(f"Viết latest('{name}').", f"Write latest('{name}').")
            problem = Text(
                f"Quy tắc event và clock không có phiếu, nên không có ${{{name}}}.",
                f"Event and clock rules have no form, so there is no ${{{name}}}.",
            )
            return ExpressionError(problem, cure, error.start, error.end)
        several = self.fields.ambiguous(names.form, name)
        if several:
            problem = Text(f"Có nhiều câu tên '{name}'.", f"Several questions are called '{name}'.")
            cure = Text(f"Viết cả nhóm: ${{{several[0]}}}.", f"Write its group too: ${{{several[0]}}}.")
            return ExpressionError(problem, cure, error.start, error.end)
        return error

    def _must_be_a_condition(self, expression: Expression, cell: Cell) -> None:
        if expression.type not in (ValueType.BOOLEAN, ValueType.ANY):
            self._say(
                "rules.not-a-condition",
                Level.ERROR,
                cell,
                Text(f"'{expression.text}' không phải điều kiện.", f"'{expression.text}' is no condition."),
                Text(
                    "Viết một câu đúng hay sai, ví dụ ${tuoi} > 18.",
                    "Write something that is true or false, such as ${age} > 18.",
                ),
            )

    def _wrong_places(self, expression: Expression, context: Context, cell: Cell) -> None:
        for call in expression.calls:
            if context not in CONTEXTS.get(call.name, frozenset(Context)):
                problem = Text(f"{call.name}() không dùng được ở đây.", f"{call.name}() has no meaning here.")
                self._say("rules.function-here", Level.ERROR, cell, problem, WRONG_PLACE[call.name])

    def _older_versions(self, expression: Expression, names: Names, cell: Cell) -> None:
        for reference in expression.references:
            missing = self.fields.missing_in(names.form, reference.name) if reference.key.startswith(FIELD) else ()
            for form in missing:
                self._say(
                    "rules.field-not-in-version",
                    Level.WARNING,
                    cell,
                    Text(
                        f"Biểu mẫu '{form.form_id}' phiên bản '{form.version}' không có câu '{reference.name}'.",
                        f"Form '{form.form_id}' version '{form.version}' has no question '{reference.name}'.",
                    ),
                    Text("Ở phiên bản đó câu này coi như bỏ trống.", "There it counts as not answered."),
                )

    # ---- over the whole rulebook ----

    def calculations_that_nobody_names(self, programs: Mapping[Place, Program]) -> None:
        """They are compiled too, so that a slip shows before a rule names them: one place where they work is enough."""
        named = {name for program in programs.values() for name in program.names.calculations}
        for item in self.rulebook.calculations:
            if item.name not in named:
                self._compiles_somewhere(item.name, [program.names for program in programs.values()])
        tables = {name for program in programs.values() for name in program.names.inputs}
        for table in self.rulebook.bands:
            if table.table not in tables:
                self._compiles_somewhere(table.table, [program.names for program in programs.values()])

    def stops_that_hold_nothing(self, programs: Mapping[Place, Program]) -> None:
        """Without a rule that refers anywhere, stops are compiled once all the same, for their errors."""
        first = next(iter(programs.values()))
        if not any(program.stops for program in programs.values()):
            for stop in self.rulebook.stops:
                self._stop(stop, first.names)

    def _compiles_somewhere(self, name: str, contexts: Sequence[Names]) -> None:
        complaints: list[tuple[str, int, str, ExpressionError]] = []
        for names in contexts:
            heard: list[tuple[str, int, str, ExpressionError]] = []
            trial = Names(self.rulebook, self.fields, names.form, lambda *told, heard=heard: heard.append(told))
            if trial.resolve(name) is not None and not heard:
                return
            complaints = complaints or heard
        for told in complaints:
            self._report(*told)

    def clashes(self) -> None:
        """A name has one meaning: no field shares its name with a parameter, a calculation or a band table."""
        book = self.rulebook
        named = [(item.name, "parameters", item.row, "name") for item in book.parameters]
        named += [(item.name, "calculations", item.row, "name") for item in book.calculations]
        named += [(item.table, "bands", item.row, "table") for item in book.bands]
        for name, sheet, row, column in named:
            forms = self.fields.forms_named(name)
            if forms:
                self._say(
                    "rules.name-clash",
                    Level.ERROR,
                    book.cell(sheet, row, column),
                    Text(
                        f"'{name}' đã là tên câu hỏi trong biểu mẫu '{forms[0]}'.",
                        f"'{name}' is the name of a question in form '{forms[0]}'.",
                    ),
                    Text("Mỗi tên chỉ có một nghĩa: đổi tên.", "A name has one meaning: rename it."),
                )

    def forms_that_are_not_published(self) -> None:
        """One warning a form, at the first row that names it."""
        book = self.rulebook
        named = [(form, "rules", rule.row) for rule in book.rules if rule.runs for form in rule.forms]
        named += [(form, "calculations", item.row) for item in book.calculations for form in item.forms]
        named += [(step.form, "schedules", step.row) for step in book.schedules]
        first = {form: (sheet, row) for form, sheet, row in reversed(named) if form not in self.fields.versions}
        for form, (sheet, row) in sorted(first.items()):
            self._say(
                "rules.form-not-published",
                Level.WARNING,
                book.cell(sheet, row, "form"),
                Text(f"Biểu mẫu '{form}' chưa được công bố.", f"The form '{form}' is not published yet."),
                did_you_mean(
                    form,
                    self.fields.versions,
                    Text(
                        "Các dòng có biểu mẫu này có tác dụng khi nó được công bố.",
                        "The rows that name it take effect when it is.",
                    ),
                ),
            )

    # ---- telling ----

    def _say(self, code: str, level: Level, cell: Cell, problem: Text, cure: Text) -> None:
        self.found.append(Finding(code, level, cell, problem, cure, self.rulebook.file))

    def _error(self, code: str, cell: Cell, error: ExpressionError) -> None:
        self._say(code, Level.ERROR, cell, error.problem, error.cure)

    def _warning(self, warning: ExpressionWarning, cell: Cell) -> None:
        level = Level.ERROR if warning.grave else Level.WARNING
        self._say(f"rules.{warning.code}", level, cell, warning.problem, warning.cure)

    def _report(self, sheet: str, row: int, column: str, error: ExpressionError) -> None:
        self._error("rules.calculation", self.rulebook.cell(sheet, row, column), error)

    def _too_many_chaining(self, rule: Rule, count: int) -> None:
        self._say(
            "rules.too-many-chaining",
            Level.ERROR,
            self.rulebook.cell("rules", rule.row, "when"),
            Text(
                f"{count} quy tắc dùng has-flag hoặc refers-to; tối đa {MAX_CHAINING_RULES}.",
                f"{count} rules use has-flag or refers-to; {MAX_CHAINING_RULES} at most.",
            ),
            Text("Viết điều kiện bằng câu trả lời thay cho cờ.", "Write conditions on answers instead of flags."),
        )

    def _circle(self, rule_ids: Sequence[str]) -> None:
        rows = [rule.row for rule in map(self.rulebook.rule, rule_ids) if rule]
        cells = [self.rulebook.cell("rules", row, "when") for row in rows]
        where = ", ".join(cell.address for cell in cells)
        self._say(
            "rules.circle",
            Level.ERROR,
            cells[0],
            Text(
                f"Các quy tắc phủ định lẫn nhau thành vòng: {where}.",
                f"These rules deny each other in a circle: {where}.",
            ),
            Text(
                "Bỏ not(has-flag(…)) hoặc not(refers-to(…)) ở một trong các ô này.",
                "Take not(has-flag(…)) or not(refers-to(…)) out of one of these cells.",
            ),
        )


def _ignore(sheet: str, row: int, column: str, error: ExpressionError) -> None:
    """For a trial whose complaints are nobody's business."""


def _names_in(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in _BRACES.findall(text))
