"""The frame of a message: what of its header comes again, message after message.

What an agency sends differs in ids, times and payload. The rest of the header, who writes to
whom, the marking, the purpose, the legal bases, takes few forms, and most rules about
headers look at nothing else. So this rest is written down as bytes, and a rule about frames
is given what can be read back from these bytes and nothing more. Its verdict can then be kept
by them: what is not in the bytes it has not seen.

Spec: docs/spec/rules.md.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway.core.message.agreement import Agreement
from gateway.core.message.terms import TypeTerms

Json = dict[str, Any]

_NATION_OF_A_PSEUDONYM: Final = len("fr-")


class Frame:
    """What rules about frames share, worked out once.

    Attributes:
        type_id: Type of the message, with the version.
        terms: What the catalogue says about the type.
        agreement: What both nations agreed for all types.
        nation: Sending nation, ``FR`` or ``US``.
        agency: Sending agency.
        pseudonym: Beginning of the officer's pseudonym, which tells the nation.
        to: ``header.to``.
        precedence: ``header.precedence``.
        pattern: ``header.conversation.pattern``.
        is_linked: Whether the message has an ``in_reply_to``.
        is_in_room: Whether it names an operation room.
        marking: ``header.marking``.
        own_rank: Rank of the marking's level; None if it is none of the sending nation's own.
        codes: ``header.handling.codes``.
        has_conditions: Whether the handling has conditions in words.
        evaluation: ``header.evaluation``, or None.
        purpose: ``header.purpose``.
        legal_basis: ``header.legal_basis``.
        use: ``header.use``.
        has_personal_data: Whether the header says that there is personal data.
        safeguards: ``header.data_protection.safeguards``.
        special_categories: ``header.data_protection.special_categories``.
        is_justified: Whether special categories have a justification in words.
    """

    __slots__ = (
        "agency",
        "agreement",
        "codes",
        "evaluation",
        "has_conditions",
        "has_personal_data",
        "is_in_room",
        "is_justified",
        "is_linked",
        "legal_basis",
        "marking",
        "nation",
        "own_rank",
        "pattern",
        "precedence",
        "pseudonym",
        "purpose",
        "safeguards",
        "special_categories",
        "terms",
        "to",
        "type_id",
        "use",
    )

    def __init__(self, written: bytes, *, type_id: str, terms: TypeTerms, agreement: Agreement) -> None:
        """Read what `write_frame` has written of a message of this type."""
        self.type_id = type_id
        self.terms = terms
        self.agreement = agreement
        fields: list[Any] = orjson.loads(written)
        self.nation: str = fields[0]
        self.agency: str = fields[1]
        self.pseudonym: str = fields[2]
        self.to: list[Json] = fields[3]
        self.precedence: str = fields[4]
        self.pattern: str = fields[5]
        self.is_linked: bool = fields[6]
        self.is_in_room: bool = fields[7]
        self.marking: Json = fields[8]
        self.codes: list[str] = fields[9]
        self.has_conditions: bool = fields[10]
        self.evaluation: Json | None = fields[11]
        self.purpose: Json = fields[12]
        self.legal_basis: list[str] = fields[13]
        self.use: Json = fields[14]
        self.has_personal_data: bool = fields[15]
        self.safeguards: list[str] = fields[16]
        self.special_categories: list[str] = fields[17]
        self.is_justified: bool = fields[18]
        self.own_rank = agreement.rank_of(self.marking, self.nation)


def write_frame(header: Json) -> bytes:
    """Return the frame of a message, some 500 bytes.

    Args:
        header: The header of a message that its schema accepts.
    """
    sender, conversation = header["from"], header["conversation"]
    handling, protection = header["handling"], header["data_protection"]
    return orjson.dumps(
        (
            sender["nation"],
            sender["agency"],
            sender["officer_ref"][:_NATION_OF_A_PSEUDONYM],
            header["to"],
            header["precedence"],
            conversation["pattern"],
            "in_reply_to" in conversation,
            "room" in header.get("operation", ()),
            header["marking"],
            handling["codes"],
            "conditions" in handling,
            header.get("evaluation"),
            header["purpose"],
            header["legal_basis"],
            header["use"],
            protection["contains_personal_data"],
            protection["safeguards"],
            protection["special_categories"],
            "special_justification" in protection,
        )
    )
