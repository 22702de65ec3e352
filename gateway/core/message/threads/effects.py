"""What an accepted message does to earlier ones, and what closes what.

One table says how the answers of each type are read, another which types speak about a
message by ``payload.target`` or ``payload.about``. Most messages have no effect, and cost
two look-ups here.

Spec: docs/spec/rules.md, "What closes a request" and "States of a request".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from gateway.core.message.effect import CLOSING, Effect, NewEffect
from gateway.core.message.instants import deadline_ms, instant_ms
from gateway.core.message.registry import Catalogue
from gateway.core.message.terms import TypeTerms
from gateway.core.message.threads.corrections import corrected
from gateway.core.message.threads.quotas import quota_of
from gateway.core.message.threads.view import AppliedEffect, StoredMessage, ThreadView, uuid_bytes

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How an answer of one type is read.

    Attributes:
        code_field: Field of the payload that decides, or None if all answers are alike.
        effects: Effect by the value of that field.
        otherwise: Effect of any other value.
        time_field: Field with the time that goes with the effect, if the payload has it.
    """

    otherwise: Effect
    code_field: str | None = None
    effects: Mapping[str, Effect] = field(default_factory=dict)
    time_field: str | None = None

    def effect_of(self, payload: Json) -> Effect:
        """Return what this answer does to its request."""
        return (
            self.otherwise
            if self.code_field is None
            else self.effects.get(payload.get(self.code_field, ""), self.otherwise)
        )

    def time_of(self, payload: Json) -> int | None:
        """Return the time that goes with it, or None; a day lasts until its end."""
        time = None if self.time_field is None else payload.get(self.time_field)
        return None if time is None else deadline_ms(time)


ANSWERS: Final = Reading(otherwise=Effect.ANSWERS)
"""Any answer of the type closes its request."""

READINGS: Final[Mapping[str, Reading]] = MappingProxyType(
    {
        "assist.ack/1": Reading(
            code_field="status",
            effects={"MORE_INFORMATION_NEEDED": Effect.ASKS_BACK},
            otherwise=Effect.ACKNOWLEDGES,
            time_field="expected_by",
        ),
        "assist.reply/1": Reading(
            code_field="status",
            effects={"FINAL": Effect.ANSWERS},
            otherwise=Effect.ANSWERS_PARTLY,
            time_field="next_part_by",
        ),
        "assist.refusal/1": Reading(
            code_field="kind",
            # Whoever offers conditions waits for the one who asks to accept them.
            effects={"REFUSED": Effect.REFUSES, "POSTPONED": Effect.POSTPONES},
            otherwise=Effect.ASKS_BACK,
            time_field="postponed_until",
        ),
        "alert.response/1": Reading(
            code_field="outcome",
            effects={"ACTION_UNDER_WAY": Effect.ANSWERS_PARTLY},
            otherwise=Effect.ANSWERS,
            time_field="more_by",
        ),
        "target.disposition/1": Reading(
            code_field="disposition",
            effects={"PENDING": Effect.ANSWERS_PARTLY},
            otherwise=Effect.ANSWERS,
        ),
        # One result a container: the last one answers, see `_effect_on_request`.
        "inspect.result/1": Reading(otherwise=Effect.ANSWERS_PARTLY),
        "invest.controlled_delivery_decision/1": Reading(
            code_field="decision",
            effects={"MORE_INFORMATION_NEEDED": Effect.ASKS_BACK, "REFUSED": Effect.REFUSES},
            otherwise=Effect.ANSWERS,
        ),
        "marine.boarding_decision/1": Reading(
            code_field="decision", effects={"REFUSED": Effect.REFUSES}, otherwise=Effect.ANSWERS
        ),
        "gov.consent_decision/1": Reading(
            code_field="decision", effects={"DENIED": Effect.REFUSES}, otherwise=Effect.ANSWERS
        ),
        # The second deconfliction notice answers, and so closes, the first.
        "invest.deconfliction/1": ANSWERS,
        "match.result/1": Reading(otherwise=Effect.ANSWERS, time_field="follow_up_by"),
        "ops.asset_response/1": ANSWERS,
        "arms.trace_result/1": ANSWERS,
        "fraud.verification_result/1": ANSWERS,
        "gov.deletion_certificate/1": ANSWERS,
        # Answers that leave the first message open: work on a case goes on.
        "fin.trade_mirror/1": Reading(otherwise=Effect.ANSWERS_PARTLY),
        "invest.joint_case/1": Reading(otherwise=Effect.ANSWERS_PARTLY),
    }
)
"""How an answer is read, by its type; one of another type is read as its terms say."""

