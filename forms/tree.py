"""The form as a tree, along which submissions are read and written: nested JSON ↔ answers by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from forms.definition import Answer, Field, FieldType, FormDefinition
from forms.once import OncePerForm
from forms.readers import reader_of

#: One answer, or the column of a field in a repeat.
Filled = Answer | list[Answer | None]


@dataclass(slots=True)
class Node:
    """A group, repeat or field. `path` is "" at the root.

    `columns` and `own` are paths of fields in or below a repeat: all of them, and those of its own rows (not of a
    repeat inside it).
    """

    path: str = ""
    repeats: bool = False
    leaf: Field | None = None
    below: dict[str, Node] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()


def _grow(definition: FormDefinition) -> Node:
    root = Node()
    for item in definition.fields:
        _place(root, item.path).leaf = item  # In the form's order, which submissions keep.
    for group in definition.groups:
        node = _place(root, group.path)
        node.repeats = group.repeats
        if group.repeats:
            inside = [item for item in definition.fields if group.path in item.repeats]
            node.columns = tuple(item.path for item in inside)
            node.own = frozenset(item.path for item in inside if item.repeats[-1] == group.path)
    return root


def _place(root: Node, path: str) -> Node:
    node = root
    for name in path.split("/"):
        below = f"{node.path}/{name}" if node.path else name
        node = node.below.setdefault(name, Node(below))
    return node


#: The tree of a form, made once.
tree_of = OncePerForm(_grow)


def flatten(node: Node, nested: Mapping[str, Any]) -> Iterator[tuple[str, Filled]]:
    """Nested JSON → answers by path. What does not have its field's type is left out."""
    for name, value in nested.items():
        below = node.below.get(name)
        if below is None:
            continue
        if below.leaf is not None:
            fitting = fit(below.leaf, value)
            if fitting is not None:
                yield below.path, fitting
        elif below.repeats and isinstance(value, list):
            yield from _columns(below, value)
        elif isinstance(value, Mapping):
            yield from flatten(below, value)


def _columns(node: Node, rows: list[Any]) -> Iterator[tuple[str, Filled]]:
    """The columns of a repeat: a place for each row, None where the row left it blank."""
    columns: dict[str, list[Answer | None]] = {path: [] for path in node.columns}
    for row in rows:
        values = dict(flatten(node, row)) if isinstance(row, Mapping) else {}
        for path, column in columns.items():
            value = values.get(path)
            if isinstance(value, list):
                column.extend(value)
            elif path in node.own:
                column.append(value)
    return ((path, column) for path, column in columns.items() if column)


def fit(item: Field, value: Any) -> Answer | None:
    """A JSON value as an answer of this field, None where it has another type."""
    if item.type in {FieldType.SELECT_MULTIPLE, FieldType.RANK}:
        return (
            tuple(value) if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value) else None
        )
    if isinstance(value, bool):
        return value if item.type is FieldType.BOOLEAN else None
    if isinstance(value, int | float):
        if item.type is FieldType.DECIMAL:
            return float(value)
        return int(value) if item.type is FieldType.INTEGER and value == int(value) else None
    if not isinstance(value, str):
        return None
    read = reader_of(item.type)(value)
    return read if isinstance(read, str) else None
