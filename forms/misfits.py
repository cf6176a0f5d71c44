"""What JSON Schema finds in a submission, in plain sentences that never quote an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jsonschema.exceptions import ValidationError

from forms.definition import AnswerFinding, Field, FieldType, FormDefinition
from forms.schema import validator
from forms.sheets import Text

_KINDS: Mapping[FieldType, Text] = {
    FieldType.INTEGER: Text("số nguyên", "a whole number"),
    FieldType.DECIMAL: Text("số", "a number"),
    FieldType.BOOLEAN: Text("đúng/sai", "true or false"),
    FieldType.DATE: Text("ngày có thật (năm-tháng-ngày)", "an existing date (year-month-day)"),
    FieldType.TIME: Text("giờ", "a time of day"),
    FieldType.DATETIME: Text("ngày giờ kèm múi giờ", "a date and time with its zone"),
    FieldType.GEOPOINT: Text("tọa độ", "coordinates"),
    FieldType.GEOTRACE: Text("chuỗi tọa độ", "a list of coordinates"),
    FieldType.GEOSHAPE: Text("chuỗi tọa độ", "a list of coordinates"),
    FieldType.FILE: Text("tên tệp", "a file name"),
    FieldType.ACKNOWLEDGE: Text("OK", "OK"),
    FieldType.SELECT_MULTIPLE: Text("danh sách lựa chọn", "a list of choices"),
    FieldType.RANK: Text("danh sách lựa chọn", "a list of choices"),
}
_TEXT = Text("chữ", "text")


def misfits(definition: FormDefinition, nested: Mapping[str, Any]) -> Iterator[AnswerFinding]:
    """Everything in the submission that does not fit the form's schema. Unknown elements are the reader's to report."""
    for error in validator(definition).iter_errors(nested):
        yield from _translated(definition, error)


def _translated(definition: FormDefinition, error: ValidationError) -> Iterable[AnswerFinding]:
    keyword = str(error.validator)
    if keyword == "additionalProperties":
        return
    path, row = _place(error.absolute_path, about_row=keyword == "required")
    if keyword == "required":
        for name in _lacking(error):
            yield from _missing(definition, f"{path}/{name}".lstrip("/"), row)
        return
    field = definition.by_path.get(path)
    if field is None:
        text = Text(f"'{path}' không đúng cấu trúc của biểu mẫu.", f"'{path}' does not have the form's structure.")
        yield AnswerFinding("answers.structure", "error", path, text)
        return
    yield finding(field, *_sentence(keyword, field, error), row=row)


def _place(parts: Iterable[str | int], *, about_row: bool) -> tuple[str, int | None]:
    """JSON's path without the places in lists, and the row of the innermost repeat, counted from 1.

    A number that a name follows is a row; one at the end is a row too if the finding is `about_row`, else it is a
    place among chosen codes.
    """
    names: list[str] = []
    row = None
    pending: int | None = None
    for part in parts:
        if isinstance(part, int):
            pending = part + 1
        else:
            row, pending = (pending if pending is not None else row), None
            names.append(part)
    return "/".join(names), pending if about_row and pending is not None else row


def _lacking(error: ValidationError) -> list[str]:
    present = error.instance if isinstance(error.instance, Mapping) else {}
    required = error.validator_value if isinstance(error.validator_value, list) else []
    # jsonschema reports each name by itself; the message alone says which.
    return [name for name in required if name not in present and error.message.startswith(repr(name))]


def _missing(definition: FormDefinition, path: str, row: int | None) -> Iterable[AnswerFinding]:
    field = definition.by_path.get(path)
    for item in [field] if field is not None else _certain_below(definition, path):
        text = Text("là câu bắt buộc nhưng chưa trả lời", "is required and has no answer")
        yield finding(item, "answers.required", text, row=row)


def _certain_below(definition: FormDefinition, path: str) -> list[Field]:
    """The questions of an absent group that had to be answered whatever else was."""
    doubtful = tuple(f"{item.path}/" for item in definition.groups if item.relevant or item.repeats)
    return [
        item
        for item in definition.fields
        if item.path.startswith(f"{path}/") and not item.path.startswith(doubtful)
        if item.asked and item.required == "true()" and not item.relevant
    ]


def _sentence(keyword: str, field: Field, error: ValidationError) -> tuple[str, Text]:
    say = _SENTENCES.get(keyword)
    if say is not None:
        return say(error)
    kind = _KINDS.get(field.type, _TEXT)
    return "answers.type", Text(f"không phải {kind.vi}", f"is not {kind.en}")


def wrong_type(field: Field) -> AnswerFinding:
    """The finding for an answer that does not have its field's type."""
    kind = _KINDS.get(field.type, _TEXT)
    return finding(field, "answers.type", Text(f"phải là {kind.vi}", f"must be {kind.en}"))


def _bound(vi: str, en: str) -> Callable[[ValidationError], tuple[str, Text]]:
    return lambda error: (
        "answers.out-of-range",
        Text(f"phải {vi} {error.validator_value}", f"must be {en} {error.validator_value}"),
    )


_NOT_A_CHOICE = (
    "answers.choice",
    Text("có lựa chọn không nằm trong danh sách", "has a choice that is not in its list"),
)

_SENTENCES: Mapping[str, Callable[[ValidationError], tuple[str, Text]]] = {
    "enum": lambda error: _NOT_A_CHOICE,
    "minimum": _bound("từ", "at least"),
    "maximum": _bound("không quá", "at most"),
    "exclusiveMinimum": _bound("lớn hơn", "more than"),
    "exclusiveMaximum": _bound("nhỏ hơn", "less than"),
}


def finding(field: Field, code: str, what: Text, *, row: int | None = None, level: str = "error") -> AnswerFinding:
    """A finding about one field; inside a repeat it names the row.

    The type of a calculate is our own inference, so one that does not fit is only a warning.
    """
    if field.calculation and not field.asked:
        level = "warning"
    vi = f" (dòng lặp {row})" if row else ""
    en = f" (row {row} of the repeat)" if row else ""
    return AnswerFinding(
        code, level, field.path, Text(f"'{field.path}'{vi} {what.vi}.", f"'{field.path}'{en} {what.en}.")
    )
