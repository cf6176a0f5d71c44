"""The sheet `tests`: examples that must hold. Each row is filled in as a phone would, decided, and compared.

The cells are for programme staff:

    given       answers of the form, `name = value`, separated by `;` or new lines. Several choices stand with spaces
                between them, the rows of a repeat with commas. What is not given is blank; what the form calculates is
                calculated, unless it is given here too. A parameter that is given has that value in this example.
    record      what is known of the client before, one item after the other, separated by `;` or new lines:
                    screening 2026-01-05: phq9_score = 12; assist_ats = 20     an earlier observation
                    referral mmt attended 2026-01-10                           state and day; more as name=value:
                    referral mmt sent 2026-01-10 urgency=same_day due=2026-01-10 no_shows=1 since=... started=...
                    consent mmt given 2026-01-01                               given, refused or withdrawn; day optional
                    consent take_part given
                    flag opioid_high high 2026-01-05 screening                 level, day, form that raised it
                    follow_up course m1 missed 2026-02-01                      step left out for a single one
    today       the day of the observation; left blank: the latest day in `record`, else the rulebook's valid_from
    trigger     submission (blank), event or clock; for the latter two, rules about a referral look at each in `record`
    expect      what must come about, separated by spaces: A03 (the rule fires), flag:opioid_high,
                flag:opioid_high/high, referral:mmt, referral:mmt/soon, stop:Z02, held:Z02 (a same-day referral stays
                inside), follow_up:course, follow_up:course/m1, notice:supervisor
    expect_not  what must not
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from forms.answers import from_given
from forms.definition import Answer, Answers, FormDefinition
from forms.fill import fill
from forms.sheets import Cell, Finding, Level, Text
from forms.suggestions import did_you_mean
from rules.compile import Ruleset, compile_rules
from rules.decision import Decision, Part, Reason
from rules.evaluate import Case, evaluate, explain
from rules.facts import Facts, Observation, Record
from rules.fields import Fields
from rules.model import Example, Parameter, ParameterType, ParameterValue, Recipient, Rulebook, Trigger
from rules.programme import Programme
from rules.record import RecordInvalid, record_from_json

#: A day for examples that say none at all, so that they come out the same on every day.
DEFAULT_TODAY = dt.date(2026, 1, 15)

_NOON = dt.time(12)
_DAY = r"\d{4}-\d{2}-\d{2}"
_OBSERVATION = re.compile(rf"(\S+)\s+({_DAY})\s*(?::\s*(.*))?", re.DOTALL)
_ITEM = re.compile(r"(referral|consent|flag|follow_up)\s+(.+)", re.DOTALL)
_ANSWER = re.compile(r"([^=\s]+)\s*=\s*(.*)", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """What one example came to.

    `cell` and `problem` say what is wrong where it did not pass. `got` are all outcomes, in the words of the column
    expect. `why` are the conditions of the rules that were expected and did not fire, or fired and should not have.
    `skipped`: its form is not published yet, so it proves nothing. `cases` are what was decided; none where the row
    could not be read.
    """

    example: Example
    cell: Cell
    passed: bool
    problem: Text
    expected: tuple[str, ...] = ()
    got: tuple[str, ...] = ()
    why: tuple[Reason, ...] = ()
    skipped: bool = False
    cases: tuple[Case, ...] = field(default=(), repr=False)

    @property
    def test_id(self) -> str:
        return self.example.test_id

    @property
    def findings(self) -> tuple[Finding, ...]:
        """An error where the example does not hold, a warning where it could not be tried."""
        if self.passed and not self.skipped:
            return ()
        level, code = (Level.WARNING, "rules.test-skipped") if self.skipped else (Level.ERROR, "rules.test-red")
        return (Finding(code, level, self.cell, self.problem, _CURES[self.skipped]),)


_NOTHING = Text("", "")

_CURES = {
    True: Text("Ví dụ này chạy khi biểu mẫu được công bố.", "It runs once the form is published."),
    False: Text("Sửa quy tắc hoặc sửa ví dụ cho khớp nhau.", "Mend the rule or the example, so that they agree."),
}


class _Unreadable(Exception):
    """A cell of the row that cannot be understood."""

    def __init__(self, column: str, problem: Text) -> None:
        self.column = column
        self.problem = problem
        super().__init__(problem.en)


def run(rulebook: Rulebook, forms: Sequence[FormDefinition], programme: Programme | None) -> tuple[ExampleResult, ...]:
    """Every row of the sheet, in its order. The reference matcher decides, so that this may run anywhere.

    Without a programme no service is internal, and consent comes from `record` alone. Raises SheetErrors where the
    rules do not fit the forms.
    """
    return run_compiled(compile_rules(rulebook, forms), programme)


def run_compiled(ruleset: Ruleset, programme: Programme | None) -> tuple[ExampleResult, ...]:
    return tuple(_run(ruleset, programme, example) for example in ruleset.rulebook.tests)


def _run(ruleset: Ruleset, programme: Programme | None, example: Example) -> ExampleResult:
    rulebook = ruleset.rulebook
    cell = rulebook.cell("tests", example.row, "expect")
    try:
        _expectations_mean_something(rulebook, example)
        if example.trigger is Trigger.SUBMISSION and example.form and example.form not in ruleset.fields.versions:
            problem = Text(f"Biểu mẫu '{example.form}' chưa công bố.", f"Form '{example.form}' is not published yet.")
            return ExampleResult(example, cell, True, problem, skipped=True)
        ruleset = _with_parameters(ruleset, example)
        cases = tuple(_cases(ruleset, programme, example))
    except _Unreadable as unreadable:
        return ExampleResult(example, rulebook.cell("tests", example.row, unreadable.column), False, unreadable.problem)
    return _compared(ruleset, example, cases, cell)


def _compared(ruleset: Ruleset, example: Example, cases: tuple[Case, ...], cell: Cell) -> ExampleResult:
    decisions = [_decided(ruleset, case) for case in cases]
    got = tuple(dict.fromkeys(token for decision in decisions for token in _tokens(decision)))
    every = {token for decision in decisions for token in (*_tokens(decision), *_shorter(decision))}
    missing = [token for token in example.expect if token not in every]
    unwanted = [token for token in example.expect_not if token in every]
    wrong = {*missing, *unwanted}
    why = tuple(reason for case in cases for reason in explain(ruleset, case, wrong)) if wrong else ()
    column = "expect" if missing or not unwanted else "expect_not"
    return ExampleResult(
        example=example,
        cell=replace(cell, column=column, letter=ruleset.rulebook.columns.get("tests", {}).get(column)),
        passed=not wrong and all(decision.agreed for decision in decisions),
        problem=_problem(missing, unwanted, got, why, decisions),
        expected=example.expect,
        got=got,
        why=why,
        cases=cases,
    )


def _decided(ruleset: Ruleset, case: Case) -> Decision:
    return evaluate(
        ruleset, case.facts, today=case.today, reference_only=True, trigger=case.trigger, referral=case.referral
    )


# ---- what came about ------------------------------------------------------------------------------


def _tokens(decision: Decision) -> Iterator[str]:
    """Everything that came about, at its most exact."""
    yield from decision.fired
    yield from (f"flag:{flag.code}/{flag.level}" for flag in decision.flags)
    yield from (f"referral:{wanted.service}/{wanted.urgency}" for wanted in decision.referrals)
    for stopped in decision.stopped:
        yield from (f"stop:{reason.rule_id}" for reason in (stopped.reason, *stopped.also))
    yield from (f"held:{alert.stop_id}" for alert in decision.held)
    yield from (f"follow_up:{wanted.schedule}/{wanted.step}" for wanted in decision.follow_ups)
    yield from dict.fromkeys(f"notice:{notice.to}" for notice in decision.notices)


def _shorter(decision: Decision) -> Iterator[str]:
    """The same without level, urgency and step."""
    return (token.partition("/")[0] for token in _tokens(decision) if "/" in token)


def _problem(
    missing: Sequence[str],
    unwanted: Sequence[str],
    got: Sequence[str],
    why: Sequence[Reason],
    decisions: Sequence[Decision],
) -> Text:
    doubts = "; ".join(decision.disagreement for decision in decisions if not decision.agreed)
    if not missing and not unwanted and not doubts:
        return _NOTHING
    vi, en = [], []
    if missing:
        vi.append(f"Thiếu: {' '.join(missing)}.")
        en.append(f"Missing: {' '.join(missing)}.")
    if unwanted:
        vi.append(f"Không được có: {' '.join(unwanted)}.")
        en.append(f"Should not be there: {' '.join(unwanted)}.")
    seen = " ".join(f"{reason.rule_id} ({'; '.join(_leaves(reason.condition)) or '-'})" for reason in why)
    vi.append(f"Kết quả: {' '.join(got) or 'không có gì'}." + (f" Điều kiện thấy: {seen}." if seen else ""))
    en.append(f"Got: {' '.join(got) or 'nothing'}." + (f" The conditions saw: {seen}." if seen else ""))
    return Text(" ".join([*vi, doubts]).strip(), " ".join([*en, doubts]).strip())


def _leaves(part: Part) -> list[str]:
    """The answers and figures that a condition saw: `${score} = 12`."""
    if part.parts:
        return list(dict.fromkeys(leaf for inner in part.parts for leaf in _leaves(inner)))
    return [f"{part.text} = {part.value or '∅'}"]


# ---- reading a row --------------------------------------------------------------------------------


def _expectations_mean_something(rulebook: Rulebook, example: Example) -> None:
    """A slip in expect_not would never be noticed: every word must name something of the rulebook."""
    known = {
        "": {rule.rule_id for rule in rulebook.rules},
        "flag": {rule.flag for rule in rulebook.rules if rule.flag},
        "referral": {rule.referral for rule in rulebook.rules if rule.referral},
        "stop": {stop.stop_id for stop in rulebook.stops},
        "held": {stop.stop_id for stop in rulebook.stops},
        "follow_up": {step.schedule for step in rulebook.schedules},
        "notice": {recipient.value for recipient in Recipient},
    }
    for column, tokens in (("expect", example.expect), ("expect_not", example.expect_not)):
        for token in tokens:
            kind, _, rest = token.rpartition(":") if ":" in token else ("", "", token)
            name = rest.partition("/")[0] if kind else rest
            if name not in known.get(kind, set()):
                offered = [f"{kind}:{item}" if kind else item for kind, items in known.items() for item in items]
                otherwise = Text("Xem cột expect trong tài liệu.", "See the column expect in the reference.")
                cure = did_you_mean(token, offered, otherwise)
                problem = Text(f"'{token}' không có trong bộ quy tắc.", f"'{token}' names nothing in this workbook.")
                raise _Unreadable(column, Text(f"{problem.vi} {cure.vi}", f"{problem.en} {cure.en}"))


def _cases(ruleset: Ruleset, programme: Programme | None, example: Example) -> Iterator[Case]:
    today = example.today or _latest_day(example.record) or ruleset.rulebook.settings.valid_from or DEFAULT_TODAY
    record = _record(ruleset.fields, example.record, today)
    internal = programme.internal_services if programme else frozenset()
    if example.trigger is not Trigger.SUBMISSION:
        facts = Facts("", today, {}, record, internal_services=internal)
        for referral in (None, *record.referrals):
            yield Case(facts, today, trigger=example.trigger, referral=referral)
        return
    form = _form(ruleset.fields, example.form)
    parameters = frozenset(item.name for item in ruleset.rulebook.parameters)
    answers = _answers(form, example, today, ZoneInfo(ruleset.rulebook.settings.timezone), parameters)
    own = programme.own_consents(form.form_id, answers, today) if programme else ()
    yield Case(Facts(form.form_id, today, answers, record, own, internal), today)


def _form(fields: Fields, form_id: str) -> FormDefinition:
    """The newest version."""
    versions = fields.versions.get(form_id, ())
    if not versions:
        raise _Unreadable("form", Text("Ví dụ cần biết biểu mẫu nào.", "The example must say of which form it is."))
    return versions[0]


def _with_parameters(ruleset: Ruleset, example: Example) -> Ruleset:
    """The rules under the parameters that this example sets: so a switch that is off has its examples, too."""
    given = dict(_answer("given", piece) for piece in _pieces(example.given))
    parameters = ruleset.rulebook.parameters
    if not any(item.name in given for item in parameters):
        return ruleset
    changed = tuple(
        replace(item, value=_parameter_value(item, given[item.name])) if item.name in given else item
        for item in parameters
    )
    forms = [form for versions in ruleset.fields.versions.values() for form in versions]
    return compile_rules(replace(ruleset.rulebook, parameters=changed), forms)


def _parameter_value(parameter: Parameter, text: str) -> ParameterValue:
    try:
        match parameter.type:
            case ParameterType.INTEGER:
                return int(text)
            case ParameterType.DECIMAL:
                return float(text)
            case _:
                return text
    except ValueError:
        problem = Text(f"'{text}' không phải số ({parameter.name}).", f"'{text}' is not a number ({parameter.name}).")
        raise _Unreadable("given", problem) from None


def _answers(
    form: FormDefinition, example: Example, today: dt.date, zone: ZoneInfo, parameters: frozenset[str]
) -> Answers:
    given = dict(_answer("given", piece) for piece in _pieces(example.given))
    given = {name: text for name, text in given.items() if name not in parameters}
    columns: dict[str, object] = {name: _value(form, name, text) for name, text in given.items()}
    read = from_given(form, columns)
    if read.problems:
        raise _Unreadable("given", _joined([item.problem for item in read.problems]))
    return fill(form, read.answers, dt.datetime.combine(today, _NOON, zone), as_told=True)


def _value(form: FormDefinition, name: str, text: str) -> object:
    """Text, or a repeat's column."""
    found = form.field(name)
    if found is not None and found.repeats:
        return [item.strip() or None for item in text.split(",")]
    return text


