"""The messages of the benchmark: real ones of mixed types, each of the same length.

They are made of the examples of the catalogue. Of every type that opens a conversation
there is one template for either direction: an example whose agencies, markings and
officer change sides where that is needed. A template is brought to its length by leaving
out what the schema does not ask for, then by writing more into its free texts; the
catalogue's own verdict says what is allowed. So new types join by adding their files.

A message is a template with an id and a time of its own, which takes ten microseconds.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any
from uuid import UUID

import orjson

from gateway.catalogue import read_catalogue
from gateway.core.message.examine import examine
from gateway.core.message.instants import moment_ms
from scripts._traffic import Traffic, example_messages

MESSAGE_BYTES = 2_048
LIFE = timedelta(days=20)
NATIONS = ("FR", "US")
URGENT = "alert.urgent/1"

_COUNTERPARTS = {"FR.DGDDI.DNRED": "US.ICE.HSI", "FR.DGDDI.SARC": "US.CBP.NTC"}
_OTHER_AGENCY = _COUNTERPARTS | {american: french for french, american in _COUNTERPARTS.items()}
_OTHER_NATION = {"FR": "US", "US": "FR"}
_FILLER = (
    "The vehicle was seen again at the same place, and the person who met it left on foot. "
    "Nothing of this is known to the carrier. "
)
_MORE_THAN_A_WORD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A message whose id and time are still to be set.

    Attributes:
        agency: Code of the sending agency.
        type: Type id.
        body: Compact JSON.
        message_id: The id in it, which is its conversation's as well.
        created_at: The time in it.
    """

    agency: str
    type: str
    body: bytes
    message_id: bytes
    created_at: bytes

    def at(self, message_id: bytes, created_at: bytes) -> bytes:
        """Return the message with this id and time, both as they stand in the JSON."""
        return self.body.replace(self.message_id, message_id).replace(self.created_at, created_at)


def make_templates(nation: str, *, now: datetime, size: int = MESSAGE_BYTES) -> list[Template]:
    """Return a template of every opening type that a nation may send, none of them urgent.

    Urgent messages are left out because each ends the pacing of bundles: one in five of
    them, as in the examples, would measure another system.

    Args:
        nation: Sending nation.
        now: Aware time at which they are valid.
        size: Their length in bytes.
    """
    templates = [
        _template(document, now=now, size=size)
        for document in openers(nation, now)
        if document["type"] != URGENT
    ]
    return [template for template in templates if template is not None]


def make_urgent_template(nation: str, *, now: datetime, size: int = MESSAGE_BYTES) -> Template:
    """Return a template of a FLASH alert."""
    for document in openers(nation, now):
        template = _template(document, now=now, size=size) if document["type"] == URGENT else None
        if template is not None:
            return template
    msg = f"the catalogue has no example of {URGENT}"
    raise LookupError(msg)


def stamped(templates: Sequence[Template], count: int) -> Iterator[tuple[Template, str, bytes]]:
    """Yield ``count`` messages made now: template, id and body, the templates in turn.

    Their ids ascend, with a counter behind the millisecond (RFC 9562, Section 6.2, method 1),
    as the libraries of agency systems make them.
    """
    milliseconds = int(time() * 1_000)
    moment = datetime.fromtimestamp(milliseconds / 1_000, tz=UTC)
    created_at = f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1_000:03d}Z".encode("ascii")
    drawn = milliseconds.to_bytes(6, "big")
    noise = os.urandom(6 * count)
    for number in range(count):
        counter = (0x7000 | number >> 14).to_bytes(2, "big") + (0x8000 | number & 0x3FFF).to_bytes(2, "big")
        data = drawn + counter + noise[6 * number : 6 * number + 6]
        message_id = str(UUID(bytes=data))
        template = templates[number % len(templates)]
        yield template, message_id, template.at(message_id.encode("ascii"), created_at)


