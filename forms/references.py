"""What a name or path in a form's expressions stands for, seen from the node that holds the expression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from forms.definition import Field, FormDefinition, Group
from forms.expressions import Reference, Scope, ValueType, type_of_field

#: An expression's reference to this key stands for the rows of a repeat, not for an answer.
ROWS = "rows of "


@dataclass(frozen=True)
class Names:
    """The nodes of one form. `type_of` gives a field's type; it may change while types are still being inferred."""

    root: str
    fields: Mapping[str, Field]
    groups: Mapping[str, Group] = field(default_factory=dict)
    type_of: Callable[[Field], ValueType] = lambda item: type_of_field(item.type)

    @classmethod
    def of(cls, definition: FormDefinition) -> Names:
        return cls(definition.root, definition.by_path, {item.path: item for item in definition.groups})

    def scope(self, context: str) -> Scope:
        """The scope of an expression that stands at the node `context` (a path relative to the root).

        Inside a repeat, a field of the same row is one value; seen from outside it is the whole column.
        """
        around = frozenset(self._repeats_around(context))
        return Scope(
            resolve=lambda name: self._named(name, around),
            names=tuple(sorted({item.name for item in self.fields.values()})),
            path=lambda path: self._at(path.strip().removeprefix(f"/{self.root}/"), around),
            context=f"/{self.root}/{context}",
        )

    def _repeats_around(self, path: str) -> Iterable[str]:
        parts = path.split("/")
        ancestors = ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
        return (item for item in ancestors if item in self.groups and self.groups[item].repeats)

    def _named(self, name: str, around: frozenset[str]) -> Reference | None:
        if name in self.fields or name in self.groups:
            return self._at(name, around)
        named = [item for item in self.fields.values() if item.name == name]
        return self._at(named[0].path, around) if len(named) == 1 else None

    def _at(self, path: str, around: frozenset[str]) -> Reference | None:
        group = self.groups.get(path)
        if group is not None and group.repeats:
            return Reference(ROWS + path, path.rpartition("/")[2], ValueType.NODESET, repeated=True)
        found = self.fields.get(path)
        if found is None:
            return None
        repeated = not around.issuperset(found.repeats)
        return Reference(path, found.name, self.type_of(found), repeated, found.labels)
