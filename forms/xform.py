"""XForm XML → FormDefinition: the form as phones see it, whatever tool wrote it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from lxml import etree

from forms.definition import Choice, Field, FieldType, FormDefinition, Group
from forms.inference import inferred
from forms.schema import schema_of

_XF = "{http://www.w3.org/2002/xforms}"
_H = "{http://www.w3.org/1999/xhtml}"
_JR = "{http://openrosa.org/javarosa}"
_ODK = "{http://www.opendatakit.org/xforms}"
_ENTITIES = "{http://www.opendatakit.org/xforms/entities}"

#: What the phone fills in without a question has no control; these have.
_CONTROLS = frozenset({"input", "select", "select1", "upload", "trigger", "range", "rank", "secret"})

_BY_BIND = {
    "int": FieldType.INTEGER,
    "integer": FieldType.INTEGER,
    "decimal": FieldType.DECIMAL,
    "boolean": FieldType.BOOLEAN,
    "date": FieldType.DATE,
    "time": FieldType.TIME,
    "dateTime": FieldType.DATETIME,
    "geopoint": FieldType.GEOPOINT,
    "geotrace": FieldType.GEOTRACE,
    "geoshape": FieldType.GEOSHAPE,
    "barcode": FieldType.BARCODE,
    "binary": FieldType.FILE,
    "rank": FieldType.RANK,
    "select": FieldType.SELECT_MULTIPLE,
    "select1": FieldType.SELECT_ONE,
}

_BY_CONTROL = {
    "select1": FieldType.SELECT_ONE,
    "select": FieldType.SELECT_MULTIPLE,
    "rank": FieldType.RANK,
    "trigger": FieldType.ACKNOWLEDGE,
    "upload": FieldType.FILE,
}

#: Where a phone asks the server for a file; `instance/last-saved` stays on the phone.
_MEDIA = re.compile(r"jr://(?:file|file-csv|images|audio|video)/(.+)")
_SEARCH = re.compile(r"search\(\s*['\"]([^'\"]+)['\"]")

#: A file name that every phone can store: no folder, no drive, no address.
PLAIN_NAME = re.compile(r"\w[\w .()+-]*\.[A-Za-z0-9]{1,8}")

_CHOICE_LIST = re.compile(r"instance\('([^']+)'\)/root/item")


class UnreadableXForm(ValueError):
    """The XML is not a form: not well-formed, or without the parts that every form has."""


def definition_from_xform(xform: bytes, rows: Mapping[str, int] | None = None) -> FormDefinition:
    """Read a compiled form. `rows` gives the row in the workbook's sheet `survey` by path; raises UnreadableXForm."""
    form = _Form(_parsed(xform), rows or {})
    groups = form.groups()
    draft = FormDefinition(
        form_id=form.instance.get("id", ""),
        version=form.instance.get("version", ""),
        title=form.title,
        root=_local(form.instance),
        languages=form.languages,
        default_language=form.default_language,
        xform=xform,
        md5=hashlib.md5(xform, usedforsecurity=False).hexdigest(),
        content_hash=hashlib.sha256(xform).hexdigest(),
        fields=inferred(form.fields(), groups, _local(form.instance)),
        groups=groups,
        media=form.media(),
        entity_lists=form.entity_lists(),
        schema={},
    )
    return replace(draft, schema=schema_of(draft))