def openers(nation: str, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield the examples that open a conversation, as this nation would send them."""
    traffic = Traffic()
    for example in example_messages():
        document = traffic.current(example, now)
        header = document["header"]
        if "in_reply_to" in header["conversation"]:
            continue
        if header["from"]["agency"] not in _OTHER_AGENCY:
            continue
        header["conversation"]["id"] = header["message_id"]
        expires = now.astimezone(UTC) + LIFE
        header["expires_at"] = f"{expires:%Y-%m-%dT%H:%M:%S}.{expires.microsecond // 1_000:03d}Z"
        if header["precedence"] in {"FLASH", "IMMEDIATE"} and document["type"] != URGENT:
            header["precedence"] = "PRIORITY"
        yield document if header["from"]["nation"] == nation else _from_the_other_side(document)


def _from_the_other_side(document: dict[str, Any]) -> dict[str, Any]:
    """Return a message as the addressed nation would send it."""
    document = copy.deepcopy(document)
    header = document["header"]
    sender = header["from"]
    nation = _OTHER_NATION[sender["nation"]]
    header["from"] = {
        "nation": nation,
        "agency": _OTHER_AGENCY[sender["agency"]],
        "officer_ref": nation.lower() + sender["officer_ref"][2:],
    }
    header["to"] = [
        {"nation": _OTHER_NATION[item["nation"]], "agency": _OTHER_AGENCY[item["agency"]]}
        for item in header["to"]
    ]
    marking = header["marking"]
    own = marking["alternative"]
    marking["alternative"] = {"policy": marking["policy"], "level": marking["level"]}
    marking |= own
    marking["releasable_to"].reverse()
    marking.pop("cui_categories", None)
    if marking["policy"] == "US":
        marking["cui_categories"] = ["LEI"]
    return document


def template_of(document: dict[str, Any], *, now: datetime, size: int) -> Template:
    """Return a template of a valid document, brought as near to ``size`` bytes as its schema allows."""
    _shorten(document, now, size)
    _lengthen(document, now, size)
    header = document["header"]
    return Template(
        agency=header["from"]["agency"],
        type=document["type"],
        body=orjson.dumps(document),
        message_id=header["message_id"].encode("ascii"),
        created_at=header["created_at"].encode("ascii"),
    )


def _template(document: dict[str, Any], *, now: datetime, size: int) -> Template | None:
    """Return a template of exactly ``size`` bytes, or None if the catalogue has none of this kind."""
    if not is_valid(document, now):
        return None
    template = template_of(document, now=now, size=size)
    return template if len(template.body) == size else None


def is_valid(document: Mapping[str, Any], now: datetime) -> bool:
    """Return whether the catalogue accepts a message."""
    examination = examine(orjson.dumps(document), catalogue=read_catalogue(), now_ms=moment_ms(now))
    return not examination.violations


def _shorten(document: dict[str, Any], now: datetime, size: int) -> None:
    """Leave out parts of the payload, the largest that fit first, until it is no longer than ``size``."""
    while (excess := len(orjson.dumps(document)) - size) > 0:
        found = sorted(parts(document["payload"]), key=lambda part: -part[0])
        # The smallest part that is enough, else the largest of all.
        found.sort(key=lambda part: part[0] if part[0] >= excess else 1_000_000 - part[0])
        for _, container, key in found:
            removed = container.pop(key)
            if is_valid(document, now):
                break
            if isinstance(container, list):
                container.insert(key, removed)
            else:
                container[key] = removed
        else:
            return


def parts(value: Any) -> Iterator[tuple[int, Any, Any]]:
    """Yield every member and item with its length, its container and its key."""
    keys: Sequence[Any] = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield len(orjson.dumps(value[key])), value, key
        yield from parts(value[key])


def _lengthen(document: dict[str, Any], now: datetime, size: int) -> None:
    """Write more into the free texts, the longest first, until the document has ``size`` bytes."""
    texts = [
        (container, key)
        for _, container, key in sorted(parts(document["payload"]), key=lambda part: -part[0])
        if isinstance(container[key], str)
        and len(container[key]) >= _MORE_THAN_A_WORD
        and " " in container[key]
    ]
    for container, key in texts:
        text = container[key]
        missing = size - len(orjson.dumps(document))
        while missing > 0:
            filler = (" " + _FILLER * (missing // len(_FILLER) + 1))[:missing].rstrip()
            container[key] = text + filler + "." * (missing - len(filler))
            if is_valid(document, now):
                break
            container[key] = text
            missing //= 2


def agencies_of(nation: str) -> tuple[str, ...]:
    """Return the agencies of a nation that send and receive in the benchmark."""
    return tuple(sorted(agency for agency in _OTHER_AGENCY if agency.startswith(f"{nation}.")))
