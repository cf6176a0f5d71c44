"""What is said to the author of an expression that cannot be used, in Vietnamese and English.

Every function gives the error to raise. The authors are programme staff with a spreadsheet open: say what stands there,
then what to write instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from forms.expressions.errors import ExpressionError
from forms.expressions.signatures import Argument, Function
from forms.sheets import Text

#: Punctuation of XPath that has no meaning here, with the cure for each.
NOT_IN_THIS_LANGUAGE: dict[str, Text] = {
    "[": Text(
        vi="Không dùng được điều kiện trong ngoặc vuông. Dùng indexed-repeat(), sum(), count(), min() hoặc max().",
        en="Conditions in square brackets cannot be used. Use indexed-repeat(), sum(), count(), min() or max().",
    ),
    "//": Text(
        vi="Viết đường dẫn đầy đủ, hoặc tên trong ${…}.",
        en="Write the full path, or the name within ${…}.",
    ),
    "@": Text(vi="Không dùng được thuộc tính XML.", en="XML attributes cannot be used."),
    "::": Text(
        vi="Không dùng được trục XPath; viết tên trong ${…}.", en="Axes cannot be used; write the name in ${…}."
    ),
    "|": Text(vi="Muốn nói «hoặc», viết or.", en="To say “or”, write or."),
    "/": Text(
        vi="Câu hỏi trong một nhóm viết là ${nhom/cau_hoi}. Phép chia viết là div.",
        en="A question in a group is written ${group/question}. Division is written div.",
    ),
}


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """The known name that looks most like the wrong one, "" if none does."""
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(wrong.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else ""


# ---- how it is written ------------------------------------------------------------------------------------------


def empty() -> ExpressionError:
    return ExpressionError(
        Text(vi="Biểu thức trống.", en="The expression is empty."),
        Text(vi="Viết một điều kiện, ví dụ ${tuoi} >= 18.", en="Write a condition, such as ${age} >= 18."),
        0,
        0,
    )


def foreign_sign(sign: str, instead: str, start: int) -> ExpressionError:
    return ExpressionError(
        Text(vi=f"Không có ký hiệu '{sign}' trong biểu thức.", en=f"'{sign}' is not a sign of this language."),
        Text(vi=f"Viết {instead}.", en=f"Write {instead}."),
        start,
        start + len(sign),
    )


def unexpected(text: str, start: int) -> ExpressionError:
    if text.lower() in {"and", "or", "div", "mod"}:
        cure = Text(vi=f"Viết chữ thường: {text.lower()}.", en=f"Write it in small letters: {text.lower()}.")
    else:
        cure = Text(
            vi="Giữa hai phần phải có and, or, = hoặc một phép tính.",
            en="Between two parts stands and, or, = or an arithmetic sign.",
        )
    return ExpressionError(
        Text(vi=f"Không hiểu '{text}' ở chỗ này.", en=f"'{text}' does not fit here."), cure, start, start + len(text)
    )


def open_quote(mark: str, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(vi=f"Dấu nháy {mark} mở mà không đóng.", en=f"The quote {mark} is opened and never closed."),
        Text(vi=f"Thêm {mark} ở cuối chữ.", en=f"Add {mark} at the end of the text."),
        start,
        end,
    )


def broken_braces(start: int) -> ExpressionError:
    return ExpressionError(
        Text(vi="Sau $ phải là tên trong ngoặc nhọn.", en="After $ comes a name in braces."),
        Text(vi="Viết ${ten_cau_hoi}.", en="Write ${question_name}."),
        start,
        start + 1,
    )


def empty_braces(start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(vi="Trong ${} không có tên nào.", en="There is no name in ${}."),
        Text(vi="Viết ${ten_cau_hoi}.", en="Write ${question_name}."),
        start,
        end,
    )


def last_saved(name: str, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(
            vi="Không dùng được last-saved#: máy chủ không biết lần lưu trước trên điện thoại.",
            en="last-saved# cannot be used: the server does not know what a phone saved last.",
        ),
        Text(
            vi=f"Dùng ${{{name}}}; câu trả lời lần trước của khách hàng là previous('{name}') trong bảng quy tắc.",
            en=f"Use ${{{name}}}; a client's earlier answer is previous('{name}') in a rules workbook.",
        ),
        start,
        end,
    )


def stray_comma(start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(
            vi="Dấu phẩy chỉ đứng giữa các phần của một hàm.", en="A comma only stands between a function's arguments."
        ),
        Text(
            vi="Số thập phân viết bằng dấu chấm: 0.5. Hai điều kiện nối bằng and hoặc or.",
            en="Decimals are written with a point: 0.5. Two conditions are joined by and or or.",
        ),
        start,
        end,
    )


def stray_parenthesis(start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(vi="Thừa một dấu ')'.", en="There is one ')' too many."),
        Text(vi="Bỏ dấu này, hoặc thêm '(' ở trước.", en="Remove it, or add a '(' before it."),
        start,
        end,
    )


def open_parenthesis(start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(vi="Dấu '(' mở mà không đóng.", en="This '(' is opened and never closed."),
        Text(vi="Thêm ')' ở cuối phần này.", en="Add ')' at the end of this part."),
        start,
        end,
    )


def missing_operator(text: str, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(vi=f"Trước '{text}' thiếu một phép nối.", en=f"Something is missing before '{text}'."),
        Text(
            vi="Giữa hai phần phải có and, or, = hoặc một phép tính.",
            en="Between two parts stands and, or, = or an arithmetic sign.",
        ),
        start,
        end,
    )


def missing_operand(text: str, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(vi=f"Sau '{text}' thiếu một giá trị.", en=f"A value is missing after '{text}'."),
        Text(
            vi="Thêm câu hỏi, số, chữ trong nháy hoặc hàm.",
            en="Add a question, a number, a quoted text or a function.",
        ),
        start,
        end,
    )


def missing_before(word: str, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(vi=f"Trước '{word}' thiếu một giá trị.", en=f"A value is missing before '{word}'."),
        Text(
            vi=f"Viết … {word} …, với một điều kiện hoặc một số ở mỗi bên.",
            en=f"Write … {word} …, with a condition or a number on each side.",
        ),
        start,
        end,
    )


def too_deep(start: int) -> ExpressionError:
    return ExpressionError(
        Text(vi="Quá nhiều ngoặc lồng nhau.", en="Too many parentheses stand within each other."),
        Text(vi="Tách biểu thức thành nhiều phép tính.", en="Split the expression into several calculations."),
        start,
        start + 1,
    )


def too_long(start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(vi="Chuỗi phép tính này quá dài.", en="This chain of operators is too long."),
        Text(vi="Tách biểu thức thành nhiều phép tính.", en="Split the expression into several calculations."),
        start,
        end,
    )


def not_in_this_language(sign: str, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(vi=f"Không dùng được '{sign}' ở đây.", en=f"'{sign}' cannot be used here."),
        NOT_IN_THIS_LANGUAGE[sign],
        start,
        end,
    )


def bare_word(word: str, start: int, end: int) -> ExpressionError:
    if word in {"today", "now", "true", "false"}:
        cure = Text(vi=f"Viết có ngoặc: {word}().", en=f"Write it with parentheses: {word}().")
    elif word.lower() in {"true", "false"}:
        cure = Text(vi=f"Viết {word.lower()}().", en=f"Write {word.lower()}().")
    else:
        cure = Text(
            vi=f"Câu hỏi viết là ${{{word}}}; chữ hoặc mã lựa chọn viết trong nháy: '{word}'.",
            en=f"A question is written ${{{word}}}; a text or a choice's code is quoted: '{word}'.",
        )
    return ExpressionError(
        Text(vi=f"'{word}' đứng một mình thì không có nghĩa.", en=f"'{word}' alone has no meaning."), cure, start, end
    )


# ---- what it names ----------------------------------------------------------------------------------------------


LOOK_UP_TABLES = Text(
    vi="Biểu thức chỉ thấy câu trả lời, không thấy bảng tra. Đưa giá trị vào một calculate của biểu mẫu.",
    en="An expression sees answers, not look-up tables. Bring the value into a calculate of the form.",
)


def unknown_name(name: str, known: Iterable[str], start: int, end: int) -> ExpressionError:
    close = suggestion(name, known)
    if close:
        cure = Text(vi=f"Có phải ${{{close}}} không?", en=f"Did you mean ${{{close}}}?")
    else:
        cure = Text(
            vi="Xem lại cột name của biểu mẫu; tên trùng trong nhiều nhóm phải kèm tên nhóm: ${nhom/ten}.",
            en="Look at the form's column name; a name used in several groups needs its group: ${group/name}.",
        )
    return ExpressionError(
        Text(vi=f"Không có câu hỏi nào tên là '{name}'.", en=f"There is no question named '{name}'."), cure, start, end
    )


def unknown_path(path: str, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(vi=f"Không có gì ở đường dẫn '{path}'.", en=f"There is nothing at the path '{path}'."),
        Text(vi="Viết tên trong ${…}.", en="Write the name within ${…}."),
        start,
        end,
    )


def no_context(path: str, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(
            vi=f"'{path}' chỉ có nghĩa bên trong một câu hỏi của biểu mẫu.",
            en=f"'{path}' only has a meaning within a question of a form.",
        ),
        Text(vi="Viết tên câu hỏi trong ${…}.", en="Write the question's name within ${…}."),
        start,
        end,
    )


# ---- functions --------------------------------------------------------------------------------------------------


def unknown_function(name: str, known: Iterable[str], start: int, end: int) -> ExpressionError:
    if name in {"and", "or", "div", "mod"}:
        cure = Text(vi=f"Viết ở giữa hai phần: … {name} …", en=f"Write it between two parts: … {name} …")
    elif close := suggestion(name, known):
        cure = Text(vi=f"Có phải {close}() không?", en=f"Did you mean {close}()?")
    else:
        cure = Text(vi="Xem danh sách hàm trong tài liệu.", en="See the list of functions in the reference.")
    return ExpressionError(Text(vi=f"Không có hàm {name}().", en=f"There is no function {name}()."), cure, start, end)


def function_not_here(name: str, cure: Text, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(vi=f"Không dùng được hàm {name}() ở đây.", en=f"The function {name}() cannot be used here."),
        cure,
        start,
        end,
    )


def wrong_count(function: Function, given: int, start: int, end: int) -> ExpressionError:
    fewest, most = function.fewest, function.most
    if most is None:
        vi, en = f"ít nhất {fewest}", f"at least {fewest}"
    elif fewest == most:
        vi = en = str(fewest)
    else:
        vi, en = f"từ {fewest} đến {most}", f"{fewest} to {most}"
    return ExpressionError(
        Text(
            vi=f"Hàm {function.name}() cần {vi} giá trị trong ngoặc, ở đây có {given}.",
            en=f"{function.name}() takes {en} value{'' if en == '1' else 's'}, here it has {given}.",
        ),
        Text(vi=f"Ví dụ: {function.example}", en=f"For example: {function.example}"),
        start,
        end,
    )


def not_a_column(function: Function, argument: Argument, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(
            vi=f"{function.name}() cần {argument.name.vi}, viết là ${{ten}}.",
            en=f"{function.name}() needs a {argument.name.en}, written as ${{name}}.",
        ),
        Text(vi=f"Ví dụ: {function.example}", en=f"For example: {function.example}"),
        start,
        end,
    )


def not_quoted(function: Function, argument: Argument, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(
            vi=f"Trong {function.name}(), {argument.name.vi} phải viết trong nháy.",
            en=f"In {function.name}(), the {argument.name.en} must be quoted.",
        ),
        Text(vi=f"Ví dụ: {function.example}", en=f"For example: {function.example}"),
        start,
        end,
    )


def wrong_type(function: Function, argument: Argument, text: str, start: int, end: int) -> ExpressionError:
    return ExpressionError(
        Text(
            vi=f"Trong {function.name}(), '{text}' không thể là {argument.name.vi}; Collect sẽ báo lỗi.",
            en=f"In {function.name}(), '{text}' cannot be the {argument.name.en}; Collect would stop with an error.",
        ),
        Text(vi=f"Ví dụ: {function.example}", en=f"For example: {function.example}"),
        start,
        end,
    )
