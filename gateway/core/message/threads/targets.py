"""A message about another: corrected, retracted, changed in use, asked about, judged.

Whose message it is decides who may say so. *Own* is a message that the sender sent, or an
agency below it; *theirs* is one of the other nation that was sent to the sender, to an
agency below it, or that was transferred to one of these.

Spec: docs/spec/rules.md, "Own and theirs".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from gateway.core.message.agreement import Agreement
from gateway.core.message.registry import Catalogue
from gateway.core.message.threads.corrections import examine_patches
from gateway.core.message.threads.effects import TARGET_FIELDS
from gateway.core.message.threads.replies import parties_of
from gateway.core.message.threads.rooms import find_room
from gateway.core.message.threads.use_changes import examine_use_change
from gateway.core.message.threads.view import Broken, StoredMessage, ThreadView, uuid_bytes

Json = dict[str, Any]
Further = Callable[[Json, Catalogue, ThreadView], Broken]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a type demands of the message that it is about.

    Attributes:
        owner: RF-OWN, RF-THEIRS, or None where either may be named.
        further: Examined once the target is known and rightly owned.
    """

    owner: str | None
    further: Further | None = None


DEMANDS: Final[Mapping[str, Demand]] = MappingProxyType(
    {
        "gov.correction/1": Demand(owner="RF-OWN", further=examine_patches),
        "gov.retraction/1": Demand(owner="RF-OWN"),
        "gov.use_change/1": Demand(
            owner="RF-OWN", further=lambda document, _, threads: examine_use_change(document, threads)
        ),
        "gov.consent_request/1": Demand(owner="RF-THEIRS"),
        "gov.consent_decision/1": Demand(owner=None),
        "gov.feedback/1": Demand(owner="RF-THEIRS"),
    }
)
"""By type: whose message it may be about, and what is examined further."""


def examine_target(document: Json, catalogue: Catalogue, threads: ThreadView, broken: Broken) -> None:
    """RF-OPEN, RF-OWN, RF-THEIRS: the message that this one is about exists, and whose it is."""
    demand = DEMANDS.get(document["type"])
    if demand is None:
        return
    field = TARGET_FIELDS[document["type"]]
    pointer = f"/payload/{field}"
    target = threads.find(uuid_bytes(document["payload"][field]))
    if target is None:
        broken.append(("RF-OPEN", pointer))
        return
    agency = document["header"]["from"]["agency"]
    if demand.owner == "RF-OWN" and not is_own(agency, target, catalogue.agreement):
        broken.append(("RF-OWN", pointer))
    elif demand.owner == "RF-THEIRS" and not is_theirs(agency, target, catalogue.agreement, threads):
        broken.append(("RF-THEIRS", pointer))
    elif demand.further is not None:
        broken.extend(demand.further(document, catalogue, threads))


def examine_cancellation(document: Json, catalogue: Catalogue, threads: ThreadView, broken: Broken) -> None:
    """RF-OWN for assist.cancel/1: a nation cancels what it has asked itself."""
    answered = document["header"]["conversation"].get("in_reply_to")
    request = None if answered is None else threads.find(uuid_bytes(answered))
    if request is None:
        return
    if not is_own(document["header"]["from"]["agency"], request, catalogue.agreement):
        broken.append(("RF-OWN", "/header/conversation/in_reply_to"))


def is_own(agency: str, message: StoredMessage, agreement: Agreement) -> bool:
    """Tell whether a message was sent by this agency, or by one that is below it."""
    return _speaks_for(agency, message.from_agency, agreement)


def is_theirs(agency: str, message: StoredMessage, agreement: Agreement, threads: ThreadView) -> bool:
    """Tell whether a message of the other nation came to this agency, or to one that is below it."""
    if message.nation == agreement.agency_nation.get(agency):
        return False
    if any(_speaks_for(agency, addressee, agreement) for addressee in message.to_agencies):
        return True  # the usual case: no acknowledgement has to be opened
    return any(_speaks_for(agency, party, agreement) for party in parties_of(message, threads))


def is_known_to(agency: str, message: StoredMessage, agreement: Agreement, threads: ThreadView) -> bool:
    """Tell whether an agency may know a message.

    It, or one that is below it, sent it, got it or was asked to answer it; or it is a member of the operation
    room that the message opens.
    """
    if is_own(agency, message, agreement) or is_theirs(agency, message, agreement, threads):
        return True
    room = find_room(message.message_id, threads)
    return room is not None and room.is_member(agency)


def _speaks_for(agency: str, other: str, agreement: Agreement) -> bool:
    """Tell whether an agency is another one, or its superior at any distance."""
    below: str | None = other
    for _ in range(len(agreement.superiors) + 1):  # a circle in the agreement ends here too
        if below is None:
            return False
        if below == agency:
            return True
        below = agreement.superiors.get(below)
    return False
