"""The programme workbook: areas, services, providers, what each field means, and which role sends which form."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from forms.definition import Answer, Answers, FormDefinition
from forms.sheets import Cell, Checked, Finding, Level, Text
from forms.workbook import Row, Workbook
from rules.decision import Urgency
from rules.facts import TAKE_PART, ConsentFact, ConsentState

#: What a yes/no answer may look like: a choice name, or a boolean calculate as the phone stores it.
_YES = frozenset({"yes", "1", "true"})
_NO = frozenset({"no", "0", "false"})


class Means(StrEnum):
    """What an answer is. Code knows these meanings and no field's name."""

    CLIENT_CODE = "client_code"
    NAME = "name"
    NICKNAME = "nickname"
    PHONE = "phone"
    ADDRESS = "address"
    BIRTH_DATE = "birth_date"
    AREA = "area"
    EVENT_DATE = "event_date"
    CONSENT_TAKE_PART = "consent_take_part"
    CONSENT_SHARE = "consent_share"
    CONSENT_GUARDIAN = "consent_guardian"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CONSENT_VERSION = "consent_version"
    OUTCOME = "outcome"
    NOTE = "note"


#: Identity: sealed in a table of its own, and found by blind indexes only.
IDENTITY = (Means.NAME, Means.NICKNAME, Means.PHONE, Means.ADDRESS, Means.BIRTH_DATE)


@dataclass(frozen=True, slots=True)
class AreaEntry:
    """A row of `areas`. Blank dates are open ends; `valid_to` is the last day."""

    code: str
    parent: str
    labels: Mapping[str, str]
    project: str
    valid_from: dt.date | None
    valid_to: dt.date | None
    row: int


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A row of `services`. `compartment` names the right needed to see it; `completed_by` a form."""

    code: str
    labels: Mapping[str, str]
    internal: bool
    compartment: str
    urgency: Urgency
    completed_by: str
    row: int


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A row of `providers`. `details` are the columns that people read: address, hours, phone, documents, ..."""

    code: str
    labels: Mapping[str, str]
    services: tuple[str, ...]
    areas: tuple[str, ...]
    capacity_per_week: int | None
    active: bool
    details: Mapping[str, str]
    row: int


@dataclass(frozen=True, slots=True)
class FieldMeaning:
    """A row of `fields`: what an answer means, who may see it, whether reports may count it."""

    form: str
    field: str
    means: Means | None
    compartment: str
    reportable: bool
    row: int


@dataclass(frozen=True, slots=True)
class RoleEntry:
    """A row of `roles`: the forms that this role's phones are offered; `*` is all."""

    role: str
    forms: tuple[str, ...]
    row: int


@dataclass(frozen=True, slots=True)
class ProgrammeSettings:
    """The one row of `settings`. The prefixes start client codes (`KH-0042`) and referral numbers (`CG-2026-0318`)."""

    programme_id: str
    title: Mapping[str, str]
    timezone: str = "Asia/Ho_Chi_Minh"
    client_code_prefix: str = "C"
    referral_prefix: str = "R"


