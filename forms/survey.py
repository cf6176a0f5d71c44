"""The sheets of an XLSForm as their author meant them: headings by usual names, rows with their place in the form.

XLSForm allows several spellings of one heading (`relevance`, `Relevant`, `bind::relevant`). Here each has one name, so
that checks and row numbers need not know them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from forms.question_types import CHOOSING
from forms.sheets import Cell
from forms.workbook import Row, Sheet, Workbook

#: Other spellings of a heading, as pyxform 4.5 takes them (its aliases for the sheets survey and choices).
_ALIASES = {
    "relevance": "relevant",
    "calculate": "calculation",
    "readonly": "read_only",
    "caption": "label",
    "command": "type",
    "tag": "name",
    "value": "name",
    "count": "repeat_count",
    "jr:count": "repeat_count",
    "constraining_message": "constraint_message",
    "jr:constraintmsg": "constraint_message",
    "requiredmsg": "required_message",
    "jr:requiredmsg": "required_message",
    "noapperrorstring": "no_app_error_string",
    "list name": "list_name",
    "entities:saveto": "save_to",
}

#: `bind::relevant`, `media::image` and `control::appearance` say the same as the last word alone.
_FAMILIES = frozenset({"bind", "media", "control", "body"})

_TRANSLATED = frozenset(
    {
        "label",
        "hint",
        "guidance_hint",
        "constraint_message",
        "required_message",
        "image",
        "big-image",
        "audio",
        "video",
    }
)

_BEGIN = re.compile(r"^begin[ _](group|lgroup|repeat|loop|looped group)(?: (?:over )?(\S+))?$")
_END = re.compile(r"^end[ _](group|lgroup|repeat|loop|looped group)$")
_SELECT = re.compile(
    rf"^({'|'.join(sorted(CHOOSING, key=len, reverse=True))}) (\S+)(?: (or specify other|or_other|or other))?$"
)


class Kind(StrEnum):
    """What a row of the sheet survey is."""

    QUESTION = "question"
    GROUP = "group"
    REPEAT = "repeat"
    END = "end"


@dataclass(frozen=True, slots=True)
class Columns:
    """The headings of a sheet, by (usual name, language); the language is "" where there is none."""

    headings: Mapping[tuple[str, str], str]
    doubled: tuple[tuple[str, str], ...] = ()
    """Pairs of headings that name the same column."""

    @classmethod
    def of(cls, sheet: Sheet | None) -> Columns:
        found: dict[tuple[str, str], str] = {}
        doubled = []
        written = sheet.headings if sheet else ()
        separator = "::" if any("::" in item for item in written) else ":"
        for heading in written:
            key = _usual(heading, separator)
            if key in found:
                doubled.append((found[key], heading))
            found.setdefault(key, heading)
        return cls(found, tuple(doubled))

    def heading(self, name: str, language: str = "") -> str | None:
        return self.headings.get((name, language))

    def value(self, row: Row, name: str, language: str = "") -> str:
        heading = self.headings.get((name, language))
        return row.get(heading) if heading else ""

    def languages(self, name: str) -> tuple[str, ...]:
        """The languages of a translated column, "" first where it also stands without one."""
        return tuple(sorted((language for column, language in self.headings if column == name), key=bool))

    def anywhere(self, row: Row, name: str) -> str:
        """The first filled cell of a translated column, in any language."""
        return next((text for language in self.languages(name) if (text := self.value(row, name, language))), "")

    def cell(self, row: Row, name: str, language: str = "") -> Cell:
        heading = self.headings.get((name, language))
        if heading is None:
            heading = next((item for (column, _), item in self.headings.items() if column == name), None)
        return row.cell(heading)


def _usual(heading: str, separator: str) -> tuple[str, str]:
    parts = [part.strip() for part in heading.split("::" if "::" in heading else separator)]
    if "jr" in parts[:-1]:
        at = parts.index("jr")
        parts[at : at + 2] = [f"jr:{parts[at + 1]}"]
    if len(parts) > 1 and parts[0].lower() in _FAMILIES:
        parts = parts[1:]
    first = "_".join(parts[0].split()).lower()
    first = _ALIASES.get(first, first)
    if len(parts) == 1:
        return first, ""
    if first in _TRANSLATED:
        return first, "::".join(parts[1:])
    return heading, ""


@dataclass(frozen=True, slots=True)
class Item:
    """A row of the sheet survey, with its place in the form.

    `path` is relative to the form's root. `type` has single spaces; `select` is the command of a choice question
    (`select_one`) and `list_name` what follows it.
    """

    row: Row
    kind: Kind
    type: str
    name: str
    path: str
    parent: str
    repeats: tuple[str, ...] = ()
    select: str = ""
    list_name: str = ""
    or_other: bool = False


@dataclass(frozen=True, slots=True)
class Unbalanced:
    """A `begin` without its `end`, or the other way round."""

    row: Row
    type: str
    opened: Row | None = None
    """The innermost `begin` that is still open, where an `end` does not fit it."""


@dataclass(frozen=True)
class Survey:
    """The sheets of one XLSForm."""

    workbook: Workbook

    @cached_property
    def columns(self) -> Columns:
        return Columns.of(self.workbook.sheets.get("survey"))

    @cached_property
    def choice_columns(self) -> Columns:
        return Columns.of(self.workbook.sheets.get("choices"))

    @cached_property
    def setting_columns(self) -> Columns:
        return Columns.of(self.workbook.sheets.get("settings"))

    @cached_property
    def settings(self) -> Row | None:
        """The one row of settings, None where the sheet is missing or empty."""
        return next(iter(self.workbook.rows("settings")), None)

    def setting(self, *names: str) -> str:
        """The first of these settings that is filled."""
        if self.settings is None:
            return ""
        return next((text for name in names if (text := self.setting_columns.value(self.settings, name))), "")

    @cached_property
    def lists(self) -> Mapping[str, tuple[Row, ...]]:
        """The rows of each choice list."""
        found: dict[str, list[Row]] = {}
        for row in self.workbook.rows("choices"):
            found.setdefault(self.choice_columns.value(row, "list_name"), []).append(row)
        return {name: tuple(rows) for name, rows in found.items()}

    @cached_property
    def items(self) -> tuple[Item, ...]:
        return self._walked[0]

    @cached_property
    def unbalanced(self) -> tuple[Unbalanced, ...]:
        return self._walked[1]

    @cached_property
    def names(self) -> Mapping[str, tuple[Item, ...]]:
        """Questions, groups and repeats by name, with the names that pyxform makes by itself."""
        found: dict[str, tuple[Item, ...]] = {}
        for item in self.items:
            for name in _names_of(item, self.columns):
                found[name] = (*found.get(name, ()), item)
        return found

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """Row in the sheet survey of each path, generated ones included."""
        found: dict[str, int] = {}
        for item in self.items:
            for name in _names_of(item, self.columns):
                found.setdefault(f"{item.parent}/{name}" if item.parent else name, item.row.number)
        return found

    @cached_property
    def labels(self) -> Mapping[str, Mapping[str, str]]:
        """Labels by path and language, as written; none where the cells are blank."""
        languages = self.columns.languages("label")
        return {
            f"{item.parent}/{item.name}" if item.parent else item.name: {
                language: text for language in languages if (text := self.columns.value(item.row, "label", language))
            }
            for item in self.items
        }

    @cached_property
    def parents(self) -> frozenset[str]:
        """Paths of the groups and repeats that hold something."""
        return frozenset(item.parent for item in self.items)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages that any label of a question has, in the order of the headings."""
        return tuple(language for column, language in self.columns.headings if column == "label" and language)

    @cached_property
    def _walked(self) -> tuple[tuple[Item, ...], tuple[Unbalanced, ...]]:
        items: list[Item] = []
        wrong: list[Unbalanced] = []
        open_: list[Item] = []
        for row in self.workbook.rows("survey"):
            type_ = " ".join(self.columns.value(row, "type").split())
            if self._is_comment(row, type_):
                continue
            if end := _END.match(type_):
                if open_ and open_[-1].kind is _container(end[1]):
                    open_.pop()
                else:
                    wrong.append(Unbalanced(row, type_, open_[-1].row if open_ else None))
                continue
            item = _item(row, type_, self.columns.value(row, "name"), open_)
            items.append(item)
            if item.kind is not Kind.QUESTION:
                open_.append(item)
        wrong += [Unbalanced(item.row, item.type) for item in open_]
        return tuple(items), tuple(wrong)

    def _is_comment(self, row: Row, type_: str) -> bool:
        """True for a row that pyxform passes over: switched off, or with neither type, name nor label."""
        if self.columns.value(row, "disabled").lower() in {"yes", "true", "true()"}:
            return True
        return not (type_ or self.columns.value(row, "name") or self.columns.anywhere(row, "label"))