def _pieces(text: str) -> list[str]:
    return [piece.strip() for piece in re.split(r"[;\n]", text) if piece.strip()]


def _answer(column: str, piece: str) -> tuple[str, str]:
    match = _ANSWER.fullmatch(piece)
    if match is None:
        raise _Unreadable(
            column,
            Text(
                f"Không hiểu '{piece}'. Viết tên = giá trị, cách nhau bằng dấu ;",
                f"'{piece}' is not understood. Write name = value, separated by ;",
            ),
        )
    name, value = match.groups()
    return name.removeprefix("${").removesuffix("}"), value.strip().strip("'\"")


def _joined(texts: Sequence[Text]) -> Text:
    return Text(" ".join(item.vi for item in texts), " ".join(item.en for item in texts))


def _latest_day(text: str) -> dt.date | None:
    found = []
    for day in re.findall(_DAY, text):
        try:
            found.append(dt.date.fromisoformat(day))
        except ValueError:
            continue
    return max(found, default=None)


# ---- the record -----------------------------------------------------------------------------------


@dataclass
class _Seen:
    """An earlier observation while its answers are gathered."""

    form: str
    day: str
    given: dict[str, str] = field(default_factory=dict)

    def take(self, piece: str) -> None:
        name, value = _answer("record", piece)
        self.given[name] = value


