"""JSON Schemas of what the agency API takes and gives, for the OpenAPI document.

Schemas of messages are not repeated here: they are the catalogue's, under ``/v1/types``.

Spec: OpenAPI 3.1; docs/api.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gateway.api.conversation_answers import CHANGES
from gateway.core.message.retention import Ground
from gateway.core.message.schema_check import MAX_VALUES
from gateway.core.message.threads.deadlines import DeadlineKind
from gateway.core.message.threads.progress import RequestState
from gateway.core.message.violation import MAX_VIOLATIONS
from gateway.core.message.warning import KINDS
from gateway.core.message.wording import Language, Wording
from gateway.core.receipt import ExceptionCode
from gateway.core.states import Precedence, State
from gateway.node.refusal import MAX_TOLD
from gateway.web.problem_table import PROBLEMS
from gateway.web.problems import URN
from gateway.web.routing import UUID

Schema = dict[str, Any]

_UUID: Final[Schema] = {"type": "string", "pattern": f"^{UUID}$"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_TEXT: Final[Schema] = {"type": "string"}
_TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_FLAG: Final[Schema] = {"type": "boolean"}
_OBJECT: Final[Schema] = {"type": "object"}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT}
_HEX: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]+$"}
_PRECEDENCE: Final[Schema] = {"type": "string", "enum": [item.name for item in Precedence]}
_STATE: Final[Schema] = {"type": "string", "enum": [state.label for state in State]}
_UUID_OR_NULL: Final[Schema] = {"type": ["string", "null"], "pattern": f"^{UUID}$"}
_REQUEST_STATE: Final[Schema] = {"type": "string", "enum": list(RequestState)}
_CHANGES: Final = sorted(set(CHANGES.values()))
_CHANGE: Final[Schema] = {
    "message_id": _UUID,
    "type": _TEXT,
    "from": _TEXT,
    "created_at": _TIME,
    "at": _TIME_OR_NULL,
}
_NEXT: Final[Schema] = {"type": ["string", "null"]}
_PLACE: Final[Schema] = {"$ref": "#/components/schemas/LogPlace"}
_RETENTION: Final[Schema] = {"$ref": "#/components/schemas/Retention"}
_WARNINGS: Final[Schema] = {"type": "array", "items": {"$ref": "#/components/schemas/Warning"}}
_PLACE_OR_NULL: Final[Schema] = {"anyOf": [_PLACE, {"type": "null"}]}

_DRAFT: Final = Wording(
    en="A message of the catalogue, or a draft that leaves out what the node or the agreement can fill "
    "in: ids, times, `from`, the conversation of an opener, default marking, handling, legal basis, "
    "retention, safeguards. `GET /v1/types/{name}/{version}` has the schema of each type.",
    fr="Un message du catalogue, ou un brouillon qui omet ce que le nœud ou l'accord complète : "
    "identifiants, heures, `from`, la conversation d'une ouverture, mention par défaut, manipulation, "
    "base légale, conservation, garanties. `GET /v1/types/{name}/{version}` donne le schéma de chaque "
    "type.",
)
_WARNING: Final = Wording(
    en="A value that is well formed and in no reference list of this node. It refuses nothing: lists "
    "age. `message` is in French or English by Accept-Language and never repeats the value.",
    fr="Une valeur bien formée qui ne figure dans aucune liste de référence de ce nœud. Elle ne fait rien "
    "refuser : les listes vieillissent. `message` est en français ou en anglais selon Accept-Language et "
    "ne répète jamais la valeur.",
)
_LINES: Final = Wording(en="One JSON value a line.", fr="Une valeur JSON par ligne.")

_SUMMARY: Final[Schema] = {
    "message_id": _UUID,
    "type": _TEXT,
    "precedence": _PRECEDENCE,
    "from": _TEXT,
    "to": _TEXTS,
    "conversation_id": _UUID,
    "seq": _COUNT,
    "in_reply_to": _UUID_OR_NULL,
    "created_at": _TIME,
    "expires_at": _TIME,
    "reply_by": _TIME_OR_NULL,
}


def component_schemas(types: Sequence[str], language: Language) -> Schema:
    """Return every named schema.

    Args:
        types: Ids of the message types of this node.
        language: Language of the descriptions.
    """
    own = {**_SUMMARY, "status": _STATE, "accepted_at": _TIME}
    conversation = {
        "conversation_id": _UUID,
        "state": _REQUEST_STATE,
        "overdue": _FLAG,
        "open_until": _TIME_OR_NULL,
        "missing": {"type": "object", "additionalProperties": {"type": "array", "items": _COUNT}},
        "type": _TEXT,
        "opened_by": _TEXT,
        "opened_at": _TIME,
        "last_message_at": _TIME,
        "count": _COUNT,
        "requests": {"type": "array", "items": _request()},
    }
    described_type = {
        "type": _TEXT,
        "title": _TEXT,
        "description": _TEXT,
        "sha384": _HEX,
        "terms": _OBJECT,
    }
    received = {
        **_SUMMARY,
        "received_at": _TIME,
        "collected_at": _TIME_OR_NULL,
        "flags": _TEXTS,
        "retention": _RETENTION,
        "in_force": _or_null(_in_force()),
        "message": {"type": ["object", "null"]},
    }
    return {
        "Draft": _draft(types, language),
        "DraftLines": {"type": "string", "description": _LINES.text(language)},
        "AcknowledgementLines": {"type": "string", "description": _LINES.text(language)},
        "ResultLines": {"type": "string", "description": _LINES.text(language)},
        "Retention": _closed(
            {
                "erased": _FLAG,
                "erase_at": _TIME_OR_NULL,
                "ground": {"enum": [*(ground.label for ground in Ground), None]},
                "held": _FLAG,
            }
        ),
        "LogPlace": _closed({"origin": _TEXT, "index": _COUNT}),
        "Acceptance": _closed(
            {
                "message_id": _UUID,
                "status": _STATE,
                "accepted_at": _TIME,
                "audit": _PLACE,
                "warnings": _WARNINGS,
                "message": _OBJECT,
            },
            optional=("warnings",),
        ),
        "Checked": _closed(
            {
                "mode": {"type": "string", "enum": ["draft", "strict"]},
                "warnings": _WARNINGS,
                "message": _OBJECT,
            },
            optional=("warnings",),
        ),
        "Warning": _warning(language),
        "MessageList": _page("messages", _closed(own)),
        "Tracked": _tracked(own),
        "Withdrawn": _closed({"message_id": _UUID, "status": _STATE, "withdrawn_at": _TIME}),
        "Archive": {"type": "string", "format": "binary", "description": "ZIP, docs/spec/evidence.md"},
        "InboxPage": _page("messages", _closed(received)),
        "ReceivedMessage": _closed(
            {
                **received,
                "marking": _closed({"banner": _TEXT, "equivalent": _TEXT}),
                "verification": _verification(),
            }
        ),
        "Acknowledged": _closed({"message_id": _UUID, "collected_at": _TIME}),
        "ConversationList": _page("conversations", _closed(conversation)),
        "Conversation": _closed(
            {
                **conversation,
                "deadlines": {"type": "array", "items": _deadline()},
                "room": _or_null(_room()),
                "messages": {
                    "type": "array",
                    "items": _closed(
                        {
                            **_SUMMARY,
                            "direction": {"type": "string", "enum": ["sent", "received"]},
                            "status": _STATE,
                            "arrived_at": _TIME,
                            "flags": _TEXTS,
                            "changes": {
                                "type": "array",
                                "items": _closed({"change": {"type": "string", "enum": _CHANGES}, **_CHANGE}),
                            },
                            "terms": _or_null(_terms()),
                        }
                    ),
                },
                "next": _NEXT,
            }
        ),
        "TypeList": _closed({"digest": _HEX, "types": {"type": "array", "items": _closed(described_type)}}),
        "Type": _closed({**described_type, "schema": _OBJECT}),
        "Agreement": _OBJECT,
        "WhoAmI": _who_am_i(),
        "Document": _OBJECT,
        "Problem": problem_schema(language),
    }


_TRUNCATED: Final = Wording(
    en=f"There if the message may break more than `errors` names: `message`, because it names "
    f"{MAX_VIOLATIONS} violations of one at most, in its first {MAX_VALUES} values but for the very first; "
    f"`call`, because a call is told the first violation only of further messages once it has been told "
    f"{MAX_TOLD:,}.",
    fr=f"Présent si le message peut enfreindre plus que `errors` n'en nomme : `message`, car au plus "
    f"{MAX_VIOLATIONS} violations sont nommées, dans ses {MAX_VALUES} premières valeurs sauf la toute "
    f"première ; `call`, car un appel qui en a reçu {MAX_TOLD} ne reçoit que la première des messages "
    "suivants.",
)

_RETRY_AFTER: Final = Wording(
    en="With 429, 503 and 507: seconds after which a repeat makes sense, as in the header Retry-After, "
    "which the lines of a batch do not have.",
    fr="Avec 429, 503 et 507 : nombre de secondes après lequel une répétition a un sens, comme dans "
    "l'en-tête Retry-After, que les lignes d'un lot n'ont pas.",
)


def problem_schema(language: Language) -> Schema:
    """Return the schema of RFC 9457 problem details as this API fills them."""
    text = Wording(
        en="Codes: " + ", ".join(f"`{code}`" for code in sorted(PROBLEMS)) + ". Texts are in French or "
        "English by Accept-Language and never repeat what was sent.",
        fr="Codes : " + ", ".join(f"`{code}`" for code in sorted(PROBLEMS)) + ". Les textes sont en "
        "français ou en anglais selon Accept-Language et ne répètent jamais ce qui a été envoyé.",
    )
    schema = _closed(
        {
            "type": {"type": "string", "pattern": f"^{URN}[a-z-]+$"},
            "code": {"type": "string", "enum": sorted(PROBLEMS)},
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "errors": {
                "type": "array",
                "items": _closed({"pointer": _TEXT, "rule": _TEXT, "message": _TEXT}),
            },
            "truncated": {
                "type": "string",
                "enum": ["message", "call"],
                "description": _TRUNCATED.text(language),
            },
            "retry_after": {
                "type": "integer",
                "minimum": 1,
                "description": _RETRY_AFTER.text(language),
            },
        },
        optional=("errors", "truncated", "retry_after"),
    )
    schema["description"] = text.text(language)
    return schema


def _warning(language: Language) -> Schema:
    schema = _closed(
        {
            "pointer": _TEXT,
            "warning": {"type": "string", "enum": [kind.id for kind in KINDS]},
            "message": _TEXT,
        }
    )
    schema["description"] = _WARNING.text(language)
    return schema


def _draft(types: Sequence[str], language: Language) -> Schema:
    return {
        "type": "object",
        "description": _DRAFT.text(language),
        "required": ["type", "payload"],
        "properties": {
            "type": {"type": "string", "enum": list(types)},
            "header": _OBJECT,
            "payload": _OBJECT,
        },
    }


def _tracked(own: Schema) -> Schema:
    return _closed(
        {
            **own,
            "addressees": {
                "type": "array",
                "items": _closed({"agency": _TEXT, "collected_at": _TIME_OR_NULL}),
            },
            "timeline": {
                "type": "array",
                "items": _closed(
                    {"event": _STATE, "time": _TIME, "log": _PLACE_OR_NULL, "agency": _TEXT},
                    optional=("agency",),
                ),
            },
            "retention": _RETENTION,
            "exception": {
                "anyOf": [
                    _closed(
                        {
                            "code": {"type": "string", "enum": [code.label for code in ExceptionCode]},
                            "text": _TEXT,
                            "rule": _TEXT_OR_NULL,
                            "rule_text": _TEXT_OR_NULL,
                            "next_step": _TEXT,
                        }
                    ),
                    {"type": "null"},
                ]
            },
        }
    )


def _request() -> Schema:
    return _closed(
        {
            "message_id": _UUID,
            "type": _TEXT,
            "awaits": _FLAG,
            "state": _REQUEST_STATE,
            "step": _REQUEST_STATE,
            "due": _TIME_OR_NULL,
            "last": _or_null(_closed(_CHANGE)),
        }
    )


def _deadline() -> Schema:
    return _closed(
        {
            "kind": {"type": "string", "enum": list(DeadlineKind)},
            "at": _TIME,
            "message_id": _UUID,
            "agencies": _TEXTS,
            "owed": _FLAG,
            "overdue": _FLAG,
        }
    )


def _room() -> Schema:
    return _closed(
        {
            "opened_by": _UUID,
            "operation": _TEXT,
            "members": {"type": "array", "items": _closed({"agency": _TEXT, "role": _TEXT})},
            "allowed_types": _TEXTS,
            "starts_at": _TIME,
            "ends_at": _TIME,
            "closed_by": _or_null(_closed(_CHANGE)),
        }
    )


def _in_force() -> Schema:
    return _closed(
        {
            "corrected_by": {"type": "array", "items": _closed(_CHANGE)},
            "payload": {"type": ["object", "null"]},
            "terms": _or_null(_terms()),
            "retracted_by": _or_null(_closed(_CHANGE)),
            "consents": {
                "type": "array",
                "items": _closed(
                    {
                        "asked_by": _UUID,
                        "use": _TEXT,
                        "decided_by": _UUID_OR_NULL,
                        "decision": _TEXT_OR_NULL,
                        "conditions": _TEXTS,
                        "valid_until": {"type": ["string", "null"], "format": "date"},
                        "retracted_by": _or_null(_closed(_CHANGE)),
                    }
                ),
            },
        }
    )


def _terms() -> Schema:
    return _closed(
        {
            "marking": _OBJECT,
            "handling": _OBJECT,
            "use": _OBJECT,
            "delete_by": {"type": ["string", "null"], "format": "date"},
            "changed_by": {"type": "array", "items": _UUID},
            "announced": {"type": "array", "items": _UUID},
            "erased": {"type": "array", "items": _UUID},
        }
    )


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _verification() -> Schema:
    return _closed(
        {
            "log": _PLACE,
            "checkpoint": _closed({"origin": _TEXT, "size": _COUNT, "root": _TEXT}),
            "receipt": _PLACE_OR_NULL,
            "from_node": _TEXT,
            "type_sha384": _HEX,
        }
    )


def _who_am_i() -> Schema:
    return _closed(
        {
            "nation": _TEXT,
            "agency": _TEXT,
            "name": _TEXT_OR_NULL,
            "role": _TEXT,
            "node": _TEXT,
            "peer": _closed({"nation": _TEXT, "node": _TEXT}),
            "certificate": _closed({"spki_sha256": _HEX, "expires_at": _TIME}),
            "may_send": {
                "type": "array",
                "items": _closed({"type": _TEXT, "title": _TEXT, "to": _TEXTS, "opens": _FLAG}),
            },
        }
    )


def _page(name: str, item: Schema) -> Schema:
    return _closed({name: {"type": "array", "items": item}, "next": _NEXT})


def _closed(properties: Schema, *, optional: Sequence[str] = ()) -> Schema:
    """Return an object schema in which everything is required but what is optional."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }
