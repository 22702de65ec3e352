"""Operation rooms: a closed group, for certain types, for a time.

Whoever opens a room names its members, the types that may be used in it, and when it
begins and ends. A message belongs to a room when its header says so.

Spec: docs/spec/rules.md, "Rooms".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gateway.core.message.effect import Effect
from gateway.core.message.instants import DAY_MS, instant_ms
from gateway.core.message.threads.corrections import corrected
from gateway.core.message.threads.effects import ROOM_CLOSE, ROOM_OPEN, room_of
from gateway.core.message.threads.view import (
    AppliedEffect,
    Broken,
    Flag,
    Side,
    ThreadView,
    nation_of,
)

Json = dict[str, Any]

ALWAYS_ALLOWED: Final = ("gov.", "sys.")
"""Areas whose types are allowed in every room, and so is `ACKNOWLEDGEMENT`."""

ACKNOWLEDGEMENT: Final = "assist.ack/1"

CLOSE_GRACE_MS: Final = DAY_MS
"""How long after the end of a room the message that closes it may be created."""

_RULE: Final = "RF-ROOM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An agency in a room, with its role."""

    agency: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """An operation room as it is in force.

    Attributes:
        opened_by: Message that opened it, 16 bytes.
        operation: Code name of the operation.
        members: Agencies of both nations.
        allowed_types: Type ids that may be used in it.
        starts_ms: Begin, milliseconds since 1970.
        ends_ms: End, milliseconds since 1970.
        ended_by: What closed it, or None.
    """

    opened_by: bytes
    operation: str
    members: tuple[Member, ...]
    allowed_types: tuple[str, ...]
    starts_ms: int
    ends_ms: int
    ended_by: AppliedEffect | None

    def is_member(self, agency: str) -> bool:
        """Tell whether an agency belongs to the room."""
        return any(member.agency == agency for member in self.members)

    def allows(self, type_id: str) -> bool:
        """Tell whether a type may be used in the room."""
        return (
            type_id in self.allowed_types or type_id == ACKNOWLEDGEMENT or type_id.startswith(ALWAYS_ALLOWED)
        )


def find_room(room_id: bytes, threads: ThreadView) -> Room | None:
    """Return a room by its id, or None if this node holds no message that opens it, or not any more."""
    applied = threads.effects(room_id)
    opening = next((item for item in applied if item.effect is Effect.OPENS_ROOM), None)
    opened = None if opening is None else corrected(opening.message_id, threads)
    if opening is None or opened is None:
        return None
    payload = opened["payload"]
    return Room(
        opened_by=opening.message_id,
        operation=payload["operation"],
        members=tuple(Member(agency=item["agency"], role=item["role"]) for item in payload["members"]),
        allowed_types=tuple(payload["allowed_types"]),
        starts_ms=instant_ms(payload["starts_at"]),
        ends_ms=instant_ms(payload["ends_at"]),
        ended_by=next((item for item in applied if item.effect is Effect.ENDS_ROOM), None),
    )


def examine_room(document: Json, threads: ThreadView, side: Side, broken: Broken, flags: set[Flag]) -> None:
    """RF-ROOM: the room exists and is not over, the type belongs there, the sender is a member.

    Once the opening was erased nothing of this can be known, and the message is accepted.
    """
    header = document["header"]
    room_id = room_of(header)
    if room_id is None or document["type"] == ROOM_OPEN:
        return
    if not any(applied.effect is Effect.OPENS_ROOM for applied in threads.effects(room_id)):
        broken.append((_RULE, "/header/operation/room"))
        return
    room = find_room(room_id, threads)
    if room is None:
        return
    if room.ended_by is not None:
        # Whoever had not heard of the end could not know better.
        if side == "receiver" and nation_of(room.ended_by.from_agency) != header["from"]["nation"]:
            flags.add("crossed")
        else:
            broken.append((_RULE, "/header/operation/room"))
    if not room.allows(document["type"]):
        broken.append((_RULE, "/type"))
    if not room.is_member(header["from"]["agency"]):
        broken.append((_RULE, "/header/from/agency"))
    grace_ms = CLOSE_GRACE_MS if document["type"] == ROOM_CLOSE else 0
    if not room.starts_ms <= instant_ms(header["created_at"]) <= room.ends_ms + grace_ms:
        broken.append((_RULE, "/header/created_at"))
