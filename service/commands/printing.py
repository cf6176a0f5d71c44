"""What every command says and reads: lines, problems, findings, JSON that somebody typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from forms.sheets import Finding, Level, Text
from rules.decision import Part

_NO_CURE = Text("", "")


class Mistake(Exception):
    """Something that the caller gave and that cannot be used: what is wrong, and how to mend it."""

    def __init__(self, problem: Text, cure: Text = _NO_CURE) -> None:
        super().__init__(problem.en)
        self.problem = problem
        self.cure = cure

    def describe(self, language: str) -> str:
        return f"{self.problem.to(language)} {self.cure.to(language)}".rstrip()


def say(line: str = "") -> None:
    """A line of the answer."""
    sys.stdout.write(f"{line}\n")


def say_json(document: object) -> None:
    say(json.dumps(document, ensure_ascii=False, indent=2))


def complain(line: str) -> None:
    """A line about what is wrong, or what was done unasked: never part of the answer."""
    sys.stderr.write(f"{line}\n")


# ---- what is read ---------------------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    """Raises Mistake where the file is not there, or may not be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Mistake(
            Text(f"Không đọc được tệp {path}: {reason}.", f"The file {path} cannot be read: {reason}."),
            Text("Kiểm tra tên tệp và quyền đọc.", "Check its name, and that you may read it."),
        ) from error


def json_object(given: str) -> Mapping[str, Any]:
    """The JSON object in this file, or in this text where it starts with a brace. `@` before a file and `-` for
    standard input are understood too. Raises Mistake."""
    text = given if given.lstrip().startswith("{") else _text_of(given)
    try:
        document = json.loads(text)
    except ValueError as error:
        where = given if text is not given else "JSON"
        raise Mistake(
            Text(f"{where} không phải JSON đúng: {error}.", f"{where} is not valid JSON: {error}."),
            Text('Viết như {"tên": giá trị}.', 'Write it as {"name": value}.'),
        ) from error
    if not isinstance(document, dict):
        raise Mistake(
            Text("JSON phải là một đối tượng.", "The JSON must be an object."),
            Text('Viết như {"tên": giá trị}.', 'Write it as {"name": value}.'),
        )
    return document


def _text_of(given: str) -> str:
    if given == "-":
        return sys.stdin.read()
    data = read_bytes(Path(given.removeprefix("@")))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = Text(f"Tệp {given} không phải văn bản UTF-8.", f"The file {given} is not UTF-8 text.")
        raise Mistake(problem, Text("Lưu lại với mã UTF-8.", "Save it again as UTF-8.")) from error


def zone_of(name: str) -> ZoneInfo:
    """Raises Mistake for a time zone that nobody knows."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise Mistake(
            Text(f"Không có múi giờ '{name}'.", f"There is no time zone '{name}'."),
            Text("Viết như Asia/Ho_Chi_Minh.", "Write it as Asia/Ho_Chi_Minh."),
        ) from error


def day_of(text: str) -> date:
    """Raises Mistake for what is no day."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Mistake(
            Text(f"'{text}' không phải ngày.", f"'{text}' is not a date."),
            Text("Viết như 2026-01-31.", "Write it as 2026-01-31."),
        ) from error


# ---- findings -------------------------------------------------------------------------------------


def finding_json(finding: Finding, language: str) -> dict[str, object]:
    """`cell` is the address as Excel writes it, `rules!F12`."""
    return {
        "file": finding.file,
        "sheet": finding.cell.sheet,
        "cell": finding.cell.address,
        "row": finding.cell.row,
        "column": finding.cell.column,
        "level": finding.level.value,
        "code": finding.code,
        "message": finding.problem.to(language),
        "cure": finding.cure.to(language),
    }


_LEVELS = {Level.ERROR: Text("LỖI", "ERROR"), Level.WARNING: Text("Chú ý", "Warning")}


def finding_lines(finding: Finding, language: str) -> Iterator[str]:
    """Where, what, and how to mend it: a line each."""
    address = finding.cell.address if finding.cell.row is not None else ""
    where = " · ".join(part for part in (finding.file, address, finding.cell.describe(language)) if part)
    yield f"{_LEVELS[finding.level].to(language)}  {where}"
    yield f"    {finding.problem.to(language)}"
    if cure := finding.cure.to(language):
        yield f"    → {cure}"


# ---- values and what they were made of ------------------------------------------------------------

_BLANK = Text("(trống)", "(blank)")
_TRUTH = {"1": Text("đúng", "true"), "0": Text("sai", "false")}
_FAILED = Text("(không tính được)", "(cannot be computed)")


def shown(value: str, kind: str, language: str) -> str:
    """A value as people read it; `kind` is the expression language's type."""
    if kind == "boolean" and value in _TRUTH:
        return _TRUTH[value].to(language)
    if kind == "error":
        return _FAILED.to(language)
    return value or _BLANK.to(language)


def in_language(texts: Mapping[str, str], language: str) -> str:
    """The text in this language, else in any."""
    return texts.get(language) or next((text for text in texts.values() if text), "")


def part_lines(part: Part, language: str, indent: str = "") -> Iterator[str]:
    """What a condition saw, a line for each piece, indented under what it is a piece of."""
    label = in_language(part.label, language)
    about = ", ".join(item for item in (label, part.source) if item)
    yield f"{indent}{part.text}{f' [{about}]' if about else ''} → {shown(part.value, part.type, language)}"
    yield from parts_lines(part.parts, language, f"{indent}  ")


def parts_lines(parts: Iterable[Part], language: str, indent: str = "") -> Iterator[str]:
    for part in parts:
        yield from part_lines(part, language, indent)
