"""Rulebook: what a rules workbook says, once read. Frozen values; nothing here is compiled yet."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from fractions import Fraction
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from forms.sheets import Cell
from rules.decision import FlagLevel, Urgency

#: What stands in a parameter: text ("yes", "mmt", "2026-01-31") or a number. JSON keeps the difference.
ParameterValue = str | int | float

DEFAULT_TIMEZONE = "Asia/Ho_Chi_Minh"
DEFAULT_LANGUAGE = "vi"

#: Product §8: the rulebook that must be held.
MAX_RULES = 1_000
MAX_CHAINING_RULES = 250


class Trigger(StrEnum):
    """When a rule is looked at: with a submission, after something a person did, or by the clock's sweep."""

    SUBMISSION = "submission"
    EVENT = "event"
    CLOCK = "clock"


class Subject(StrEnum):
    """Whom an event or clock rule is about."""

    CLIENT = "client"
    REFERRAL = "referral"


class Status(StrEnum):
    """Only active rules run; off and draft rules are still checked for form."""

    ACTIVE = "active"
    OFF = "off"
    DRAFT = "draft"


class Recipient(StrEnum):
    WORKER = "worker"
    SUPERVISOR = "supervisor"
    COORDINATOR = "coordinator"
    PROVIDER = "provider"
    STAFF = "staff"


class ParameterType(StrEnum):
    INTEGER = "integer"
    DECIMAL = "decimal"
    TEXT = "text"
    DATE = "date"
    YES_NO = "yes_no"


class StartsFrom(StrEnum):
    """From which date of the anchor a follow-up's dates count."""

    SCHEDULED = "scheduled"
    ACTUAL = "actual"


class InsteadAction(StrEnum):
    """What happens to a referral that a stop holds back; the strictest stands first.

    Where several stops hold the same referral, the strictest one's `instead` happens: who has withdrawn is not told
    to come back in 30 days.
    """

    DROP = "drop"
    INFORMATION_ONLY = "information_only"
    SELF_REFERRAL_INFORMATION = "self_referral_information"
    OFFER_AGAIN = "offer_again"
    ATTACH_TO_OPEN = "attach_to_open"

    @property
    def rank(self) -> int:
        """0 is the strictest."""
        return list(InsteadAction).index(self)


@dataclass(frozen=True, slots=True)
class Settings:
    """The one row of `settings`. `title` per language code; `timezone` is an IANA name."""

    rulebook_id: str
    version: str
    title: Mapping[str, str]
    default_language: str = DEFAULT_LANGUAGE
    timezone: str = DEFAULT_TIMEZONE
    valid_from: dt.date | None = None
    row: int = 2


@dataclass(frozen=True, slots=True)
class Parameter:
    """A cut-off or switch. A yes_no holds "yes" or "no", a date its ISO text."""

    name: str
    value: ParameterValue
    type: ParameterType
    label: Mapping[str, str]
    row: int
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Calculation:
    """A name for an expression that no form calculates. `forms` empty: wherever a rule names it."""

    name: str
    forms: tuple[str, ...]
    calculation: str
    label: Mapping[str, str]
    row: int


@dataclass(frozen=True, slots=True)
class Band:
    """One line of a band table: `value` holds from `lowest` up to and including `highest`."""

    lowest: Fraction
    highest: Fraction
    value: str
    label: Mapping[str, str]
    row: int


@dataclass(frozen=True, slots=True)
class BandTable:
    """Score → level. `input` is a name or an expression. Bands stand from low to high."""

    table: str
    input: str
    bands: tuple[Band, ...]

    @property
    def row(self) -> int:
        return min(item.row for item in self.bands)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """`course` starts the series (`days` None); `visit + 14` is a single one, due in 14 days."""

    schedule: str
    days: int | None = None

    def __str__(self) -> str:
        return self.schedule if self.days is None else f"{self.schedule} + {self.days}"


@dataclass(frozen=True, slots=True)
class Instead:
    """What a stop does instead; `days` belongs to `offer_again + N`."""

    action: InsteadAction
    days: int | None = None

    def __str__(self) -> str:
        return self.action.value if self.days is None else f"{self.action.value} + {self.days}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of `rules`. `due` is in days, None where the urgency says it. `message` per language code."""

    rule_id: str
    row: int
    when: str
    trigger: Trigger = Trigger.SUBMISSION
    subject: Subject = Subject.CLIENT
    forms: tuple[str, ...] = ()
    priority: int = 0
    flag: str = ""
    level: FlagLevel | None = None
    referral: str = ""
    urgency: Urgency | None = None
    due: int | None = None
    follow_up: FollowUp | None = None
    notify: tuple[Recipient, ...] = ()
    resolved_when: str = ""
    message: Mapping[str, str] = field(default_factory=dict)
    basis: str = ""
    status: Status = Status.ACTIVE

    @property
    def runs(self) -> bool:
        return self.status is Status.ACTIVE


@dataclass(frozen=True, slots=True)
class Stop:
    """One row of `stops`: what holds a wanted referral back. `service` is a code, or `*` for all."""

    stop_id: str
    row: int
    service: str
    when: str
    instead: Instead
    message: Mapping[str, str] = field(default_factory=dict)
    basis: str = ""


