"""Functions that decide: true, false, not, boolean, boolean-from-string, if, coalesce, once."""

from __future__ import annotations

import math

from forms.expressions.signatures import Argument, Environment, Function, Run
from forms.expressions.values import Nodeset, Value, ValueType, to_boolean, to_text
from forms.sheets import Text

Given = tuple[Value | Nodeset, ...]

CONDITION = Argument(Text(vi="điều kiện", en="condition"), ValueType.BOOLEAN)
ANYTHING = Argument(Text(vi="giá trị", en="value"))


def single(value: Value | Nodeset) -> Value:
    """One value of what was given; a column of one is that one."""
    return value if not isinstance(value, tuple) else (value[0] if value else "")


def is_blank(value: Value) -> bool:
    """Blank, or a number that is none."""
    return value == "" or (isinstance(value, float) and math.isnan(value))


def _not(env: Environment, given: Given) -> bool:
    return not to_boolean(single(given[0]))


def _boolean(env: Environment, given: Given) -> bool:
    return to_boolean(single(given[0]))


def _boolean_from_string(env: Environment, given: Given) -> bool:
    text = to_text(single(given[0]), env.now)
    return text == "1" or text.lower() == "true"


def _if(env: Environment, given: Given) -> Value:
    return single(given[1] if to_boolean(single(given[0])) else given[2])


def _lazy_if(parts: tuple[Run, ...]) -> Run:
    condition, yes, no = parts

    def run(env: Environment) -> Value:
        return yes(env) if to_boolean(condition(env)) else no(env)

    return run


def _coalesce(env: Environment, given: Given) -> Value:
    return single(given[1] if is_blank(single(given[0])) else given[0])


def _lazy_coalesce(parts: tuple[Run, ...]) -> Run:
    first, second = parts

    def run(env: Environment) -> Value:
        value = first(env)
        return second(env) if is_blank(value) else value

    return run


def _once(env: Environment, given: Given) -> Value:
    return single(given[0]) if env.current == "" else env.current


FUNCTIONS = (
    Function(
        name="true",
        arguments=(),
        returns=ValueType.BOOLEAN,
        summary=Text(vi="Luôn đúng.", en="Always true."),
        blank=Text(vi="Không áp dụng.", en="Does not apply."),
        example="true()",
        call=lambda env, given: True,
    ),
    Function(
        name="false",
        arguments=(),
        returns=ValueType.BOOLEAN,
        summary=Text(vi="Luôn sai.", en="Always false."),
        blank=Text(vi="Không áp dụng.", en="Does not apply."),
        example="not(false())",
        call=lambda env, given: False,
    ),
    Function(
        name="not",
        arguments=(CONDITION,),
        returns=ValueType.BOOLEAN,
        summary=Text(vi="Đúng khi điều kiện sai.", en="True where the condition is false."),
        blank=Text(
            vi="Điều kiện trên câu bỏ trống thường sai, nên not(…) thành đúng: hãy kiểm tra trước rằng câu đã trả lời.",
            en="A condition on a blank answer is mostly false, so not(…) is true: first ask whether it was answered.",
        ),
        example="not(2 > 3)",
        call=_not,
    ),
    Function(
        name="boolean",
        arguments=(ANYTHING,),
        returns=ValueType.BOOLEAN,
        summary=Text(
            vi="Đúng nếu giá trị không trống và khác 0. Chữ '0' và 'false' cũng là đúng.",
            en="True unless the value is blank or the number 0. The texts '0' and 'false' are true as well.",
        ),
        blank=Text(vi="Trống là sai.", en="A blank is false."),
        example="boolean(3)",
        call=_boolean,
    ),
    Function(
        name="boolean-from-string",
        arguments=(ANYTHING,),
        returns=ValueType.BOOLEAN,
        summary=Text(
            vi="Đúng nếu là 'true' (hoa hay thường) hoặc 1.", en="True for 'true' in any letter case and for 1."
        ),
        blank=Text(vi="Trống là sai.", en="A blank is false."),
        example="boolean-from-string('TRUE')",
        call=_boolean_from_string,
    ),
    Function(
        name="if",
        arguments=(
            CONDITION,
            Argument(Text(vi="giá trị khi đúng", en="value where it is true")),
            Argument(Text(vi="giá trị khi sai", en="value where it is false")),
        ),
        returns=ValueType.ANY,
        same_type_as=(1, 2),
        summary=Text(
            vi="Giá trị thứ hai nếu điều kiện đúng, ngược lại giá trị thứ ba.",
            en="The second value if the condition is true, else the third.",
        ),
        blank=Text(
            vi="So sánh với câu bỏ trống là sai, nên lấy giá trị thứ ba.",
            en="A comparison with a blank answer is false, so the third value is taken.",
        ),
        example="if(20 >= 18, 'adult', 'minor') = 'adult'",
        call=_if,
        lazy=_lazy_if,
    ),
    Function(
        name="coalesce",
        arguments=(
            Argument(Text(vi="giá trị", en="value")),
            Argument(Text(vi="giá trị thay khi trống", en="value to take for a blank")),
        ),
        returns=ValueType.ANY,
        same_type_as=(0, 1),
        summary=Text(
            vi="Giá trị thứ nhất, hoặc giá trị thứ hai nếu thứ nhất trống.",
            en="The first value, or the second where the first is blank.",
        ),
        blank=Text(vi="Chính là hàm để xử lý câu bỏ trống.", en="This is the function that deals with blanks."),
        example="coalesce('', 5) = 5",
        call=_coalesce,
        lazy=_lazy_coalesce,
    ),
    Function(
        name="once",
        arguments=(ANYTHING,),
        returns=ValueType.ANY,
        same_type_as=(0,),
        summary=Text(
            vi="Chỉ tính một lần: ô này đã có giá trị thì giữ nguyên.",
            en="Computed only once: a value that this field already has is kept.",
        ),
        blank=Text(vi="Ô còn trống thì mới tính.", en="Computed as long as the field is blank."),
        example="once('A1') = 'A1'",
        call=_once,
    ),
)
