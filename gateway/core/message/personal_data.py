"""Which personal data does a payload hold, by its structure?

Persons, identity documents, contacts, accounts and passenger records have places of their
own in the schemas, so a node can declare them for an agency that left the declaration out.
What free text holds nobody can see; the agency declares that.

The payload is not checked yet when it is looked through: anything may stand anywhere, and
what has not the expected form is passed over, for the schema to refuse.

Spec: docs/spec/messages.md, "Completing drafts".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from gateway.core.message.registry import MessageType
from gateway.core.message.schema_documents import SCHEMA_BASE, Schema, follow

ADULT_YEARS: Final = 18

_BLOCK_FOLDER: Final = SCHEMA_BASE + "common/"
_WATCHED: Final = frozenset({"person", "document", "account", "token"})
_DEVICE_KINDS: Final = frozenset({"IMEI", "IMSI", "HANDLE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalData:
    """What the structure of a payload shows.

    Attributes:
        categories: Codes of ``PD_CATEGORY``, in the order they were found.
        roles: Roles of the persons, in the order they were found.
        minors: Whether a date of birth may be that of somebody under 18.
    """

    categories: tuple[str, ...]
    roles: tuple[str, ...]
    minors: bool


@dataclass(slots=True)
class _Trail:
    """The way to the blocks that matter, below one object of a payload.

    Attributes:
        block: Name of the block the object is, if it matters itself.
        fields: What lies below, by field.
    """

    block: str | None
    fields: dict[str, _Trail]


def find_personal_data(
    payload: Mapping[str, Any], message_type: MessageType, created_ms: int
) -> PersonalData:
    """Return the personal data that the structure of a payload shows.

    Args:
        payload: The payload, checked or not.
        message_type: Its type, whose schema says where blocks stand.
        created_ms: When the message was created: ages are counted then.
    """
    blocks: list[tuple[str, Mapping[str, Any]]] = []
    _collect(_payload_trail(message_type), payload, blocks)
    categories: dict[str, None] = {}
    roles: dict[str, None] = {}
    minors = False
    for block, part in blocks:
        if block == "person":
            categories["IDENTITY"] = None
            categories.update(dict.fromkeys(_contact_categories(part)))
            minors = minors or _may_be_minor(part.get("dob"), created_ms)
            if isinstance(part.get("role"), str):
                roles[part["role"]] = None
        elif block == "document":
            categories["TRAVEL_DOCUMENT"] = None
        elif block == "token":
            categories["PSEUDONYM"] = None
        elif part.get("kind") != "PAYMENT_APP":
            categories["FINANCIAL"] = None
    if "pnr_locator" in payload:
        categories["PNR"] = None
    return PersonalData(categories=tuple(categories), roles=tuple(roles), minors=minors)


def _collect(trail: _Trail, part: Mapping[str, Any], blocks: list[tuple[str, Mapping[str, Any]]]) -> None:
    """Add every block that matters in ``part``, with its name."""
    if trail.block is not None:
        blocks.append((trail.block, part))
    for field, below in trail.fields.items():
        value = part.get(field)
        if value is None:
            continue
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, dict):
                _collect(below, child, blocks)


def _contact_categories(person: Mapping[str, Any]) -> Iterator[str]:
    contacts = person.get("contacts")
    for contact in contacts if isinstance(contacts, list) else ():
        kind = contact.get("kind") if isinstance(contact, dict) else None
        yield "COMMS_IDENTIFIER" if isinstance(kind, str) and kind in _DEVICE_KINDS else "CONTACT"


def _may_be_minor(dob: object, created_ms: int) -> bool:
    """Tell whether somebody born on ``dob``, perhaps a partial date, may be under 18.

    Dates of one form compare as texts, and a partial date stands for all that it begins.
    """
    if not isinstance(dob, str) or not dob:
        return False
    day = datetime.fromtimestamp(created_ms // 1000, tz=UTC).date().isoformat()
    adult_since = f"{int(day[:4]) - ADULT_YEARS:04}{day[4:]}"
    return dob > adult_since or (len(dob) < len(day) and adult_since.startswith(dob))


# More than a catalogue has types; a node has one catalogue, tests have many.
@lru_cache(maxsize=1_024)
def _payload_trail(message_type: MessageType) -> _Trail:
    """Find, once per type, where the blocks that matter can stand."""
    identifier = message_type.schema["$id"]
    payload = message_type.schema["properties"]["payload"]
    return _trail(message_type.documents, identifier, payload) or _Trail(block=None, fields={})


def _trail(documents: Mapping[str, Schema], identifier: str, node: Schema) -> _Trail | None:
    """Return the trail below a part of a schema, or None if nothing there matters."""
    block = None
    while "$ref" in node:
        identifier, node = follow(documents, identifier, node["$ref"])
        name = identifier.removeprefix(_BLOCK_FOLDER).removesuffix(".json")
        block = name if name in _WATCHED else None
    if "items" in node:
        return _trail(documents, identifier, node["items"])
    fields = {
        field: below
        for field, child in node.get("properties", {}).items()
        if (below := _trail(documents, identifier, child)) is not None
    }
    return _Trail(block=block, fields=fields) if block is not None or fields else None
