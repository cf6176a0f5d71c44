"""A form filled in as the phone fills it: what applies, what is calculated, what has a default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TypeVar

from forms.definition import Answer, Answers, Field, FormDefinition, Group
from forms.expressions import (
    Environment,
    EvaluationError,
    Expression,
    ExpressionError,
    Nodeset,
    Scope,
    Value,
    compile_expression,
    from_answer,
    stored,
)
from forms.once import OncePerForm
from forms.readers import reader_of
from forms.references import ROWS, Names
from forms.sheets import Text

Result = TypeVar("Result")

#: One node of a filled form: its path, and its place in the repeat that holds it (None outside of repeats).
Node = tuple[str, int | None]


def fill(definition: FormDefinition, given: Answers, now: datetime, *, as_told: bool = False) -> Answers:
    """Answers as the phone would send them, from those that somebody gives. `now` carries the programme's zone.

    What does not apply is left out, given or not. A calculate that is given keeps its value. Where `given` is silent,
    a question has its default, as it has for JavaRosa when a form is opened fresh and nobody touches it: fixed
    defaults, and computed ones such as `today()`; `start`, `end` and `today` are `now`. What only a phone knows (user,
    device, place, instanceID) stays blank.

    Repeats have as many rows as the given columns; what stands in a repeat inside a repeat stays as it was given, and
    so does what uses an expression beyond our language, such as `pulldata()`.

    `as_told` is for examples that somebody writes: they tell what matters and leave out the way there. Then what is
    given stands, with the groups around it, even where the phone would not have asked it.
    """
    return Filling(definition, given, now, as_told=as_told).answers()


@dataclass(frozen=True, slots=True)
class _Programme:
    """A form's expressions, compiled once. Those beyond our language are missing."""

    relevant: Mapping[str, Expression]
    calculation: Mapping[str, Expression]
    first_load: Mapping[str, Expression]
    triggered: Mapping[str, Expression]
    parents: Mapping[str, str]
    inside: frozenset[str]
    """Nodes that stand once in each row of a repeat."""
    seen_from: Mapping[str, str]
    """The repeat whose rows a node sees one at a time: the one that it stands in, or is."""


def _compile(definition: FormDefinition) -> _Programme:
    names = Names.of(definition)
    nodes: tuple[Group | Field, ...] = (*definition.groups, *definition.fields)
    paths = frozenset(item.path for item in nodes)
    repeats = [item.path for item in definition.groups if item.repeats]
    return _Programme(
        _compiled(names, {item.path: item.relevant for item in nodes}),
        _compiled(names, {item.path: item.calculation for item in definition.fields}),
        _compiled(names, {item.path: item.first_load for item in definition.fields}),
        _compiled(names, {item.path: item.triggered for item in definition.fields}),
        {path: _parent(path, paths) for path in paths},
        frozenset(path for path in paths if any(path.startswith(f"{item}/") for item in repeats)),
        {path: item for path in paths for item in repeats if f"{path}/".startswith(f"{item}/")},
    )


def _compiled(names: Names, texts: Mapping[str, str]) -> dict[str, Expression]:
    found = {}
    for path, text in texts.items():
        expression = _try(text, names.scope(path)) if text else None
        if expression is not None:
            found[path] = expression
    return found


def _try(text: str, scope: Scope) -> Expression | None:
    try:
        return compile_expression(text, scope)
    except ExpressionError:
        return None


def _parent(path: str, paths: frozenset[str]) -> str:
    """The nearest group around a node that is a group of the form; "" at the top."""
    above = path.rpartition("/")[0]
    while above and above not in paths:
        above = above.rpartition("/")[0]
    return above


_programmes = OncePerForm(_compile)


class _Circle(EvaluationError):
    """Two nodes need each other; a phone refuses such a form."""


