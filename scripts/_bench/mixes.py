"""Which messages a load sends: of one length, of many lengths, urgent ones; and invalid ones.

``real`` is the mix of a working day: most messages short, some with long lists, a few as long as
messages get. The catalogue sets an end to that: of the types that open a conversation two can be
longer than 75 KiB and none longer than 88 kB (files travel beside the exchange; a message names
them). So the largest class has 75 KiB and not the 1 MiB that a body may have.

An invalid message is a valid one with one thing wrong: in turn a word that its schema does not
know, and a delivery time that was over before it was written, which a rule refuses.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from scripts._bench.messages import (
    MESSAGE_BYTES,
    URGENT,
    Template,
    is_valid,
    make_templates,
    make_urgent_template,
    openers,
    parts,
    template_of,
)

REAL: Final = {MESSAGE_BYTES: 70, 8_192: 20, 65_536: 9, 76_800: 1}
"""Messages of a hundred by length in bytes."""

MOST_TEMPLATES: Final = 2
"""Of each length above the ordinary one."""

_PRECEDENCE: Final = b'"precedence":"'
_EXPIRES: Final = re.compile(rb'"expires_at":"[^"]*"')
_PAST: Final = b'"expires_at":"2020-01-01T00:00:00.000Z"'


def templates_of(mix: str, nation: str, *, now: datetime) -> Sequence[Template]:
    """Return the templates of a mix, in the order in which they are sent in turn.

    Args:
        mix: ``flat``, ``urgent`` or ``real``.
        nation: Sending nation.
        now: Aware time at which they are valid.
    """
    if mix == "urgent":
        return [make_urgent_template(nation, now=now)]
    ordinary = make_templates(nation, now=now)
    if mix == "flat":
        return ordinary
    long = {
        size: make_long(nation, now=now, size=size, count=min(share, MOST_TEMPLATES))
        for size, share in REAL.items()
        if size > MESSAGE_BYTES
    }
    return spread({MESSAGE_BYTES: ordinary, **long})


def spread(sources: dict[int, Sequence[Template]]) -> list[Template]:
    """Return a hundred templates, those of each length evenly spread over all of them."""
    places = sorted(
        ((number + 0.5) / share, size, number) for size, share in REAL.items() for number in range(share)
    )
    return [sources[size][number % len(sources[size])] for _, size, number in places]


def spoil(body: bytes, number: int) -> bytes:
    """Return a message with one thing wrong; which one alternates with ``number``."""
    if number % 2:
        return body.replace(_PRECEDENCE, _PRECEDENCE + b"X", 1)
    return _EXPIRES.sub(_PAST, body, count=1)


def make_long(nation: str, *, now: datetime, size: int, count: int) -> list[Template]:
    """Return the first ``count`` templates of exactly ``size`` bytes.

    Raises:
        LookupError: The catalogue does not allow so many.
    """
    found: list[Template] = []
    for document in openers(nation, now):
        if document["type"] == URGENT or not is_valid(document, now):
            continue
        _repeat(document, now, size)
        template = template_of(document, now=now, size=size)
        if len(template.body) == size:
            found.append(template)
        if len(found) == count:
            return found
    msg = f"the catalogue has no {count} types of message that can be {size} bytes long"
    raise LookupError(msg)


def _repeat(document: dict[str, Any], now: datetime, size: int) -> None:
    """Let lists hold their items several times, as often as schema and ``size`` allow."""
    for _, container, key in sorted(parts(document["payload"]), key=lambda part: part[0]):
        items = container[key]
        if not isinstance(items, list) or not items:
            continue
        step = len(items)
        while step:
            before = len(items)
            items += copy.deepcopy((items * (step // before + 1))[:step])
            if len(orjson.dumps(document)) <= size and is_valid(document, now):
                step *= 2
            else:
                del items[before:]
                step //= 2
