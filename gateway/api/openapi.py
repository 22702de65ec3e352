"""The OpenAPI 3.1 document of the agency API, made of the table of operations.

Spec: OpenAPI 3.1.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from gateway.api.openapi_schemas import component_schemas
from gateway.api.operations import OPERATIONS, Operation
from gateway.core.message.wording import Language, Wording
from gateway.web.problem_table import PROBLEMS
from gateway.web.problems import LATER, PROBLEM_MEDIA_TYPE, URN

API_VERSION: Final = "1.0.0"

_TITLE: Final = Wording(en="Entente agency API", fr="API Entente pour les services")
_TEXT: Final = Wording(
    en="Post messages, read your inbox, follow what you sent. Mutual TLS: the key of your certificate "
    "says which agency you are. Times are UTC, RFC 3339. Paths are matched as they are sent.",
    fr="Déposez des messages, lisez votre boîte, suivez vos envois. TLS mutuel : la clé de votre "
    "certificat dit quel service vous êtes. Les heures sont en UTC, RFC 3339. Les chemins sont comparés "
    "tels qu'ils sont envoyés.",
)
_GROUPS: Final = {
    "messages": Wording(en="What you send", fr="Ce que vous envoyez"),
    "inbox": Wording(en="What you receive", fr="Ce que vous recevez"),
    "conversations": Wording(en="What you discuss", fr="Ce dont vous discutez"),
    "catalogue": Wording(en="What can be said", fr="Ce qui peut être dit"),
}
_DONE: Final = Wording(en="Done.", fr="Fait.")
_PATH_PART: Final = Wording(en="Part of the path.", fr="Partie du chemin.")

_ALWAYS: Final = (400, 403, 429, 500, 503)
_WITH_BODY: Final = (408, 413, 415, 417)

_EXAMPLE_DRAFT: Final = {
    "type": "assist.request/1",
    "header": {"precedence": "PRIORITY", "to": [{"agency": "US.CBP.NTC"}]},
    "payload": {},
}


def openapi_json(types: Sequence[str], language: Language) -> bytes:
    """Return the document as JSON.

    Args:
        types: Ids of the message types of this node.
        language: Language of what a person reads in it.
    """
    return orjson.dumps(openapi_document(types, language))


def openapi_document(types: Sequence[str], language: Language) -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, language)
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE.text(language), "version": API_VERSION, "description": _TEXT.text(language)},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "tags": [{"name": name, "description": text.text(language)} for name, text in _GROUPS.items()],
        "security": [{"certificate": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"certificate": {"type": "mutualTLS"}},
            "schemas": component_schemas(types, language),
            "responses": {
                str(status): _problem_response(status, language)
                for status in sorted({problem.status for problem in PROBLEMS.values()})
            },
        },
    }


def _operation(operation: Operation, language: Language) -> dict[str, Any]:
    statuses = {*_ALWAYS, *operation.problems, *(_WITH_BODY if operation.media_type else ())}
    document: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.group],
        "summary": operation.title.text(language),
        "description": operation.text.text(language),
        "responses": {
            str(operation.success): _success(operation, language),
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)},
        },
    }
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_PART.text(language),
            "schema": {"type": "string", "pattern": f"^{pattern}$"},
        }
        for name, pattern in operation.parts.items()
    ] + [
        {
            "name": parameter.name,
            "in": parameter.where,
            "description": parameter.text.text(language),
            "schema": dict(parameter.schema),
        }
        for parameter in operation.parameters
    ]
    if parameters:
        document["parameters"] = parameters
    if operation.media_type is not None:
        content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{operation.body_schema}"}}
        if operation.body_schema == "Draft":
            content["example"] = _EXAMPLE_DRAFT
        document["requestBody"] = {"required": True, "content": {operation.media_type: content}}
    return document


def _success(operation: Operation, language: Language) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": _DONE.text(language),
        "content": {
            operation.answer_type: {"schema": {"$ref": f"#/components/schemas/{operation.answer_schema}"}}
        },
    }
    if operation.success == 202:
        response["headers"] = {"Location": {"schema": {"type": "string"}, "required": True}}
    return response


def _problem_response(status: int, language: Language) -> dict[str, Any]:
    """Return the response of a status: the problems that it can stand for, the first as example."""
    found = [problem for problem in PROBLEMS.values() if problem.status == status]
    first = found[0]
    response: dict[str, Any] = {
        "description": "; ".join(f"{problem.title.text(language)} (`{problem.code}`)" for problem in found),
        "content": {
            PROBLEM_MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": {
                    "type": URN + first.code,
                    "code": first.code,
                    "title": first.title.text(language),
                    "status": status,
                    "detail": first.detail.text(language),
                },
            }
        },
    }
    if status in LATER:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "required": True}}
    return response
