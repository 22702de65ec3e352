"""The application of the agency port: each operation and its handler.

Spec: docs/api.md.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType

from gateway.api.callers import Caller, identify_agencies
from gateway.api.catalogue import CatalogueHandlers
from gateway.api.conversations import ConversationHandlers
from gateway.api.handbook import handbook_routes
from gateway.api.inbox import InboxHandlers
from gateway.api.messages import MessageHandlers
from gateway.api.openapi import openapi_json
from gateway.api.operations import OPERATIONS, Operation
from gateway.api.services import Services
from gateway.core.message.wording import Language
from gateway.web.app import App
from gateway.web.exchange import Handler, Reply, Request
from gateway.web.identity import AgencyRegistry
from gateway.web.routing import Route


def agency_app(services: Services, registry: AgencyRegistry) -> App:
    """Return the application of the agency port: the calls, and the handbook for people.

    Args:
        services: The node.
        registry: Says which agency a certificate stands for; asked with every request.
    """
    return App(
        name="agency",
        routes=agency_routes(services) + handbook_routes(services.catalogue),
        identify=identify_agencies(registry, services.pair.nation),
    )


def agency_routes(services: Services) -> tuple[Route, ...]:
    """Return every call of the agency API, served by a node."""
    messages = MessageHandlers(services)
    inbox = InboxHandlers(services)
    conversations = ConversationHandlers(services)
    catalogue = CatalogueHandlers(services)
    openapi = lru_cache(maxsize=4)(openapi_json)
    types = tuple(services.catalogue.types)

    async def get_openapi(request: Request[Caller]) -> Reply:
        language: Language = request.language
        return Reply(body=openapi(types, language), language=language)

    handlers: MappingProxyType[str, Handler] = MappingProxyType(
        {
            "post_message": messages.post,
            "post_batch": messages.batch,
            "check_message": messages.check,
            "list_messages": messages.listing,
            "get_message": messages.status,
            "withdraw_message": messages.withdraw,
            "get_evidence": messages.evidence,
            "read_inbox": inbox.page,
            "read_message": inbox.read,
            "acknowledge_message": inbox.acknowledge,
            "acknowledge_batch": inbox.acknowledge_batch,
            "list_conversations": conversations.listing,
            "get_conversation": conversations.read,
            "list_types": catalogue.types,
            "get_type": catalogue.type,
            "get_agreement": catalogue.agreement,
            "whoami": catalogue.whoami,
            "get_openapi": get_openapi,
        }
    )
    return tuple(_route(operation, handlers[operation.name]) for operation in OPERATIONS)


def _route(operation: Operation, handler: Handler) -> Route:
    parameters = operation.parameters
    return Route(
        name=operation.name,
        method=operation.method,
        path=operation.path,
        parts=operation.parts,
        handler=handler,
        query=frozenset(item.name for item in parameters if item.where == "query"),
        headers=frozenset(item.name.lower() for item in parameters if item.where == "header"),
        media_types=operation.accepted_types,
        max_body=operation.max_body,
        deadline_s=operation.deadline_s,
    )