TARGET_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "gov.correction/1": "target",
        "gov.retraction/1": "target",
        "gov.use_change/1": "target",
        "gov.consent_request/1": "target",
        "gov.consent_decision/1": "target",
        "gov.feedback/1": "about",
    }
)
"""Field of the payload that names the message a message is about, by type."""

ROOM_OPEN: Final = "ops.room_open/1"
ROOM_CLOSE: Final = "ops.room_close/1"


def effects_of(document: Json, *, catalogue: Catalogue, threads: ThreadView) -> tuple[NewEffect, ...]:
    """Return what a message does to earlier ones.

    Args:
        document: A message that every rule accepts.
        catalogue: Types and agreement.
        threads: What this node has sent and accepted before this message.

    Spec: docs/spec/rules.md, "What closes a request".
    """
    type_id: str = document["type"]
    found: list[NewEffect] = []
    known = catalogue.find(type_id)
    if known is not None and known.terms.daily_limit is not None:
        found.append(NewEffect(subject=quota_of(document), effect=Effect.COUNTS))
    answered = document["header"]["conversation"].get("in_reply_to")
    if answered is not None:
        effect = _effect_on_request(document, uuid_bytes(answered), catalogue, threads)
        if effect is not None:
            found.append(effect)
    if type_id in TARGET_FIELDS:
        found.extend(_effects_on_target(document))
    elif type_id == "gov.deletion_certificate/1":
        found.extend(
            NewEffect(
                subject=subject,
                effect=Effect.CERTIFIES_DELETION,
                at_ms=instant_ms(document["payload"]["deleted_at"]),
            )
            for subject in dict.fromkeys(map(uuid_bytes, document["payload"]["targets"]))
        )
    elif type_id in {ROOM_OPEN, ROOM_CLOSE}:
        found.extend(_effects_on_room(document, threads))
    return tuple(found)


def closes(document: Json, *, catalogue: Catalogue, threads: ThreadView) -> bool:
    """Tell whether a message closes the one that its ``in_reply_to`` names."""
    return any(new.effect in CLOSING for new in effects_of(document, catalogue=catalogue, threads=threads))


def subjects_of(document: Json) -> tuple[bytes, ...]:
    """Return the ids that the rules will ask the effects of, so that a group asks once.

    Args:
        document: A message that its schema accepts.
    """
    field = TARGET_FIELDS.get(document["type"])
    if field is None and "operation" not in document["header"]:
        return ()
    subjects: list[bytes] = []
    if field is not None:
        subjects.append(uuid_bytes(document["payload"][field]))
    room = room_of(document["header"])
    if room is not None:
        subjects.append(room)
    return tuple(subjects)


def room_of(header: Json) -> bytes | None:
    """Return the id of the operation room that a message names, or None."""
    operation = header.get("operation")
    room = None if operation is None else operation.get("room")
    return None if room is None else uuid_bytes(room)


def _effect_on_request(
    document: Json, request_id: bytes, catalogue: Catalogue, threads: ThreadView
) -> NewEffect | None:
    """Return what a message does to the one that it answers, or is linked to."""
    type_id: str = document["type"]
    payload: Json = document["payload"]
    if type_id == "assist.cancel/1":
        effect = Effect.CANCELS_AND_DELETES if payload["delete_data"] else Effect.CANCELS
        return NewEffect(subject=request_id, effect=effect)
    known = catalogue.find(type_id)
    if known is None:
        return None
    if not known.terms.reply_to:
        return _information(document, request_id, threads)
    reading = READINGS.get(type_id) or _reading_of(known.terms)
    effect = reading.effect_of(payload)
    if type_id == "inspect.result/1" and _is_last_result(payload, request_id, threads):
        effect = Effect.ANSWERS
    return NewEffect(subject=request_id, effect=effect, at_ms=reading.time_of(payload))


