"""Decision: what the rules want, and for each outcome why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any


class Urgency(StrEnum):
    """How soon somebody must act; the most urgent stands first."""

    SAME_DAY = "same_day"
    SAME_VISIT = "same_visit"
    PRIORITY = "priority"
    SOON = "soon"
    ROUTINE = "routine"

    @property
    def days(self) -> int:
        """Days until due where the rule's cell `due` is blank (product §4)."""
        return {"same_day": 0, "same_visit": 0, "priority": 3, "soon": 7, "routine": 14}[self.value]

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return list(Urgency).index(self)


class FlagLevel(StrEnum):
    INFO = "info"
    WARNING = "warning"
    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a condition with what it saw.

    `text` is the piece as the author wrote it, `value` what it came to as JavaRosa would store it, `type` its
    type (boolean, number, text, date, ...), `label` the field's label per language code where the piece is a
    field, `parts` what it was made of. `source` is the cell (`parameters!3`) where the piece is a parameter, a
    calculation or the line of a band table.
    """

    text: str
    value: str
    type: str
    label: Mapping[str, str]
    parts: tuple[Part, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an outcome is there: one row of one sheet, and what its condition saw.

    `because` names the rules whose outcomes a chaining rule saw (`has-flag`, `refers-to`).
    """

    rule_id: str
    sheet: str
    row: int
    condition: Part
    message: Mapping[str, str]
    basis: str = ""
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag raised. `urgency` and `due` are set where the rule has them; `referral` is the service wanted with it."""

    code: str
    level: FlagLevel
    priority: int
    urgency: Urgency | None
    due: dt.date | None
    referral: str
    message: Mapping[str, str]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class ReferralWanted:
    """One referral per service: the most urgent rule stands, the others' reasons are merged (first reason: its)."""

    service: str
    urgency: Urgency
    due: dt.date
    priority: int
    level: FlagLevel
    internal: bool
    message: Mapping[str, str]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class FollowUpWanted:
    """One follow-up due. `cause` is the rule id: identity is (client, schedule, step, cause).

    `step` is a series' step (`m1`), or "+14" for a single one. Dates are in the programme's zone.
    """

    schedule: str
    step: str
    form: str
    due: dt.date
    opens: dt.date
    closes: dt.date
    starts_from: str
    cause: str
    label: Mapping[str, str]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """Somebody to tell: worker, supervisor, coordinator, provider or staff."""

    to: str
    rule_id: str
    urgency: Urgency | None
    message: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stopped:
    """A referral that was wanted and held back, and what happens instead.

    Where several stops hold it, the strictest one's `instead` happens; `also` are the reasons of the others.
    """

    wanted: ReferralWanted
    stop_id: str
    instead: str
    message: Mapping[str, str]
    reason: Reason
    also: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """A same-day referral that a stop would have held back: it stands inside, but nothing leaves (product §4)."""

    service: str
    stop_id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Decision:
    """What one observation leads to under one rulebook. Equal inputs give equal decisions, byte for byte.

    `fired` are the rule ids in the order of the sheet. `engine` names engine and version, `rulebook_hash` and
    `facts_hash` are SHA-256 in hex. `agreed` is False where durable-rules and the reference matcher differed; then
    the outcomes are only the same-day ones of either, and `disagreement` tells both traces.
    """

    rulebook_id: str
    version: str
    rulebook_hash: str
    facts_hash: str
    engine: str
    today: dt.date
    fired: tuple[str, ...]
    flags: tuple[Flag, ...]
    referrals: tuple[ReferralWanted, ...]
    follow_ups: tuple[FollowUpWanted, ...]
    notices: tuple[Notice, ...]
    stopped: tuple[Stopped, ...]
    held: tuple[Alert, ...] = ()
    agreed: bool = True
    disagreement: str = ""


# ---- JSON -----------------------------------------------------------------------------------------


def to_json(decision: Decision) -> dict[str, Any]:
    """Plain JSON values; from_json gives an equal decision back."""
    return {item.name: _plain(getattr(decision, item.name)) for item in fields(decision)}


def from_json(document: Mapping[str, Any]) -> Decision:
    """The decision that to_json wrote, by this or an older release."""
    parts = {
        "today": dt.date.fromisoformat(document["today"]),
        "fired": tuple(document["fired"]),
        "flags": tuple(_flag(item) for item in document["flags"]),
        "referrals": tuple(_referral(item) for item in document["referrals"]),
        "follow_ups": tuple(_follow_up(item) for item in document["follow_ups"]),
        "notices": tuple(Notice(**{**item, "urgency": _urgency(item["urgency"])}) for item in document["notices"]),
        "stopped": tuple(_stopped(item) for item in document["stopped"]),
        "held": tuple(Alert(**{**item, "reason": _reason(item["reason"])}) for item in document["held"]),
    }
    return Decision(**{**document, **parts})


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return value


def _date(text: str | None) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None


def _urgency(text: str | None) -> Urgency | None:
    return Urgency(text) if text else None


def _part(item: Mapping[str, Any]) -> Part:
    return Part(**{**item, "parts": tuple(_part(inner) for inner in item["parts"])})


def _reason(item: Mapping[str, Any]) -> Reason:
    return Reason(**{**item, "condition": _part(item["condition"]), "because": tuple(item["because"])})


def _reasons(items: Iterable[Mapping[str, Any]]) -> tuple[Reason, ...]:
    return tuple(_reason(item) for item in items)


def _flag(item: Mapping[str, Any]) -> Flag:
    parts = {
        "level": FlagLevel(item["level"]),
        "urgency": _urgency(item["urgency"]),
        "due": _date(item["due"]),
        "reasons": _reasons(item["reasons"]),
    }
    return Flag(**{**item, **parts})


def _referral(item: Mapping[str, Any]) -> ReferralWanted:
    parts = {
        "urgency": Urgency(item["urgency"]),
        "due": dt.date.fromisoformat(item["due"]),
        "level": FlagLevel(item["level"]),
        "reasons": _reasons(item["reasons"]),
    }
    return ReferralWanted(**{**item, **parts})


def _follow_up(item: Mapping[str, Any]) -> FollowUpWanted:
    dates = {name: dt.date.fromisoformat(item[name]) for name in ("due", "opens", "closes")}
    return FollowUpWanted(**{**item, **dates, "reasons": _reasons(item["reasons"])})


def _stopped(item: Mapping[str, Any]) -> Stopped:
    parts = {
        "wanted": _referral(item["wanted"]),
        "reason": _reason(item["reason"]),
        "also": _reasons(item.get("also", ())),
    }
    return Stopped(**{**item, **parts})
