"""ketnoi evaluate: what the rules want after one set of answers, and why. Needs no database and no network."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from forms.answers import Malformed, parsed, read
from forms.compile import compile_form
from forms.definition import Answer, AnswerFinding, Answers, FormDefinition
from forms.sheets import Text
from rules import durable
from rules.compile import Ruleset, compile_checked, compile_rules
from rules.decision import Decision, to_json
from rules.evaluate import evaluate
from rules.facts import Facts, Observation, Record
from rules.model import Rulebook
from rules.programme import Means, Programme, read_programme
from rules.record import RecordInvalid, record_from_json
from rules.workbook import read_rules
from service import clock
from service.commands.decision_text import decision_lines
from service.commands.given import filled, typed, unasked
from service.commands.printing import Mistake, complain, day_of, json_object, read_bytes, say, say_json, zone_of
from service.commands.workbooks import forms_named, neighbours, opened, programme_near

#: The hour of a day that is given without one.
_NOON = dt.time(12)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rules", type=Path, required=True, help="a rules workbook")
    parser.add_argument(
        "--form",
        type=Path,
        required=True,
        action="append",
        help="the answered form; then others that rules speak of",
    )
    parser.add_argument("--programme", type=Path, help="(default: programme.xlsx beside the rules)")
    answered = parser.add_mutually_exclusive_group(required=True)
    answered.add_argument("--submission", type=Path, help="XML as a phone sends it")
    answered.add_argument("--answers", help="{path or name: value} as JSON, or a file that holds it")
    parser.add_argument("--record", help="what is known of the client before, as JSON or a file that holds it")
    parser.add_argument("--today", help="the day of the observation, such as 2026-01-31")
    parser.add_argument("--format", choices=("text", "json"), default="text")


@dataclass(frozen=True)
class Ground:
    """The workbooks that decide. `forms` holds the answered one and others that rules speak of."""

    rulebook: Rulebook
    programme: Programme | None
    forms: tuple[FormDefinition, ...]
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Observed:
    """One filled form. `beyond` are given answers that a phone would not have asked for."""

    form: FormDefinition
    answers: Answers
    date: dt.date
    findings: tuple[AnswerFinding, ...] = ()
    beyond: tuple[str, ...] = ()


def run(args: argparse.Namespace) -> int:
    try:
        ground = _ground(args)
        observed = _observed(args, ground)
        decision = _decision(args, ground, observed)
    except Mistake as mistake:
        complain(mistake.describe(args.language))
        return 1
    except RecordInvalid as invalid:
        for problem in invalid.problems:
            complain(problem.to(args.language))
        return 1
    _tell(args, ground, observed, decision)
    return 0


# ---- what is given --------------------------------------------------------------------------------


def _ground(args: argparse.Namespace) -> Ground:
    """Raises SheetErrors for a workbook that cannot be used."""
    rulebook = read_rules(opened(args.rules).require()).require()
    programme = _programme(args, rulebook)
    forms = tuple(compile_form(read_bytes(path), str(path)).require() for path in args.form)
    return Ground(rulebook, programme, forms, zone_of(rulebook.settings.timezone))


def _programme(args: argparse.Namespace, rulebook: Rulebook) -> Programme | None:
    path = args.programme or programme_near(args.rules, rulebook)
    if path is None:
        _note(
            args,
            "Không có tệp chương trình: câu hỏi về đồng ý không được hiểu, không dịch vụ nào là nội bộ.",
            "No programme workbook: answers about consent mean nothing here, and no service is internal.",
        )
        return None
    if args.programme is None:
        _note(args, f"Dùng chương trình {path}.", f"With the programme {path}.")
    return read_programme(opened(path).require()).require()


def _note(args: argparse.Namespace, vi: str, en: str) -> None:
    if args.format == "text":
        complain(Text(vi, en).to(args.language))


def _observed(args: argparse.Namespace, ground: Ground) -> Observed:
    today = day_of(args.today) if args.today else None
    if args.submission is not None:
        return _sent(ground, read_bytes(args.submission), today)
    form = ground.forms[0]
    values = json_object(args.answers)
    day = today or _event_date(ground, form, typed(form, values))
    now = dt.datetime.combine(day, _NOON, ground.zone) if day else clock.now().astimezone(ground.zone)
    answers, beyond = filled(form, values, now)
    date = today or _event_date(ground, form, answers) or now.date()
    return Observed(form, answers, date, beyond=beyond)


def _sent(ground: Ground, xml: bytes, today: dt.date | None) -> Observed:
    """A submission read against the form that it says it belongs to."""
    try:
        root = parsed(xml)
    except Malformed as error:
        raise Mistake(error.problem) from error
    form = _form_of(ground.forms, root.get("id", ""), root.get("version", ""))
    submitted = read(form, xml)
    date = today or _event_date(ground, form, submitted.answers) or clock.now().astimezone(ground.zone).date()
    return Observed(form, submitted.answers, date, submitted.findings)


def _form_of(forms: Sequence[FormDefinition], form_id: str, version: str) -> FormDefinition:
    """The form with this id, of this version where there is a choice. Raises Mistake."""
    matching = [form for form in forms if form.form_id == form_id]
    if not matching:
        known = ", ".join(form.form_id for form in forms)
        raise Mistake(
            Text(
                f"Bài gửi thuộc biểu mẫu '{form_id}', không phải {known}.",
                f"The submission belongs to the form '{form_id}', not to {known}.",
            ),
            Text("Thêm --form với đúng tệp.", "Give its workbook with --form."),
        )
    return next((form for form in matching if form.version == version), matching[0])


def _event_date(ground: Ground, form: FormDefinition, answers: Answers) -> dt.date | None:
    """The day that the answers say: the one that means it, else the phone's `end`, else its `today`."""
    meant = ground.programme.answer(form.form_id, Means.EVENT_DATE, answers) if ground.programme else None
    filled_in = [_preloaded(form, answers, preload) for preload in ("timestamp/end", "date/today")]
    days = (_as_day(answer, ground.zone) for answer in (meant, *filled_in))
    return next((day for day in days if day), None)


