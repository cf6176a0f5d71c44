"""Where a field's name is found: in each form, in each version that is still accepted, and in old answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from forms.definition import Answer, Answers, Field, FieldType, FormDefinition
from forms.expressions.values import Nodeset, Value, ValueType, from_answer, type_of_field

_LANGUAGE_CODE = re.compile(r"\(([A-Za-z-]+)\)\s*$")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Place:
    """A field of a form: its path and type, as one version has it."""

    path: str
    type: FieldType


@dataclass(frozen=True)
class Fields:
    """The fields of all forms that are accepted. Of one form's versions the first given is the newest.

    A name is looked up in every version: late submissions of an older one find their answers where that one had them.
    """

    forms: tuple[FormDefinition, ...] = ()
    _places: dict[tuple[str, str], tuple[Place, ...]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def versions(self) -> Mapping[str, tuple[FormDefinition, ...]]:
        """Per form id, newest first."""
        found: dict[str, tuple[FormDefinition, ...]] = {}
        for form in self.forms:
            found[form.form_id] = (*found.get(form.form_id, ()), form)
        return found

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({item.name for form in self.forms for item in form.fields}))

    def names_of(self, form_id: str) -> tuple[str, ...]:
        """What may stand between the braces for this form: names, and paths where a name stands in several groups."""
        versions = self.versions.get(form_id, ())
        unique = {name for form in versions for name, items in form.by_name.items() if len(items) == 1}
        paths = {item.path for form in versions for items in form.by_name.values() if len(items) > 1 for item in items}
        return tuple(sorted(unique | paths))

    def find(self, form_id: str, name: str) -> Field | None:
        """The field as the newest version that has it describes it; None if none has, or it is ambiguous."""
        for form in self.versions.get(form_id, ()):
            found = form.field(name)
            if found is not None:
                return found
        return None

    def ambiguous(self, form_id: str, name: str) -> tuple[str, ...]:
        """The paths of a name that stands in several groups of the newest version."""
        versions = self.versions.get(form_id, ())
        items = versions[0].by_name.get(name, ()) if versions else ()
        return tuple(item.path for item in items) if len(items) > 1 else ()

    def missing_in(self, form_id: str, name: str) -> tuple[FormDefinition, ...]:
        """The accepted versions that do not have this field."""
        return tuple(form for form in self.versions.get(form_id, ()) if form.field(name) is None)

    def places(self, form_id: str, name: str) -> tuple[Place, ...]:
        """Where this name's answers stand, in the newest version first."""
        key = (form_id, name)
        if key not in self._places:
            found = (form.field(name) for form in self.versions.get(form_id, ()))
            self._places[key] = tuple(dict.fromkeys(Place(item.path, item.type) for item in found if item))
        return self._places[key]

    def value(self, form_id: str, answers: Answers, name: str) -> Value | Nodeset:
        """What these answers say to a name; "" for a blank, and where the form has no such field."""
        for place in self.places(form_id, name):
            if place.path in answers:
                return from_answer(place.type, answers[place.path])
        # An observation of a form that is no longer (or not here) published, or one written by hand under bare names.
        for path, answer in answers.items():
            if path == name or (form_id not in self.versions and path.rpartition("/")[2] == name):
                known = self.find(form_id, name)
                return from_answer(known.type if known else type_of_answer(answer), answer)
        return ""

    def type_anywhere(self, name: str) -> ValueType:
        """The type of a name over all forms; ANY where they differ or none has it."""
        types = {type_of_field(place.type) for form_id in self.versions for place in self.places(form_id, name)}
        return types.pop() if len(types) == 1 else ValueType.ANY

    def forms_named(self, name: str) -> tuple[str, ...]:
        """Forms of which some version has a question of this name, in however many groups."""
        return tuple(dict.fromkeys(form.form_id for form in self.forms if name in form.by_name))

    def forms_with(self, name: str) -> tuple[str, ...]:
        return tuple(form_id for form_id in self.versions if self.places(form_id, name))


def type_of_answer(answer: Answer | Sequence[Answer | None]) -> FieldType:
    """The type that an answer shows by itself, where no form says it: ISO dates are dates."""
    if isinstance(answer, list):
        first = next((item for item in answer if item is not None), "")
        return type_of_answer(first)
    if isinstance(answer, bool):
        return FieldType.BOOLEAN
    if isinstance(answer, int | float):
        return FieldType.DECIMAL
    if isinstance(answer, tuple):
        return FieldType.SELECT_MULTIPLE
    return FieldType.DATE if isinstance(answer, str) and _ISO_DATE.fullmatch(answer) else FieldType.TEXT


def by_language_code(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels per language code: `Tiếng Việt (vi)` → vi."""
    found = {}
    for language, text in labels.items():
        code = _LANGUAGE_CODE.search(language)
        found[code.group(1) if code else language] = text
    return found
