"""Values that are made many times a message.

Python sets each field of a frozen dataclass through ``object.__setattr__``: one with 24
fields takes 3.5 µs where an ordinary one takes 1.1. Some ten of them are made for each
message at each node, a tenth of what a message costs there. `quick_value` makes the
ordinary kind, and declares it frozen to the type checker, which runs over every line of
the project: whoever assigns to a field does not pass it.

Python finds an argument that is given by name by going through the names of all: with 28 of
them 1.0 µs, with a dozen nothing to speak of. So `quick_row` makes values as wide as rows of a
table, which are given by position, in the order of the columns: 0.4 µs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def quick_value(cls: type[T]) -> type[T]:
    """Make a slotted, keyword-only dataclass whose fields are set once.

    For values of the hottest paths only; all others are frozen in fact. They have no hash.
    """
    return dataclass(slots=True, kw_only=True)(cls)


@dataclass_transform(frozen_default=True)
def quick_row(cls: type[T]) -> type[T]:
    """Make what `quick_value` makes, whose fields can be given by position as well."""
    return dataclass(slots=True)(cls)
