"""Functions on the codes of select questions, and on one row of a repeat."""

from __future__ import annotations

from forms.expressions.errors import Refused
from forms.expressions.functions_logic import Given, single
from forms.expressions.signatures import Argument, Environment, Function, Takes
from forms.expressions.values import JAVA_BLANKS, Value, ValueType, clamp, to_number, whole_part
from forms.sheets import Text

_SELECT = Argument(Text(vi="câu hỏi chọn", en="select question"), ValueType.TEXT, strict=True)
_CODE = Argument(Text(vi="mã lựa chọn", en="choice's code"), ValueType.TEXT, strict=True)
_NUMBER_FROM_0 = Argument(Text(vi="thứ tự, đếm từ 0", en="place, counted from 0"), ValueType.NUMBER)


def _codes(value: Value) -> str:
    if not isinstance(value, str):
        raise Refused(
            Text(vi="Giá trị này không phải mã lựa chọn.", en="This value is not a choice's code."),
            Text(
                vi="Viết mã trong nháy, ví dụ '0'; số thì so sánh bằng =.",
                en="Quote the code, as in '0'; compare a number with =.",
            ),
        )
    return value


def _selected(env: Environment, given: Given) -> bool:
    chosen, code = _codes(single(given[0])), _codes(single(given[1])).strip(JAVA_BLANKS)
    return f" {code} " in f" {chosen} "


def _chosen(value: Value) -> list[str]:
    return [code for code in _codes(value).split(" ") if code]


def _count_selected(env: Environment, given: Given) -> float:
    return float(len(_chosen(single(given[0]))))


def _selected_at(env: Environment, given: Given) -> str:
    chosen = _chosen(single(given[0]))
    place = clamp(whole_part(to_number(single(given[1]), env.now)))
    return chosen[place] if 0 <= place < len(chosen) else ""


def _indexed_repeat(env: Environment, given: Given) -> Value:
    column = given[0] if isinstance(given[0], tuple) else (given[0],)
    # Collect takes the first row for 0 and below, so that a new row is not an error.
    row = max(clamp(to_number(single(given[2]), env.now)), 1)
    return column[row - 1] if row <= len(column) else ""


_SELECTED = Function(
    name="selected",
    arguments=(_SELECT, _CODE),
    returns=ValueType.BOOLEAN,
    summary=Text(vi="Đúng nếu lựa chọn này được chọn.", en="True if the choice was chosen."),
    blank=Text(vi="Chưa trả lời là sai.", en="Not answered is false."),
    example="selected('tap well', 'tap')",
    call=_selected,
)

FUNCTIONS = (
    _SELECTED,
    Function(
        name="is-selected",
        arguments=_SELECTED.arguments,
        returns=ValueType.BOOLEAN,
        summary=Text(vi="Tên khác của selected().", en="Another name of selected()."),
        blank=_SELECTED.blank,
        example="is-selected('tap well', 'well')",
        call=_selected,
    ),
    Function(
        name="count-selected",
        arguments=(_SELECT,),
        returns=ValueType.NUMBER,
        summary=Text(vi="Số lựa chọn đã chọn.", en="The number of choices chosen."),
        blank=Text(vi="Chưa trả lời là 0.", en="Not answered is 0."),
        example="count-selected('tap well') = 2",
        call=_count_selected,
    ),
    Function(
        name="selected-at",
        arguments=(_SELECT, _NUMBER_FROM_0),
        returns=ValueType.TEXT,
        summary=Text(vi="Mã được chọn ở thứ tự này, đếm từ 0.", en="The code chosen at this place, counted from 0."),
        blank=Text(vi="Không có thì trống.", en="A blank where there is none."),
        example="selected-at('tap well', 1) = 'well'",
        call=_selected_at,
    ),
    Function(
        name="indexed-repeat",
        arguments=(
            Argument(Text(vi="câu hỏi trong phần lặp", en="question of the repeat"), takes=Takes.COLUMN),
            Argument(Text(vi="phần lặp", en="repeat"), takes=Takes.ROWS),
            Argument(Text(vi="lần lặp, đếm từ 1", en="row, counted from 1"), ValueType.NUMBER),
        ),
        returns=ValueType.ANY,
        same_type_as=(0,),
        may_be_blank=True,
        summary=Text(
            vi="Câu trả lời ở một lần lặp, đếm từ 1.", en="The answer in one row of a repeat, counted from 1."
        ),
        blank=Text(
            vi="Không có dòng đó, hoặc dòng đó trống, thì trống.",
            en="A blank where there is no such row, or the row is blank.",
        ),
        example="indexed-repeat(${cost}, ${visit}, 1) = ''",
        call=_indexed_repeat,
    ),
)