@dataclass(frozen=True)
class Programme:
    """A programme workbook once read. Pure: dates are arguments."""

    settings: ProgrammeSettings
    areas: tuple[AreaEntry, ...]
    services: tuple[ServiceEntry, ...]
    providers: tuple[ProviderEntry, ...]
    fields: tuple[FieldMeaning, ...]
    roles: tuple[RoleEntry, ...] = field(default=())

    @cached_property
    def service(self) -> Mapping[str, ServiceEntry]:
        return {item.code: item for item in self.services}

    @cached_property
    def internal_services(self) -> frozenset[str]:
        return frozenset(item.code for item in self.services if item.internal)

    @cached_property
    def _by_field(self) -> Mapping[tuple[str, str], FieldMeaning]:
        return {(item.form, item.field): item for item in self.fields}

    def meaning(self, form: str, path: str) -> FieldMeaning | None:
        """What a field means: by its path, else by its name (the path's last part)."""
        exact = self._by_field.get((form, path))
        return exact or self._by_field.get((form, path.rpartition("/")[2]))

    def fields_that_mean(self, form: str, means: Means) -> tuple[FieldMeaning, ...]:
        return tuple(item for item in self.fields if item.form == form and item.means is means)

    def answer(self, form: str, means: Means, answers: Answers) -> Answer | None:
        """The first answer of this form with this meaning; None where it is blank or the form asks no such thing."""
        for item in self.fields_that_mean(form, means):
            for path, answer in answers.items():
                if item.field in (path, path.rpartition("/")[2]) and not isinstance(answer, list):
                    return answer
        return None

    def refuses(self, form: str, answers: Answers) -> bool:
        """True where the person said no to taking part: such a submission joins no client and only counts."""
        return any(
            fact.service == TAKE_PART and fact.state is ConsentState.REFUSED
            for fact in self.own_consents(form, answers, dt.date.min)
        )

    def own_consents(self, form: str, answers: Answers, date: dt.date) -> tuple[ConsentFact, ...]:
        """What this observation says about consent, on its event date.

        Silence is no: where the person was asked which services may be told, every external service that was not
        ticked is refused. A guardian's no outweighs a minor's yes. Withdrawal takes back everything.
        """
        if _says(self.answer(form, Means.CONSENT_WITHDRAWN, answers), _YES):
            return self._everything(ConsentState.WITHDRAWN, date)
        take_part = self.answer(form, Means.CONSENT_TAKE_PART, answers)
        guardian = self.answer(form, Means.CONSENT_GUARDIAN, answers)
        if _says(take_part, _NO) or (_says(take_part, _YES) and _says(guardian, _NO)):
            return self._everything(ConsentState.REFUSED, date)
        found = [ConsentFact(TAKE_PART, ConsentState.GIVEN, date)] if _says(take_part, _YES) else []
        shared = self.answer(form, Means.CONSENT_SHARE, answers)
        asked = self.fields_that_mean(form, Means.CONSENT_SHARE) and (shared is not None or found)
        if asked:
            ticked = shared if isinstance(shared, tuple) else ()
            for item in self.services:
                if not item.internal:
                    state = ConsentState.GIVEN if item.code in ticked else ConsentState.REFUSED
                    found.append(ConsentFact(item.code, state, date))
        return tuple(found)

    def forms_for(self, role: str) -> frozenset[str] | None:
        """Ids of the forms for a role's phones: None is all, an empty set is none. Without the sheet: all.

        Police send what the sheet names and nothing else, so without the sheet they are offered none.
        """
        if not self.roles:
            return frozenset() if role == "police" else None
        for item in self.roles:
            if item.role == role:
                return None if "*" in item.forms else frozenset(item.forms)
        return frozenset()

    def compartment(self, service: str) -> str:
        found = self.service.get(service)
        return found.compartment if found else ""

    def _everything(self, state: ConsentState, date: dt.date) -> tuple[ConsentFact, ...]:
        external = (item.code for item in self.services if not item.internal)
        return tuple(ConsentFact(code, state, date) for code in (TAKE_PART, *external))


def _says(answer: Answer | None, words: frozenset[str]) -> bool:
    if isinstance(answer, tuple):
        return bool(words.intersection(answer))
    return answer is not None and str(answer).lower() in words


# ---- reading the workbook -------------------------------------------------------------------------


def read_programme(workbook: Workbook) -> Checked[Programme]:
    """Read a programme workbook; every bad cell is reported at once."""
    reader = _Reader(workbook)
    services = reader.services()
    areas = reader.areas()
    programme = Programme(
        reader.settings(),
        areas,
        services,
        reader.providers(),
        reader.fields(),
        reader.roles(),
    )
    reader.references(programme)
    findings = tuple(reader.found)
    broken = any(item.level is Level.ERROR for item in findings)
    return Checked(None if broken else programme, findings)


def check_fields(programme: Programme, forms: Iterable[FormDefinition], file: str = "") -> tuple[Finding, ...]:
    """Rows of `fields` that name a form's field which is not there. A form that is not published yet is no error."""
    by_id: dict[str, list[FormDefinition]] = {}
    for form in forms:
        by_id.setdefault(form.form_id, []).append(form)
    found = []
    for item in programme.fields:
        versions = by_id.get(item.form, [])
        if versions and not any(form.field(item.field) for form in versions):
            names = sorted({entry.name for form in versions for entry in form.fields})
            found.append(_unknown_field(item, names, file))
    return tuple(found)


def _unknown_field(item: FieldMeaning, names: Sequence[str], file: str) -> Finding:
    near = difflib.get_close_matches(item.field, names, 1)
    vi = f"Có phải '{near[0]}'?" if near else "Sửa tên cho đúng với biểu mẫu."
    en = f"Did you mean '{near[0]}'?" if near else "Use a name that the form has."
    return Finding(
        "programme.unknown-field",
        Level.ERROR,
        Cell("fields", item.row, "field", None),
        Text(
            f"Biểu mẫu '{item.form}' không có câu '{item.field}'.", f"Form '{item.form}' has no field '{item.field}'."
        ),
        Text(vi, en),
        file,
    )


