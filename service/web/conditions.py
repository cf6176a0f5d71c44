"""A condition as somebody reads it who does not write rules: the question's words, what was asked of it, what it saw.

The author's own text stays beside it. What has no words of ours (a formula, a function we do not know) is shown as it
was written: never a paraphrase that might be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from forms.definition import Field
from forms.expressions import ExpressionError, parse
from forms.expressions.syntax import FunctionCall, Literal, Name, Negative, Node, Operation
from rules.decision import Part
from service.web.language import Reader
from service.web.words import LEVEL_VALUE, N_

COMPARED: Mapping[str, str] = {
    ">=": N_("%(left)s từ %(right)s trở lên"),
    ">": N_("%(left)s lớn hơn %(right)s"),
    "<=": N_("%(left)s không quá %(right)s"),
    "<": N_("%(left)s dưới %(right)s"),
    "=": N_("%(left)s: %(right)s"),
    "!=": N_("%(left)s khác %(right)s"),
}
BLANK: Mapping[str, str] = {"=": N_("%(left)s: chưa có"), "!=": N_("%(left)s: đã có")}

#: What the functions of a condition ask, with the label of their first argument.
ASKED: Mapping[str, str] = {
    "previous": N_("%(name)s lần trước"),
    "latest": N_("%(name)s gần đây nhất"),
    "change": N_("%(name)s thay đổi so với lần trước"),
    "days-since": N_("Số ngày từ lần gần nhất: %(name)s"),
    "days-since-answered": N_("Số ngày từ lần trả lời: %(name)s"),
    "count-within": N_("Số ngày có trả lời như vậy: %(name)s"),
    "count-open": N_("Số phiếu đang mở: %(name)s"),
    "in-treatment": N_("Đang điều trị: %(name)s"),
    "months-in-treatment": N_("Số tháng điều trị: %(name)s"),
    "declined-within": N_("Mới từ chối: %(name)s"),
    "consents-to": N_("Đồng ý chia sẻ: %(name)s"),
    "consents-to-take-part": N_("Khách hàng đồng ý tham gia"),
    "consent-withdrawn": N_("Khách hàng đã rút lại đồng ý"),
    "missed-in-a-row": N_("Số lần lỡ hẹn liên tiếp"),
    "has-flag": N_("Có cảnh báo: %(name)s"),
    "refers-to": N_("Có đề xuất: %(name)s"),
    "count-selected": N_("Số mục đã chọn: %(name)s"),
}

ALL_OF = N_("Đủ cả %(num)s điều kiện")
ANY_OF = N_("Ít nhất một trong %(num)s điều kiện")
NOT = N_("Không phải như sau")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a tree. `words` is empty where only the author's `code` can say it; `saw` is what was found.

    `name` is the field that it is about, "" where it is about none or about several.
    """

    words: str
    code: str
    saw: str
    holds: bool | None
    name: str = ""
    source: str = ""
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Naming:
    """How things are called. `label_of(name)` is the label of a field, service, flag or form, "" if unknown."""

    reader: Reader
    field: Callable[[str], Field | None]
    label_of: Callable[[str], str]
    #: The service that a stop was asked about, for `service()`.
    service: str = ""

    def value(self, name: str, value: str, type_: str = "") -> str:
        """An answer in words: its choice's label, a date as people write it, yes or no."""
        if value == "":
            return self.reader.gettext("chưa có")
        if type_ == "error":
            return self.reader.gettext("không tính được")
        if type_ == "boolean":
            return self.yes_no(value)
        if type_ == "date":
            return self._date(value)
        found = self.field(name) if name else None
        if found is not None and found.choices is not None:
            return ", ".join(self._choice(found, item) for item in (value.split() if type_ == "multiple" else [value]))
        if value in LEVEL_VALUE:
            return self.reader.gettext(LEVEL_VALUE[value])
        return value

    def yes_no(self, value: str) -> str:
        return self.reader.gettext("có") if value in ("1", "true") else self.reader.gettext("không")

    def _choice(self, field: Field, value: str) -> str:
        for choice in field.choices or ():
            if choice.name == value:
                label = self.reader.label(choice.labels, value)
                return f"{label} ({value})" if value.isdecimal() and value not in label else label
        return value

    def _date(self, value: str) -> str:
        try:
            return self.reader.day(date.fromisoformat(value[:10]))
        except ValueError:
            return value


def told(part: Part, naming: Naming) -> Line:
    """The tree of a condition."""
    try:
        node = parse(part.text)
    except ExpressionError:
        return _as_written(part, naming)
    if isinstance(node, Operation) and node.operator in ("and", "or"):
        words = ALL_OF if node.operator == "and" else ANY_OF
        lines = tuple(told(inner, naming) for inner in part.parts)
        count = naming.reader.number(len(lines))
        return Line(naming.reader.gettext(words, num=count), part.text, "", _holds(part), lines=lines)
    if isinstance(node, FunctionCall) and node.name == "not":
        lines = tuple(told(inner, naming) for inner in part.parts)
        return Line(naming.reader.gettext(NOT), part.text, "", _holds(part), lines=lines)
    if isinstance(node, Operation) and node.operator in COMPARED:
        return _comparison(node, part, naming)
    return _single(node, part, naming)


def findings(part: Part, naming: Naming) -> Iterator[tuple[str, str]]:
    """(label, value) of the answers for which the condition holds, in its order; only of the branches that hold."""
    try:
        node = parse(part.text)
    except ExpressionError:
        return
    if isinstance(node, Operation) and node.operator in ("and", "or"):
        for inner in part.parts:
            if node.operator == "and" or _holds(inner):
                yield from findings(inner, naming)
        return
    name = _field_of(node)
    label = naming.label_of(name) if name else ""
    seen = next((item for item in _every(part) if _names(item.text) == name), None)
    if label and seen is not None and seen.value != "":
        yield label, naming.value(name, seen.value, seen.type)


