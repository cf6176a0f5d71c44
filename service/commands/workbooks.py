"""Workbooks on this machine: of which kind they are, and what lies beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import forms
import rules
from forms.compile import compile_workbook
from forms.definition import FormDefinition
from forms.sheets import Cell, Checked, Finding, Level, Text
from forms.suggestions import nearest
from forms.survey import Survey
from forms.workbook import Workbook, read
from rules.model import Rulebook
from rules.programme import read_programme
from service.commands.printing import Mistake, read_bytes

#: The instruments that ship with this software.
SHIPPED = Path(forms.__file__).parent / "xlsform"

SHIPPED_PROGRAMME = Path(rules.__file__).parent / "sheets" / "programme.xlsx"

#: What a programme's workbook is called where nobody says which one it is.
PROGRAMME_FILE = "programme.xlsx"

#: Workbooks that are opened while looking for one form: somebody's whole Downloads folder may lie beside the rules.
_MOST_OPENED = 40


class Kind(StrEnum):
    FORM = "form"
    RULES = "rules"
    PROGRAMME = "programme"


#: The sheets that tell a workbook's kind, the most telling first.
_TELLING: Mapping[str, Kind] = {
    "survey": Kind.FORM,
    "rules": Kind.RULES,
    "areas": Kind.PROGRAMME,
    "services": Kind.PROGRAMME,
}


def opened(path: Path) -> Checked[Workbook]:
    """The sheets of a file; one that cannot be read is a finding."""
    try:
        data = read_bytes(path)
    except Mistake as mistake:
        finding = Finding(
            "workbook.unreadable", Level.ERROR, Cell("(tệp)"), mistake.problem, mistake.cure, file=str(path)
        )
        return Checked(None, (finding,))
    return read(data, str(path))


def kind_of(workbook: Workbook) -> Kind | None:
    """None where no sheet tells it."""
    return next((kind for sheet, kind in _TELLING.items() if sheet in workbook.sheets), None)


def of_no_kind(workbook: Workbook) -> Finding:
    """The finding for a workbook that is neither form, rules nor programme."""
    sheets = ", ".join(workbook.sheets) or "-"
    near = next((name for sheet in workbook.sheets if (name := nearest(sheet, _TELLING))), None)
    vi = f" Có phải trang '{near}'?" if near else ""
    en = f" Did you mean the sheet '{near}'?" if near else ""
    return Finding(
        "workbook.unknown-kind",
        Level.ERROR,
        Cell(next(iter(workbook.sheets), "(tệp)")),
        Text(f"Không rõ đây là tệp gì; các trang: {sheets}.", f"This is no workbook of ours; its sheets are {sheets}."),
        Text(
            f"Biểu mẫu có trang survey, bộ quy tắc có trang rules, chương trình có trang areas và services.{vi}",
            f"A form has a sheet survey, a rules workbook rules, a programme areas and services.{en}",
        ),
        workbook.file,
    )


# ---- what lies beside a workbook ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A form that nobody named and that was found."""

    path: Path
    form: FormDefinition


def programme_near(workbook: Path, rulebook: Rulebook) -> Path | None:
    """The programme's workbook in the same folder; else the one that ships, if these rules are evidently about it:
    it knows most of their services and one of their forms."""
    beside = workbook.parent / PROGRAMME_FILE
    if beside.is_file():
        return beside
    book = opened(SHIPPED_PROGRAMME).value
    shipped = read_programme(book).value if book else None
    services = {rule.referral for rule in rulebook.rules} - {""}
    if shipped is None or 2 * len(services.intersection(shipped.service)) <= len(services):
        return None
    return SHIPPED_PROGRAMME if forms_named(rulebook) & {item.form for item in shipped.fields} else None


def forms_named(rulebook: Rulebook) -> frozenset[str]:
    """Ids of the forms that rules, calculations, schedules and examples speak of."""
    named = {form for rule in rulebook.rules for form in rule.forms}
    named |= {form for item in rulebook.calculations for form in item.forms}
    named |= {item.form for item in rulebook.schedules} | {item.form for item in rulebook.tests}
    return frozenset(named - {""})


def neighbours(form_ids: Collection[str], beside: Path) -> tuple[Neighbour, ...]:
    """The forms with these ids that lie near a workbook, compiled: in its folder, in a folder beside it, or among the
    instruments that ship. Those that cannot be found or compiled are missing."""
    found: list[Neighbour] = []
    wanted = set(form_ids)
    for path in _candidates(wanted, beside):
        if not wanted:
            break
        workbook = opened(path).value
        form_id = Survey(workbook).setting("form_id", "id_string") if workbook and "survey" in workbook.sheets else ""
        if workbook is not None and form_id in wanted:
            compiled = compile_workbook(workbook).value
            if compiled is not None and compiled.form_id in wanted:
                found.append(Neighbour(path, compiled))
                wanted.discard(compiled.form_id)
    return tuple(found)


def _candidates(form_ids: Collection[str], beside: Path) -> Iterator[Path]:
    """Files that are called as a form first, then any other workbook."""
    found = [path for folder in _folders(beside) for path in _listed(folder, "*.xlsx")]
    named = [path for path in found if path.stem in form_ids]
    others = [path for path in found if path.stem not in form_ids]
    # What Excel keeps beside a file that is open is no workbook.
    return (path for path in [*named, *others][:_MOST_OPENED] if not path.name.startswith("~$"))


def _folders(beside: Path) -> list[Path]:
    home = beside.resolve().parent
    around = [item for item in _listed(home.parent, "*/") if item != home]
    return list(dict.fromkeys([home, *around, SHIPPED]))


def _listed(folder: Path, pattern: str) -> list[Path]:
    """Nothing of a folder that may not be looked into."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []
