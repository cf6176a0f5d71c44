"""Typed answers → submission XML as Collect writes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from lxml import etree

from forms.definition import Answer, Answers, Field, FormDefinition
from forms.fill import Filling
from forms.tree import Node, tree_of

#: The prefixes that Collect declares on every submission.
_NAMESPACES = {
    "ev": "http://www.w3.org/2001/xml-events",
    "orx": "http://openrosa.org/xforms",
    "odk": "http://www.opendatakit.org/xforms",
    "h": "http://www.w3.org/1999/xhtml",
    "xsd": "http://www.w3.org/2001/XMLSchema",
    "jr": "http://openrosa.org/javarosa",
}


def write(
    definition: FormDefinition,
    answers: Answers,
    *,
    instance_id: str,
    extra_meta: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> bytes:
    """A submission that holds these answers: every node that applies, in the form's order, blank ones empty.

    `answers` is a filled form (see `forms.fill`). `extra_meta` goes into `meta` beside instanceID, such as
    deprecatedID. `now` serves conditions that ask for the time; by default it is the submission's own `end`. Entity
    blocks and the rows of repeats inside repeats are not written.
    """
    writer = _Writer(definition, answers, now or _own_time(definition, answers))
    root = etree.Element(definition.root, nsmap=_NAMESPACES)
    root.set("id", definition.form_id)
    root.set("version", definition.version)
    writer.write_group(root, tree_of(definition), None)
    meta = root.find("meta")
    if meta is None:
        meta = etree.SubElement(root, "meta")
    for name, text in {**(extra_meta or {}), "instanceID": instance_id}.items():
        element = meta.find(name)
        (etree.SubElement(meta, name) if element is None else element).text = text
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _own_time(definition: FormDefinition, answers: Answers) -> datetime:
    ends = (answers.get(field.path) for field in definition.fields if field.preload == "timestamp/end")
    text = next((item for item in ends if isinstance(item, str)), "1970-01-01T00:00:00+00:00")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Writer:
    def __init__(self, definition: FormDefinition, answers: Answers, now: datetime) -> None:
        self._answers = answers
        self._filling = Filling(definition, answers, now)

    def write_group(self, element: etree._Element, node: Node, place: int | None) -> None:
        for name, below in node.below.items():
            if below.repeats:
                if place is None:
                    self._write_rows(element, name, below)
            elif self._filling.applies(below.path, place):
                child = etree.SubElement(element, name)
                if below.leaf is not None:
                    child.text = self._text(below.leaf, place)
                else:
                    self.write_group(child, below, place)

    def _write_rows(self, element: etree._Element, name: str, node: Node) -> None:
        for place in range(self._filling.rows(node.path)):
            self.write_group(etree.SubElement(element, name), node, place)

    def _text(self, field: Field, place: int | None) -> str | None:
        answer = self._answers.get(field.path)
        if isinstance(answer, list):
            answer = answer[place] if place is not None and place < len(answer) else None
        return None if answer is None else _written(field, answer)


def _written(field: Field, answer: Answer) -> str:
    if isinstance(answer, bool):
        return "1" if answer else "0"
    if isinstance(answer, tuple):
        return " ".join(answer)
    if isinstance(answer, float) and field.stored_as == "string" and answer.is_integer():
        return str(int(answer))
    return str(answer)
