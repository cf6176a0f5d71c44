"""Functions that compute: number, int, round, abs, pow, sqrt, exp, log, floor …, and sums over a repeat."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Context, Decimal

from forms.expressions.functions_logic import ANYTHING, Given, single
from forms.expressions.signatures import Argument, Environment, Function, Takes
from forms.expressions.values import NAN, Nodeset, Value, ValueType, clamp, to_number, whole_part
from forms.sheets import Text

NUMBER = Argument(Text(vi="số", en="number"), ValueType.NUMBER)
COLUMN = Argument(Text(vi="câu hỏi trong phần lặp", en="question of a repeat"), takes=Takes.COLUMN)
ROWS = Argument(Text(vi="phần lặp, hoặc câu hỏi trong đó", en="repeat, or a question of it"), takes=Takes.ROWS)
COLUMN_OR_NUMBERS = Argument(
    Text(vi="câu hỏi trong phần lặp, hoặc các số", en="question of a repeat, or numbers"),
    ValueType.NUMBER,
    takes=Takes.EITHER,
)
_BLANK_STAYS = Text(vi="Trống thì kết quả trống.", en="A blank gives a blank.")

# JavaRosa starts its search for the largest number at Java's smallest positive one.
_LEAST_MAXIMUM = 5e-324

_ROUNDING = Context(prec=400)


def rounded(number: float, places: int) -> float:
    """As in Excel for places from 0 to 30; a half goes up, also below zero: -2.5 becomes -2."""
    if not math.isfinite(number):
        return number
    if abs(places) > 30:
        return NAN
    exact = Decimal(repr(number))
    if places >= 0:
        way = ROUND_HALF_DOWN if number < 0 else ROUND_HALF_UP
        return float(exact.quantize(Decimal(1).scaleb(-places), rounding=way, context=_ROUNDING))
    # JavaRosa's own way for tens and hundreds: a half is added and the rest cut off, so -1250 becomes -1200.
    cut = float(int(float(exact.scaleb(places, context=_ROUNDING)) + 0.5))
    return float(Decimal(repr(cut)).scaleb(-places, context=_ROUNDING))


def power(base: float, exponent: float) -> float:
    """As Java raises to a power: NaN for a root of a negative number, infinity instead of an overflow."""
    if math.isnan(exponent) or (abs(base) == 1 and math.isinf(exponent)):
        return NAN
    try:
        return math.pow(base, exponent)
    except OverflowError:
        odd = exponent % 2 == 1
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        if base != 0:
            return NAN
        return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf


def remainder(left: float, right: float) -> float:
    """The language's `mod`: the sign of the left number, NaN for mod 0."""
    if math.isinf(left) or right == 0:
        return NAN
    return math.fmod(left, right)


def quotient(left: float, right: float) -> float:
    """The language's `div`: infinity for n div 0, NaN for 0 div 0."""
    if right != 0 or math.isnan(right):
        return left / right
    if left == 0 or math.isnan(left):
        return NAN
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _numbers(env: Environment, given: Given) -> Iterable[float]:
    """The numbers of the only column, or of the arguments; blanks left out."""
    values: Iterable[Value | Nodeset] = given
    if len(given) == 1 and isinstance(given[0], tuple):
        values = given[0]
    numbers = (to_number(single(value), env.now) for value in values)
    return [number for number in numbers if not math.isnan(number)]


def _column(given: Given) -> Nodeset:
    return given[0] if isinstance(given[0], tuple) else (given[0],)


def _plain(compute: Callable[[float], float]) -> Callable[[Environment, Given], float]:
    """A function of one number, NaN where mathematics has no answer."""

    def call(env: Environment, given: Given) -> float:
        number = to_number(single(given[0]), env.now)
        try:
            return compute(number)
        except ValueError:
            return NAN
        except OverflowError:
            return math.inf

    return call


def _logarithm(compute: Callable[[float], float]) -> Callable[[float], float]:
    return lambda number: -math.inf if number == 0 else compute(number)


def _whole(compute: Callable[[float], int]) -> Callable[[float], float]:
    return lambda number: float(compute(number)) if math.isfinite(number) else number


def _round(env: Environment, given: Given) -> float:
    places = clamp(to_number(single(given[1]), env.now)) if len(given) > 1 else 0
    return rounded(to_number(single(given[0]), env.now), places)


def _pow(env: Environment, given: Given) -> float:
    return power(to_number(single(given[0]), env.now), to_number(single(given[1]), env.now))


def _min(env: Environment, given: Given) -> float:
    numbers = list(_numbers(env, given))
    return min(sys.float_info.max, *numbers) if numbers else NAN


def _max(env: Environment, given: Given) -> float:
    numbers = list(_numbers(env, given))
    return max(_LEAST_MAXIMUM, *numbers) if numbers else NAN


def _sum(env: Environment, given: Given) -> float:
    return sum(_numbers(env, (_column(given),)), 0.0)


def _count(env: Environment, given: Given) -> float:
    return float(len(_column(given)))


def _count_non_empty(env: Environment, given: Given) -> float:
    return float(sum(1 for value in _column(given) if value != ""))


def _of_one(
    name: str, compute: Callable[[float], float], summary: Text, example: str, *, on_phone: bool = True
) -> Function:
    return Function(
        name=name,
        arguments=(NUMBER,),
        returns=ValueType.NUMBER,
        summary=summary,
        blank=_BLANK_STAYS,
        example=example,
        call=_plain(compute),
        on_phone=on_phone,
    )