def _preloaded(form: FormDefinition, answers: Answers, preload: str) -> Answer | None:
    found = (answers.get(item.path) for item in form.fields if item.preload == preload)
    return next((answer for answer in found if answer is not None and not isinstance(answer, list)), None)


def _as_day(answer: Answer | None, zone: ZoneInfo) -> dt.date | None:
    """The day of a date, or of a moment seen in this zone."""
    if not isinstance(answer, str):
        return None
    try:
        moment = dt.datetime.fromisoformat(answer)
    except ValueError:
        return None
    return moment.astimezone(zone).date() if moment.tzinfo else moment.date()


# ---- what is decided ------------------------------------------------------------------------------


def _decision(args: argparse.Namespace, ground: Ground, observed: Observed) -> Decision:
    """Decided as on the day of the observation, so that it comes out the same on every day."""
    ruleset = _ruleset(args, ground)
    form_id, programme = observed.form.form_id, ground.programme
    facts = Facts(
        form=form_id,
        date=observed.date,
        answers=observed.answers,
        record=_record(args, ground, observed.date),
        own_consents=programme.own_consents(form_id, observed.answers, observed.date) if programme else (),
        internal_services=programme.internal_services if programme else frozenset(),
    )
    return evaluate(ruleset, facts, today=observed.date, reference_only=not _engine_holds(args, ruleset))


def _ruleset(args: argparse.Namespace, ground: Ground) -> Ruleset:
    """Rules may ask of forms that were not given; they are looked for only where it matters."""
    found = compile_checked(ground.rulebook, ground.forms)
    if found.value is not None:
        return found.value
    missing = forms_named(ground.rulebook) - {form.form_id for form in ground.forms}
    near = neighbours(missing, args.rules)
    for item in near:
        form = item.form.form_id
        _note(args, f"Dùng biểu mẫu '{form}' ở {item.path}.", f"With the form '{form}' of {item.path}.")
    return compile_rules(ground.rulebook, (*ground.forms, *(item.form for item in near)))


def _engine_holds(args: argparse.Namespace, ruleset: Ruleset) -> bool:
    """Tried in a child process first: rules that nobody has published yet may kill the engine."""
    problem = durable.smoke_test(ruleset.chains) if durable.available else None
    if problem is not None:
        _note(args, f"{problem.vi} Bộ đối chiếu quyết định.", f"{problem.en} The reference matcher decides.")
    return problem is None


def _record(args: argparse.Namespace, ground: Ground, date: dt.date) -> Record:
    """Raises RecordInvalid, and Mistake for earlier answers that do not fit a form that is known here."""
    record = record_from_json(json_object(args.record) if args.record else {}, today=date)
    return replace(record, observations=tuple(_earlier(ground, item) for item in record.observations))


def _earlier(ground: Ground, observation: Observation) -> Observation:
    form = next((form for form in ground.forms if form.form_id == observation.form), None)
    if form is None:
        return observation
    values = {
        path: list(answer) if isinstance(answer, tuple) else answer for path, answer in observation.answers.items()
    }
    return replace(observation, answers=typed(form, values))


# ---- what is said ---------------------------------------------------------------------------------


def _tell(args: argparse.Namespace, ground: Ground, observed: Observed, decision: Decision) -> None:
    if observed.beyond:
        complain(unasked(observed.beyond).to(args.language))
    if args.format == "json":
        say_json({**to_json(decision), "findings": [_finding(item, args.language) for item in observed.findings]})
        return
    settings = ground.rulebook.settings
    say(
        f"{observed.form.form_id} {observed.form.version} · {observed.date} · {settings.rulebook_id} {settings.version}"
    )
    for item in observed.findings:
        say(f"! {item.path}: {item.problem.to(args.language)}" if item.path else f"! {item.problem.to(args.language)}")
    for line in decision_lines(decision, ground.rulebook, ground.programme, args.language):
        say(line)


def _finding(item: AnswerFinding, language: str) -> dict[str, str]:
    return {"code": item.code, "level": item.level, "path": item.path, "message": item.problem.to(language)}
