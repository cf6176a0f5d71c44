"""ketnoi publish: forms, programme and rules, each checked first."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from forms.sheets import Finding, Level, Text
from service import clock, installation, publishing
from service.commands.printing import read_bytes
from service.commands.workbooks import Kind, kind_of, of_no_kind, opened
from service.installation import Installation
from service.publishing import Published
from service.settings import from_environment

#: Rules name fields of forms and services of the programme, so they come last.
_ORDER = (Kind.FORM, Kind.PROGRAMME, Kind.RULES)

_DONE = Text("đã công bố", "published")
_REFUSED = Text("chưa công bố, cần sửa lỗi trước", "not published, errors first")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="workbooks, in any order")


def run(args: argparse.Namespace) -> int:
    settings = from_environment()
    installation.prepare(settings)
    with installation.opened(settings) as place:
        return 0 if publish(place, args.files, args.language) else 1


def publish(place: Installation, files: Iterable[Path], language: str) -> bool:
    """Publish these workbooks, forms first. Says what was found in each; False where one was refused."""
    kinds: list[tuple[Kind, Path]] = []
    for path in files:
        book = opened(path)
        kind = kind_of(book.value) if book.value else None
        if kind is None:
            _print_findings(book.findings or ((of_no_kind(book.value),) if book.value else ()), language)
            return False
        kinds.append((kind, path))
    good = True
    for kind, path in sorted(kinds, key=lambda item: _ORDER.index(item[0])):
        published = publish_one(place, kind, path)
        _print_findings(published.findings, language)
        words = _DONE if published.id else _REFUSED
        print(f"{path.name}: {words.to(language)}", file=sys.stdout if published.id else sys.stderr)
        good = good and published.id is not None
    return good


def publish_one(place: Installation, kind: Kind, path: Path) -> Published:
    """Check and publish one workbook; its transaction ends with it. Raises Mistake where it cannot be read."""
    data = read_bytes(path)
    now = clock.now()
    with place.sessions.begin() as session:
        if kind is Kind.FORM:
            settings = place.settings
            return publishing.publish_form(
                session,
                data,
                path.name,
                by=None,
                now=now,
                require_validate=settings.require_validate,
                java=settings.java,
            )
        if kind is Kind.PROGRAMME:
            return publishing.publish_programme(session, data, path.name, by=None, now=now)
        return publishing.publish_rules(session, data, path.name, by=None, now=now)


def _print_findings(findings: Iterable[Finding], language: str) -> None:
    for finding in findings:
        mark = "✗" if finding.level is Level.ERROR else "!"
        print(f"{mark} {finding.describe(language)}", file=sys.stderr)
