"""A client's record and facts as JSON: what `ketnoi evaluate --record` reads, what replay stores, what is hashed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from forms.definition import Answer, Answers
from forms.sheets import Text
from rules.facts import (
    TAKE_PART,
    ConsentFact,
    ConsentState,
    Facts,
    FlagFact,
    FollowUpFact,
    Observation,
    Record,
    ReferralFact,
)

T = TypeVar("T")

#: States in which a referral has come to its end (product §6).
FINAL_STATES = frozenset(
    {"completed", "not_consented", "declined_by_client", "withdrawn", "expired", "failed", "superseded"}
)
OPEN_STATES = frozenset(
    {
        *("proposed", "approved", "sent", "accepted", "on_hold", "no_show"),
        *("rejected_by_provider", "attended", "started"),
    }
)
FOLLOW_UP_STATES = frozenset({"scheduled", "open", "done", "late", "missed", "cancelled"})

_PARTS = ("observations", "referrals", "follow_ups", "consents", "flags")


class RecordInvalid(ValueError):
    """A record in JSON that cannot be read. Each problem names its place; no answer is quoted."""

    def __init__(self, problems: Sequence[Text]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(item.en for item in problems))


def record_from_json(document: object, *, today: dt.date) -> Record:
    """The record of `{"observations": [], "referrals": [], "follow_ups": [], "consents": [], "flags": []}`.

    All parts may be left out. An observation is `{form, date, answers}` with answers by path or name; a referral
    `{service, state, date}` with urgency, due, state_since, no_shows, started as it likes; a consent is a service's
    code (or "take_part"), given today, or `{service, state, date}`. Raises RecordInvalid with every problem.
    """
    reader = _Reader(today)
    return reader.record(document)


class _Reader:
    def __init__(self, today: dt.date) -> None:
        self.today = today
        self.problems: list[Text] = []

    def record(self, document: object) -> Record:
        if not isinstance(document, Mapping):
            raise RecordInvalid([Text("Hồ sơ phải là một đối tượng JSON.", "The record must be a JSON object.")])
        for name in document:
            if name not in _PARTS:
                self._say(str(name), "không có phần này", f"is not a part of a record; it has {', '.join(_PARTS)}")
        record = Record(
            tuple(sorted(self._each(document, "observations", self._observation), key=lambda item: item.date)),
            tuple(self._each(document, "referrals", self._referral)),
            tuple(self._each(document, "follow_ups", self._follow_up)),
            tuple(self._each(document, "consents", self._consent)),
            tuple(self._each(document, "flags", self._flag)),
        )
        if self.problems:
            raise RecordInvalid(self.problems)
        return record

    def _each(self, document: Mapping[Any, Any], part: str, read: Callable[[str, Any], T]) -> list[T]:
        items = document.get(part, [])
        if not isinstance(items, list):
            self._say(part, "phải là một danh sách", "must be a list")
            return []
        found = []
        for number, item in enumerate(items):
            place = f"{part}[{number}]"
            if isinstance(item, Mapping) or (part == "consents" and isinstance(item, str)):
                found.append(read(place, item))
            else:
                self._say(place, "phải là một đối tượng", "must be an object")
        return found

    def _observation(self, place: str, item: Mapping[str, Any]) -> Observation:
        answers = item.get("answers", {})
        if not isinstance(answers, Mapping):
            self._say(f"{place}.answers", "phải là một đối tượng", "must be an object")
            answers = {}
        return Observation(
            self._text(place, item, "form"), self._date(place, item, "date", required=True), answers_from_json(answers)
        )

    def _referral(self, place: str, item: Mapping[str, Any]) -> ReferralFact:
        date = self._date(place, item, "date", required=True)
        return ReferralFact(
            service=self._text(place, item, "service"),
            state=self._among(place, item, "state", FINAL_STATES | OPEN_STATES),
            date=date,
            state_since=self._date(place, item, "state_since", date),
            urgency=str(item.get("urgency", "")),
            due=self._maybe_date(place, item, "due"),
            no_shows=self._count(place, item, "no_shows"),
            started=self._maybe_date(place, item, "started"),
        )

    def _follow_up(self, place: str, item: Mapping[str, Any]) -> FollowUpFact:
        return FollowUpFact(
            schedule=self._text(place, item, "schedule"),
            step=str(item.get("step", "")),
            form=str(item.get("form", "")),
            due=self._date(place, item, "due", required=True),
            state=self._among(place, item, "state", FOLLOW_UP_STATES),
            done=self._maybe_date(place, item, "done"),
        )

    def _consent(self, place: str, item: str | Mapping[str, Any]) -> ConsentFact:
        if isinstance(item, str):
            return ConsentFact(item, ConsentState.GIVEN, self.today)
        state = self._among(place, {"state": "given", **item}, "state", frozenset(ConsentState))
        return ConsentFact(
            self._text(place, item, "service"),
            ConsentState(state) if state else ConsentState.REFUSED,
            self._date(place, item, "date", self.today),
        )

    def _flag(self, place: str, item: Mapping[str, Any]) -> FlagFact:
        return FlagFact(
            self._text(place, item, "code"),
            str(item.get("level", "info")),
            self._date(place, item, "date", self.today),
            str(item.get("form", "")),
        )

    def _say(self, place: str, vi: str, en: str) -> None:
        self.problems.append(Text(f"{place}: {vi}.", f"{place} {en}."))

    def _text(self, place: str, item: Mapping[str, Any], name: str) -> str:
        value = item.get(name)
        if not isinstance(value, str) or not value:
            self._say(f"{place}.{name}", "cần một văn bản", "must be a text")
            return ""
        return value

    def _among(self, place: str, item: Mapping[str, Any], name: str, known: frozenset[str]) -> str:
        value = item.get(name)
        if value in known:
            return str(value)
        choices = ", ".join(sorted(known))
        self._say(f"{place}.{name}", f"phải là một trong: {choices}", f"must be one of {choices}")
        return ""

    def _count(self, place: str, item: Mapping[str, Any], name: str) -> int:
        value = item.get(name, 0)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._say(f"{place}.{name}", "phải là số nguyên không âm", "must be a whole number, 0 or more")
        return 0

    def _maybe_date(self, place: str, item: Mapping[str, Any], name: str) -> dt.date | None:
        return self._date(place, item, name) if item.get(name) else None

    def _date(
        self,
        place: str,
        item: Mapping[str, Any],
        name: str,
        otherwise: dt.date | None = None,
        *,
        required: bool = False,
    ) -> dt.date:
        value = item.get(name)
        if value is None and not required:
            return otherwise or self.today
        try:
            return dt.date.fromisoformat(str(value)[:10])
        except ValueError:
            self._say(f"{place}.{name}", "cần một ngày như 2026-01-31", "must be a date such as 2026-01-31")
            return self.today


# ---- answers and facts ----------------------------------------------------------------------------


def answers_from_json(answers: Mapping[str, Any]) -> Answers:
    """Answers of JSON values. A list of texts is a select_multiple; `{"rows": [...]}` and other lists are a repeat's
    column; null and "" are blank and left out."""
    return {str(path): _answer(value) for path, value in answers.items() if value is not None and value != ""}


def _answer(value: Any) -> Answer | list[Answer | None]:
    if isinstance(value, Mapping):
        return [None if item is None else _single(item) for item in value.get("rows", ())]
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        return [None if item is None else _single(item) for item in value]
    return _single(value)


def _single(value: Any) -> Answer:
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    return value if isinstance(value, str | int | float | bool) else str(value)


def answers_to_json(answers: Answers) -> dict[str, Any]:
    return {path: _plain_answer(answer) for path, answer in sorted(answers.items())}


def _plain_answer(answer: Answer | list[Answer | None]) -> Any:
    if isinstance(answer, list):
        return {"rows": [None if item is None else _plain_answer(item) for item in answer]}
    return list(answer) if isinstance(answer, tuple) else answer


def facts_to_json(facts: Facts) -> dict[str, Any]:
    """Everything that a decision looked at, as plain JSON; equal facts give equal documents."""
    return {
        "form": facts.form,
        "date": facts.date.isoformat(),
        "answers": answers_to_json(facts.answers),
        "record": record_to_json(facts.record),
        "own_consents": [_consent_json(item) for item in facts.own_consents],
        "internal_services": sorted(facts.internal_services),
    }


def facts_from_json(document: Mapping[str, Any]) -> Facts:
    """The facts that facts_to_json wrote. Raises RecordInvalid."""
    date = dt.date.fromisoformat(document["date"])
    own = record_from_json({"consents": document["own_consents"]}, today=date).consents
    return Facts(
        document["form"],
        date,
        answers_from_json(document["answers"]),
        record_from_json(document["record"], today=date),
        own,
        frozenset(document["internal_services"]),
    )


def facts_hash(facts: Facts) -> str:
    """SHA-256 in hex of the canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(facts_to_json(facts), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def record_to_json(record: Record) -> dict[str, Any]:
    """Lists in canonical order: facts have no order but time."""
    return {
        "observations": [
            {"form": item.form, "date": item.date.isoformat(), "answers": answers_to_json(item.answers)}
            for item in record.observations
        ],
        "referrals": _sorted(_referral_json(item) for item in record.referrals),
        "follow_ups": _sorted(_follow_up_json(item) for item in record.follow_ups),
        "consents": [_consent_json(item) for item in record.consents],
        "flags": _sorted(
            {"code": item.code, "level": item.level, "date": item.date.isoformat(), "form": item.form}
            for item in record.flags
        ),
    }


def _sorted(items: Any) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def _iso(date: dt.date | None) -> str | None:
    return date.isoformat() if date else None


def _referral_json(item: ReferralFact) -> dict[str, Any]:
    return {
        "service": item.service,
        "state": item.state,
        "date": item.date.isoformat(),
        "state_since": item.state_since.isoformat(),
        "urgency": item.urgency,
        "due": _iso(item.due),
        "no_shows": item.no_shows,
        "started": _iso(item.started),
    }


def _follow_up_json(item: FollowUpFact) -> dict[str, Any]:
    return {
        "schedule": item.schedule,
        "step": item.step,
        "form": item.form,
        "due": item.due.isoformat(),
        "state": item.state,
        "done": _iso(item.done),
    }


def _consent_json(item: ConsentFact) -> dict[str, Any]:
    return {"service": item.service, "state": item.state.value, "date": item.date.isoformat()}


# ---- what the record says -------------------------------------------------------------------------


def consent_state(facts: Facts, service: str) -> ConsentState | None:
    """What the client said last about one service (or TAKE_PART), this observation's own answers included."""
    said = [item for item in facts.record.consents if item.service == service]
    # A stable sort: of two on one day the later in the record stands, and this observation's stands over both.
    ordered = sorted(said, key=lambda item: item.date)
    ordered += [item for item in facts.own_consents if item.service == service]
    return ordered[-1].state if ordered else None


def consents_to(facts: Facts, service: str) -> bool:
    """True for internal services; else only where the client last said yes, and takes part. Silence is no."""
    if service in facts.internal_services:
        return True
    withdrawn = consent_state(facts, TAKE_PART) in (ConsentState.WITHDRAWN, ConsentState.REFUSED)
    return consent_state(facts, service) is ConsentState.GIVEN and not withdrawn
