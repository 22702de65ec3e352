"""CX-ROOM, CX-ASSET: who meets in an operation room, and what is there when it is needed.

Whether a message may be sent in a room is in `gateway.core.message.threads`.
"""

from __future__ import annotations

from typing import Final

from gateway.core.message.instants import DAY_MS, instant_ms
from gateway.core.message.rules.definition import GOOD, Facts, Json, Pointers, Rule, message_rule

_LONGEST_ROOM_DAYS: Final = 90


def _are_members_of_both_nations(members: list[Json], facts: Facts) -> bool:
    """Tell whether each nation of the agreement is there, with agencies of its own and one lead at most."""
    leads = [member["nation"] for member in members if member["role"] == "LEAD"]
    return (
        {member["nation"] for member in members} == facts.agreement.nations.keys()
        and all(facts.agreement.agency_nation[member["agency"]] == member["nation"] for member in members)
        and len(set(leads)) == len(leads)
    )


@message_rule(
    "CX-ROOM",
    99,
    pointer="/payload/members, /payload/allowed_types or /payload/ends_at",
    applies_to=("ops.room_open/1",),
    en="A room has members of both nations, each an agency of its nation, with one lead a nation at most; "
    "allowed_types are types of the catalogue with their version, as in ops.sitrep/1; it ends 90 days after "
    "it begins at most. Correct the members, the types or ends_at.",
    fr="Une salle a des membres des deux pays, chacun étant un service de son pays, avec un chef de file par "
    "pays au plus ; allowed_types cite des types du catalogue avec leur version, comme ops.sitrep/1 ; elle "
    "finit au plus 90 jours après son début. Corrigez les membres, les types ou ends_at.",
)
def _room_is_shared_known_and_short(facts: Facts) -> Pointers:
    payload = facts.payload
    pointers = []
    if not _are_members_of_both_nations(payload["members"], facts):
        pointers.append("/payload/members")
    if not facts.agreement.type_ids.issuperset(payload["allowed_types"]):
        pointers.append("/payload/allowed_types")
    # Whole days count: ninety days and an hour are ninety days.
    days = (instant_ms(payload["ends_at"]) - instant_ms(payload["starts_at"])) // DAY_MS
    if days > _LONGEST_ROOM_DAYS:
        pointers.append("/payload/ends_at")
    return pointers


@message_rule(
    "CX-ASSET",
    122,
    pointer="/payload/on_station",
    applies_to=("ops.asset_response/1",),
    en="An asset that is available, if only partly, says from when (on_station). Add the time, or answer "
    "NOT_AVAILABLE.",
    fr="Un moyen disponible, même en partie, indique à partir de quand (on_station). Ajoutez l'heure, ou "
    "répondez NOT_AVAILABLE.",
)
def _available_asset_says_when(facts: Facts) -> Pointers:
    payload = facts.payload
    if payload["answer"] == "NOT_AVAILABLE" or "on_station" in payload:
        return GOOD
    return ("/payload/on_station",)


RULES: Final[tuple[Rule, ...]] = (_room_is_shared_known_and_short, _available_asset_says_when)
