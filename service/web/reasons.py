"""Why something is there: a decision's reasons as its reader may see them, down to the answers.

A compartment that the reader has no right to is never named here, not by a field, a score made of it, a service or a
flag: a reason that touches one is withheld whole, with its rule's name and message, and says only that it is protected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from forms.definition import Answers, Field, FieldType, FormDefinition
from rules.decision import Decision, Part, Reason
from rules.programme import Means, Programme
from service import access
from service.access import Viewer
from service.web import conditions
from service.web.conditions import Line, Naming
from service.web.language import Reader
from service.web.words import LEVEL, LEVEL_VALUE

#: How deep the answers behind a calculated value are followed: a level of a level of a score of an item.
_DEPTH = 4
#: Findings in the one sentence of a row; a rule that saw more is said by its own message.
_FINDINGS = 2
_SENTENCE = 150

#: A value that only the form's author understands: better the rule's own message.
_CODE = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")
_PATH = re.compile(r"/([^\s/()+*=<>!,'\"|-][^\s()+*=<>!,'\"|]*)")
_FIGURES = {
    FieldType.INTEGER: "number",
    FieldType.DECIMAL: "number",
    FieldType.DATE: "date",
    FieldType.BOOLEAN: "boolean",
}


@dataclass(frozen=True, slots=True)
class Given:
    """An answer behind a value: the question, what was said, its row in the form, and what it was made of in turn."""

    label: str
    value: str
    row: int | None
    made_of: tuple[Given, ...] = ()


@dataclass(frozen=True, slots=True)
class Why:
    """One reason: which row of which sheet, what its condition saw, and the reasons that it follows from."""

    rule_id: str
    sheet: str
    row: int
    message: str
    basis: str
    line: Line
    answers: Mapping[str, tuple[Given, ...]]
    because: tuple[Why, ...]


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A referral that was wanted and not made. `number` of the open one that it was added to, if any."""

    service: str
    message: str
    stop_id: str
    sheet: str
    row: int
    rule_ids: tuple[str, ...]


