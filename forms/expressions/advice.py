"""Warnings: an expression that runs, but will not do what its author thinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from forms.expressions import times
from forms.expressions.blanks import blank_risks
from forms.expressions.pieces import Piece, Shape, every
from forms.expressions.signatures import Reference
from forms.expressions.syntax import EQUALITY, ORDER, Literal
from forms.expressions.values import MOMENTS, TEXTS, ValueType, number_of_text
from forms.sheets import Text


@dataclass(frozen=True, slots=True)
class ExpressionWarning:
    """`grave`: publishing must stop, for the expression cannot work as meant. `references`: whose blanks it is about.

    Codes: boolean-as-text, date-as-text, text-order, repeated-as-one (all grave), blank-is-true, date-plus,
    multiple-as-one, not-a-condition, not-on-phone, regex-unanchored.
    """

    code: str
    problem: Text
    cure: Text
    start: int
    end: int
    grave: bool = False
    references: tuple[Reference, ...] = ()


_TAKES_DATES = ("date", "date-time", "format-date", "format-date-time")


def warnings_of(root: Piece) -> tuple[ExpressionWarning, ...]:
    """All warnings, in the order of the text."""
    found = [
        warning
        for piece in every(root)
        for look in (_equality, _order, _condition, _pattern, _phone, _repeated)
        for warning in look(piece)
    ]
    if root.repeated and root.shape is Shape.REFERENCE:
        found.append(_repeated_as_one(root))
    found.extend(_sums(root))
    found.extend(_blanks(root))
    return tuple(sorted(found, key=lambda warning: (warning.start, warning.code)))


def _about(
    piece: Piece, code: str, problem: Text, cure: Text, *, grave: bool = False, references: tuple[Reference, ...] = ()
) -> ExpressionWarning:
    return ExpressionWarning(code, problem, cure, piece.node.start, piece.node.end, grave, references)


def _quoted(piece: Piece) -> str | None:
    value = piece.node.value if isinstance(piece.node, Literal) else None
    return value if isinstance(value, str) else None


def _pair(piece: Piece, test: Callable[[Piece], bool]) -> tuple[Piece, Piece] | None:
    """The operand that passes the test, and the other one."""
    left, right = piece.pieces
    if test(left):
        return left, right
    return (right, left) if test(right) else None


def _equality(piece: Piece) -> Iterator[ExpressionWarning]:
    if piece.operator not in EQUALITY:
        return
    if pair := _pair(piece, lambda part: part.type is ValueType.BOOLEAN):
        flag, other = pair
        if other.type in TEXTS:
            yield _about(
                piece,
                "boolean-as-text",
                Text(
                    vi=f"'{flag.text}' là đúng/sai, không so sánh được với chữ: chữ nào khác rỗng cũng là đúng.",
                    en=f"'{flag.text}' is true or false; compared with a text, every text that is not empty is true.",
                ),
                Text(vi=f"Viết {flag.text}, hoặc not({flag.text}).", en=f"Write {flag.text}, or not({flag.text})."),
                grave=True,
            )
    if pair := _pair(piece, lambda part: part.type in MOMENTS):
        yield from _date_and_text(piece, pair[1])
    if pair := _pair(piece, lambda part: part.type is ValueType.MULTIPLE and part.shape is Shape.REFERENCE):
        many, other = pair
        if _quoted(other):
            yield _about(
                piece,
                "multiple-as-one",
                Text(
                    vi=f"'{many.text}' là câu chọn nhiều: phép so sánh chỉ đúng khi đó là lựa chọn duy nhất.",
                    en=f"'{many.text}' is a select_multiple: this only holds where nothing else was chosen.",
                ),
                Text(vi=f"Viết selected({many.text}, {other.text}).", en=f"Write selected({many.text}, {other.text})."),
            )


def _date_and_text(piece: Piece, other: Piece) -> Iterator[ExpressionWarning]:
    """A date equals a quoted text only where that is written as dates are stored."""
    text = _quoted(other)
    day = times.parse_date(text) if text else None
    if text and (day is None or day.isoformat() != text):
        yield _about(
            piece,
            "date-as-text",
            Text(vi=f"Ngày không bao giờ bằng {other.text}.", en=f"A date never equals {other.text}."),
            Text(vi="Ngày viết là date('2026-03-01').", en="A date is written date('2026-03-01')."),
            grave=True,
        )


def _order(piece: Piece) -> Iterator[ExpressionWarning]:
    if piece.operator not in ORDER:
        return
    pair = _pair(piece, lambda part: bool(_quoted(part)) and math.isnan(number_of_text(_quoted(part) or "")))
    if pair is None:
        return
    text, other = pair
    if other.type in MOMENTS or times.parse_moment(_quoted(text) or ""):
        yield _about(
            piece,
            "date-as-text",
            Text(
                vi=f"So sánh ngày với chữ {text.text} luôn là sai.",
                en=f"Comparing a date with the text {text.text} is always false.",
            ),
            Text(vi=f"Viết date({text.text}).", en=f"Write date({text.text})."),
            grave=True,
        )
        return
    yield _about(
        piece,
        "text-order",
        Text(
            vi=f"Chữ không có thứ tự: so sánh với {text.text} luôn là sai.",
            en=f"Texts have no order: comparing with {text.text} is always false.",
        ),
        Text(vi="So sánh số, hoặc dùng = và !=.", en="Compare numbers, or use = and !=."),
        grave=True,
    )


def _sums(root: Piece) -> Iterator[ExpressionWarning]:
    """`+` on dates gives a number of days; date(${d} + 30) is the way to say it."""
    dated = {id(piece.pieces[0]) for piece in every(root) if piece.is_call(*_TAKES_DATES)}
    for piece in every(root):
        is_sum = piece.operator == "+" and any(part.type in MOMENTS for part in piece.pieces)
        if is_sum and id(piece) not in dated:
            yield _about(
                piece,
                "date-plus",
                Text(
                    vi="Ngày cộng số cho ra số ngày kể từ 1970, không phải ngày.",
                    en="A date plus a number is a number of days since 1970, not a date.",
                ),
                Text(vi=f"Viết date({piece.text}).", en=f"Write date({piece.text})."),
            )


def _condition(piece: Piece) -> Iterator[ExpressionWarning]:
    """A condition that is no question of yes or no: if(${x}, …), not(${x}), ${x} and …"""
    conditions: tuple[Piece, ...] = ()
    if piece.is_call("if", "not"):
        conditions = piece.pieces[:1]
    elif piece.shape is Shape.LOGIC:
        conditions = piece.pieces
    for part in conditions:
        if part.type not in {ValueType.BOOLEAN, ValueType.ANY}:
            yield _about(
                part,
                "not-a-condition",
                Text(
                    vi=f"'{part.text}' không phải là điều kiện: nó đúng khi có giá trị khác 0, kể cả chữ 'no'.",
                    en=f"'{part.text}' is no condition: it is true for every answer but 0, the text 'no' included.",
                ),
                Text(
                    vi=f"Viết điều kiện, ví dụ {part.text} = 'yes' hoặc {part.text} > 0.",
                    en=f"Write a condition, such as {part.text} = 'yes' or {part.text} > 0.",
                ),
            )


def _pattern(piece: Piece) -> Iterator[ExpressionWarning]:
    pattern = piece.call.literals[1] if piece.call and piece.is_call("regex") else None
    if pattern is not None and not (pattern.startswith(("^", ".*", "(?")) or pattern.endswith(("$", ".*"))):
        yield _about(
            piece,
            "regex-unanchored",
            Text(
                vi="regex() so mẫu với cả chữ, không tìm một đoạn bên trong.",
                en="regex() compares the pattern with the whole text; it does not look for a part.",
            ),
            Text(
                vi=f"Viết rõ '^{pattern}$', hoặc '.*{pattern}.*' nếu muốn tìm một đoạn.",
                en=f"Say so with '^{pattern}$', or write '.*{pattern}.*' to look for a part.",
            ),
        )


def _phone(piece: Piece) -> Iterator[ExpressionWarning]:
    if piece.function and not piece.function.on_phone:
        yield _about(
            piece,
            "not-on-phone",
            Text(
                vi=f"Collect không có hàm {piece.function.name}(): biểu thức này không dùng được trong biểu mẫu.",
                en=f"Collect has no {piece.function.name}(): this expression cannot be used in a form.",
            ),
            piece.function.summary,
        )


def _repeated(piece: Piece) -> Iterator[ExpressionWarning]:
    """A repeat's column where one value is wanted: an error on the phone as soon as there are two rows."""
    for place, part in enumerate(piece.pieces):
        if not part.repeated:
            continue
        if piece.function is None or not piece.function.takes_column(place, len(piece.pieces)):
            yield _repeated_as_one(part)


