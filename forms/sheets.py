"""Where something stands in a sheet, what is wrong there, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Language(StrEnum):
    """The languages in which we speak to authors and staff; Vietnamese comes first."""

    VI = "vi"
    EN = "en"


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence in both languages. The reader's language is chosen where it is shown."""

    vi: str
    en: str

    def to(self, language: str) -> str:
        return self.en if language == Language.EN else self.vi


class Level(StrEnum):
    """How grave a finding is: an error blocks publishing, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in a workbook, as Excel numbers it.

    `row` counts from 1 with blank rows included; None means the whole sheet. `column` is the heading as the
    author wrote it and `letter` the column's letter; both may be unknown.
    """

    sheet: str
    row: int | None = None
    column: str | None = None
    letter: str | None = None

    @property
    def address(self) -> str:
        """`rules!F12` where the letter is known, else `rules!12`, else `rules`."""
        if self.row is None:
            return f"{self.sheet}!{self.letter}" if self.letter else self.sheet
        return f"{self.sheet}!{self.letter or ''}{self.row}"

    def describe(self, language: str) -> str:
        words = {"vi": ("trang", "dòng", "cột"), "en": ("sheet", "row", "column")}
        sheet, row, column = words["en" if language == Language.EN else "vi"]
        parts = [f"{sheet} '{self.sheet}'"]
        if self.row is not None:
            parts.append(f"{row} {self.row}")
        if self.column:
            parts.append(f"{column} '{self.column}'")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the author of a workbook should know: where, what is wrong, how to mend it.

    `code` is a stable, dotted name (`rules.unknown-field`) for tests and for counting; it is never shown alone.
    `file` is the workbook's file name, empty until somebody who knows it fills it in.
    """

    code: str
    level: Level
    cell: Cell
    problem: Text
    cure: Text
    file: str = ""

    def describe(self, language: str = Language.VI) -> str:
        where = self.cell.describe(language)
        if self.file:
            where = f"{self.file}, {where}"
        return f"{where}: {self.problem.to(language)} {self.cure.to(language)}".rstrip()


class SheetErrors(ValueError):
    """A workbook that cannot be used. `findings` holds every error at once, so that one round mends them all."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(f.describe(Language.EN) for f in self.findings))


@dataclass(frozen=True, slots=True)
class Checked(Generic[T]):
    """A value read from a workbook, with all that was found on the way. `value` is None after an error."""

    value: T | None
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.level is Level.ERROR)

    def require(self) -> T:
        """The value; raises SheetErrors with every finding of level error."""
        if self.value is None or self.errors:
            raise SheetErrors(self.errors or self.findings)
        return self.value