def _parsed(xform: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        return etree.fromstring(xform, parser)
    except etree.XMLSyntaxError as error:
        raise UnreadableXForm(str(error)) from error


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname


@dataclass(frozen=True)
class _Form:
    """The parts of an XForm, each looked up when it is first asked for."""

    tree: etree._Element
    rows: Mapping[str, int]

    @cached_property
    def model(self) -> etree._Element:
        model = self.tree.find(f"{_H}head/{_XF}model")
        if model is None:
            raise UnreadableXForm("the form has no model")
        return model

    @cached_property
    def title(self) -> str:
        return (self.tree.findtext(f"{_H}head/{_H}title") or "").strip()

    @cached_property
    def instance(self) -> etree._Element:
        first = self.model.find(f"{_XF}instance")
        if first is None or len(first) == 0:
            raise UnreadableXForm("the form has no instance")
        return first[0]

    @cached_property
    def binds(self) -> Mapping[str, etree._Element]:
        return {self.path(item.get("nodeset", "")): item for item in self.model.iterfind(f"{_XF}bind")}

    @cached_property
    def controls(self) -> Mapping[str, etree._Element]:
        """Questions of the body by path; a question that stands twice counts as it stands first."""
        found: dict[str, etree._Element] = {}
        for item in self._body():
            if _local(item) in _CONTROLS and (ref := item.get("ref")):
                found.setdefault(self.path(ref), item)
        return found

    @cached_property
    def containers(self) -> Mapping[str, etree._Element]:
        return {
            self.path(item.get("ref", "")): item for item in self._body() if _local(item) == "group" and item.get("ref")
        }

    @cached_property
    def repeats(self) -> frozenset[str]:
        return frozenset(self.path(item.get("nodeset", "")) for item in self._body() if _local(item) == "repeat")

    @cached_property
    def first_loads(self) -> Mapping[str, str]:
        """Defaults that the phone works out when it opens a form or a new row."""
        wanted = {"odk-instance-first-load", "odk-new-repeat"}
        return {
            self.path(item.get("ref", "")): (item.get("value") or "").strip()
            for item in self.tree.iter(f"{_XF}setvalue")
            if wanted & set((item.get("event") or "").split())
        }

    @cached_property
    def triggered(self) -> Mapping[str, tuple[str, tuple[str, ...]]]:
        """By path: what is stored when an answer changes, and the questions whose answers they are."""
        found: dict[str, tuple[str, tuple[str, ...]]] = {}
        for item in self._body():
            if _local(item) == "setvalue" and "xforms-value-changed" in (item.get("event") or ""):
                parent = item.getparent()
                trigger = self.path(parent.get("ref", "")) if parent is not None else ""
                path = self.path(item.get("ref", ""))
                known = found.get(path, ("", ()))[1]
                found[path] = ((item.get("value") or "").strip(), (*known, trigger))
        return found

    @cached_property
    def texts(self) -> Mapping[str, Mapping[str, str]]:
        """Labels, hints and messages by id, then by language."""
        found: dict[str, dict[str, str]] = {}
        for translation in self.model.iterfind(f"{_XF}itext/{_XF}translation"):
            language = _language(translation)
            for text in translation.iterfind(f"{_XF}text"):
                value = next((item for item in text.iterfind(f"{_XF}value") if not item.get("form")), None)
                # pyxform writes a dash where a translation is missing.
                if value is not None and (words := _words(value)) and words != "-":
                    found.setdefault(text.get("id", ""), {})[language] = words
        return found

    @cached_property
    def languages(self) -> tuple[str, ...]:
        named = tuple(_language(item) for item in self.model.iterfind(f"{_XF}itext/{_XF}translation"))
        return named or ("",)

    @cached_property
    def default_language(self) -> str:
        for item in self.model.iterfind(f"{_XF}itext/{_XF}translation"):
            if item.get("default"):
                return _language(item)
        return self.languages[0]

    def path(self, ref: str) -> str:
        """`/data/grp/name` → `grp/name`."""
        return ref.strip().partition(f"/{_local(self.instance)}/")[2]

    def fields(self) -> tuple[Field, ...]:
        return tuple(self._field(path, node, repeats) for path, node, repeats in self._leaves())

    def groups(self) -> tuple[Group, ...]:
        found = []
        for path, node in self._nodes(self.instance, ""):
            if not self._is_leaf(path, node) and not _in_meta(path):
                labels = self._labels(self.containers.get(path), "label")
                relevant = self._bind(path, "relevant")
                found.append(Group(path, labels, relevant, path in self.repeats, self.rows.get(path)))
        return tuple(found)

    def media(self) -> tuple[str, ...]:
        """Files that a phone fetches with the form. Names with a folder or an address are left out: see the gate."""
        sources = [item.get("src", "") for item in self.model.iterfind(f"{_XF}instance")]
        sources += [(item.text or "").strip() for item in self.model.iter(f"{_XF}value")]
        sources += [(item.text or "").strip() for item in self.instance.iter() if isinstance(item.tag, str)]
        named = [found[1] for item in sources if (found := _MEDIA.fullmatch(item))]
        for control in self.controls.values():
            named += [f"{item.removesuffix('.csv')}.csv" for item in _SEARCH.findall(control.get("appearance") or "")]
        return tuple(dict.fromkeys(item for item in named if PLAIN_NAME.fullmatch(item)))

    def entity_lists(self) -> tuple[str, ...]:
        """The entity lists that a submission writes to."""
        datasets = [item.get("dataset") for item in self.instance.iter() if _is_entity(item)]
        return tuple(dict.fromkeys(item for item in datasets if item))

    def _body(self) -> list[etree._Element]:
        body = self.tree.find(f"{_H}body")
        return [item for item in body.iter() if isinstance(item.tag, str)] if body is not None else []

    def _leaves(self) -> list[tuple[str, etree._Element, tuple[str, ...]]]:
        return [
            (path, node, tuple(item for item in self._ancestors(path) if item in self.repeats))
            for path, node in self._nodes(self.instance, "")
            if self._is_leaf(path, node)
        ]

    def _nodes(self, parent: etree._Element, at: str) -> list[tuple[str, etree._Element]]:
        """Every node once, in document order: of a repeat its first copy only, of entity blocks nothing."""
        found: list[tuple[str, etree._Element]] = []
        seen = set()
        for child in parent:
            path = f"{at}/{_local(child)}" if at else _local(child)
            if path in seen or _is_entity(child):
                continue
            seen.add(path)
            found.append((path, child))
            found += self._nodes(child, path)
        return found

    def _is_leaf(self, path: str, node: etree._Element) -> bool:
        return len(node) == 0 and path not in self.containers and path not in self.repeats and path != "meta"

    def _ancestors(self, path: str) -> list[str]:
        parts = path.split("/")
        return ["/".join(parts[:count]) for count in range(1, len(parts))]

    def _field(self, path: str, node: etree._Element, repeats: tuple[str, ...]) -> Field:
        control = self.controls.get(path)
        preload = self._bind(path, f"{_JR}preload")
        triggered, triggers = self.triggered.get(path, ("", ()))
        return Field(
            path=path,
            name=_local(node),
            type=self._type(path, control),
            labels=self._labels(control, "label"),
            hints=self._labels(control, "hint"),
            choices=self._choices(control),
            required=self._bind(path, "required"),
            relevant=self._bind(path, "relevant"),
            constraint=self._bind(path, "constraint"),
            constraint_messages=self._message(self._bind(path, f"{_JR}constraintMsg")),
            calculation=self._bind(path, "calculate"),
            default=(node.text or "").strip(),
            first_load=self.first_loads.get(path, ""),
            triggered=triggered,
            triggers=triggers,
            read_only=self._bind(path, "readonly") == "true()",
            asked=control is not None,
            stored_as=self._stored_as(path),
            preload=f"{preload}/{self._bind(path, f'{_JR}preloadParams')}" if preload else "",
            repeats=repeats,
            save_to=self._bind(path, f"{_ENTITIES}saveto"),
            row=self.rows.get(path),
        )

    def _bind(self, path: str, name: str) -> str:
        bind = self.binds.get(path)
        return (bind.get(name) or "").strip() if bind is not None else ""

    def _stored_as(self, path: str) -> str:
        return self._bind(path, "type").rpartition(":")[2] or "string"

    def _type(self, path: str, control: etree._Element | None) -> FieldType:
        kind = _local(control) if control is not None else ""
        if kind in _BY_CONTROL:
            return _BY_CONTROL[kind]
        by_bind = _BY_BIND.get(self._stored_as(path), FieldType.TEXT)
        only_shown = by_bind is FieldType.TEXT and kind == "input" and not self._bind(path, "calculate")
        return FieldType.NOTE if only_shown and self._bind(path, "readonly") == "true()" else by_bind

    def _labels(self, control: etree._Element | None, name: str) -> Mapping[str, str]:
        element = control.find(f"{_XF}{name}") if control is not None else None
        return self._said(element) if element is not None else {}

    def _said(self, element: etree._Element) -> Mapping[str, str]:
        """The words of a label: by reference to the translations, or as they stand."""
        ref = re.fullmatch(r"jr:itext\('(.+)'\)", (element.get("ref") or "").strip())
        if ref:
            return self.texts.get(ref[1], {})
        words = _words(element)
        return dict.fromkeys(self.languages, words) if words else {}

    def _message(self, written: str) -> Mapping[str, str]:
        ref = re.fullmatch(r"jr:itext\('(.+)'\)", written)
        if ref:
            return self.texts.get(ref[1], {})
        return dict.fromkeys(self.languages, written) if written else {}

    def _choices(self, control: etree._Element | None) -> tuple[Choice, ...] | None:
        """The closed list of a choice question; None where the list comes from a file, a search or a repeat."""
        if control is None or _local(control) not in {"select", "select1", "rank"}:
            return None
        if "search(" in (control.get("appearance") or ""):
            return None
        itemset = control.find(f"{_XF}itemset")
        if itemset is None:
            return tuple(self._choice(item, "value", "label") for item in control.iterfind(f"{_XF}item"))
        source = _CHOICE_LIST.search(itemset.get("nodeset", ""))
        instance = self.lists.get(source[1]) if source else None
        if instance is None:
            return None
        value, label = (self._column(itemset, name) for name in ("value", "label"))
        return tuple(self._choice(item, value, label) for item in instance.iterfind(f"{_XF}item"))

    @cached_property
    def lists(self) -> Mapping[str, etree._Element]:
        """The lists that stand in the form itself, by name."""
        return {
            item.get("id", ""): item[0]
            for item in self.model.iterfind(f"{_XF}instance")
            if item.get("id") and not item.get("src") and len(item)
        }

    def _column(self, itemset: etree._Element, part: str) -> str:
        """The column of a list that holds the stored value or the label; `jr:itext(itextId)` → `itextId`."""
        element = itemset.find(f"{_XF}{part}")
        ref = (element.get("ref") or "").strip() if element is not None else ""
        return ref.removeprefix("jr:itext(").removesuffix(")").strip() or part

    def _choice(self, item: etree._Element, value: str, label: str) -> Choice:
        name = (item.findtext(f"{_XF}{value}") or "").strip()
        element = item.find(f"{_XF}{label}")
        if element is None:
            return Choice(name, {})
        return Choice(name, self.texts.get((element.text or "").strip()) or self._said(element))


def _language(translation: etree._Element) -> str:
    """The name of a language; pyxform calls the one that has no name `default`."""
    name = translation.get("lang", "")
    return "" if name == "default" else name


def _words(element: etree._Element) -> str:
    """The text of a label; where it shows another answer, that stands as `${name}`."""
    parts = [element.text or ""]
    for child in element:
        if _local(child) == "output":
            parts.append(_shown(child.get("value") or child.get("ref") or ""))
        parts.append(child.tail or "")
    return "".join(parts).strip()


def _shown(expression: str) -> str:
    path = expression.strip()
    return f"${{{path.rpartition('/')[2]}}}" if re.fullmatch(r"[\w./-]+", path) else "…"


def _in_meta(path: str) -> bool:
    return path == "meta" or path.startswith("meta/") or path.endswith("/meta") or "/meta/" in path


def _is_entity(element: etree._Element) -> bool:
    parent = element.getparent()
    return (
        isinstance(element.tag, str)
        and _local(element) == "entity"
        and parent is not None
        and isinstance(parent.tag, str)
        and _local(parent) == "meta"
    )