@dataclass(frozen=True, slots=True)
class ScheduleStep:
    """One row of `schedules`: a step of a series (`step` "m1"), or a kind of single follow-up (`step` empty).

    Days: `due` from the anchor (None: the rule says `+ N`), the window from `opens_before` to `closes_after` round it.
    """

    schedule: str
    step: str
    form: str
    row: int
    due: int | None = None
    opens_before: int = 0
    closes_after: int = 0
    starts_from: StartsFrom = StartsFrom.ACTUAL
    label: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """One row of `tests`: an example that must hold. The cells' grammar stands in rules/examples.py."""

    test_id: str
    row: int
    form: str
    given: str
    record: str = ""
    today: dt.date | None = None
    trigger: Trigger = Trigger.SUBMISSION
    expect: tuple[str, ...] = ()
    expect_not: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rulebook:
    """A rules workbook once read.

    `columns` are the column letters per sheet and heading, so that an error names `rules!F12`; they are no part of
    the rulebook's content and are unknown once it has come back from JSON.
    """

    settings: Settings
    parameters: tuple[Parameter, ...] = ()
    calculations: tuple[Calculation, ...] = ()
    bands: tuple[BandTable, ...] = ()
    rules: tuple[Rule, ...] = ()
    stops: tuple[Stop, ...] = ()
    schedules: tuple[ScheduleStep, ...] = ()
    tests: tuple[Example, ...] = ()
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict, compare=False, repr=False)
    file: str = field(default="", compare=False, repr=False)

    def cell(self, sheet: str, row: int | None, column: str | None = None) -> Cell:
        letter = self.columns.get(sheet, {}).get(column) if column else None
        return Cell(sheet, row, column, letter)

    def rule(self, rule_id: str) -> Rule | None:
        return self._by_id.get(rule_id)

    def steps(self, schedule: str) -> tuple[ScheduleStep, ...]:
        """The rows of a schedule, in the order of the sheet; empty if there is no such schedule."""
        return self._by_schedule.get(schedule, ())

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 in hex of the canonical JSON: sorted keys, no spaces, UTF-8."""
        text = json.dumps(to_json(self), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _by_id(self) -> Mapping[str, Rule]:
        return {item.rule_id: item for item in self.rules}

    @cached_property
    def _by_schedule(self) -> Mapping[str, tuple[ScheduleStep, ...]]:
        found: dict[str, tuple[ScheduleStep, ...]] = {}
        for item in self.schedules:
            found[item.schedule] = (*found.get(item.schedule, ()), item)
        return found


# ---- canonical JSON -------------------------------------------------------------------------------


class RulebookInvalid(ValueError):
    """A JSON rulebook that does not fit rules/rulebook.schema.json. Each problem names its place in the document."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


def to_json(rulebook: Rulebook) -> dict[str, Any]:
    """Plain JSON values that fit the schema; equal rulebooks give equal documents."""
    parts = ("settings", "parameters", "calculations", "bands", "rules", "stops", "schedules", "tests")
    return {name: _plain(getattr(rulebook, name)) for name in parts}


def from_json(document: object) -> Rulebook:
    """The rulebook of a JSON document. Raises RulebookInvalid with everything that does not fit the schema."""
    errors = sorted(schema_validator().iter_errors(document), key=lambda item: item.json_path)
    if errors or not isinstance(document, dict):
        raise RulebookInvalid([f"{item.json_path}: {item.message}" for item in errors])
    return Rulebook(
        _settings(document["settings"]),
        tuple(Parameter(**{**item, "type": ParameterType(item["type"])}) for item in document["parameters"]),
        tuple(Calculation(**{**item, "forms": tuple(item["forms"])}) for item in document["calculations"]),
        tuple(BandTable(item["table"], item["input"], _bands(item["bands"])) for item in document["bands"]),
        tuple(_rule(item) for item in document["rules"]),
        tuple(Stop(**{**item, "instead": _instead(item["instead"])}) for item in document["stops"]),
        tuple(
            ScheduleStep(**{**item, "starts_from": StartsFrom(item["starts_from"])}) for item in document["schedules"]
        ),
        tuple(_example(item) for item in document["tests"]),
    )


@cache
def schema_validator() -> Draft202012Validator:
    schema = json.loads(Path(__file__).with_name("rulebook.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


#: Python's words for the band's JSON names, which are words of the language.
_JSON_NAMES = {"lowest": "from", "highest": "to"}


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else float(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in sorted(value.items())}
    if is_dataclass(value):
        return {_JSON_NAMES.get(item.name, item.name): _plain(getattr(value, item.name)) for item in fields(value)}
    return value


def _date(text: str | None) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None


def _settings(item: Mapping[str, Any]) -> Settings:
    return Settings(**{**item, "valid_from": _date(item["valid_from"])})


def _bands(items: Sequence[Mapping[str, Any]]) -> tuple[Band, ...]:
    # Through text: 0.1 must be a tenth, not the nearest binary fraction.
    return tuple(
        Band(Fraction(str(item["from"])), Fraction(str(item["to"])), item["value"], item["label"], item["row"])
        for item in items
    )


def _instead(item: Mapping[str, Any]) -> Instead:
    return Instead(InsteadAction(item["action"]), item["days"])


def _rule(item: Mapping[str, Any]) -> Rule:
    converted = {
        "trigger": Trigger(item["trigger"]),
        "subject": Subject(item["subject"]),
        "forms": tuple(item["forms"]),
        "level": FlagLevel(item["level"]) if item["level"] else None,
        "urgency": Urgency(item["urgency"]) if item["urgency"] else None,
        "follow_up": FollowUp(**item["follow_up"]) if item["follow_up"] else None,
        "notify": tuple(Recipient(name) for name in item["notify"]),
        "status": Status(item["status"]),
    }
    return Rule(**{**item, **converted})


def _example(item: Mapping[str, Any]) -> Example:
    converted = {
        "today": _date(item["today"]),
        "trigger": Trigger(item["trigger"]),
        "expect": tuple(item["expect"]),
        "expect_not": tuple(item["expect_not"]),
    }
    return Example(**{**item, **converted})