FUNCTIONS = (
    Function(
        name="number",
        arguments=(ANYTHING,),
        returns=ValueType.NUMBER,
        summary=Text(
            vi="Đổi thành số. Ngày thành số ngày kể từ 1970-01-01, đúng/sai thành 1/0.",
            en="Turns a value into a number. A date becomes days since 1970-01-01, true/false 1/0.",
        ),
        blank=Text(
            vi="Trống, hoặc chữ không phải số, thì kết quả trống.",
            en="A blank, and a text that is no number, gives a blank.",
        ),
        example="number(' 12 ') = 12",
        call=_plain(lambda number: number),
    ),
    _of_one(
        "int",
        whole_part,
        Text(
            vi="Phần nguyên, bỏ phần thập phân: int(-1.5) là -1.",
            en="The whole part, decimals cut off: int(-1.5) is -1.",
        ),
        "int(7.9) = 7",
    ),
    Function(
        name="round",
        arguments=(NUMBER, Argument(Text(vi="số chữ số thập phân", en="decimal places"), ValueType.NUMBER)),
        minimum=1,
        returns=ValueType.NUMBER,
        summary=Text(
            vi="Làm tròn; số thứ hai là số chữ số thập phân (mặc định 0). Nửa thì làm tròn lên: round(-2.5) là -2.",
            en="Rounds, to the decimal places given (0 by default). A half goes up: round(-2.5) is -2.",
        ),
        blank=_BLANK_STAYS,
        example="round(2.345, 2) = 2.35",
        call=_round,
    ),
    _of_one("abs", abs, Text(vi="Giá trị tuyệt đối.", en="The number without its sign."), "abs(-3) = 3"),
    Function(
        name="pow",
        arguments=(NUMBER, Argument(Text(vi="số mũ", en="exponent"), ValueType.NUMBER)),
        returns=ValueType.NUMBER,
        summary=Text(vi="Luỹ thừa.", en="Raises the first number to the power of the second."),
        blank=_BLANK_STAYS,
        example="pow(2, 10) = 1024",
        call=_pow,
    ),
    _of_one("sqrt", math.sqrt, Text(vi="Căn bậc hai.", en="The square root."), "sqrt(9) = 3"),
    _of_one("exp", math.exp, Text(vi="Luỹ thừa của e.", en="e to the power of the number."), "exp(0) = 1"),
    _of_one("log", _logarithm(math.log), Text(vi="Lô-ga-rít tự nhiên.", en="The natural logarithm."), "log(1) = 0"),
    _of_one(
        "log10",
        _logarithm(math.log10),
        Text(vi="Lô-ga-rít cơ số 10.", en="The logarithm to base 10."),
        "log10(100) = 2",
    ),
    _of_one(
        "floor",
        _whole(math.floor),
        Text(
            vi="Làm tròn xuống. Chỉ dùng trong bảng quy tắc: Collect không có hàm này, trong biểu mẫu hãy dùng int().",
            en="Rounds down. For rules only: Collect does not know it; in a form use int().",
        ),
        "floor(-1.5) = -2",
        on_phone=False,
    ),
    _of_one(
        "ceiling",
        _whole(math.ceil),
        Text(
            vi="Làm tròn lên. Chỉ dùng trong bảng quy tắc: Collect không có hàm này, trong biểu mẫu hãy dùng "
            "int(${x}) + (${x} > int(${x})).",
            en="Rounds up. For rules only: Collect does not know it; in a form use int(${x}) + (${x} > int(${x})).",
        ),
        "ceiling(1.2) = 2",
        on_phone=False,
    ),
    Function(
        name="min",
        arguments=(COLUMN_OR_NUMBERS,),
        minimum=0,
        maximum=None,
        returns=ValueType.NUMBER,
        summary=Text(vi="Số nhỏ nhất.", en="The smallest number."),
        blank=Text(
            vi="Bỏ qua ô trống; tất cả trống thì kết quả trống.", en="Blanks are left out; all blank gives a blank."
        ),
        example="min(3, 2, 5) = 2",
        call=_min,
    ),
    Function(
        name="max",
        arguments=(COLUMN_OR_NUMBERS,),
        minimum=0,
        maximum=None,
        returns=ValueType.NUMBER,
        summary=Text(
            vi="Số lớn nhất. Nếu mọi số đều âm thì kết quả là 0, như trên Collect.",
            en="The largest number. Where all are negative it is 0, as in Collect.",
        ),
        blank=Text(
            vi="Bỏ qua ô trống; tất cả trống thì kết quả trống.", en="Blanks are left out; all blank gives a blank."
        ),
        example="max(3, 2, 5) = 5",
        call=_max,
    ),
    Function(
        name="sum",
        arguments=(COLUMN,),
        returns=ValueType.NUMBER,
        summary=Text(vi="Tổng một câu hỏi trên mọi lần lặp.", en="The sum of a question over all rows of its repeat."),
        blank=Text(
            vi="Bỏ qua ô trống; không có dòng nào thì bằng 0.", en="Blanks are left out; no row at all gives 0."
        ),
        example="sum(${cost}) >= 100",
        call=_sum,
    ),
    Function(
        name="count",
        arguments=(ROWS,),
        returns=ValueType.NUMBER,
        summary=Text(vi="Số lần lặp.", en="The number of rows of a repeat."),
        blank=Text(vi="Dòng trống vẫn được đếm.", en="Rows count even where they are blank."),
        example="count(${visit}) > 1",
        call=_count,
    ),
    Function(
        name="count-non-empty",
        arguments=(COLUMN,),
        returns=ValueType.NUMBER,
        summary=Text(vi="Số dòng có trả lời câu hỏi này.", en="The number of rows that answered the question."),
        blank=Text(vi="Dòng trống không được đếm.", en="Blank rows do not count."),
        example="count-non-empty(${cost}) = 0",
        call=_count_non_empty,
    ),
)
