"""FormDefinition: what a form is once it has been compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import Any

from forms.sheets import Text

#: A typed answer: text, number, boolean; a tuple of text for select_multiple and rank. A blank is left out, never None.
Answer = str | int | float | bool | tuple[str, ...]

#: Answers by field path. A field inside a repeat has a list with one place per row (nested repeats: rows in document
#: order), None where that row left it blank.
Answers = Mapping[str, Answer | list[Answer | None]]


class FieldType(StrEnum):
    """The type of a field's value, as it stands in typed answers.

    JSON form: INTEGER → int, DECIMAL → float, BOOLEAN → bool, SELECT_MULTIPLE → list of text, all others → text
    (dates and times in ISO 8601, points as "lat lon alt accuracy", files by their name).
    """

    INTEGER = "integer"
    DECIMAL = "decimal"
    TEXT = "text"
    BOOLEAN = "boolean"
    SELECT_ONE = "select_one"
    SELECT_MULTIPLE = "select_multiple"
    RANK = "rank"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"
    GEOPOINT = "geopoint"
    GEOTRACE = "geotrace"
    GEOSHAPE = "geoshape"
    BARCODE = "barcode"
    FILE = "file"
    ACKNOWLEDGE = "acknowledge"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of a closed list: the stored name and its label per language name."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Field:
    """One question, note, calculate or metadata item.

    `path` is relative to the form's root, without a leading slash: `phq9/phq9_q9`. `labels` and `hints` map a
    language as the form names it (`Tiếng Việt (vi)`; "" where the form has one unnamed language) to text.
    Expressions are kept as the XForm has them, with full paths. `type` of a calculate is inferred from its
    expression, because the XForm says only "string": BOOLEAN, DECIMAL, DATE or TEXT.
    """

    path: str
    name: str
    type: FieldType
    labels: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[Choice, ...] | None = None
    """None where the list is open: external file, search(), choices made from a repeat."""
    required: str = ""
    relevant: str = ""
    constraint: str = ""
    constraint_messages: Mapping[str, str] = field(default_factory=dict)
    calculation: str = ""
    default: str = ""
    first_load: str = ""
    """A default that the phone works out when it opens the form, such as `today()`."""
    triggered: str = ""
    """What the phone stores here whenever one of `triggers` is answered anew."""
    triggers: tuple[str, ...] = ()
    """Paths of the questions whose answers set off `triggered`."""
    read_only: bool = False
    asked: bool = False
    """True where somebody sees it: a question or a note, not a calculate."""
    stored_as: str = "string"
    """The XForm's own word for the type; a calculate is a `string` whatever it holds."""
    preload: str = ""
    """`timestamp/start`, `timestamp/end`, `date/today`, `property/username`, `uid/`: what the phone fills in."""
    repeats: tuple[str, ...] = ()
    """Paths of the enclosing repeats, outermost first."""
    save_to: str = ""
    row: int | None = None
    """Row in the workbook's sheet `survey`, where it could be found."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group or repeat: its path, label per language, relevance, and whether it repeats."""

    path: str
    labels: Mapping[str, str] = field(default_factory=dict)
    relevant: str = ""
    repeats: bool = False
    row: int | None = None
    """Row in the workbook's sheet `survey`, where it could be found."""


@dataclass(frozen=True)
class FormDefinition:
    """A form as phones and rules see it. Compiled once; `xform` is served as it stands, for ever.

    `md5` is of `xform`, lower-case hex. `content_hash` is SHA-256 of `xform` and tells two revisions apart,
    because authors forget to raise the version. `schema` is the JSON Schema (2020-12) of its submissions.
    """

    form_id: str
    version: str
    title: str
    root: str
    languages: tuple[str, ...]
    default_language: str
    xform: bytes
    md5: str
    content_hash: str
    fields: tuple[Field, ...]
    groups: tuple[Group, ...]
    media: tuple[str, ...]
    entity_lists: tuple[str, ...]
    schema: Mapping[str, Any]

    @cached_property
    def by_path(self) -> Mapping[str, Field]:
        return {item.path: item for item in self.fields}

    @cached_property
    def by_name(self) -> Mapping[str, tuple[Field, ...]]:
        """Fields under each name; more than one where groups repeat a name."""
        found: dict[str, tuple[Field, ...]] = {}
        for item in self.fields:
            found[item.name] = (*found.get(item.name, ()), item)
        return found

    def field(self, name_or_path: str) -> Field | None:
        """The field with this path, or the only one with this name; None if there is none or it is ambiguous."""
        exact = self.by_path.get(name_or_path)
        if exact is not None:
            return exact
        named = self.by_name.get(name_or_path, ())
        return named[0] if len(named) == 1 else None


@dataclass(frozen=True, slots=True)
class AnswerFinding:
    """Something about one submission that does not fit its form. Never a reason to refuse the upload."""

    code: str
    level: str
    path: str
    problem: Text


def to_json(definition: FormDefinition) -> dict[str, Any]:
    """Everything but the XForm's bytes, as JSON can hold it. What is at its default is left out."""
    plain = ("form_id", "version", "title", "root", "default_language", "md5", "content_hash")
    lists = ("languages", "media", "entity_lists")
    return {
        **{name: getattr(definition, name) for name in plain},
        **{name: list(getattr(definition, name)) for name in lists},
        "fields": [_sparse(item) for item in definition.fields],
        "groups": [_sparse(item) for item in definition.groups],
        "schema": dict(definition.schema),
    }


def from_json(data: Mapping[str, Any], xform: bytes) -> FormDefinition:
    """The definition that `to_json` wrote, with its XForm; raises ValueError where the two do not belong together."""
    if hashlib.sha256(xform).hexdigest() != data["content_hash"]:
        raise ValueError("this XForm belongs to another revision of the form")
    return FormDefinition(
        form_id=data["form_id"],
        version=data["version"],
        title=data["title"],
        root=data["root"],
        languages=tuple(data["languages"]),
        default_language=data["default_language"],
        xform=xform,
        md5=data["md5"],
        content_hash=data["content_hash"],
        fields=tuple(_field(item) for item in data["fields"]),
        groups=tuple(Group(**item) for item in data["groups"]),
        media=tuple(data["media"]),
        entity_lists=tuple(data["entity_lists"]),
        schema=data["schema"],
    )


def _sparse(item: Field | Group) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in fields(item):
        value = getattr(item, part.name)
        if part.default is not MISSING and value == part.default:
            continue
        if part.default_factory is not MISSING and value == part.default_factory():
            continue
        found[part.name] = _as_json(value)
    return found


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, Choice):
        return {"name": value.name, "labels": dict(value.labels)}
    return dict(value) if isinstance(value, Mapping) else value


def _field(data: Mapping[str, Any]) -> Field:
    choices = data.get("choices")
    read = {
        **data,
        "type": FieldType(data["type"]),
        "choices": None if choices is None else tuple(Choice(**item) for item in choices),
        "repeats": tuple(data.get("repeats", ())),
        "triggers": tuple(data.get("triggers", ())),
    }
    return Field(**read)