class _Reader:
    """Reads sheet by sheet and gathers what it finds."""

    def __init__(self, workbook: Workbook) -> None:
        self.workbook = workbook
        self.found: list[Finding] = []

    def settings(self) -> ProgrammeSettings:
        rows = self.workbook.rows("settings")
        if not rows:
            self._sheet_missing("settings")
            return ProgrammeSettings("", {})
        row = rows[0]
        given = {name: row.get(name) for name in ("timezone", "client_code_prefix", "referral_prefix") if row.get(name)}
        return ProgrammeSettings(self._required(row, "programme_id"), row.translations("title"), **given)

    def areas(self) -> tuple[AreaEntry, ...]:
        rows = self._unique("areas", "code")
        return tuple(
            AreaEntry(
                row.get("code"),
                row.get("parent"),
                row.translations("label"),
                row.get("project"),
                self._date(row, "valid_from"),
                self._date(row, "valid_to"),
                row.number,
            )
            for row in rows
        )

    def services(self) -> tuple[ServiceEntry, ...]:
        return tuple(
            ServiceEntry(
                row.get("code"),
                row.translations("label"),
                self._flag(row, "internal"),
                row.get("compartment"),
                self._urgency(row),
                row.get("completed_by"),
                row.number,
            )
            for row in self._unique("services", "code")
        )

    def providers(self) -> tuple[ProviderEntry, ...]:
        known = {"code", "services", "areas", "capacity_per_week", "status"}
        return tuple(
            ProviderEntry(
                row.get("code"),
                row.translations("label"),
                tuple(row.get("services").split()),
                tuple(row.get("areas").split()),
                self._number(row, "capacity_per_week"),
                row.get("status", "active").lower() in ("active", "đang hoạt động"),
                {k: v for k, v in row.values.items() if k not in known and not k.startswith("label")},
                row.number,
            )
            for row in self._unique("providers", "code")
        )

    def fields(self) -> tuple[FieldMeaning, ...]:
        return tuple(
            FieldMeaning(
                self._required(row, "form"),
                self._required(row, "field"),
                self._means(row),
                row.get("compartment"),
                self._flag(row, "reportable"),
                row.number,
            )
            for row in self.workbook.rows("fields")
        )

    def roles(self) -> tuple[RoleEntry, ...]:
        rows = self._unique("roles", "role") if "roles" in self.workbook.sheets else []
        return tuple(RoleEntry(row.get("role"), tuple(row.get("forms").split()), row.number) for row in rows)

    def references(self, programme: Programme) -> None:
        """Names in one sheet that must stand in another, and areas that are their own ancestors."""
        areas = {item.code for item in programme.areas}
        for row in self.workbook.rows("areas"):
            self._must_be_among(row, "parent", [row.get("parent")] if row.get("parent") else [], areas)
        for row in self.workbook.rows("providers"):
            self._must_be_among(row, "services", row.get("services").split(), set(programme.service))
            self._must_be_among(row, "areas", row.get("areas").split(), areas)
        self._no_circles(programme.areas)

    def _no_circles(self, areas: Sequence[AreaEntry]) -> None:
        parents = {item.code: item.parent for item in areas}
        for item in areas:
            seen, at = set(), item.code
            while at and at not in seen:
                seen.add(at)
                at = parents.get(at, "")
            if at == item.code:
                self._error(
                    "programme.area-circle",
                    Cell("areas", item.row, "parent"),
                    Text(f"Địa bàn '{item.code}' nằm trong chính nó.", f"Area '{item.code}' lies within itself."),
                    Text("Sửa cột parent.", "Correct the column parent."),
                )

    def _unique(self, sheet: str, key: str) -> list[Row]:
        if sheet not in self.workbook.sheets:
            self._sheet_missing(sheet)
            return []
        rows: list[Row] = []
        first: dict[str, int] = {}
        for row in self.workbook.rows(sheet):
            code = self._required(row, key)
            if code in first:
                self._error(
                    "programme.duplicate",
                    row.cell(key),
                    Text(f"'{code}' đã có ở dòng {first[code]}.", f"'{code}' already stands in row {first[code]}."),
                    Text("Mỗi mã chỉ dùng một lần.", "Use each code once."),
                )
            elif code:
                first[code] = row.number
                rows.append(row)
        return rows

    def _required(self, row: Row, column: str) -> str:
        value = row.get(column)
        if not value:
            self._error(
                "programme.blank",
                row.cell(column),
                Text("Ô này không được để trống.", "This cell must not be blank."),
                Text("Điền giá trị, hoặc xóa cả dòng.", "Fill it in, or delete the row."),
            )
        return value

    def _date(self, row: Row, column: str) -> dt.date | None:
        value = row.get(column)
        if not value:
            return None
        try:
            return dt.date.fromisoformat(value[:10])
        except ValueError:
            self._error(
                "programme.date",
                row.cell(column),
                Text(f"'{value}' không phải ngày.", f"'{value}' is not a date."),
                Text("Viết năm-tháng-ngày, ví dụ 2025-07-01.", "Write year-month-day, such as 2025-07-01."),
            )
            return None

    def _number(self, row: Row, column: str) -> int | None:
        value = row.get(column)
        if not value:
            return None
        if not value.isascii() or not value.isdigit():
            self._error(
                "programme.number",
                row.cell(column),
                Text(f"'{value}' không phải số nguyên.", f"'{value}' is not a whole number."),
                Text("Chỉ viết số, ví dụ 12.", "Write the number alone, such as 12."),
            )
            return None
        return int(value)

    def _flag(self, row: Row, column: str) -> bool:
        value = row.get(column).lower()
        if value in ("", "no", "false", "0", "không"):
            return False
        if value in ("yes", "true", "1", "có"):
            return True
        self._error(
            "programme.yes-no",
            row.cell(column),
            Text(f"'{row.get(column)}' không phải yes hay no.", f"'{row.get(column)}' is neither yes nor no."),
            Text("Viết yes, hoặc để trống.", "Write yes, or leave it blank."),
        )
        return False

    def _urgency(self, row: Row) -> Urgency:
        value = row.get("urgency", Urgency.ROUTINE)
        return Urgency(value) if self._one_of(row, "urgency", value, list(Urgency)) else Urgency.ROUTINE

    def _means(self, row: Row) -> Means | None:
        value = row.get("means")
        return Means(value) if value and self._one_of(row, "means", value, list(Means)) else None

    def _one_of(self, row: Row, column: str, value: str, allowed: Sequence[str]) -> bool:
        if value in allowed:
            return True
        near = difflib.get_close_matches(value, allowed, 1)
        choices = ", ".join(allowed)
        self._error(
            "programme.unknown-value",
            row.cell(column),
            Text(f"Không có giá trị '{value}'.", f"There is no value '{value}'."),
            Text(
                f"Có phải '{near[0]}'?" if near else f"Chọn một trong: {choices}.",
                f"Did you mean '{near[0]}'?" if near else f"Choose one of: {choices}.",
            ),
        )
        return False

    def _must_be_among(self, row: Row, column: str, values: Iterable[str], known: set[str]) -> None:
        for value in values:
            if value not in known:
                self._one_of(row, column, value, sorted(known))

    def _sheet_missing(self, name: str) -> None:
        self._error(
            "programme.sheet-missing",
            Cell(name),
            Text(f"Thiếu trang '{name}'.", f"The sheet '{name}' is missing."),
            Text("Thêm trang này với dòng tiêu đề.", "Add it, with its heading row."),
        )

    def _error(self, code: str, cell: Cell, problem: Text, cure: Text) -> None:
        self.found.append(Finding(code, Level.ERROR, cell, problem, cure, self.workbook.file))


