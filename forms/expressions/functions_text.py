"""Functions on texts. Places count from 0 and in UTF-16 units, as Java counts: an emoji has two."""

from __future__ import annotations

import re
from collections.abc import Callable

from forms.expressions import regex
from forms.expressions.functions_logic import ANYTHING, Given, single
from forms.expressions.signatures import Argument, Environment, Function, Takes
from forms.expressions.values import JAVA_BLANKS, Nodeset, Value, ValueType, clamp, to_number, to_text
from forms.sheets import Text

TEXT = Argument(Text(vi="chữ", en="text"), ValueType.TEXT)
_PLACE = Argument(Text(vi="vị trí, đếm từ 0", en="place, counted from 0"), ValueType.NUMBER)
_SOUGHT = Argument(Text(vi="chữ cần tìm", en="text to look for"), ValueType.TEXT)
_COLUMN_OR_TEXTS = Argument(
    Text(vi="câu hỏi trong phần lặp, hoặc các giá trị", en="question of a repeat, or values"), takes=Takes.EITHER
)
_AS_EMPTY = Text(vi="Trống là chữ rỗng.", en="A blank is an empty text.")
_CURRENT_IF_NONE = Text(vi="Trống là chữ rỗng, dài 0.", en="A blank is an empty text, of length 0.")

_JAVA_SPACES = re.compile(r"[ \t\n\x0b\f\r]+")