def _container(word: str) -> Kind:
    return Kind.GROUP if word == "group" else Kind.REPEAT


def _item(row: Row, type_: str, name: str, open_: list[Item]) -> Item:
    parent = open_[-1].path if open_ else ""
    if type_ == "audit":
        name, parent = "audit", "meta"
    if not name and type_ == "note":
        name = f"generated_note_name_{row.number}"  # As pyxform calls a note that its author left unnamed.
    path = f"{parent}/{name}" if parent else name
    repeats = tuple(item.path for item in open_ if item.kind is Kind.REPEAT)
    if begin := _BEGIN.match(type_):
        return Item(row, _container(begin[1]), type_, name, path, parent, repeats, list_name=begin[2] or "")
    if select := _SELECT.match(type_):
        return Item(row, Kind.QUESTION, type_, name, path, parent, repeats, select[1], select[2], bool(select[3]))
    return Item(row, Kind.QUESTION, type_, name, path, parent, repeats)


def _names_of(item: Item, columns: Columns) -> tuple[str, ...]:
    if not item.name:
        return ()
    if item.or_other:
        return item.name, f"{item.name}_other"
    count = columns.value(item.row, "repeat_count") if item.kind is Kind.REPEAT else ""
    if count and not re.fullmatch(r"\$\{[^{}]+\}", count):
        return item.name, f"{item.name}_count"
    return (item.name,)