class Filling:
    """One form being filled. Each node is worked out when it is first asked for, and once."""

    def __init__(self, definition: FormDefinition, given: Answers, now: datetime, *, as_told: bool = False) -> None:
        self._definition = definition
        self._given = given
        self._now = now
        self._programme = _programmes(definition)
        self._insisted = _with_groups(given) if as_told else frozenset()
        self._rows = _row_counts(definition, given)
        self._values: dict[Node, Value] = {}
        self._relevant: dict[Node, bool] = {}
        self._open: set[tuple[str, Node]] = set()

    def answers(self) -> dict[str, Answer | list[Answer | None]]:
        """The typed answers, in the form's order."""
        found: dict[str, Answer | list[Answer | None]] = {}
        for field in self._definition.fields:
            if len(field.repeats) > 1:
                if field.path in self._given:
                    found[field.path] = self._given[field.path]
            elif field.repeats:
                column = [self._answer(field, place) for place in range(self.rows(field.repeats[0]))]
                if column:
                    found[field.path] = column
            elif (answer := self._answer(field, None)) is not None:
                found[field.path] = answer
        return found

    def rows(self, repeat: str) -> int:
        """How many rows a repeat has; none where it does not apply."""
        return self._rows.get(repeat, 0) if self.applies(repeat, None) else 0

    def applies(self, path: str, place: int | None) -> bool:
        """True where the node and every group around it are relevant."""
        node = (path, place if path in self._programme.inside else None)
        if node not in self._relevant:
            parent = self._programme.parents.get(path, "")
            self._relevant[node] = (not parent or self.applies(parent, place)) and self._condition(node)
        return self._relevant[node]

    def _condition(self, node: Node) -> bool:
        expression = self._programme.relevant.get(node[0])
        if expression is None or node[0] in self._insisted:
            return True
        holds = self._guarded(("relevant", node), lambda: expression.truth(self._around(node)))
        return True if holds is None else holds

    def _guarded(self, task: tuple[str, Node], work: Callable[[], Result]) -> Result | None:
        """The result; None where a phone would stop with an error."""
        if task in self._open:
            raise _Circle(*_CIRCLE)
        self._open.add(task)
        try:
            return work()
        except EvaluationError:
            return None
        finally:
            self._open.discard(task)

    def _around(self, node: Node) -> Environment:
        """What the expressions of this node see."""
        return Environment(lambda key: self._seen(key, node), self._now, current=self._current(node))

    def _current(self, node: Node) -> Value:
        field = self._definition.by_path.get(node[0])
        return self._given_value(field, node[1]) if field is not None else ""

    def _seen(self, key: str, node: Node) -> Value | Nodeset:
        """What a reference stands for, seen from this node: one value, or the column of a repeat."""
        if key.startswith(ROWS):
            return ("",) * self.rows(key.removeprefix(ROWS))
        field = self._definition.by_path.get(key)
        if field is None:
            return ""
        if len(field.repeats) > 1:
            column = self._given.get(key, [])
            return from_answer(field.type, column)
        if not field.repeats:
            return self.value(field, None)
        if self._programme.seen_from.get(node[0]) == field.repeats[0]:
            return self.value(field, node[1]) if node[1] is not None else ""
        return tuple(self.value(field, place) for place in range(self.rows(field.repeats[0])))

    def value(self, field: Field, place: int | None) -> Value:
        """The field's value as an expression sees it: blank where it does not apply."""
        node = (field.path, place)
        if node not in self._values:
            self._values[node] = self._worked_out(field, node) if self.applies(*node) else ""
        return self._values[node]

    def _worked_out(self, field: Field, node: Node) -> Value:
        given = self._given_value(field, node[1])
        if given != "":
            return given
        calculation = self._programme.calculation.get(field.path)
        triggered = self._programme.triggered.get(field.path)
        if calculation is None and triggered is not None and self._is_set_off(field, node):
            calculation = triggered
        if calculation is None:
            return self._default(field, node)
        expression = calculation
        result = self._guarded(("value", node), lambda: expression.evaluate(self._around(node)))
        return self._result(field, result)

    def _is_set_off(self, field: Field, node: Node) -> bool:
        """True where somebody has answered one of the triggers: a default that nobody touched sets off nothing."""
        triggers = (self._definition.by_path.get(path) for path in field.triggers)
        return any(self._is_touched(trigger, node[1] if trigger.repeats else None) for trigger in triggers if trigger)

    def _is_touched(self, field: Field, place: int | None) -> bool:
        given = self._given_value(field, place)
        return given not in {"", self._kept(field, field.default)} and self.applies(field.path, place)

    def _default(self, field: Field, node: Node) -> Value:
        first_load = self._programme.first_load.get(field.path)
        if first_load is not None:
            result = self._guarded(("default", node), lambda: first_load.evaluate(self._fresh(node)))
            return self._result(field, result)
        if field.preload in {"timestamp/start", "timestamp/end"}:
            return self._kept(field, stored(self._now, self._zone))
        if field.preload == "date/today":
            return self._kept(field, self._now.date().isoformat())
        return self._kept(field, field.default)

    def _fresh(self, node: Node) -> Environment:
        """What a computed default sees: outside of repeats, a form that nobody has touched yet."""
        if node[1] is not None:
            return self._around(node)
        fields = self._definition.by_path
        return Environment(lambda key: self._kept(fields[key], fields[key].default) if key in fields else (), self._now)

    def _given_value(self, field: Field, place: int | None) -> Value:
        answer = self._given.get(field.path)
        if isinstance(answer, list):
            answer = answer[place] if place is not None and place < len(answer) else None
        if answer is None:
            return ""
        value = from_answer(field.type, answer)
        return "" if isinstance(value, tuple) else value

    def _result(self, field: Field, result: Value | None) -> Value:
        """A computed value as its node keeps it. A calculate keeps what it was given, as JavaRosa's nodes do: a truth
        value stays one although it is stored as 1 or 0. Other nodes turn it into their own type."""
        if result is None:
            return ""
        text = stored(result, self._zone)
        return result if text and field.stored_as == "string" else self._kept(field, text)

    def _kept(self, field: Field, text: str) -> Value:
        """A text as this node keeps it, "" where it does not fit."""
        value = from_answer(field.type, reader_of(field.type)(text)) if text else ""
        return "" if isinstance(value, tuple) else value

    def _answer(self, field: Field, place: int | None) -> Answer | None:
        """The typed answer of this node, None for a blank; one that was given is given back as it was."""
        value = self.value(field, place)
        if isinstance(value, str) and not value.strip():
            return None
        given = self._given.get(field.path)
        if isinstance(given, list):
            given = given[place] if place is not None and place < len(given) else None
        return given if given is not None else reader_of(field.type)(stored(value, self._zone))

    @property
    def _zone(self) -> tzinfo:
        return self._now.tzinfo or UTC


#: A circle's words are never shown: the form's own checks have refused it long before.
_CIRCLE = (Text("Vòng tròn.", "A circle."), Text("", ""))


def _with_groups(given: Answers) -> frozenset[str]:
    """The paths of the given answers and of every group around them."""
    parts = (path.split("/") for path in given)
    return frozenset("/".join(names[:depth]) for names in parts for depth in range(1, len(names) + 1))


def _row_counts(definition: FormDefinition, given: Answers) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for field in definition.fields:
        column = given.get(field.path)
        if len(field.repeats) == 1 and isinstance(column, list):
            counts[field.repeats[0]] = max(counts.get(field.repeats[0], 0), len(column))
    return counts