def utf16_length(text: str) -> int:
    """The length as Java counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf16_part(text: str, start: int, end: int) -> str:
    """The units from `start` up to `end`; half an emoji becomes the replacement character."""
    if text.isascii() or max(text) <= "\uffff":
        return text[start:end]
    return text.encode("utf-16-le", "surrogatepass")[2 * start : 2 * end].decode("utf-16-le", "replace")


def _texts(env: Environment, values: tuple[Value | Nodeset, ...]) -> list[str]:
    """The texts of the only column, or of the values."""
    if len(values) == 1 and isinstance(values[0], tuple):
        values = values[0]
    return [to_text(single(value), env.now) for value in values]


def _on_texts(compute: Callable[..., Value]) -> Callable[[Environment, Given], Value]:
    """A function whose arguments are all texts."""
    return lambda env, given: compute(*(to_text(single(value), env.now) for value in given))


def _own_or_current(compute: Callable[[str], Value]) -> Callable[[Environment, Given], Value]:
    """A function of one text, by default that of the field which holds the expression."""
    return lambda env, given: compute(to_text(single(given[0]) if given else env.current, env.now))


def _join(env: Environment, given: Given) -> str:
    return to_text(single(given[0]), env.now).join(_texts(env, given[1:]))


def _concat(env: Environment, given: Given) -> str:
    return "".join(_texts(env, given))


def _substr(env: Environment, given: Given) -> str:
    text = to_text(single(given[0]), env.now)
    length = utf16_length(text)
    places = [clamp(to_number(single(value), env.now)) for value in given[1:]]
    start, end = (max(0, min(length, place if place >= 0 else length + place)) for place in [*places, length][:2])
    return utf16_part(text, start, end) if start <= end else ""


def _before(text: str, sought: str) -> str:
    return text.partition(sought)[0] if sought and sought in text else ""


def _after(text: str, sought: str) -> str:
    return text.partition(sought)[2] if sought else text


def _normalized(text: str) -> str:
    return _JAVA_SPACES.sub(" ", text.strip(JAVA_BLANKS))


def _translated(text: str, old: str, new: str) -> str:
    table: dict[int, str] = {}
    for place, character in enumerate(old):
        table.setdefault(ord(character), new[place : place + 1])
    return text.translate(table)


def _matches(text: str, pattern: str) -> bool:
    return regex.pattern(pattern).matches(text)


def _check_pattern(literals: tuple[str | None, ...]) -> None:
    if literals[1] is not None:
        regex.pattern(literals[1])


def _of_two(
    name: str, compute: Callable[[str, str], Value], returns: ValueType, summary: Text, example: str
) -> Function:
    return Function(
        name=name,
        arguments=(TEXT, _SOUGHT),
        returns=returns,
        summary=summary,
        blank=_AS_EMPTY,
        example=example,
        call=_on_texts(compute),
    )


FUNCTIONS = (
    Function(
        name="string",
        arguments=(ANYTHING,),
        returns=ValueType.TEXT,
        summary=Text(
            vi="Đổi thành chữ: đúng/sai thành 'true'/'false', ngày thành năm-tháng-ngày.",
            en="Turns a value into text: true/false into 'true'/'false', a date into year-month-day.",
        ),
        blank=Text(
            vi="Trống là chữ rỗng; phép tính không ra số là 'NaN'.",
            en="A blank is an empty text; a computation without result is 'NaN'.",
        ),
        example="string(7) = '7'",
        call=_on_texts(lambda text: text),
    ),
    Function(
        name="concat",
        arguments=(_COLUMN_OR_TEXTS,),
        minimum=0,
        maximum=None,
        returns=ValueType.TEXT,
        summary=Text(vi="Nối các giá trị thành một chữ.", en="Joins values into one text."),
        blank=_AS_EMPTY,
        example="concat('KH-', 42) = 'KH-42'",
        call=_concat,
    ),
    Function(
        name="join",
        arguments=(Argument(Text(vi="dấu nối", en="separator"), ValueType.TEXT), _COLUMN_OR_TEXTS),
        minimum=1,
        maximum=None,
        returns=ValueType.TEXT,
        summary=Text(vi="Nối các giá trị, giữa chúng là dấu nối.", en="Joins values with a separator between them."),
        blank=Text(vi="Ô trống vẫn có dấu nối: 'a,,b'.", en="A blank keeps its separators: 'a,,b'."),
        example="join(', ', 'a', 'b') = 'a, b'",
        call=_join,
    ),
    Function(
        name="string-length",
        arguments=(TEXT,),
        minimum=0,
        returns=ValueType.NUMBER,
        summary=Text(
            vi="Số ký tự. Không có giá trị nào trong ngoặc: của chính câu này.",
            en="The number of characters. With nothing in the parentheses: of this very field.",
        ),
        blank=_CURRENT_IF_NONE,
        example="string-length('Hà Nội') = 6",
        call=_own_or_current(lambda text: float(utf16_length(text))),
    ),
    Function(
        name="substr",
        arguments=(TEXT, _PLACE, Argument(Text(vi="vị trí cuối, không gồm", en="end, not included"), ValueType.NUMBER)),
        minimum=2,
        returns=ValueType.TEXT,
        summary=Text(
            vi="Một đoạn của chữ. Số âm đếm từ cuối.",
            en="A part of the text. Negative places count from the end.",
        ),
        blank=_AS_EMPTY,
        example="substr('abcdef', 1, 3) = 'bc'",
        call=_substr,
    ),
    _of_two(
        "substring-before",
        _before,
        ValueType.TEXT,
        Text(
            vi="Phần đứng trước chữ cần tìm; không thấy thì rỗng.",
            en="What stands before the text looked for; empty if it is not there.",
        ),
        "substring-before('KH-42', '-') = 'KH'",
    ),
    _of_two(
        "substring-after",
        _after,
        ValueType.TEXT,
        Text(
            vi="Phần đứng sau chữ cần tìm; không thấy thì rỗng.",
            en="What stands after the text looked for; empty if it is not there.",
        ),
        "substring-after('KH-42', '-') = '42'",
    ),
    _of_two(
        "contains",
        lambda text, sought: sought in text,
        ValueType.BOOLEAN,
        Text(
            vi="Đúng nếu chữ có chứa đoạn này. Với câu chọn nhiều hãy dùng selected().",
            en="True if the text contains the other one. For a select question use selected().",
        ),
        "contains('methadone', 'done')",
    ),
    _of_two(
        "starts-with",
        lambda text, sought: text.startswith(sought),
        ValueType.BOOLEAN,
        Text(vi="Đúng nếu chữ bắt đầu bằng đoạn này.", en="True if the text begins with the other one."),
        "starts-with('0912', '09')",
    ),
    _of_two(
        "ends-with",
        lambda text, sought: text.endswith(sought),
        ValueType.BOOLEAN,
        Text(vi="Đúng nếu chữ kết thúc bằng đoạn này.", en="True if the text ends with the other one."),
        "ends-with('ket.xlsx', '.xlsx')",
    ),
    Function(
        name="normalize-space",
        arguments=(TEXT,),
        minimum=0,
        returns=ValueType.TEXT,
        summary=Text(
            vi="Bỏ dấu cách thừa ở đầu, cuối và giữa.", en="Removes needless spaces at both ends and in between."
        ),
        blank=_AS_EMPTY,
        example="normalize-space('  a   b ') = 'a b'",
        call=_own_or_current(_normalized),
    ),
    Function(
        name="translate",
        arguments=(
            TEXT,
            Argument(Text(vi="các ký tự cần thay", en="characters to replace"), ValueType.TEXT),
            Argument(Text(vi="các ký tự thay thế", en="characters to put instead"), ValueType.TEXT),
        ),
        returns=ValueType.TEXT,
        summary=Text(
            vi="Thay từng ký tự; ký tự không có ký tự thay thì bị bỏ.",
            en="Replaces single characters; one without a replacement is removed.",
        ),
        blank=_AS_EMPTY,
        example="translate('0912 345', ' ', '') = '0912345'",
        call=_on_texts(_translated),
    ),
    Function(
        name="regex",
        arguments=(TEXT, Argument(Text(vi="mẫu", en="pattern"), ValueType.TEXT)),
        returns=ValueType.BOOLEAN,
        summary=Text(
            vi="Đúng nếu cả chữ khớp mẫu. Mẫu chỉ khớp một đoạn là sai.",
            en="True if the whole text matches the pattern. A match of a part is false.",
        ),
        blank=Text(vi="Trống là chữ rỗng: thường là sai.", en="A blank is an empty text: mostly false."),
        example=r"regex('0912345678', '0\d{9}')",
        call=_on_texts(_matches),
        check=_check_pattern,
    ),
)
