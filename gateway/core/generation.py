"""Generations of a log: what follows when a log may not be continued.

A log that forked, or whose end was lost, is closed, and a successor opens under the name
of the first with a number: ``fr.gateway.test/audit``, then ``fr.gateway.test/audit/2``. Its
first entry cites where the one before it stood.

A **place** is an index that is unique over all generations of a log: the generation in the
high bits, the index within it in the low ones. In the first generation it is the index. A
database keeps places, so that what was said of an earlier generation stays true.

Spec: docs/spec/log.md, "Successors".
"""

from __future__ import annotations

import re
from typing import Final

STRIDE: Final = 2**44
"""Places of one generation: more entries than a log will ever have; 2^19 generations fit into 63 bits."""

MAX_GENERATION: Final = 2**19 - 1

_SUCCESSOR: Final = re.compile(r"(?P<first>.+)/(?P<number>[2-9]|[1-9][0-9]{1,5})")
_NUMBER: Final = re.compile(r"/(?P<number>[2-9]|[1-9][0-9]{1,5})")


def origin_of(first: str, generation: int) -> str:
    """Return the origin of a generation of the log whose first origin is ``first``."""
    return first if generation == 1 else f"{first}/{generation}"


def generation_of(first: str, origin: str) -> int | None:
    """Return which generation of a log an origin names, or None if it names another log."""
    if origin == first:
        return 1
    match = _NUMBER.fullmatch(origin, len(first)) if origin.startswith(first) else None
    return None if match is None or int(match["number"]) > MAX_GENERATION else int(match["number"])


def first_of(origin: str) -> str:
    """Return the origin of the first generation of a log, whatever generation is named."""
    match = _SUCCESSOR.fullmatch(origin)
    return origin if match is None else match["first"]


def number_of(origin: str) -> int:
    """Return which generation of its log an origin names."""
    return generation_of(first_of(origin), origin) or 1


def predecessor_of(origin: str) -> str | None:
    """Return the origin of the generation before, or None for a first one."""
    match = _SUCCESSOR.fullmatch(origin)
    return None if match is None else origin_of(match["first"], int(match["number"]) - 1)


def first_place(generation: int) -> int:
    """Return the place of index 0 of a generation."""
    return (generation - 1) * STRIDE


def base_of(origin: str) -> int:
    """Return the place of index 0 of the log that ``origin`` names."""
    match = _SUCCESSOR.fullmatch(origin)
    return 0 if match is None else first_place(int(match["number"]))


def generation_at(place: int) -> int:
    """Return the generation that a place is of."""
    return 1 + place // STRIDE


def index_of(place: int) -> int:
    """Return the index of a place within its generation."""
    return place % STRIDE


def located(first: str, place: int) -> tuple[str, int]:
    """Return the origin and the index of a place in the log whose first origin is ``first``."""
    generation, index = divmod(place, STRIDE)
    return origin_of(first, generation + 1), index
