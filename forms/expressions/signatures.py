"""What a function is, what a name stands for, and what an expression may look at while it runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from forms.expressions.values import Nodeset, Value, ValueType
from forms.sheets import Text


@dataclass(frozen=True, slots=True)
class Reference:
    """What a name stands for. `key` is what Environment.values is asked for; `name` is shown to people.

    `repeated` where the expression sees the whole column of a repeat, not one row's value. `labels` per language.
    """

    key: str
    name: str
    type: ValueType
    repeated: bool = False
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Environment:
    """What one evaluation may see.

    `values` gives a reference's value by key ("" for a blank, a tuple for a repeated one, () where it has no row).
    `now` carries the programme's zone; today() is its day. `record` is for functions that ask about more than the
    answers. `current` is the value of the node that holds the expression (`.`).
    """

    values: Callable[[str], Value | Nodeset]
    now: dt.datetime
    record: object = None
    current: Value = ""


#: A compiled expression, or a part of one.
Run = Callable[[Environment], Value]


class Takes(Enum):
    """How an argument is handed over: as one value, or as a repeat's column."""

    VALUE = "value"
    COLUMN = "column"
    """A field, never a computed value; a field that does not repeat is a column of one."""
    ROWS = "rows"
    """As COLUMN, or the repeat itself, where only its rows matter."""
    EITHER = "either"
    """The column where a repeated field is the only one, else one value."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. `type` is what the function makes of it; ANY where every type is taken as it is.

    `literal`: must be a quoted text, such as a field's or a service's name. `strict`: a value that is surely of
    another type is refused at once, because Collect would stop with an error.
    """

    name: Text
    type: ValueType = ValueType.ANY
    takes: Takes = Takes.VALUE
    literal: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the language, with what its reference page says.

    `minimum` and `maximum` count arguments: by default all of `arguments`; maximum None means any number, the last
    argument repeating. `blank` says what blanks do. `same_type_as` names the arguments (by place) whose type the
    result has; `typed_by` derives it from literal arguments. `may_be_blank` marks results that can be blank although
    no argument is. `on_phone` is False for what Collect does not know. `check` looks at the quoted arguments (None
    for others) before anything runs, and raises Refused. `lazy` builds a run that evaluates only what it needs.
    """

    name: str
    arguments: tuple[Argument, ...]
    returns: ValueType
    summary: Text
    blank: Text
    example: str
    call: Callable[[Environment, tuple[Value | Nodeset, ...]], Value]
    minimum: int | None = None
    maximum: int | None = -1
    same_type_as: tuple[int, ...] = ()
    typed_by: Callable[[tuple[str | None, ...]], ValueType] | None = None
    may_be_blank: bool = False
    on_phone: bool = True
    check: Callable[[tuple[str | None, ...]], None] | None = None
    lazy: Callable[[tuple[Run, ...]], Run] | None = None

    @property
    def fewest(self) -> int:
        return len(self.arguments) if self.minimum is None else self.minimum

    @property
    def most(self) -> int | None:
        return len(self.arguments) if self.maximum == -1 else self.maximum

    def argument(self, place: int) -> Argument:
        """The argument at a place, counted from 0; the last one stands for all that follow."""
        return self.arguments[min(place, len(self.arguments) - 1)]

    def takes_column(self, place: int, count: int) -> bool:
        """Whether the argument at a place, of `count` given, is handed over as a whole column.

        A column or numbers: concat(${v}) and join(', ', ${v}) take the column, concat('x', ${v}) one value.
        """
        takes = self.argument(place).takes
        if takes is Takes.EITHER:
            return place == count - 1 == len(self.arguments) - 1
        return takes is not Takes.VALUE
