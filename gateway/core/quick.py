"""Values that are made many times a message.

Python sets each field of a frozen dataclass through ``object.__setattr__``: one with 24
fields takes 3.5 µs where an ordinary one takes 1.1. Some ten of them are made for each
message at each node, a tenth of what a message costs there. `quick_value` makes the
ordinary kind, and declares it frozen to the type checker, which runs over every line of
the project: whoever assigns to a field does not pass it.
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