@dataclass(frozen=True)
class Insight:
    """One decision and one reader. `form` and `answers` are the submission's; None where they cannot be opened."""

    decision: Decision
    viewer: Viewer
    reader: Reader
    programme: Programme
    forms: Mapping[str, str] = field(default_factory=dict)
    form: FormDefinition | None = None
    answers: Answers = field(default_factory=dict)

    # ---- what is said of an outcome ---------------------------------------------------------------

    def sentence(self, reasons: Sequence[Reason], level: str) -> str:
        """Finding, value and level in one line; "" where the reasons are protected."""
        shown = self.open(reasons)
        if not shown:
            return ""
        found = list(dict.fromkeys(self._findings(shown[0])))
        message = self.reader.label(shown[0].message)
        if not found or len(found) > _FINDINGS or any(_CODE.fullmatch(value) for _, value in found):
            return message
        sentence = "; ".join(f"{label.rstrip(' ?:.')}: {value}" for label, value in found)
        if level in LEVEL and not self._says_a_level(found[-1][1]):
            sentence = f"{sentence}, {self.reader.gettext(LEVEL[level])}"
        return sentence if len(sentence) <= _SENTENCE or not message else message

    def _says_a_level(self, value: str) -> bool:
        return value in (self.reader.gettext(word) for word in LEVEL_VALUE.values())

    def message(self, reasons: Sequence[Reason]) -> str:
        shown = self.open(reasons)
        return self.reader.label(shown[0].message) if shown else ""

    def whys(self, reasons: Sequence[Reason]) -> tuple[Why, ...]:
        return tuple(self._why(reason) for reason in self.open(reasons))

    def open(self, reasons: Sequence[Reason]) -> tuple[Reason, ...]:
        """The reasons that this reader may see."""
        return tuple(reason for reason in reasons if reason.rule_id not in self._protected)

    def held_back(self) -> Iterator[HeldBack]:
        """What the same decision wanted and a stop held back, as far as the reader may know of it."""
        for item in self.decision.stopped:
            service = item.wanted.service
            if self._sees_service(service) and self.open(item.wanted.reasons):
                rules = tuple(reason.rule_id for reason in self.open(item.wanted.reasons))
                message = self.reader.label(item.message)
                label = self.label_of(service) or service
                yield HeldBack(label, message, item.stop_id, item.reason.sheet, item.reason.row, rules)

    def referral_reasons(self, service: str) -> tuple[Reason, ...]:
        return next((item.reasons for item in self.decision.referrals if item.service == service), ())

    def flag_reasons(self, code: str) -> tuple[Reason, ...]:
        return next((item.reasons for item in self.decision.flags if item.code == code), ())

    # ---- trees ------------------------------------------------------------------------------------

    def _why(self, reason: Reason, depth: int = 0) -> Why:
        line = conditions.told(reason.condition, self._naming)
        because = [self._rules[name] for name in reason.because if name in self._rules] if depth < _DEPTH else []
        return Why(
            reason.rule_id,
            reason.sheet,
            reason.row,
            self.reader.label(reason.message),
            reason.basis,
            line,
            {name: self._made_of(name) for name in _fields_of(line)},
            tuple(self._why(item, depth + 1) for item in because if item.rule_id not in self._protected),
        )

    def _findings(self, reason: Reason, depth: int = 0) -> Iterator[tuple[str, str]]:
        yield from conditions.findings(reason.condition, self._naming)
        if depth < _DEPTH:
            for name in reason.because:
                if name in self._rules:
                    yield from self._findings(self._rules[name], depth + 1)

    def _made_of(self, name: str, depth: int = 0) -> tuple[Given, ...]:
        """The answers that a calculated field was made of, in the order of its formula; blank ones left out."""
        found = self.form.field(name) if self.form else None
        if found is None or not found.calculation or depth >= _DEPTH:
            return ()
        return tuple(self._given(item, depth) for item in self._asked_by(found) if item.path in self.answers)

    def _given(self, item: Field, depth: int) -> Given:
        label = self.reader.label(item.labels, item.name)
        return Given(label, self._answer(item), item.row, self._made_of(item.path, depth + 1))

    def _answer(self, item: Field) -> str:
        answer = self.answers[item.path]
        rows = answer if isinstance(answer, list) else [answer]
        kind = _FIGURES.get(item.type, "text")
        words = []
        for row in rows:
            for value in row if isinstance(row, tuple) else [row]:
                if value is not None:
                    words.append(self._naming.value(item.path, _stored(value), kind))
        return ", ".join(words)

    def _asked_by(self, item: Field) -> Iterator[Field]:
        """The fields that a calculation refers to."""
        if self.form is None:
            return
        seen = set()
        for path in _PATH.findall(item.calculation):
            found = self.form.by_path.get(path.removeprefix(f"{self.form.root}/"))
            if found is not None and found.path not in seen:
                seen.add(found.path)
                yield found

    # ---- names ------------------------------------------------------------------------------------

    def label_of(self, name: str) -> str:
        """What a field, service, flag or form is called; "" where we know no name for it."""
        found = self.form.field(name) if self.form else None
        if found is not None:
            return self.reader.label(found.labels)
        service = self.programme.service.get(name)
        if service is not None:
            return self.reader.label(service.labels)
        flag = next((item for item in self.decision.flags if item.code == name), None)
        if flag is not None:
            return self.reader.label(flag.message)
        return self._seen_labels.get(name) or self.forms.get(name, "")

    @cached_property
    def _seen_labels(self) -> Mapping[str, str]:
        """Labels that the decision itself kept: those of a form's version that is no longer here."""
        found: dict[str, str] = {}
        for reason in self._rules.values():
            for part in _parts(reason.condition):
                if part.label and part.text.startswith("${"):
                    found[part.text[2:-1].rpartition("/")[2]] = self.reader.label(part.label)
        return found

    @cached_property
    def _naming(self) -> Naming:
        return Naming(self.reader, lambda name: self.form.field(name) if self.form else None, self.label_of)

    @cached_property
    def _rules(self) -> Mapping[str, Reason]:
        """The reasons of this decision by rule."""
        wanted = [item.wanted for item in self.decision.stopped]
        reasons = [item.reasons for item in (*self.decision.referrals, *wanted)]
        reasons += [item.reasons for item in self.decision.flags]
        reasons += [item.reasons for item in self.decision.follow_ups]
        return {reason.rule_id: reason for some in reasons for reason in some}

    # ---- rights -----------------------------------------------------------------------------------

    @cached_property
    def _protected(self) -> frozenset[str]:
        """Rules whose reason touches a compartment that the reader has no right to, directly or through a chain."""
        hidden = self._hidden_names
        found = {name for name, reason in self._rules.items() if hidden & conditions.all_names(reason.condition)}
        found |= {
            reason.rule_id
            for flag in self.decision.flags
            if flag.referral and not self._sees_service(flag.referral)
            for reason in flag.reasons
        }
        while True:
            more = {name for name, reason in self._rules.items() if found.intersection(reason.because)} - found
            if not more:
                return frozenset(found)
            found |= more

    @cached_property
    def _hidden_names(self) -> frozenset[str]:
        """Fields, values made of them, and services that the reader may not know of."""
        services = {item.code for item in self.programme.services if not self._sees(item.compartment)}
        marked = {
            item.field.rpartition("/")[2]
            for item in self.programme.fields
            if not self._sees(item.compartment) or item.means is Means.NOTE
        }
        return frozenset(services | self._with_made_of(marked))

    def _with_made_of(self, names: set[str]) -> set[str]:
        """The names and every calculate that is made of one of them, however far."""
        if self.form is None or not names:
            return names
        made_of = {
            item.name: {found.name for found in self._asked_by(item)} for item in self.form.fields if item.calculation
        }
        while True:
            more = {name for name, asked in made_of.items() if asked & names} - names
            if not more:
                return names
            names = names | more

    def _sees(self, compartment: str) -> bool:
        return access.sees_compartment(self.viewer, compartment)

    def _sees_service(self, service: str) -> bool:
        return self._sees(self.programme.compartment(service))


def _fields_of(line: Line) -> Iterator[str]:
    if line.name:
        yield line.name
    for inner in line.lines:
        yield from _fields_of(inner)


def _parts(part: Part) -> Iterable[Part]:
    yield part
    for inner in part.parts:
        yield from _parts(inner)


def _stored(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:g}" if isinstance(value, float) else str(value)
