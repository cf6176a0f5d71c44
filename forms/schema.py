"""JSON Schema (draft 2020-12) of a form's submissions, and validators that are built once.

The typed JSON follows the form: a group is an object, a repeat an array of objects, select_multiple and rank arrays of
choice names. What is blank or does not apply is absent, never null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from forms.definition import Field, FieldType, FormDefinition
from forms.once import OncePerForm

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
_POINT = rf"{_NUMBER} {_NUMBER}(?: {_NUMBER}){{0,2}}"
_ZONE = r"(?:Z|[+-]\d{2}:\d{2})"

#: What each type of answer is in JSON, before its choices and bounds.
_TYPES: Mapping[FieldType, Mapping[str, Any]] = {
    FieldType.INTEGER: {"type": "integer"},
    FieldType.DECIMAL: {"type": "number"},
    FieldType.BOOLEAN: {"type": "boolean"},
    FieldType.DATE: {"type": "string", "format": "date"},
    FieldType.TIME: {"type": "string", "pattern": rf"^\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d+)?)?{_ZONE}?$"},
    FieldType.DATETIME: {"type": "string", "format": "date-time"},
    FieldType.GEOPOINT: {"type": "string", "pattern": f"^{_POINT}$"},
    FieldType.GEOTRACE: {"type": "string", "pattern": f"^{_POINT}(?:; ?{_POINT})*;? ?$"},
    FieldType.GEOSHAPE: {"type": "string", "pattern": f"^{_POINT}(?:; ?{_POINT})*;? ?$"},
    FieldType.FILE: {"type": "string", "pattern": r"^[^/\\]+$"},
    FieldType.ACKNOWLEDGE: {"enum": ["OK"]},
}

_BOUND = re.compile(rf"^\.\s*(<=|>=|<|>)\s*({_NUMBER})$")
_BOUNDS = {">=": "minimum", "<=": "maximum", ">": "exclusiveMinimum", "<": "exclusiveMaximum"}


def schema_of(definition: FormDefinition) -> dict[str, Any]:
    """The schema of this form's submissions. Deterministic: the same form gives the same schema."""
    root = _Object(definition)
    for field in definition.fields:
        root.add(field)
    return {
        "$schema": DIALECT,
        "$id": f"urn:sha256:{definition.content_hash}",
        "title": definition.title or definition.form_id,
        **root.schema(),
    }


def _make_validator(definition: FormDefinition) -> Draft202012Validator:
    # Without a checker, jsonschema passes over `format`.
    return Draft202012Validator(dict(definition.schema), format_checker=Draft202012Validator.FORMAT_CHECKER)


_validators = OncePerForm(_make_validator)


def validator(definition: FormDefinition) -> Draft202012Validator:
    """The form's validator, built once: building one takes longer than hundreds of uses."""
    return _validators(definition)


class _Object:
    """A group, a row of a repeat, or the form itself, while its schema grows."""

    def __init__(self, definition: FormDefinition, path: str = "", *, certain: bool = True) -> None:
        self._definition = definition
        self._path = path
        self._certain = certain
        self._properties: dict[str, dict[str, Any] | _Object] = {}
        self._required: list[str] = []
        self._repeats = any(item.path == path and item.repeats for item in definition.groups) if path else False

    def add(self, field: Field) -> None:
        rest = field.path[len(self._path) :].lstrip("/")
        name, _, below = rest.partition("/")
        if below:
            self._child(name).add(field)
            return
        self._properties[name] = _property(field)
        if self._certain and field.asked and field.required == "true()" and not field.relevant:
            self._required.append(name)

    def _child(self, name: str) -> _Object:
        existing = self._properties.get(name)
        if isinstance(existing, _Object):
            return existing
        path = f"{self._path}/{name}" if self._path else name
        group = next((item for item in self._definition.groups if item.path == path), None)
        always = group is None or not group.relevant
        # Inside a group that may not apply, Collect's "required" cannot be told from "does not apply".
        child = _Object(self._definition, path, certain=always and self._certain)
        self._properties[name] = child
        return child

    def schema(self) -> dict[str, Any]:
        properties = {}
        required = list(self._required)
        for name, item in self._properties.items():
            properties[name] = item.schema() if isinstance(item, _Object) else item
            if isinstance(item, _Object) and item.must_be_there():
                required.append(name)
        found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            found["required"] = required
        return {"type": "array", "items": found, "minItems": 1} if self._repeats else found

    def must_be_there(self) -> bool:
        """True where a required question makes the group required too: an empty group is absent."""
        below = any(isinstance(item, _Object) and item.must_be_there() for item in self._properties.values())
        return not self._repeats and (bool(self._required) or below)


def _property(field: Field) -> dict[str, Any]:
    names = [choice.name for choice in field.choices] if field.choices is not None else None
    if field.type in {FieldType.SELECT_MULTIPLE, FieldType.RANK}:
        items: dict[str, Any] = {"type": "string"} if names is None else {"enum": list(dict.fromkeys(names))}
        return {"type": "array", "items": items, "minItems": 1}
    if field.type is FieldType.SELECT_ONE and names is not None:
        return {"enum": list(dict.fromkeys(names))}
    return {**_TYPES.get(field.type, {"type": "string"}), **_bounds(field)}


def _bounds(field: Field) -> dict[str, float]:
    """`. >= 0 and . <= 10` as minimum and maximum; any other constraint is left to the phone."""
    if field.type not in {FieldType.INTEGER, FieldType.DECIMAL} or not field.constraint:
        return {}
    found: dict[str, float] = {}
    for part in re.split(r"\s+and\s+", field.constraint.strip()):
        bound = _BOUND.match(part.strip().removeprefix("(").removesuffix(")").strip())
        if bound is None:
            return {}
        number = float(bound[2])
        found[_BOUNDS[bound[1]]] = int(number) if number.is_integer() else number
    return found
