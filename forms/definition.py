"""FormDefinition: what a form is once it has been compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    read_only: bool = False
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
