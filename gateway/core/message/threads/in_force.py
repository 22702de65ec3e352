"""What of a message is in force now: values, terms, and what was agreed about its use.

Spec: docs/spec/rules.md, "What is in force".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.core.message.effect import Effect
from gateway.core.message.threads.corrections import corrected_for, corrections_of, retraction_of
from gateway.core.message.threads.use_changes import TermsInForce, terms_in_force
from gateway.core.message.threads.view import AppliedEffect, ThreadView

Json = dict[str, Any]

CHANGING: Final = frozenset(
    {
        Effect.CORRECTS,
        Effect.RETRACTS,
        Effect.RETRACTS_AND_DELETES,
        Effect.CHANGES_USE,
        Effect.ASKS_CONSENT,
    }
)
"""Effects after which a message is not quite what it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A further use that was asked for, and what was decided.

    Attributes:
        request_id: The message that asks, 16 bytes.
        use: What is asked for.
        decision_id: The message that decides, or None while it is open.
        decision: GRANTED, GRANTED_WITH_CONDITIONS or DENIED; None while it is open, and once the decision
            was retracted, or cannot be read any more.
        conditions: Conditions of the decision.
        valid_until: Last day of the consent, or None.
        retracted_by: What retracted the decision, or None.
    """

    request_id: bytes
    use: str
    decision_id: bytes | None = None
    decision: str | None = None
    conditions: tuple[str, ...] = ()
    valid_until: str | None = None
    retracted_by: AppliedEffect | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What became of a message.

    Attributes:
        corrections: Corrections of it that count, oldest first, also those that the reader was not sent.
        payload: The payload with the corrections that the reader was sent; None without any, and where
            nobody can say what they make of it.
        terms: Its terms as they are now; None if no use change was sent.
        retracted_by: What retracted it, or None.
        consents: Further uses asked for by, or of, the reader.
    """

    corrections: tuple[AppliedEffect, ...]
    payload: Json | None
    terms: TermsInForce | None
    retracted_by: AppliedEffect | None
    consents: tuple[Consent, ...]


def in_force(message_id: bytes, threads: ThreadView, *, reader: str, now_ms: int) -> InForce | None:
    """Return what is in force of a message, or None if nothing has changed.

    Terms bind everyone who has the message. Values and consents are shown to those who were
    sent them: a node passes nothing on that its sender did not address.

    Args:
        message_id: The message, 16 bytes.
        threads: What this node has sent and accepted.
        reader: Agency that is told.
        now_ms: The clock, milliseconds since 1970.
    """
    effects = threads.effects(message_id)
    if not any(applied.effect in CHANGING for applied in effects):
        return None
    corrections = tuple(corrections_of(message_id, threads))
    read = any(applied.concerns(reader) for applied in corrections)
    whole = corrected_for(reader, message_id, threads) if read else None
    changed = any(applied.effect is Effect.CHANGES_USE for applied in effects)
    return InForce(
        corrections=corrections,
        payload=None if whole is None else whole["payload"],
        terms=terms_in_force(message_id, threads, now_ms=now_ms) if changed else None,
        retracted_by=retraction_of(message_id, threads),
        consents=tuple(_consents(effects, threads, reader)),
    )


def _consents(effects: Sequence[AppliedEffect], threads: ThreadView, reader: str) -> list[Consent]:
    found: list[Consent] = []
    for asked in effects:
        if asked.effect is not Effect.ASKS_CONSENT or not asked.concerns(reader):
            continue
        request = corrected_for(reader, asked.message_id, threads) or threads.content(asked.message_id)
        if request is None:
            continue
        decisions = [
            answer for answer in threads.effects(asked.message_id) if answer.type == "gov.consent_decision/1"
        ]
        use = request["payload"]["use"]
        found.append(
            _decided(asked, use, decisions[-1], threads, reader)
            if decisions
            else Consent(request_id=asked.message_id, use=use)
        )
    return found


def _decided(
    asked: AppliedEffect, use: str, answer: AppliedEffect, threads: ThreadView, reader: str
) -> Consent:
    """Return a consent with its decision as it is now: as it was last corrected, if it was not retracted."""
    consent = Consent(
        request_id=asked.message_id,
        use=use,
        decision_id=answer.message_id,
        retracted_by=retraction_of(answer.message_id, threads),
    )
    decision = corrected_for(reader, answer.message_id, threads)
    if consent.retracted_by is not None or decision is None:
        return consent
    payload = decision["payload"]
    return replace(
        consent,
        decision=payload["decision"],
        conditions=tuple(payload.get("conditions", ())),
        valid_until=payload.get("valid_until"),
    )
