"""The catalogue: every function of the language, and what is said about those that are not in it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from forms.expressions import functions_choices, functions_dates, functions_logic, functions_numbers, functions_text
from forms.expressions.complaints import LOOK_UP_TABLES
from forms.expressions.signatures import Function
from forms.sheets import Text

CATALOGUE: Mapping[str, Function] = MappingProxyType(
    {
        function.name: function
        for room in (functions_logic, functions_numbers, functions_choices, functions_text, functions_dates)
        for function in room.FUNCTIONS
    }
)
"""Functions by name, in the order of the reference."""

_LABELS = Text(
    vi="So sánh mã của lựa chọn: ${cau_hoi} = 'ma'. Nhãn được hiển thị tự động ở phần lý do.",
    en="Compare the choice's code: ${question} = 'code'. Reasons show the label by themselves.",
)
_CHANCE = Text(
    vi="Cùng câu trả lời phải luôn cho cùng kết quả; đưa giá trị ngẫu nhiên vào một calculate của biểu mẫu.",
    en="Equal answers must give equal results; keep a random value in a calculate of the form.",
)
_LETTERS = Text(
    vi="Collect không có hàm này. Dùng translate(${t}, 'ABC…', 'abc…').",
    en="Collect does not have it. Use translate(${t}, 'ABC…', 'abc…').",
)
_PHONE = Text(
    vi="Chỉ điện thoại biết giá trị này. Đưa nó vào một calculate của biểu mẫu.",
    en="Only the phone knows this. Bring the value into a calculate of the form.",
)
_POSITION = Text(
    vi="Dùng indexed-repeat(${cau_hoi}, ${phan_lap}, 1) hoặc count(${phan_lap}).",
    en="Use indexed-repeat(${question}, ${repeat}, 1) or count(${repeat}).",
)
_DAYS = Text(
    vi="Trừ hai ngày để có số ngày: ${sau} - ${truoc}; số tháng là int((${sau} - ${truoc}) div 30.4375).",
    en="Subtract two dates for days: ${later} - ${earlier}; months are int((${later} - ${earlier}) div 30.4375).",
)
_BLANKS = Text(vi="Viết ${cau_hoi} = ''.", en="Write ${question} = ''.")
_SUBSTR = Text(vi="Dùng substr(${t}, 0, 3).", en="Use substr(${t}, 0, 3).")
_LENGTH = Text(vi="Dùng string-length(${t}).", en="Use string-length(${t}).")
_ELSEWHERE = Text(vi="Tính giá trị này trong một calculate của biểu mẫu.", en="Compute it in a calculate of the form.")

#: Functions that authors look for: those of Collect that cannot be had here, and those of Excel and other engines.
NOT_HERE: Mapping[str, Text] = MappingProxyType(
    {
        "jr:choice-name": _LABELS,
        "choice-label": _LABELS,
        "jr:itext": _LABELS,
        "instance": LOOK_UP_TABLES,
        "pulldata": LOOK_UP_TABLES,
        "lookup": LOOK_UP_TABLES,
        "vlookup": LOOK_UP_TABLES,
        "random": _CHANCE,
        "randomize": _CHANCE,
        "uuid": _CHANCE,
        "lower-case": _LETTERS,
        "upper-case": _LETTERS,
        "lower": _LETTERS,
        "upper": _LETTERS,
        "property": _PHONE,
        "version": _PHONE,
        "position": _POSITION,
        "difference-in-months": _DAYS,
        "datedif": _DAYS,
        "isblank": _BLANKS,
        "is-empty": _BLANKS,
        "left": _SUBSTR,
        "right": _SUBSTR,
        "mid": _SUBSTR,
        "len": _LENGTH,
        "length": _LENGTH,
        "checklist": _ELSEWHERE,
        "weighted-checklist": _ELSEWHERE,
        "area": _ELSEWHERE,
        "enclosed-area": _ELSEWHERE,
        "distance": _ELSEWHERE,
        "geofence": _ELSEWHERE,
        "digest": _ELSEWHERE,
        "base64-decode": _ELSEWHERE,
        "extract-signed": _ELSEWHERE,
    }
)
