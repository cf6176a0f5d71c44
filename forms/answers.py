"""Submission XML ↔ typed answers. What does not fit its form is a finding, never an exception."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lxml import etree

from forms.definition import Answer, AnswerFinding, Answers, Field, FormDefinition
from forms.misfits import misfits, wrong_type
from forms.readers import reader_of
from forms.sheets import Text
from forms.suggestions import did_you_mean
from forms.tree import Node, fit, flatten, tree_of
from forms.writing import write

__all__ = ["Given", "Malformed", "Submitted", "from_given", "parsed", "read", "write"]

_JR = "{http://openrosa.org/javarosa}"

#: Below `meta`, these belong to the envelope whether or not the form declares them: edits add deprecatedID.
_ENVELOPE = frozenset({"instanceID", "instanceName", "deprecatedID", "entity", "audit"})


class Malformed(ValueError):
    """XML that cannot be read at all, or must not be because it declares a document type."""

    def __init__(self, problem: Text) -> None:
        super().__init__(problem.en)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Submitted:
    """One submission: `nested` follows the form's JSON Schema, `answers` holds the same by path.

    What does not fit stays in `nested` as the text that was sent; `answers` holds only what has its field's type.
    `instance_id` and `version` are "" where the XML has none.
    """

    instance_id: str
    version: str
    nested: Mapping[str, Any]
    answers: Answers
    findings: tuple[AnswerFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """Answers that somebody wrote by hand, and what is wrong with them. Wrong ones are left out of `answers`."""

    answers: Answers
    problems: tuple[AnswerFinding, ...] = ()


def read(definition: FormDefinition, xml: bytes) -> Submitted:
    """Read a submission against its form. Raises Malformed for what is no XML, or declares a document type.

    Blank and absent are the same: no answer. Namespaces do not count, because tools differ in where they put `meta`.
    A submission of another version is read as far as it fits; what does not fit is then only a warning.
    """
    root = parsed(xml)
    found: list[AnswerFinding] = []
    tree = tree_of(definition)
    if root.get("encrypted") == "yes":
        return Submitted(_instance_id(root), root.get("version", ""), {}, {}, (_encrypted(),))
    nested = _group(tree, root, found)
    found = [*_about_envelope(definition, root), *found, *misfits(definition, nested)]
    if root.get("version", "") != definition.version:
        found = [_other_version(), *(replace(item, level="warning") for item in found)]
    return Submitted(_instance_id(root), root.get("version", ""), nested, dict(flatten(tree, nested)), tuple(found))


def parsed(xml: bytes) -> etree._Element:
    """The root element, read without entities, DTD, network or huge trees; raises Malformed."""
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(xml, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        text = Text("Bài gửi không phải XML đọc được.", "The submission is not readable XML.")
        raise Malformed(text) from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise Malformed(Text("Bài gửi khai báo DTD nên bị từ chối.", "The submission declares a document type."))
    return root


def _local(element: etree._Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _instance_id(root: etree._Element) -> str:
    for meta in root:
        if _local(meta) == "meta":
            for item in meta:
                if _local(item) == "instanceID":
                    return (item.text or "").strip()
    return root.get("instanceID", "")


def _about_envelope(definition: FormDefinition, root: etree._Element) -> Iterator[AnswerFinding]:
    if root.get("id", "") != definition.form_id:
        text = Text("Bài gửi thuộc một biểu mẫu khác.", "The submission belongs to another form.")
        yield AnswerFinding("answers.other-form", "error", "", text)
    if not _instance_id(root):
        text = Text("Bài gửi không có mã instanceID.", "The submission has no instanceID.")
        yield AnswerFinding("answers.no-instance-id", "error", "meta/instanceID", text)


def _encrypted() -> AnswerFinding:
    text = Text(
        "Bài gửi được mã hóa; không đọc được câu trả lời.", "The submission is encrypted; no answer can be read."
    )
    return AnswerFinding("answers.encrypted", "warning", "", text)


def _other_version() -> AnswerFinding:
    text = Text(
        "Bài gửi dùng phiên bản khác của biểu mẫu; chỉ đọc những phần còn khớp.",
        "The submission was made with another version of the form; it is read as far as it fits.",
    )
    return AnswerFinding("answers.other-version", "warning", "", text)


def _group(node: Node, element: etree._Element, found: list[AnswerFinding]) -> dict[str, Any]:
    """A group's elements as nested JSON; what the form does not know is kept, with a finding."""
    nested: dict[str, Any] = {}
    for child in element:
        name = _local(child)
        below = node.below.get(name)
        if below is None:
            _unknown(node.path, name, child, nested, found)
        elif below.leaf is not None:
            _answer(below.leaf, child, nested, found)
        elif not below.repeats:
            _once(nested, below.path, name, _group(below, child, found), found)
        elif child.get(f"{_JR}template") is None:
            nested.setdefault(name, []).append(_group(below, child, found))
    return nested