def _every(part: Part) -> Iterator[Part]:
    for inner in part.parts:
        yield inner
        yield from _every(inner)


def _comparison(node: Operation, part: Part, naming: Naming) -> Line:
    left, right = node.left, node.right
    name = _field_of(left)
    seen = _part_of(left, part)
    subject = _phrase(left, part, naming, name)
    if isinstance(right, Literal) and right.value == "" and node.operator in BLANK:
        words = naming.reader.gettext(BLANK[node.operator], left=subject)
    else:
        words = naming.reader.gettext(
            COMPARED[node.operator], left=subject, right=_phrase(right, part, naming, name, of_value=True)
        )
    saw = naming.value(name, seen.value, seen.type) if seen else ""
    source = next((item.source for item in part.parts if item.source), "")
    lines = tuple(told(inner, naming) for item in part.parts if item.source for inner in item.parts)
    return Line(words if subject else "", part.text, saw, _holds(part), name, source, lines)


def _single(node: Node, part: Part, naming: Naming) -> Line:
    """A condition that is one call or one name: `selected(…)`, `has-flag(…)`, `${switch}`."""
    if isinstance(node, FunctionCall) and node.name == "selected" and len(node.arguments) == 2:
        name, choice = _field_of(node.arguments[0]), node.arguments[1]
        label = naming.label_of(name)
        if label and isinstance(choice, Literal):
            words = naming.reader.gettext(
                "%(left)s: có chọn %(right)s", left=label, right=naming.value(name, str(choice.value))
            )
            seen = part.parts[0] if part.parts else None
            saw = naming.value(name, seen.value, "multiple") if seen else ""
            return Line(words, part.text, saw, _holds(part), name)
    words = _phrase(node, part, naming, "")
    if not words:
        return _as_written(part, naming)
    saw = naming.value(_field_of(node), part.value, part.type)
    return Line(words, part.text, saw, _holds(part), _field_of(node), part.source)


def _as_written(part: Part, naming: Naming) -> Line:
    lines = tuple(told(inner, naming) for inner in part.parts)
    saw = naming.value("", part.value, part.type)
    return Line("", part.text, saw, _holds(part), source=part.source, lines=lines)


def _phrase(node: Node, part: Part, naming: Naming, of: str, *, of_value: bool = False) -> str:
    """What stands on one side of a comparison; "" where we have no words for it."""
    if isinstance(node, Literal):
        return naming.value(of, _plain(node.value)) if of_value else _plain(node.value)
    if isinstance(node, Name):
        label = naming.label_of(node.name)
        seen = _part_of(node, part)
        if of_value and seen is not None:
            return f"{label or node.name} ({naming.value(node.name, seen.value, seen.type)})"
        return label or (_label(seen, naming) if seen else "") or node.name
    if isinstance(node, FunctionCall) and node.name in ASKED:
        name = _first_name(node, naming)
        return naming.reader.gettext(ASKED[node.name], name=naming.label_of(name) or name)
    return ""


def _label(part: Part, naming: Naming) -> str:
    return naming.reader.label(part.label)


def _first_name(node: FunctionCall, naming: Naming) -> str:
    """What a call is about: its quoted name, its field, or the service that a stop was asked about."""
    first = node.arguments[0] if node.arguments else None
    if isinstance(first, Literal):
        return str(first.value)
    if isinstance(first, Name):
        return first.name.rpartition("/")[2]
    return naming.service


def _field_of(node: Node) -> str:
    """The field that a piece is about: `${score}`, `selected(${needs}, …)`, `previous('score')`."""
    if isinstance(node, Name):
        return node.name.rpartition("/")[2]
    if isinstance(node, Operation) and node.operator in COMPARED:
        return _field_of(node.left)
    if isinstance(node, FunctionCall) and node.arguments:
        first = node.arguments[0]
        if isinstance(first, Name):
            return first.name.rpartition("/")[2]
        if node.name in ("previous", "latest") and isinstance(first, Literal):
            return str(first.value)
    return ""


def _part_of(node: Node, part: Part) -> Part | None:
    """The part that stands for this piece of the condition's text."""
    text = part.text[node.start : node.end]
    return next((item for item in part.parts if _bare(item.text) == _bare(text)), None)


def _names(text: str) -> str:
    try:
        return _field_of(parse(text))
    except ExpressionError:
        return ""


def _bare(text: str) -> str:
    return "".join(text.split()).strip("()")


def _plain(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else value


def _holds(part: Part) -> bool | None:
    return part.value == "1" if part.type == "boolean" else None


def all_names(part: Part) -> frozenset[str]:
    """Every field, service, flag or form that a condition names, in any depth."""
    found: set[str] = set()
    _collect(part, found)
    return frozenset(found)


def _collect(part: Part, found: set[str]) -> None:
    try:
        _walk(parse(part.text), found)
    except ExpressionError:
        found.update(part.text.replace("'", '"').split('"')[1::2])
    for inner in part.parts:
        _collect(inner, found)


def _walk(node: Node, found: set[str]) -> None:
    if isinstance(node, Name):
        found.add(node.name.rpartition("/")[2])
    elif isinstance(node, Literal) and isinstance(node.value, str):
        found.add(node.value)
    elif isinstance(node, FunctionCall):
        _walk_all(node.arguments, found)
    elif isinstance(node, Operation):
        _walk_all((node.left, node.right), found)
    elif isinstance(node, Negative):
        _walk(node.operand, found)


def _walk_all(nodes: Sequence[Node], found: set[str]) -> None:
    for node in nodes:
        _walk(node, found)