def _record(fields: Fields, text: str, today: dt.date) -> Record:
    seen: list[_Seen] = []
    parts: dict[str, list[dict[str, object]]] = {"referrals": [], "consents": [], "flags": [], "follow_ups": []}
    for piece in _pieces(text):
        if observation := _OBSERVATION.fullmatch(piece):
            seen.append(_Seen(observation[1], observation[2]))
            if observation[3]:
                seen[-1].take(observation[3])
        elif seen and _ANSWER.fullmatch(piece):
            seen[-1].take(piece)
        elif item := _ITEM.fullmatch(piece):
            part, entry = _entry(item[1], item[2].split())
            parts[part].append(entry)
        else:
            raise _not_understood(piece)
    try:
        record = record_from_json(parts, today=today)
        observations = [_observation(fields, item) for item in seen]
    except RecordInvalid as invalid:
        raise _Unreadable("record", _joined(invalid.problems)) from invalid
    return replace(record, observations=tuple(sorted(observations, key=lambda item: item.date)))


def _not_understood(piece: str) -> _Unreadable:
    return _Unreadable(
        "record",
        Text(
            f"Không hiểu '{piece}'. Bắt đầu bằng biểu mẫu và ngày (screening 2026-01-05: …), referral, consent, flag "
            "hoặc follow_up.",
            f"'{piece}' is not understood. Begin with a form and a day (screening 2026-01-05: …), referral, consent, "
            "flag or follow_up.",
        ),
    )