def _answer(item: Field, element: etree._Element, nested: dict[str, Any], found: list[AnswerFinding]) -> None:
    text = element.text if len(element) == 0 else "".join(str(part) for part in element.itertext())
    if text is None or not text.strip():
        return
    value = reader_of(item.type)(text)
    kept: Any = text if value is None else list(value) if isinstance(value, tuple) else value
    _once(nested, item.path, item.name, kept, found)


def _once(nested: dict[str, Any], path: str, name: str, value: Any, found: list[AnswerFinding]) -> None:
    """Keep a value; where one stands already the first counts, with a finding."""
    if name in nested:
        text = Text(f"'{path}' có hai lần; chỉ tính lần đầu.", f"'{path}' stands twice; the first one counts.")
        found.append(AnswerFinding("answers.twice", "error", path, text))
    elif value != {}:
        nested[name] = value


def _unknown(at: str, name: str, element: etree._Element, nested: dict[str, Any], found: list[AnswerFinding]) -> None:
    below_meta = at == "meta" or at.endswith("/meta")
    if below_meta and name in _ENVELOPE:
        return
    path = f"{at}/{name}" if at else name
    if name == "meta":
        for child in element:
            _unknown(path, _local(child), child, {}, found)
        return
    text = Text(f"Biểu mẫu không có '{path}'.", f"The form has no '{path}'.")
    found.append(AnswerFinding("answers.unknown-element", "warning", path, text))
    if kept := _raw(element):
        nested.setdefault(name, kept)


def _raw(element: etree._Element) -> Any:
    if len(element) == 0:
        return (element.text or "").strip()
    return {name: kept for child in element if (name := _local(child)) and (kept := _raw(child))}


def from_given(definition: FormDefinition, given: Mapping[str, object]) -> Given:
    """Answers as somebody writes them: {path or unique name: JSON value}. Null and "" are blanks.

    Inside a repeat a value is a list with a place for each row. Numbers and dates may be written as text; choices of a
    select_multiple as a list or with spaces between them. Unknown names, wrong types and choices that are not in the
    list are problems; the message says what was expected and never quotes the value.
    """
    answers: dict[str, Answer | list[Answer | None]] = {}
    problems: list[AnswerFinding] = []
    for key, value in given.items():
        item = definition.field(key)
        if item is None:
            problems.append(_no_such_field(definition, key))
        elif item.repeats:
            _take_column(item, value, answers, problems)
        elif value is not None and value != "":
            read_value = _given_value(item, value, problems)
            if read_value is not None:
                answers[item.path] = read_value
    return Given(answers, tuple(problems))


def _take_column(
    item: Field, value: object, answers: dict[str, Answer | list[Answer | None]], problems: list[AnswerFinding]
) -> None:
    if not isinstance(value, list):
        text = Text(
            f"'{item.path}' nằm trong nhóm lặp: cần một danh sách, mỗi dòng một giá trị.",
            f"'{item.path}' is in a repeat: give a list with one value for each row.",
        )
        problems.append(AnswerFinding("answers.type", "error", item.path, text))
        return
    answers[item.path] = [None if part is None or part == "" else _given_value(item, part, problems) for part in value]


def _given_value(item: Field, value: object, problems: list[AnswerFinding]) -> Answer | None:
    readable = reader_of(item.type)(value) if isinstance(value, str) else fit(item, value)
    if readable is None:
        problems.append(wrong_type(item))
        return None
    names = readable if isinstance(readable, tuple) else (readable,)
    if item.choices is not None and not {choice.name for choice in item.choices}.issuperset(names):
        problems.append(_no_such_choice(item, names))
        return None
    return readable


def _no_such_choice(item: Field, names: Iterable[object]) -> AnswerFinding:
    known = [choice.name for choice in item.choices or ()]
    wrong = next(str(name) for name in names if name not in known)
    listed = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    cure = did_you_mean(wrong, known, Text(f"Các lựa chọn: {listed}.", f"The choices are {listed}."))
    text = Text(
        f"'{item.path}': lựa chọn không có trong danh sách. {cure.vi}",
        f"'{item.path}': this choice is not in its list. {cure.en}",
    )
    return AnswerFinding("answers.choice", "error", item.path, text)


def _no_such_field(definition: FormDefinition, key: str) -> AnswerFinding:
    named = definition.by_name.get(key, ())
    if named:
        paths = ", ".join(item.path for item in named)
        cure = Text(f"Tên này có ở nhiều nơi; hãy viết đủ: {paths}.", f"Several fields have this name; write {paths}.")
    else:
        known = (*definition.by_path, *definition.by_name)
        cure = did_you_mean(key, known, Text("Xem tên ở cột name.", "See the names in the column name."))
    text = Text(
        f"Biểu mẫu {definition.form_id} không có trường '{key}'. {cure.vi}",
        f"The form {definition.form_id} has no field '{key}'. {cure.en}",
    )
    return AnswerFinding("answers.unknown-name", "error", key, text)