def _repeated_as_one(piece: Piece) -> ExpressionWarning:
    return _about(
        piece,
        "repeated-as-one",
        Text(
            vi=f"'{piece.text}' nằm trong phần lặp; có hai dòng trở lên thì Collect báo lỗi.",
            en=f"'{piece.text}' stands in a repeat; with two rows or more Collect stops with an error.",
        ),
        Text(
            vi=f"Dùng sum({piece.text}), max({piece.text}), min({piece.text}) hoặc indexed-repeat().",
            en=f"Use sum({piece.text}), max({piece.text}), min({piece.text}) or indexed-repeat().",
        ),
        grave=True,
        references=(piece.reference,) if piece.reference else (),
    )


def _blanks(root: Piece) -> Iterator[ExpressionWarning]:
    for risk in blank_risks(root):
        texts = [f"${{{reference.name}}}" for reference in risk.references] + list(risk.calls)
        computed = [reference.name for reference in risk.references if reference.type is ValueType.BOOLEAN]
        guard = " and ".join(f"{text} != ''" for text in texts)
        if computed:
            cure = Text(
                vi=f"Viết thêm điều kiện rằng các câu dùng để tính {', '.join(computed)} đã được trả lời.",
                en=f"Add a condition that the questions behind {', '.join(computed)} were answered.",
            )
        else:
            cure = Text(vi=f"Viết thêm: {guard} and …", en=f"Add before it: {guard} and …")
        yield _about(
            risk.piece,
            "blank-is-true",
            Text(
                vi=f"'{risk.piece.text}' cũng đúng khi {', '.join(texts)} bỏ trống.",
                en=f"'{risk.piece.text}' is also true where {', '.join(texts)} was not answered.",
            ),
            cure,
            references=risk.references,
        )