def _entry(kind: str, words: list[str]) -> tuple[str, dict[str, object]]:
    """An item of the record as JSON would have it: the named parts first, then `name=value`."""
    extra = dict(word.split("=", 1) for word in words if "=" in word)
    plain = [word for word in words if "=" not in word]
    order = {
        "referral": ("service", "state", "date"),
        "consent": ("service", "state", "date"),
        "flag": ("code", "level", "date", "form"),
        "follow_up": ("schedule", "step", "state", "due") if len(plain) > 3 else ("schedule", "state", "due"),
    }[kind]
    if len(plain) > len(order):
        raise _not_understood(f"{kind} {' '.join(words)}")
    entry: dict[str, object] = {**dict(zip(order, plain, strict=False)), **extra}
    if "since" in entry:
        entry["state_since"] = entry.pop("since")
    if isinstance(shows := entry.get("no_shows"), str) and shows.isdigit():
        entry["no_shows"] = int(shows)
    return f"{kind}s", entry


def _observation(fields: Fields, seen: _Seen) -> Observation:
    try:
        day = dt.date.fromisoformat(seen.day)
    except ValueError:
        raise _Unreadable("record", Text(f"'{seen.day}' không phải ngày.", f"'{seen.day}' is not a date.")) from None
    versions = fields.versions.get(seen.form, ())
    if not versions:
        return Observation(seen.form, day, {name: _guess(value) for name, value in seen.given.items() if value})
    columns: dict[str, object] = {name: _value(versions[0], name, text) for name, text in seen.given.items()}
    read = from_given(versions[0], columns)
    if read.problems:
        raise _Unreadable("record", _joined([item.problem for item in read.problems]))
    return Observation(seen.form, day, read.answers)


def _guess(text: str) -> Answer:
    """An answer of a form that is not published: a number where it looks like one."""
    return float(text) if _NUMBER.fullmatch(text) else text