def _reading_of(terms: TypeTerms) -> Reading:
    """Return how the answers of a type are read that has no line of its own above."""
    left = terms.leaves_open
    if left is None:
        return ANSWERS
    partly = dict.fromkeys(left.codes, Effect.ANSWERS_PARTLY)
    return Reading(code_field=left.field, effects=partly, otherwise=Effect.ANSWERS)


def _information(document: Json, linked_id: bytes, threads: ThreadView) -> NewEffect | None:
    """Return that the nation that asked sends more about its request, if it does.

    The link leads to the request itself, or to an answer that asked for more.
    """
    if document["type"] in TARGET_FIELDS or document["type"].startswith("sys."):
        return None
    nation = document["header"]["from"]["nation"]
    linked = threads.find(linked_id)
    if linked is not None and linked.nation != nation and linked.in_reply_to is not None:
        linked = threads.find(linked.in_reply_to)
    return _informs(linked, nation)


def _informs(request: StoredMessage | None, nation: str) -> NewEffect | None:
    if request is None or request.nation != nation:
        return None
    return NewEffect(subject=request.message_id, effect=Effect.INFORMS)


def _effects_on_target(document: Json) -> list[NewEffect]:
    payload = document["payload"]
    effect = _ABOUT.get(document["type"])
    if effect is None:
        return []
    at_ms = None
    if effect is Effect.RETRACTS and payload["delete"]:
        effect = Effect.RETRACTS_AND_DELETES
    elif effect is Effect.CHANGES_USE:
        at_ms = instant_ms(payload["effective"])
    subject = uuid_bytes(payload[TARGET_FIELDS[document["type"]]])
    return [NewEffect(subject=subject, effect=effect, at_ms=at_ms)]


_ABOUT: Final[Mapping[str, Effect]] = MappingProxyType(
    {
        "gov.correction/1": Effect.CORRECTS,
        "gov.retraction/1": Effect.RETRACTS,
        "gov.use_change/1": Effect.CHANGES_USE,
        "gov.consent_request/1": Effect.ASKS_CONSENT,
        "gov.feedback/1": Effect.GIVES_FEEDBACK,
        # A decision concerns the request that it answers; its target only repeats that one's.
    }
)


def _effects_on_room(document: Json, threads: ThreadView) -> list[NewEffect]:
    header = document["header"]
    conversation_id = uuid_bytes(header["conversation"]["id"])
    if document["type"] == ROOM_OPEN:
        # Others name the room by either id.
        ids = dict.fromkeys((conversation_id, uuid_bytes(header["message_id"])))
        return [NewEffect(subject=room, effect=Effect.OPENS_ROOM) for room in ids]
    named = room_of(header)
    room = named or conversation_id
    opening = next((item for item in threads.effects(room) if item.effect is Effect.OPENS_ROOM), None)
    if opening is None or (named is None and _is_stranger(header["from"]["agency"], opening, threads)):
        return []
    return [NewEffect(subject=room, effect=Effect.ENDS_ROOM)]


def _is_stranger(agency: str, opening: AppliedEffect, threads: ThreadView) -> bool:
    """Tell whether an agency is no member of a room: RF-ROOM asks only of messages that name their room."""
    opened = corrected(opening.message_id, threads)
    return opened is not None and all(agency != member["agency"] for member in opened["payload"]["members"])


def _is_last_result(payload: Json, request_id: bytes, threads: ThreadView) -> bool:
    """Tell whether a result is for the last container of a request that had none."""
    request = corrected(request_id, threads)
    if request is None:
        return False
    wanted = {container["number"] for container in request["payload"]["consignment"].get("containers", ())}
    done = {payload["container"]}
    for reply in threads.replies(request_id):
        opened = threads.content(reply.message_id) if reply.type == "inspect.result/1" else None
        if opened is not None:
            done.add(opened["payload"]["container"])
    return wanted <= done
