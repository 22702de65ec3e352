"""Message types, the agreement, and who the caller is.

These answers change with the software only, so each is made once a language and kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from gateway.api.callers import AGENCY_ROLE, Caller
from gateway.api.services import Services
from gateway.core.message.instants import time_text
from gateway.core.message.registry import Catalogue, MessageType
from gateway.core.message.wording import Language
from gateway.node.agreements import standing_document
from gateway.node.inbox import NotFoundError
from gateway.node.pair import Pair
from gateway.web.exchange import Reply, Request


class CatalogueHandlers:
    """Calls about what may be said."""

    def __init__(self, services: Services) -> None:
        """Serve from a node."""
        self._services = services
        self._pair = services.pair
        # By catalogue: a planned one takes effect while the node runs.
        self._types = lru_cache(maxsize=4)(self._make_types)
        self._type = lru_cache(maxsize=512)(self._make_type)

    @property
    def _catalogue(self) -> Catalogue:
        return self._services.catalogue

    async def types(self, request: Request[Caller]) -> Reply:
        """List every message type."""
        return Reply(body=self._types(self._catalogue, request.language), language=request.language)

    async def type(self, request: Request[Caller]) -> Reply:
        """Return one type with its JSON Schema and its terms."""
        found = self._catalogue.find(f"{request.names['name']}/{request.names['version']}")
        if found is None:
            msg = "no such message type"
            raise NotFoundError(msg)
        return Reply(body=self._type(found, request.language), language=request.language)

    async def agreement(self, request: Request[Caller]) -> Reply:
        """Return what both nations have agreed on, and which types flow."""
        document = agreement_document(self._catalogue, request.language)
        document |= standing_document(self._services.agreement())
        return Reply(body=orjson.dumps(document), language=request.language)

    async def whoami(self, request: Request[Caller]) -> Reply:
        """Return who the caller is and what it may send to whom."""
        caller, language = request.caller, request.language
        agency = caller.principal.agency
        name = self._catalogue.agreement.agency_names.get(agency)
        document = {
            "nation": caller.principal.nation,
            "agency": agency,
            "name": None if name is None else name.text(language),
            "role": AGENCY_ROLE,
            "node": self._pair.node,
            "peer": {"nation": self._pair.peer_nation, "node": self._pair.peer_node},
            "certificate": {
                "spki_sha256": caller.certificate.spki.hex(),
                "expires_at": time_text(caller.certificate.expires_ms),
            },
            "may_send": may_send(self._catalogue, self._pair, agency, language),
        }
        return Reply(body=orjson.dumps(document), language=language)

    def _make_types(self, catalogue: Catalogue, language: Language) -> bytes:
        types = catalogue.types.values()
        document = {
            "digest": catalogue.digest.hex(),
            "types": [type_document(message_type, language) for message_type in types],
        }
        return orjson.dumps(document)

    def _make_type(self, message_type: MessageType, language: Language) -> bytes:
        document = type_document(message_type, language)
        document["schema"] = message_type.bundled
        return orjson.dumps(document)


def may_send(catalogue: Catalogue, pair: Pair, agency: str, language: Language) -> list[dict[str, Any]]:
    """Return the types that an agency may send, each with its possible addressees."""
    return [
        {
            "type": message_type.id,
            "title": message_type.title(language),
            "to": sorted(message_type.terms.agencies.get(pair.peer_nation, ())),
            "opens": not message_type.terms.reply_to,
        }
        for message_type in catalogue.types.values()
        if agency in message_type.terms.agencies.get(pair.nation, ())
    ]


def type_document(message_type: MessageType, language: Language) -> dict[str, Any]:
    """Return a type without its schema."""
    terms = message_type.terms
    return {
        "type": message_type.id,
        "title": message_type.title(language),
        "description": message_type.description.text(language),
        "sha384": message_type.digest.hex(),
        "terms": {
            "pattern": terms.pattern,
            "agencies": {nation: sorted(codes) for nation, codes in terms.agencies.items()},
            "reply_to": sorted(terms.reply_to),
            "replies": {
                type_id: deadline.text(language) for type_id, deadline in sorted(terms.replies.items())
            },
            "awaits_reply": terms.awaits,
            "purposes": sorted(terms.purposes),
            "legal_bases": list(terms.legal_bases),
            "personal_data": sorted(terms.personal_data),
            "keep_days": terms.keep_days,
            "evaluation": terms.evaluation,
            "no_personal_data": terms.no_personal_data,
            "flash": terms.flash,
            "daily_limit": terms.daily_limit,
        },
    }


def agreement_document(catalogue: Catalogue, language: Language) -> dict[str, Any]:
    """Return the agreement as agencies read it."""
    agreement = catalogue.agreement
    defaults = agreement.defaults
    return {
        "digest": catalogue.digest.hex(),
        "schema_version": agreement.schema_version,
        "announced_versions": sorted(agreement.announced_versions),
        "rules_edition": agreement.rules_edition,
        "nations": {
            code: {"name": nation.name.text(language), "alpha3": nation.alpha3, "policy": nation.policy}
            for code, nation in agreement.nations.items()
        },
        "agencies": {
            code: {
                "name": name.text(language),
                "nation": agreement.agency_nation[code],
                "superior": agreement.superiors.get(code),
            }
            for code, name in agreement.agency_names.items()
        },
        "precedences": {
            code: {
                "deliver_minutes": precedence.deliver_minutes,
                "answer_minutes": precedence.answer_minutes,
                "expires_hours": precedence.expires_hours,
            }
            for code, precedence in agreement.precedences.items()
        },
        "marking": {
            "levels": {policy: list(levels) for policy, levels in agreement.levels.items()},
            "rank": dict(agreement.rank),
            "ceiling": agreement.ceiling,
            "equivalence": {policy: dict(rows) for policy, rows in agreement.equivalence.items()},
        },
        "no_transfer_bases": sorted(agreement.no_transfer_bases),
        "defaults": {
            "marking_level": dict(defaults.marking_level),
            "cui_categories": {policy: list(codes) for policy, codes in defaults.cui_categories.items()},
            "handling": list(defaults.handling),
            "use": dict(defaults.use),
            "legal_basis": list(defaults.legal_basis),
            "safeguards": list(defaults.safeguards),
        },
    }