# ---- JSON -----------------------------------------------------------------------------------------


def to_json(programme: Programme) -> dict[str, Any]:
    """Plain JSON values; from_json gives an equal programme back."""
    raw = {name: getattr(programme, name) for name in ("areas", "services", "providers", "fields", "roles")}
    plain = {name: [_plain(asdict(item)) for item in items] for name, items in raw.items()}
    return {"settings": _plain(asdict(programme.settings)), **plain}


def from_json(data: Mapping[str, Any]) -> Programme:
    return Programme(
        ProgrammeSettings(**data["settings"]),
        tuple(AreaEntry(**{**a, **_dates(a, "valid_from", "valid_to")}) for a in data["areas"]),
        tuple(ServiceEntry(**{**s, "urgency": Urgency(s["urgency"])}) for s in data["services"]),
        tuple(
            ProviderEntry(**{**p, "services": tuple(p["services"]), "areas": tuple(p["areas"])})
            for p in data["providers"]
        ),
        tuple(FieldMeaning(**{**f, "means": Means(f["means"]) if f["means"] else None}) for f in data["fields"]),
        tuple(RoleEntry(**{**r, "forms": tuple(r["forms"])}) for r in data["roles"]),
    )


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    def value(raw: Any) -> Any:
        if isinstance(raw, dt.date):
            return raw.isoformat()
        return list(raw) if isinstance(raw, tuple) else raw

    return {name: value(raw) for name, raw in item.items()}


def _dates(item: Mapping[str, Any], *names: str) -> dict[str, dt.date | None]:
    return {name: dt.date.fromisoformat(item[name]) if item[name] else None for name in names}
