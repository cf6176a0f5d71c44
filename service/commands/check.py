"""ketnoi check: everything that is wrong in workbooks, with its cell and its cure. Needs no database and no network."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from forms.definition import FormDefinition
from forms.gate import gate_workbook
from forms.sheets import Cell, Finding, Level, SheetErrors, Text
from forms.survey import Survey
from forms.workbook import Workbook
from rules import examples
from rules.check import check
from rules.model import Rulebook
from rules.programme import Programme, check_fields, read_programme
from rules.workbook import read_rules
from service.commands.printing import complain, finding_json, finding_lines, say, say_json
from service.commands.workbooks import (
    Kind,
    Neighbour,
    forms_named,
    kind_of,
    neighbours,
    of_no_kind,
    opened,
    programme_near,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="forms, rules or programme, as .xlsx")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    validate = parser.add_mutually_exclusive_group()
    validate.add_argument(
        "--require-validate", action="store_true", help="without Java and ODK Validate it is an error"
    )
    validate.add_argument("--no-validate", action="store_true", help="leave ODK Validate out")


def run(args: argparse.Namespace) -> int:
    checkup = Checkup(require_validate=args.require_validate, validates=not args.no_validate)
    checkup.examine(args.files)
    if args.format == "json":
        say_json([finding_json(item, args.language) for item in checkup.findings])
    else:
        _tell(checkup, args.language)
    return 1 if any(item.level is Level.ERROR for item in checkup.findings) else 0


def _tell(checkup: Checkup, language: str) -> None:
    for note in dict.fromkeys(checkup.notes):
        complain(note.to(language))
    for finding in checkup.findings:
        for line in finding_lines(finding, language):
            say(line)
    say(checkup.closing.to(language))


@dataclass
class Checkup:
    """Some workbooks being checked, each against the others and what lies beside them.

    `notes` say what was used although nobody named it.
    """

    require_validate: bool = False
    validates: bool = True
    findings: list[Finding] = field(default_factory=list)
    notes: list[Text] = field(default_factory=list)
    forms: list[FormDefinition] = field(default_factory=list)
    broken_forms: set[str] = field(default_factory=set)
    """Ids of the forms that did not pass: what names them cannot be checked."""
    rules: int = 0
    passed: int = 0
    tests: int = 0

    def examine(self, paths: Sequence[Path]) -> None:
        """Forms first, for rules and programmes speak of them."""
        books = {path: book for path in dict.fromkeys(paths) if (book := self._opened(path))}
        for book in _of_kind(books.values(), Kind.FORM):
            self._form(book)
        programmes = {path: self._programme(book) for path, book in books.items() if kind_of(book) is Kind.PROGRAMME}
        for path, book in books.items():
            if kind_of(book) is Kind.RULES:
                self._rules(path, book, programmes)

    def _opened(self, path: Path) -> Workbook | None:
        found = opened(path)
        self.findings += found.findings
        if found.value is not None and kind_of(found.value) is None:
            self.findings.append(of_no_kind(found.value))
        return found.value

    def _form(self, book: Workbook) -> None:
        passed = gate_workbook(book, require_validate=self.require_validate, validates=self.validates)
        self.findings += _placed(passed.findings, book)
        if passed.value is not None:
            self.forms.append(passed.value)
        else:
            self.broken_forms.add(Survey(book).setting("form_id", "id_string"))

    def _programme(self, book: Workbook) -> Programme | None:
        """The programme, and what its sheet `fields` gets wrong about forms."""
        found = read_programme(book)
        self.findings += _placed(found.findings, book)
        if found.value is not None:
            forms = self._known({item.form for item in found.value.fields}, Path(book.file))
            self.findings += _placed(check_fields(found.value, forms, book.file), book)
        return found.value

    def _rules(self, path: Path, book: Workbook, programmes: dict[Path, Programme | None]) -> None:
        found = read_rules(book)
        self.findings += _placed(found.findings, book)
        if found.value is None:
            return
        rulebook = found.value
        self.rules += len(rulebook.rules)
        if broken := sorted(forms_named(rulebook) & self.broken_forms):
            self.findings.append(_form_first(rulebook, broken, book.file))
            return
        forms = self._known(forms_named(rulebook), path)
        programme = self._programme_for(path, rulebook, programmes)
        self.findings += _placed(check(rulebook, forms, programme), book)
        self._examples(rulebook, forms, programme, book)

    def _examples(
        self, rulebook: Rulebook, forms: Sequence[FormDefinition], programme: Programme | None, book: Workbook
    ) -> None:
        self.tests += len(rulebook.tests)
        try:
            results = examples.run(rulebook, forms, programme)
        except SheetErrors:
            return  # What does not compile has been said by check.
        self.passed += sum(item.passed and not item.skipped for item in results)
        self.findings += _placed((finding for item in results for finding in item.findings), book)

    # ---- what was not given ----

    def _known(self, form_ids: Iterable[str], beside: Path) -> list[FormDefinition]:
        """The forms that were given, and those with these ids that lie near."""
        missing = set(form_ids) - {form.form_id for form in self.forms} - self.broken_forms
        near = neighbours(missing, beside)
        self.notes += (_used(item) for item in near)
        return [*self.forms, *(item.form for item in near)]

    def _programme_for(
        self, rules: Path, rulebook: Rulebook, programmes: dict[Path, Programme | None]
    ) -> Programme | None:
        """The programme that was given, the one in the same folder first; else the one that lies near."""
        if programmes:
            same_folder = (found for path, found in programmes.items() if path.parent == rules.parent)
            return next(same_folder, next(iter(programmes.values())))
        path = programme_near(rules, rulebook)
        book = opened(path).value if path else None
        found = read_programme(book).value if book else None
        if path is not None and found is None:
            self.notes.append(
                Text(f"Không dùng được {path}; hãy kiểm tra riêng.", f"{path} cannot be used; check it by itself.")
            )
        elif path is not None:
            self.notes.append(Text(f"Dùng chương trình {path}.", f"With the programme {path}."))
        return found

    @property
    def closing(self) -> Text:
        errors = sum(item.level is Level.ERROR for item in self.findings)
        warnings = len(self.findings) - errors
        return Text(
            f"{len(self.forms)} biểu mẫu, {self.rules} quy tắc, {self.passed}/{self.tests} ví dụ đúng; "
            f"{errors} lỗi, {warnings} chú ý.",
            f"{_many(len(self.forms), 'form')}, {_many(self.rules, 'rule')}, {self.passed} of "
            f"{_many(self.tests, 'test')} passed; {_many(errors, 'error')}, {_many(warnings, 'warning')}.",
        )


def _of_kind(books: Iterable[Workbook], kind: Kind) -> Iterator[Workbook]:
    return (book for book in books if kind_of(book) is kind)


def _placed(findings: Iterable[Finding], book: Workbook) -> list[Finding]:
    return [_lettered(item, book) for item in findings]


def _lettered(finding: Finding, book: Workbook) -> Finding:
    """With the file and, where the heading is known, the column's letter: `fields!B12`."""
    cell = finding.cell
    sheet = book.sheets.get(cell.sheet)
    if sheet is not None and cell.column and not cell.letter:
        cell = replace(cell, letter=sheet.letters.get(cell.column))
    return replace(finding, cell=cell, file=finding.file or book.file)


def _used(item: Neighbour) -> Text:
    form = item.form.form_id
    return Text(f"Dùng biểu mẫu '{form}' ở {item.path}.", f"With the form '{form}' of {item.path}.")


def _form_first(rulebook: Rulebook, broken: Sequence[str], file: str) -> Finding:
    named = ", ".join(broken)
    return Finding(
        "rules.form-broken",
        Level.WARNING,
        Cell("rules"),
        Text(
            f"Chưa đối chiếu được quy tắc và ví dụ với biểu mẫu, vì biểu mẫu còn lỗi: {named}.",
            f"Rules and tests were not checked against forms, because a form has errors: {named}.",
        ),
        Text("Sửa biểu mẫu trước, rồi kiểm tra lại.", "Mend the form first, then check again."),
        file or rulebook.file,
    )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
